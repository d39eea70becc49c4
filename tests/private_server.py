"""Servers that the tests start for themselves, on free ports of this machine, and stop by their own process id."""

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def find_program(name: str, *folders: str) -> str | None:
    """Return the path of a program, also where distributions keep those that are not on everybody's path."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", *folders]))


S = TypeVar("S", bound="PrivateServer")


class PrivateServer:
    """A server process with a folder of its own; as root it runs as nobody, since some servers refuse root.

    `start` returns when the server has said in its log that it is ready, a line that matches `ready`. `kill` is
    kill -9, and `stop` is orderly; after either it can be started again, on its old port and data.
    """

    ready = "ready"
    stop_signal = signal.SIGTERM

    def __init__(self) -> None:
        # A short path: that of a socket may have 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="session3-"))
        self.port = free_port()
        self.user = "nobody" if os.geteuid() == 0 else None
        self.process: subprocess.Popen[bytes] | None = None
        self._log_writer: subprocess.Popen[bytes] | None = None
        if self.user is not None:
            os.chown(self.folder, pwd.getpwnam(self.user).pw_uid, -1)

    def command(self) -> Sequence[str]:
        raise NotImplementedError

    def prepare(self) -> None:
        """Make what the server needs in its folder; called once, before the first start."""

    def run(self, *command: str) -> None:
        """Run a program to its end, as the server's user."""
        done = subprocess.run(
            command, cwd=self.folder, user=self.user, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command[0]} failed:\n{done.stdout}{done.stderr}"

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command(), cwd=self.folder, user=self.user,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert self.process.stdout is not None
        said = b""
        for line in self.process.stdout:
            said += line
            if re.search(self.ready.encode(), line):
                break
        else:
            raise AssertionError(f"{type(self).__name__} did not start:\n{said.decode(errors='replace')}")
        # From here on somebody else has to empty the pipe; a thread of ours would be in the way of forks.
        with open(self.folder / "log", "ab") as log:
            self._log_writer = subprocess.Popen(["cat"], stdin=self.process.stdout, stdout=log)
        self.process.stdout.close()

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(self.stop_signal)

    def _end(self, number: signal.Signals) -> None:
        for process, signal_number in ((self.process, number), (self._log_writer, None)):
            if process is not None:
                if signal_number is not None and process.poll() is None:
                    process.send_signal(signal_number)
                process.wait(30)
        self.process = self._log_writer = None

    def __enter__(self: S) -> S:
        try:
            self.prepare()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
