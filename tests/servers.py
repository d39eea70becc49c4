"""Servers of the demo, each a process of its own, for the tests over HTTP."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "examples" / "quixote_app.py"
PATIENCE = 60  # seconds, until a server that hangs fails a test instead of holding it up


def command(program: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-W", "error", str(program), *arguments]


def environment() -> dict[str, str]:
    """The environment for a program that imports this checkout, wherever it runs."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}


class DemoServer:
    """The demo, served from `folder` on a free port, or on the given one; it answers when the constructor returns."""

    def __init__(self, folder: Path, store_url: str, port: int = 0) -> None:
        self.process = subprocess.Popen(
            command(DEMO, "--port", str(port), "--store", store_url),
            cwd=folder, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            # What runs in the background, as the tests may, and all that it starts, ignores Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        self.line = self.process.stdout.readline() if ready else ""
        if not self.line:
            self.process.kill()
            raise RuntimeError(f"the demo did not start: {self.process.communicate()[1]}")
        self.url = self.line.split()[0].rstrip("/")
        self.port = int(self.url.rpartition(":")[2])

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Ask it to end; it must do so in good order, and have had nothing to complain of."""
        self.process.send_signal(number)
        output, errors = self.process.communicate(timeout=PATIENCE)
        assert (self.process.returncode, output, errors) == (0, "", ""), errors or output

    def end(self) -> str:
        """Kill it; return what it had to complain of."""
        self.process.kill()
        return self.process.communicate()[1]

    def __enter__(self) -> "DemoServer":
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        if kind is None and self.process.poll() is None:
            self.stop()
        if self.process.poll() is None:
            self.end()
