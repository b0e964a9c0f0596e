package compat;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/** A server with options of its own, for as long as a test needs it. */
final class Server implements AutoCloseable {
    /** It promises to stop in five. */
    private static final int STOP_SECONDS_MAX = 10;

    private final Path directory;
    private final Process process;

    /** Host and port. */
    final String address;

    Server(Path directory, String... options) throws IOException {
        this.directory = directory;
        List<String> command = new ArrayList<>();
        command.addAll(List.of(System.getenv("ANABRANCH_BINARY"), "serve"));
        command.addAll(List.of("--data", directory.resolve("data").toString()));
        command.addAll(List.of("--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"));
        command.addAll(List.of(options));
        process =
                new ProcessBuilder(command)
                        .redirectError(directory.resolve("log").toFile())
                        .start();
        BufferedReader out =
                new BufferedReader(
                        new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
        // anabranch ready listen=127.0.0.1:4567 admin=127.0.0.1:4570
        String ready = out.readLine();
        if (ready == null || !ready.startsWith("anabranch ready ")) {
            process.destroyForcibly();
            throw new IllegalStateException(Files.readString(directory.resolve("log")));
        }
        address =
                Stream.of(ready.split(" "))
                        .filter(word -> word.startsWith("listen="))
                        .findFirst()
                        .orElseThrow()
                        .substring("listen=".length());
    }

    @Override
    public void close() throws Exception {
        process.destroy();
        if (!process.waitFor(STOP_SECONDS_MAX, TimeUnit.SECONDS)) {
            process.destroyForcibly();
            throw new IllegalStateException("the server did not stop");
        }
        try (Stream<Path> files = Files.walk(directory)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        }
    }
}
