"""A signal's exception in the midst of a call: at each point where one can come, one after the other.

Python runs a signal's handler between two bytecodes: behind calls, and as a function or the next round of a loop
begins. Its exception, that of a request's time limit say, comes here at the n-th of these points within this package,
and within Durus, for all n; and it is of kinds that data and disks raise, too.
"""

import contextlib
import dis
import functools
import gc
import importlib.util
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import session3
from session3.DictSession import DictSession
from session3.ids import make_id
from session3.store.DurusSessionStore import DurusSessionStore
from session3.store.ShelveSessionStore import ShelveSessionStore

from .processes import Child

_durus = importlib.util.find_spec("durus")
PACKAGES = tuple(str(Path(spec).parent) + os.sep for spec in (session3.__file__, _durus and _durus.origin) if spec)
_LIMIT = 60.0  # seconds for what has to work after an interruption; a lock that stayed is never free

_SETTLED = 10.0  # seconds after which what is open stays open


class TimeUp(Exception):
    """What the signal's handler raises."""


class ValueTimeUp(TimeUp, ValueError):
    """One that a decoder of damaged data could have raised."""


class SystemTimeUp(TimeUp, TimeoutError):
    """One that a disk could have raised."""


_UNHEARD = ("__del__", "callback")
_KINDS = (TimeUp, ValueTimeUp, SystemTimeUp)


class Interruption(NamedTuple):
    """Where it came, and what the caller got; None if the call returned."""

    place: str
    got: BaseException | None

    def is_itself(self) -> bool:
        return isinstance(self.got, TimeUp)


def interrupt(
    act: Callable[[], object], number: int, kind: type[TimeUp] = TimeUp, met: list[str] | None = None
) -> Interruption | None:
    """Call with an exception at the number-th point; None if there are not so many. `met`: gets all that are."""
    left, place = number, ""

    def ring(signal_number: int, frame: FrameType | None) -> None:
        raise kind(place)

    def trace_one(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal left, place
        if event == "opcode" and frame.f_lasti in _points(frame.f_code):
            left -= 1
            if met is not None:
                met.append(frame.f_code.co_name)
            if left == 0:
                name = Path(frame.f_code.co_filename).name
                place = f"{name}:{frame.f_lineno}+{frame.f_lasti} in {frame.f_code.co_name} ({kind.__name__})"
                ring(signal.SIGUSR2, frame)
        return trace_one

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGES):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return trace_one

    got: BaseException | None = None
    before, handler = sys.gettrace(), signal.signal(signal.SIGUSR2, ring)
    sys.settrace(trace)
    try:
        act()
    except Exception as error:
        got = error.with_traceback(None)
        got.__context__ = got.__cause__ = None  # their frames hold what is to be let go of
    finally:
        sys.settrace(before)
        signal.signal(signal.SIGUSR2, handler)
    return Interruption(place, got) if place else None


@functools.cache
def _points(code: CodeType) -> frozenset[int]:
    """Return where in a function Python calls the handlers of signals."""
    found, is_one = set(), True
    for step in dis.get_instructions(code):
        if is_one:
            found.add(step.offset)
        is_one = step.opname.startswith(("CALL", "RESUME", "JUMP_BACKWARD", "JUMP_ABSOLUTE", "SEND", "YIELD"))
    return frozenset(found - _never(code))


_ENDINGS = {
    "POP_EXCEPT", "POP_BLOCK", "NOP", "SWAP", "DUP_TOP", "ROT_TWO", "PRECALL", "CALL", "CALL_FUNCTION",
}  # fmt: skip


@functools.cache
def _never(code: CodeType) -> frozenset[int]:
    """Return the bytecodes before which no signal's handler runs, though they are behind calls: the ends of blocks.

    What comes behind the last call in a `with` still belongs to that call, and to the block, where it is a signal's.
    """
    found: set[int] = set()
    steps = list(dis.get_instructions(code))
    for number, step in enumerate(steps):
        before = steps[max(0, number - 6) : number]
        nones = [one for one in before[-4:] if _is_none(one)]
        is_exit = step.opname == "CALL" and step.arg == 2 and len(nones) >= 3
        is_exit_310 = step.opname == "CALL_FUNCTION" and [one.opname for one in before[-2:]] == ["DUP_TOP"] * 2
        if is_exit or is_exit_310:
            found.update(one.offset for one in [*before, step] if one.opname in _ENDINGS or _is_none(one))
        elif step.opname == "POP_EXCEPT":  # Python would go on in the belief that the error is still handled
            found.update(one.offset for one in [*before[-1:], step] if one.opname in _ENDINGS)
    return frozenset(found)


def _is_none(step: dis.Instruction) -> bool:
    return step.opname == "LOAD_CONST" and step.argval is None


# -- what is interrupted ---------------------------------------------------------------------------------------------


def _load(store: Any, session: Any) -> None:
    assert store.load_session(session.id) is not None


def _has(store: Any, session: Any) -> None:
    store.has_session(session.id)


def _save(store: Any, session: Any) -> None:
    session["n"] = 1
    store.save_session(session)


def _grow(store: Any, session: Any) -> None:
    session["blob"] = "x" * 50_000
    _save(store, session)


def _merge(store: Any, session: Any) -> None:
    _save(store, session)  # somebody else has written it since


def _touch(store: Any, session: Any) -> None:
    session._access_time += 100
    store.save_session(session)


def _delete(store: Any, session: Any) -> None:
    store.delete_session(session)


def _create(store: Any, session: Any) -> None:
    store.create_session(DictSession(make_id()))


def _overwrite(store: Any, session: Any) -> None:
    new = DictSession(session.id)
    _save(store, new)


def _discard(store: Any, session: Any) -> None:
    store.discard_session(session)


def _login(store: Any, session: Any) -> None:
    store.move_session(session, make_id())


def _renew(store: Any, session: Any) -> None:
    store.move_session(session, make_id(), grace=60)


def _lock(store: Any, session: Any) -> None:
    with store.locked(session.id, timeout=5) as lock:
        lock.renew()


def _sweep(store: Any, session: Any) -> None:
    store.delete_expired_sessions()
    store.delete_old_sessions(60)


def _iterate(store: Any, session: Any) -> None:
    assert [id for id, _ in store.iter_sessions()]


def _setup(store: Any, session: Any) -> None:
    store.check()
    store.create()


def _clear(store: Any, session: Any) -> None:
    store.setup(overwrite=True)


def _pack(store: Any, session: Any) -> None:
    if isinstance(store, ShelveSessionStore):
        store._shelf.compact()
    else:
        store.pack()


def _close(store: Any, session: Any) -> None:
    store.close()
    store.has_session(session.id)


#: The calls, and whether the session may be gone, or elsewhere, after them.
ACTS: dict[str, tuple[Callable[[Any, Any], None], bool]] = {
    "load": (_load, False), "has": (_has, False), "save": (_save, False), "grow": (_grow, False),
    "merge": (_merge, False), "touch": (_touch, False), "delete": (_delete, True), "create": (_create, False),
    "overwrite": (_overwrite, False), "discard": (_discard, True), "login": (_login, True), "renew": (_renew, False),
    "lock": (_lock, False), "sweep": (_sweep, False), "iterate": (_iterate, False), "close": (_close, False),
    "setup": (_setup, False), "clear": (_clear, True), "pack": (_pack, False),
}  # fmt: skip


def acts_of(store: Any) -> list[str]:
    return [act for act in ACTS if act != "pack" or isinstance(store, (ShelveSessionStore, DurusSessionStore))]


def busy(store: Any) -> Any:
    """Let a shelf compact itself often, in small files as well."""
    if isinstance(store, ShelveSessionStore):
        store._shelf.compact_above, store._shelf.spare_lines = 1500, 3
    return store


class Sweep:
    """Interrupts one call of a store at one step after the other, and looks each time what it left.

    `ask_another`: does what a request does with a session in another process; for a store of this process only, in
    another thread.
    """

    def __init__(self, store: Any, act: str, ask_another: Callable[[str], object]) -> None:
        self._store = store
        self._act, self._may_go = ACTS[act]
        self._merges = act == "merge"
        self._looks_at_all = act in ("sweep", "iterate", "setup", "clear", "pack")
        self._ends_all = act == "clear"
        self._ask_another = ask_another
        self._kept = make_id()  # a session that the call is not about
        self._turn = 0
        #: Where the caller did not get the exception itself.
        self.hidden: list[Interruption] = []

    def run(self, points: int) -> int:
        """Interrupt at about so many points, evenly spread, and return at how many; a store that grows gets no more."""
        step = self.count() // points + 1
        with quiet():
            for count, number in enumerate(range(1, 2 * points * step, step)):
                if not self._try(number):
                    return count
        return 2 * points

    def count(self) -> int:
        """Return how many points there are, about: caches make a difference."""
        met: list[str] = []
        with quiet():
            interrupt(self._call(), sys.maxsize, met=met)
        return len(met)

    def _call(self) -> Callable[[], None]:
        session = self._prepared()
        return lambda: self._act(self._store, session)

    def _prepared(self) -> Any:
        """Return a stored session."""
        store = self._store
        if self._looks_at_all:
            store.clear()
        if self._looks_at_all or self._turn == 0:
            store.save_session(DictSession(self._kept))
        session: Any = DictSession(make_id())
        session["n"] = 0
        store.save_session(session)
        session = store.load_session(session.id)
        if self._merges:
            other = store.load_session(session.id)
            other["other"] = 1
            store.save_session(other)
        return session

    def _try(self, number: int) -> bool:
        store, session = self._store, self._prepared()
        before = descriptors(store)
        self._turn += 1
        if self._turn % 2:
            store.has_session(session.id)  # so that it is open
        kind = _KINDS[self._turn % len(_KINDS)]
        interruption = interrupt(lambda: self._act(store, session), number, kind)
        if interruption is None:
            return False
        # One of the system's kind may be told as the system's; what Python calls as something goes can tell nobody.
        is_told = kind is SystemTimeUp or (interruption.got is None and interruption.place.split()[2] in _UNHEARD)
        if not interruption.is_itself() and not is_told:
            self.hidden.append(interruption)
        self._look(session.id, interruption)
        place, session, interruption = interruption.place, None, None
        deadline = time.monotonic() + _SETTLED
        while left := descriptors(store) - before:  # a thread may be freeing a lock that was forgotten
            gc.collect()
            assert time.monotonic() < deadline, f"a file is still open after an exception at {place}: {left}"
        return True

    def _look(self, id: str, interruption: Interruption) -> None:
        failures: list[BaseException] = []

        def look() -> None:
            try:
                found = use(self._store, id)
                assert found in ((0, 1, None) if self._may_go else (0, 1)), f"{found} is neither old nor new"
                assert self._ends_all or self._store.has_session(self._kept), "another session is lost"
            except BaseException as error:
                failures.append(error)

        look()  # in this thread, which may have a lock
        for target in (look, lambda: self._ask_another(id)):
            thread = threading.Thread(target=target, daemon=True)
            thread.start()
            thread.join(_LIMIT)
            assert not thread.is_alive(), f"a lock stayed after an exception at {interruption.place}"
        assert not failures, f"after an exception at {interruption.place}: {failures[0]!r}"


class AnotherProcess:
    """Uses sessions that it is told of."""

    def __init__(self, open: Callable[[], Any]) -> None:
        self._orders, self._write = os.pipe()

        def work(report: Callable[[int], None]) -> None:
            os.close(self._write)
            with open() as store:
                while id := os.read(self._orders, 32).decode():
                    number = use(store, id)
                    report(99 if number is None else number)

        self._child = Child(work)

    def use(self, id: str) -> None:
        os.write(self._write, id.encode())
        self._child.report()

    def close(self) -> None:
        self._child.__exit__()
        os.close(self._orders)
        os.close(self._write)


def use(store: Any, id: str) -> int | None:
    """Do what a request does, with the session locked; return its number, None if it is gone."""
    with store.locked(id, timeout=_LIMIT):
        session = store.load_session(id)
        if session is None:
            return None
        session["used"] = session.get("used", 0) + 1
        store.save_session(session)
        number: int = session["n"]
        return number


def descriptors(store: Any) -> set[str]:
    """Return what this process has open but for what the store keeps open on purpose."""
    store.close()
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.add(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
    return {one for one in found if "/proc/" not in one}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """What goes without having been closed is what is tried here: Python's warning of it is no news."""
    hook = sys.unraisablehook
    sys.unraisablehook = lambda told: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            yield
    finally:
        sys.unraisablehook = hook
