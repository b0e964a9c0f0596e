package compat;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.lang.reflect.Method;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import software.amazon.awssdk.core.SdkRequest;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisClient;
import software.amazon.awssdk.services.kinesis.model.KinesisException;

/** The suite against the SDK's own list: nothing of the API is left out. It runs last. */
@Order(Integer.MAX_VALUE)
class CoverageTest {
    /** Operations that the server has and never carries out. */
    private static final Set<String> ALWAYS_REFUSED = Set.of("StartStreamEncryption");

    private static final Map<String, String> NEVER =
            Map.of(
                    "ExpiredIteratorException", "takes 300 seconds",
                    "ExpiredNextTokenException", "takes 300 seconds",
                    "InternalFailureException", "a failure of the server, which is not to be had",
                    "KmsAccessDeniedException", "there is no key service",
                    "KmsDisabledException", "there is no key service",
                    "KmsInvalidStateException", "there is no key service",
                    "KmsOptInRequiredException", "there is no key service",
                    "KmsThrottlingException", "there is no key service");

    /** An operation is a method that takes a request of its own. */
    private static Stream<Method> methods(Class<?> client) {
        return Stream.of(client.getMethods())
                .filter(method -> method.getParameterCount() > 0)
                .filter(method -> SdkRequest.class.isAssignableFrom(method.getParameterTypes()[0]))
                .filter(method -> !method.getName().endsWith("Paginator"));
    }

    @Test
    void every_operation_has_been_carried_out() {
        Set<String> operations =
                methods(KinesisAsyncClient.class)
                        .map(method -> method.getParameterTypes()[0].getSimpleName())
                        .map(request -> request.replaceFirst("Request$", ""))
                        .collect(Collectors.toCollection(TreeSet::new));
        // This SDK knows neither UpdateStreamRecordDistributionStrategy, nor queues and channels.
        assertEquals(39, operations.size());
        operations.removeAll(ALWAYS_REFUSED);
        operations.removeAll(Seen.INSTANCE.operations);
        assertEquals(Set.of(), operations);
    }

    @Test
    void every_documented_exception_has_been_thrown() {
        Set<String> exceptions =
                methods(KinesisClient.class)
                        .flatMap(method -> Stream.of(method.getExceptionTypes()))
                        .filter(kind -> KinesisException.class.isAssignableFrom(kind))
                        .filter(kind -> kind != KinesisException.class)
                        .filter(kind -> !Seen.INSTANCE.exceptions.contains(kind))
                        .map(Class::getSimpleName)
                        .collect(Collectors.toCollection(TreeSet::new));
        assertEquals(new TreeSet<>(NEVER.keySet()), exceptions);
    }

    /**
     * All requests are CBOR, unless the suite runs without it. But what answers with an event stream
     * is asked for in JSON, and so the events are JSON too.
     */
    @Test
    void requests_are_cbor_except_for_the_event_stream() {
        boolean isCbor = !"false".equals(System.getProperty("aws.cborEnabled"));
        String json = "application/x-amz-json-1.1";
        Map<String, String> contentTypes = new HashMap<>(Seen.INSTANCE.contentTypes);
        assertEquals(json, contentTypes.remove("SubscribeToShard"));
        String expected = isCbor ? "application/x-amz-cbor-1.1" : json;
        assertEquals(Set.of(expected), Set.copyOf(contentTypes.values()));
    }
}
