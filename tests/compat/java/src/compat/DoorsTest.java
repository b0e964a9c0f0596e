package compat;

import static compat.World.arn;
import static compat.World.bytes;
import static compat.World.makeConsumer;
import static compat.World.makeStream;
import static compat.World.once;
import static compat.World.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import org.junit.jupiter.api.Test;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.AwsCredentialsProvider;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.http.Protocol;
import software.amazon.awssdk.http.ProtocolNegotiation;
import software.amazon.awssdk.http.SdkHttpConfigurationOption;
import software.amazon.awssdk.http.apache5.Apache5HttpClient;
import software.amazon.awssdk.http.nio.netty.NettyNioAsyncHttpClient;
import software.amazon.awssdk.services.kinesis.KinesisAsyncClient;
import software.amazon.awssdk.services.kinesis.KinesisClient;
import software.amazon.awssdk.services.kinesis.model.AccessDeniedException;
import software.amazon.awssdk.services.kinesis.model.KinesisException;
import software.amazon.awssdk.services.kinesis.model.ShardIteratorType;
import software.amazon.awssdk.utils.AttributeMap;

/** TLS and credentials: over both, records are put, pushed and read. */
class DoorsTest {
    /** The certificate of `--tls-auto` is known by its fingerprint, which the SDK cannot ask for. */
    private static final AttributeMap TRUSTING =
            AttributeMap.builder()
                    .put(SdkHttpConfigurationOption.TRUST_ALL_CERTIFICATES, true)
                    .build();

    private static AwsCredentialsProvider signedBy(String access, String secret) {
        return StaticCredentialsProvider.create(AwsBasicCredentials.create(access, secret));
    }

    private static KinesisAsyncClient over(
            NettyNioAsyncHttpClient.Builder http, URI endpoint, AwsCredentialsProvider credentials) {
        return KinesisAsyncClient.builder()
                .endpointOverride(endpoint)
                .credentialsProvider(credentials)
                .overrideConfiguration(once())
                .httpClient(http.buildWithDefaults(TRUSTING))
                .build();
    }

    /** A stream is made; what the one client puts the other gets, and it is pushed. */
    private static void assertServes(KinesisClient sync, KinesisAsyncClient async) {
        String stream = makeStream(sync);
        async.putRecord(it -> it.streamName(stream).partitionKey("key").data(bytes("ä"))).join();
        String iterator = World.iterator(sync, stream, World.FIRST, ShardIteratorType.TRIM_HORIZON);
        var page = sync.getRecords(it -> it.shardIterator(iterator));
        assertEquals("ä", page.records().get(0).data().asUtf8String());
        try (Events events =
                Events.subscribe(
                        async,
                        makeConsumer(sync, stream),
                        position -> position.type(ShardIteratorType.TRIM_HORIZON))) {
            assertEquals(List.of("ä"), events.take(1).texts());
        }
    }

    @Test
    void tls_is_spoken_with_http_1_1_and_with_http_2_known_or_agreed_on() throws Exception {
        AwsCredentialsProvider any = signedBy("any", "any");
        try (Server server = new Server(Files.createTempDirectory("anabranch-java-"), "--tls-auto")) {
            URI endpoint = URI.create("https://" + server.address);
            try (KinesisClient sync =
                            KinesisClient.builder()
                                    .endpointOverride(endpoint)
                                    .overrideConfiguration(once())
                                    .httpClient(Apache5HttpClient.builder().buildWithDefaults(TRUSTING))
                                    .build();
                    KinesisAsyncClient first =
                            over(
                                    NettyNioAsyncHttpClient.builder().protocol(Protocol.HTTP1_1),
                                    endpoint,
                                    any);
                    KinesisAsyncClient second =
                            over(
                                    NettyNioAsyncHttpClient.builder().protocol(Protocol.HTTP2),
                                    endpoint,
                                    any);
                    KinesisAsyncClient agreed =
                            over(
                                    NettyNioAsyncHttpClient.builder()
                                            .protocol(Protocol.HTTP2)
                                            .protocolNegotiation(ProtocolNegotiation.ALPN),
                                    endpoint,
                                    any)) {
                for (KinesisAsyncClient async : List.of(first, second, agreed)) {
                    assertServes(sync, async);
                }
            }
        }
    }

    @Test
    void a_signature_is_verified_and_policies_are_kept() throws Exception {
        Path directory = Files.createTempDirectory("anabranch-java-");
        String secret = "a-secret/of+the=tests";
        Path file = directory.resolve("credentials.toml");
        Files.createFile(
                file, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
        Files.writeString(
                file,
                """
                [[credential]]
                name = "root"
                access_key = "AKROOT"
                secret = "%1$s"
                policies = [{ Version = "2012-10-17", Statement = \
                { Effect = "Allow", Action = "kinesis:*", Resource = "*" } }]
                [[credential]]
                name = "nobody"
                access_key = "AKNOBODY"
                secret = "%1$s"
                policies = []
                """
                        .formatted(secret));
        try (Server server = new Server(directory, "--credentials", file.toString())) {
            URI endpoint = URI.create("http://" + server.address);
            try (KinesisClient root = signed(endpoint, "AKROOT", secret);
                    KinesisClient nobody = signed(endpoint, "AKNOBODY", secret);
                    KinesisClient impostor = signed(endpoint, "AKROOT", secret + "x");
                    KinesisAsyncClient async =
                            over(
                                    NettyNioAsyncHttpClient.builder().protocol(Protocol.HTTP2),
                                    endpoint,
                                    signedBy("AKROOT", secret))) {
                assertServes(root, async);
                String stream = makeStream(root);
                refused(
                        AccessDeniedException.class,
                        () -> nobody.describeStream(it -> it.streamARN(arn(stream))));
                KinesisException error =
                        refused(
                                KinesisException.class,
                                () -> impostor.describeStream(it -> it.streamName(stream)));
                assertEquals("InvalidSignatureException", error.awsErrorDetails().errorCode());
            }
        }
    }

    private static KinesisClient signed(URI endpoint, String access, String secret) {
        return KinesisClient.builder()
                .endpointOverride(endpoint)
                .credentialsProvider(signedBy(access, secret))
                .overrideConfiguration(once())
                .build();
    }
}
