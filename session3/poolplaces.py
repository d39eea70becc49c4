"""Places for connections, who waits for one, and how the two meet: what a ConnectionPool is made of.

There is no lock to be held or lost: what is free lies on stacks, and each step on them is a single call in C. Who has
to wait does so on a lock that is made at that moment, so that it is gevent's wherever gevent has patched the process by
then. A place that an exception lost, between taking it and using it, comes back by itself.
"""

import contextlib
import itertools
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from .connections import never_close
from .datafaults import suppress

_POLL = 0.01  # seconds between two looks of a greenlet whose process was not patched

# Bound here, since a place may be finalized when modules are gone.
_is_finalizing = sys.is_finalizing
_getpid = os.getpid

#: All connections that are open, so that a child keeps what its parent had in use at the fork.
_open: dict[int, Any] = {}
_numbers = itertools.count()


class Finder(Protocol):
    """Who is told of a place that nobody has any more."""

    def find(self, place: "Place") -> None: ...


class Loan(NamedTuple):
    """A connection, and where it goes back after each use, with the answer to "is it broken?"; None: it is ours."""

    connection: Any
    give_back: Callable[[bool], None] | None = None


class Place:
    """Room for one connection, with a connection in it or without."""

    connection: Any = None
    give_back: Callable[[bool], None] | None = None
    generation = -1  # of connections; those of an earlier one are closed as they come back
    opened = used = 0.0
    number = -1  # in _open

    def __init__(self, pool: "weakref.ref[Finder]", here: "Places") -> None:
        self.pool = pool
        self.here = here

    def fill(self, loan: Loan, generation: int, now: float) -> None:
        self.connection, self.give_back = loan
        self.generation, self.opened = generation, now
        self.number = next(_numbers)
        _open[self.number] = self.connection
        self.here.filled.add(self.number)

    def empty(self, is_broken: bool = False) -> None:
        """Close the connection, or give it back to where it is from."""
        self.here.filled.discard(self.number)
        _open.pop(self.number, None)  # before the rest: what is in there, nobody else would let go
        connection, give_back, self.connection, self.give_back = self.connection, self.give_back, None, None
        if connection is None:
            return
        if self.here.pid != _getpid():
            never_close([connection])
        else:
            with suppress(Exception):  # one that is broken may fail to close, which is as good
                connection.close() if give_back is None else give_back(is_broken)

    def __del__(self) -> None:
        # Nobody has it any more: an exception came between taking it and using it, or between that and giving it back.
        pool = self.pool()
        if pool is not None and not _is_finalizing():
            pool.find(self)


class Places:
    """What one process has of a pool."""

    def __init__(self, pool: Finder, size: int) -> None:
        self.pid = _getpid()
        self.idle: deque[Place] = deque()  # places with a connection, the last used on the right
        self.waiting: deque[Waiter] = deque()
        self.filled: set[int] = set()  # numbers of the connections, idle or at work
        ref = weakref.ref(pool)
        self.room = deque(Place(ref, self) for _ in range(size))  # places without one

    def free(self) -> Place | None:
        return _popped(self.idle) or _popped(self.room)

    def put(self, place: Place) -> None:
        # To who waits longest, and not past him to who comes at this moment.
        if self.waiting and self._hand_over(place):
            return
        (self.room if place.connection is None else self.idle).append(place)
        # Asked once it is there: who waits looks again once he is known to.
        if self.waiting:
            self.match()

    def match(self) -> None:
        """Bring together who waits and what is free, as long as there are both."""
        while self.waiting and (place := self.free()) is not None:
            if not self._hand_over(place):
                (self.room if place.connection is None else self.idle).append(place)

    def _hand_over(self, place: Place) -> bool:
        """Give a place to who waits longest; False if nobody does."""
        while True:
            try:
                waiter = self.waiting.popleft()
            except IndexError:
                return False
            waiter.places.append(place)
            if waiter.is_gone:  # at this moment, perhaps: then either he has it, or we
                with contextlib.suppress(IndexError):
                    waiter.places.pop()
                    continue
            waiter.wake()
            return True

    def close(self) -> None:
        """Close the idle connections."""
        if self.pid == _getpid():
            while (place := _popped(self.idle)) is not None:  # others may still take from it
                place.empty()
                self.put(place)


class Waiter:
    """Who waits for a place."""

    is_gone = was_queued = False

    def __init__(self) -> None:
        self.places: list[Place] = []
        self._lock = threading.Lock()  # looked up now: gevent's, if it has patched the process
        self._lock.acquire()

    def queue(self, here: Places) -> None:
        if not self.was_queued or self not in here.waiting:
            self.was_queued = True
            here.waiting.append(self)

    def wait(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        if not _is_greenlet_unpatched():
            self._lock.acquire(timeout=max(seconds, 0))
        while not self.places and time.monotonic() < deadline:
            nap(_POLL)
        return bool(self.places)

    def wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # it was woken before
            self._lock.release()


def _popped(places: deque[Place]) -> Place | None:
    try:
        return places.pop() if places else None
    except IndexError:  # somebody else was faster
        return None


def _is_greenlet_unpatched() -> bool:
    """Tell whether this is a greenlet of a process that gevent has not patched: waiting for a lock would stop all."""
    gevent = sys.modules.get("gevent")
    if gevent is None or "gevent" in type(threading.Lock()).__module__:
        return False
    return isinstance(sys.modules["greenlet"].getcurrent().parent, gevent.hub.Hub)


def nap(seconds: float) -> None:
    """Sleep, and let the other greenlets go on."""
    (sys.modules["gevent"] if _is_greenlet_unpatched() else time).sleep(seconds)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: never_close(_open.values()))
