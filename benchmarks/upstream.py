"""session3 3.4.1 in an environment of its own, and in a process of its own, since it bears our name."""

import json
import os
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from .contenders import LeftOut

ROOT = Path(__file__).parent.parent
#: Made by scripts/bootstrap.sh.
VENV = ROOT / os.environ.get("UPSTREAM_VENV", ".venv-upstream")


class Upstream:
    """The process; it is asked and answers in lines of JSON, and times its own calls."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        python = VENV / "bin" / "python"
        if not python.exists():
            raise LeftOut("no environment for it; make bench makes one")
        # -I: neither this folder nor PYTHONPATH may lead it to our session3.
        self.process = subprocess.Popen(
            [python, "-I", Path(__file__).with_name("upstream_child.py"), folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        stack.callback(self._end)
        assert self._answer() == "ready"

    def turn(self, subject: str, operation: str, number: int) -> list[float]:
        taken: list[float] = self._ask("turn", subject, operation, number)
        return taken

    def visits(self) -> int:
        visits: int = self._ask("visits")
        return visits

    def _ask(self, *question: Any) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of session3 3.4.1 has ended with {self.process.wait()}")
        return json.loads(line)

    def _end(self) -> None:
        self.process.communicate()  # it ends when its questions do
