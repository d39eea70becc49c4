"""Other processes for the tests: workers that start together, and writers that are killed."""

import ctypes
import json
import os
import random
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import session3
from session3.DictSession import DictSession

ROOT = Path(__file__).parent.parent


def is_true_in_a_fork(question: Callable[[], bool], fork: Callable[[], int] = os.fork) -> bool:
    """Answer a question in a forked child, which is killed if that takes more than ten seconds."""
    pid = fork()
    if pid == 0:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(10)
            os._exit(0 if question() else 1)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def is_true_in_a_fork_of_c(question: Callable[[], bool]) -> bool:
    """Answer it in a child that was forked behind Python's back, as uWSGI does: no hook is called."""
    return is_true_in_a_fork(question, ctypes.PyDLL(None).fork)


class Worker:
    """A process that runs a function of this module: it starts when it is told to, and answers in JSON."""

    module = "tests.processes"

    def __init__(self, function: str, *arguments: Any, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", self.module, function, *map(str, arguments)],
            cwd=ROOT, env={**os.environ, **environment}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.communicate()

    def wait_until_ready(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        output, _ = self.process.communicate()
        assert self.process.returncode == 0
        return json.loads(output)


def run_together(*workers: Worker) -> list[Any]:
    """Let all workers start at the same moment, and return their answers."""
    for worker in workers:
        worker.wait_until_ready()
    for worker in workers:
        worker.go()
    return [worker.answer() for worker in workers]


# -- what workers do -------------------------------------------------------------------------------------------------


def add_keys(url: str, id: str, name: str, count: str) -> int:
    """Add so many distinct keys to one session, each in a request of its own."""
    with session3.open_store(url) as store:
        for n in range(int(count)):
            session = store.load_session(id)
            session[f"{name}{n}"] = n
            store.save_session(session)
    return int(count)


def count_under_lock(url: str, id: str, count: str) -> int:
    """Add one to an item of a session so many times, each time with the session locked."""
    with session3.open_store(url) as store:
        for _ in range(int(count)):
            with store.locked(id, timeout=60):
                session = store.load_session(id)
                session["n"] += 1
                store.save_session(session)
    return int(count)


def save_set(url: str, id: str) -> list[str]:
    """Save a session that holds a set of strings; return the set's order, which differs by hash seed."""
    session = DictSession(id)
    session["set"] = {f"word {n}" for n in range(20)}
    with session3.open_store(url) as store:
        store.save_session(session)
    return list(session["set"])


def read_and_save(url: str, id: str) -> list[str]:
    """End a request that only read; return the verbs that its store was asked for."""
    asked: list[str] = []
    with session3.open_store(url) as store:
        for name in ("read", "insert", "replace", "remove", "touch"):
            setattr(store, name, _noting(asked, name, getattr(store, name)))
        store.save_session(store.load_session(id))
    return asked


def _noting(asked: list[str], name: str, verb: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        asked.append(name)
        return verb(*arguments)

    return call


def _send(pipe: int, number: int) -> None:
    os.write(pipe, number.to_bytes(8, "little"))


# -- writers that are killed -----------------------------------------------------------------------------------------


class Child:
    """A forked process that reports whole numbers through a pipe; it runs `work(report)` until it is killed.

    As a context manager it is killed at the latest when the test leaves it.
    """

    def __init__(self, work: Callable[[Callable[[int], None]], None]) -> None:
        self._read, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._read)  # so that a child whose parent is gone can't wait for it for ever
            try:
                work(lambda number: _send(write, number))
            except BaseException as error:
                os.write(2, f"child: {error!r}\n".encode())
                os._exit(1)
            os._exit(0)
        os.close(write)

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *exception: object) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            os.close(self._read)

    def report(self) -> int:
        """Wait for the next report."""
        data = os.read(self._read, 8)
        assert data, "the child died by itself"
        return int.from_bytes(data, "little")

    def kill(self) -> int | None:
        """Kill the child; return the last of its reports that was not read, if there is one."""
        os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        last = None
        while select.select([self._read], [], [], 0)[0] and (data := os.read(self._read, 8)):
            last = int.from_bytes(data, "little")
        os.close(self._read)
        assert os.WIFSIGNALED(status), "the child died by itself"
        return last


def write_for_ever(url: str, id: str, report: Callable[[int], None]) -> None:
    """Count up in a session whose size keeps changing, and report each number when its save has returned."""
    store = session3.open_store(url)
    while True:
        session = store.load_session(id)
        session["n"] += 1
        session["blob"] = [session["n"]] * random.randrange(3000)
        store.save_session(session)
        report(session["n"])


def read_for_ever(url: str, id: str, report: Callable[[int], None]) -> None:
    """Check at each load that the session is there, whole, and not older than before; report now and then."""
    store = session3.open_store(url)
    loads = last = 0
    while True:
        session = store.load_session(id)
        assert session is not None, "missing"
        assert set(session["blob"]) <= {session["n"]}, "torn"
        assert session["n"] >= last, "went back"
        last = session["n"]
        loads += 1
        if loads % 100 == 0:
            report(loads)


if __name__ == "__main__":
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
