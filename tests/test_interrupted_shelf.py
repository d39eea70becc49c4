"""An exception from outside, as a signal's handler raises, at every bytecode of every verb of shelves and Durus files.

Whatever was interrupted: the next operation works, from this process and from another one; a session that was not
being written is as it was, the one that was is as before or as after; and no descriptor stays open. A sample in the
tests; all of it by hand, and in `make faults`: `python -m tests.test_interrupted_shelf`.
"""

from __future__ import annotations

import dis
import fcntl
import gc
import os
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

import pytest

import session3
from session3.durusfiles import DurusFile
from session3.record import Record
from session3.store.DurusSessionStore import DurusSessionStore
from session3.store.ShelveSessionStore import ShelveSessionStore

PACKAGE = os.path.dirname(session3.__file__)
RECORD = Record(b"payload", 7, 1.0, 2.0, 3.0, None, "alice")
NEXT = RECORD._replace(payload=b"next", revision=8)


_QUICK = "/dev/shm" if os.path.isdir("/dev/shm") else None  # where nothing waits for a disk


class Alarm(Exception):
    """No BaseException: code that takes any Exception for a fault of the data would swallow it."""


class ValueAlarm(ValueError):
    """What a decoder of damaged data raises, too."""


# -- raising at the nth bytecode -------------------------------------------------------------------------------------

_points: dict[CodeType, set[int]] = {}


def points(code: CodeType) -> set[int]:
    """Return the offsets where Python calls the handlers of signals: behind calls, and as a function or a loop starts.

    Elsewhere no handler can come, so that `with lock` is safe: between its last line and the lock's own method, none.
    """
    if code not in _points:
        found, behind_a_call = set(), True
        for instruction in dis.get_instructions(code):
            if behind_a_call:
                found.add(instruction.offset)
            name = instruction.opname
            behind_a_call = name.startswith(("CALL", "RESUME", "JUMP_BACKWARD", "SEND", "YIELD"))
        _points[code] = found
    return _points[code]


class Interruption:
    """Raises an exception at the nth of these points within this package, as a tracer of bytecodes."""

    def __init__(self, nth: int, error: type[Exception]) -> None:
        self.left, self.error, self.where = nth, error, ""

    def _trace_call(self, frame: FrameType, event: str, argument: object) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        return self._trace_code

    def _trace_code(self, frame: FrameType, event: str, argument: object) -> Any:
        if event == "opcode" and frame.f_lasti in points(frame.f_code):
            self.left -= 1
            if self.left == 0:
                code = frame.f_code
                self.where = f"{code.co_name}, {os.path.basename(code.co_filename)}:{frame.f_lineno}"
                raise self.error("from outside")
        return self._trace_code

    def during(self, act: Callable[[], object]) -> bool:
        """Run it interrupted; tell whether it was. What is raised has to be what was raised."""
        before = sys.gettrace()
        sys.settrace(self._trace_call)
        try:
            act()
        except self.error:
            pass
        finally:
            sys.settrace(before)
        return self.left <= 0


def descriptors() -> int:
    return len(os.listdir("/dev/fd"))


@contextmanager
def in_time(what: Callable[[], str], seconds: int = 20) -> Iterator[None]:
    """Fail where it hangs."""

    def fail(*_: object) -> None:
        raise AssertionError(f"hangs after an interruption in {what()}")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


# -- the stores, and what is interrupted -----------------------------------------------------------------------------


def open_shelf(folder: str) -> ShelveSessionStore:
    store = ShelveSessionStore(os.path.join(folder, "s"), clock=lambda: 100.0)
    store._shelf.compact_above, store._shelf.spare_lines = 1500, 3
    return store


def open_durus(folder: str) -> DurusSessionStore:
    return DurusSessionStore(DurusFile(os.path.join(folder, "s")), clock=lambda: 100.0)


def open_durus_sqlite(folder: str) -> DurusSessionStore:
    return DurusSessionStore(DurusFile(os.path.join(folder, "s"), sqlite=True), clock=lambda: 100.0)


def is_free(store: Any) -> bool:
    """Tell whether another process could take the store's lock."""
    if isinstance(store, DurusSessionStore):
        return True  # it is the process's own for as long as the store is open
    with open(store.filename + ".dat", "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


STORES = {"shelve": open_shelf, "durus": open_durus, "durus sqlite": open_durus_sqlite}
VERBS: dict[str, Callable[[Any], object]] = {
    "read": lambda store: store.read("subject"),
    "insert": lambda store: store.insert("new", RECORD),
    "replace": lambda store: store.replace("subject", NEXT, 7),
    "touch": lambda store: store.touch("subject", 7, 50.0, None),
    "remove": lambda store: store.remove("subject"),
    "scan": lambda store: list(store.scan()),
    "sweep": lambda store: store.sweep(None),
    "create": lambda store: store.create(),
    "clear": lambda store: store.clear(),
    "check": lambda store: store.check(),
    "close": lambda store: store.close(),
    "pack": lambda store: store._shelf.compact() if isinstance(store, ShelveSessionStore) else store.pack(),
}
#: What may be under "subject" and "kept" afterwards.
AFTER: dict[str, list[tuple[Record | None, ...]]] = {
    "replace": [(RECORD, RECORD), (NEXT, RECORD)],
    "touch": [(RECORD, RECORD), (RECORD._replace(accessed=50.0), RECORD)],
    "remove": [(RECORD, RECORD), (None, RECORD)],
    "clear": [(RECORD, RECORD), (None, None)],
}


def prepare(store: Any) -> None:
    for key, record in (("subject", RECORD), ("kept", RECORD), ("due", RECORD._replace(expires=50.0))):
        store.remove(key)
        store.insert(key, record)


def interrupt(name: str, verb: str, nth: int, error: type[Exception], was_open: bool) -> str | None:
    """Interrupt a verb on a fresh store at its nth point; return where that was, None if it has no so many."""
    with tempfile.TemporaryDirectory(dir=_QUICK) as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # what nobody holds any more is closed by Python, with a word
        store = STORES[name](folder)
        prepare(store)
        if not was_open:
            store.close()
        interruption = Interruption(nth, error)
        with in_time(lambda: interruption.where):
            was_interrupted = interruption.during(lambda: VERBS[verb](store))
            assert is_free(store), f"locked after {interruption.where}"
            found = store.read("subject"), store.read("kept")
            assert found in AFTER.get(verb, [(RECORD, RECORD)]), f"{found} after {interruption.where}"
            assert store.insert("another", RECORD) and store.read("another") == RECORD, interruption.where
            store.close()
            gc.collect()
            before = descriptors()
            with STORES[name](folder) as again:
                assert again.read("another") == RECORD and (again.read("subject"), again.read("kept")) == found
                prepare(again)
                again.sweep(None)
                assert again.remove("subject")
            gc.collect()
            assert descriptors() <= min(before, _none_open()), f"open after {interruption.where}"
        return interruption.where if was_interrupted else None


_base: list[int] = []


def _none_open() -> int:
    if not _base:
        gc.collect()
        _base.append(descriptors())
    return _base[0]


def interrupt_all(name: str, verb: str, step: int, error: type[Exception], was_open: bool = True) -> int:
    """Interrupt it at every `step`th point; return at how many."""
    _base[:] = []
    _none_open()
    nth = count = 1 if step == 1 else 1 + int.from_bytes(os.urandom(4), "big") % step
    count = 0
    while interrupt(name, verb, nth, error, was_open) is not None:
        nth, count = nth + step, count + 1
    return count


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("name", STORES)
def test_after_an_interruption_anywhere_the_next_operation_works(name: str, verb: str) -> None:
    if name != "shelve":
        pytest.importorskip("durus", reason="needs Durus: pip install 'session3[durus]'")
    for error, was_open in ((Alarm, True), (ValueAlarm, False)):
        interrupt_all(name, verb, 150, error, was_open)


if __name__ == "__main__":
    for name in sys.argv[1:] or STORES:
        for verb in VERBS:
            for error, was_open in ((Alarm, True), (ValueAlarm, False)):
                start = time.time()
                count = interrupt_all(name, verb, 1, error, was_open)
                took = time.time() - start
                print(f"{name} {verb}: {count} interruptions by {error.__name__}, {took:.0f} s", flush=True)
