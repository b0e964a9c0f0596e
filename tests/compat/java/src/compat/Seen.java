package compat;

import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ConcurrentHashMap;
import software.amazon.awssdk.core.interceptor.Context;
import software.amazon.awssdk.core.interceptor.ExecutionAttributes;
import software.amazon.awssdk.core.interceptor.ExecutionInterceptor;
import software.amazon.awssdk.core.interceptor.SdkExecutionAttribute;

/** What the tests have done so far, as the SDK itself tells it. */
final class Seen implements ExecutionInterceptor {
    static final Seen INSTANCE = new Seen();

    /** Operations that were carried out. */
    final Set<String> operations = ConcurrentHashMap.newKeySet();

    /** Exceptions that were thrown. */
    final Set<Class<?>> exceptions = ConcurrentHashMap.newKeySet();

    /** In which media type each operation was asked for. */
    final Map<String, String> contentTypes = new ConcurrentHashMap<>();

    @Override
    public void beforeTransmission(Context.BeforeTransmission context, ExecutionAttributes attributes) {
        String operation = attributes.getAttribute(SdkExecutionAttribute.OPERATION_NAME);
        contentTypes.put(
                operation, context.httpRequest().firstMatchingHeader("Content-Type").orElseThrow());
    }

    @Override
    public void afterExecution(Context.AfterExecution context, ExecutionAttributes attributes) {
        operations.add(attributes.getAttribute(SdkExecutionAttribute.OPERATION_NAME));
    }

    @Override
    public void onExecutionFailure(Context.FailedExecution context, ExecutionAttributes attributes) {
        Throwable error = context.exception();
        Throwable cause = error instanceof CompletionException ? error.getCause() : error;
        exceptions.add(cause.getClass());
    }
}
