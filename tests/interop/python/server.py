"""A server as a process of its own, on free ports and in a directory of its own."""

import pathlib
import shutil
import signal
import subprocess
import tempfile

# The server promises to drain and stop in less than 5 seconds.
STOP_SECONDS_MAX = 5


class Server:
    """The binary, started by `with` and stopped, or killed, at its end.

    `options` are more of `serve`.
    """

    def __init__(self, binary, *options):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="anabranch-test-"))
        self.log = open(self.directory / "log", "w+b")
        self.process = subprocess.Popen(
            [
                binary,
                "serve",
                "--data",
                self.directory / "data",
                "--listen",
                "127.0.0.1:0",
                "--admin-listen",
                "127.0.0.1:0",
                *options,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        # anabranch ready listen=127.0.0.1:4567 admin=127.0.0.1:4570
        words = self.process.stdout.readline().split()
        if words[:2] != ["anabranch", "ready"]:
            self.process.kill()
            self.process.wait()
            text = self._end()
            raise RuntimeError(f"the server did not start:\n{text}")
        fields = dict(word.split("=", 1) for word in words[2:])
        self.address = fields["listen"]

    def __enter__(self):
        return self

    def __exit__(self, kind, _error, _trace):
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            code = "none"
        text = self._end()
        if kind is not None:
            print(f"the server's log:\n{text}")
        elif code != 0:
            raise RuntimeError(f"the server stopped with {code}, not 0:\n{text}")

    def _end(self):
        """Takes the log away, with everything else."""
        self.process.stdout.close()
        self.log.seek(0)
        text = self.log.read().decode(errors="replace")
        self.log.close()
        shutil.rmtree(self.directory)
        return text
