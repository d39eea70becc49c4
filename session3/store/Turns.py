"""So many things at most, lent to one after the other: connections, or the right to use one.

>>> turns = Turns(object_of_its_own, limit=1, wait=0.0)
>>> one = turns.take()
>>> turns.take()
Traceback (most recent call last):
    ...
session3.store.Turns.Exhausted: all of its 1 connections (max_connections) were in use for 0 seconds
>>> turns.give(one)
>>> turns.take() is one
True

What is lent counts for as long as it lives: an exception, as a signal's, between taking and giving back costs nobody
his turn. Threads: safe, also where they are greenlets. Processes: a forked child has the whole limit.
"""

import gc
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar
from weakref import WeakSet

T = TypeVar("T")

_LOOK_AGAIN = 0.1  # seconds, after which who waits looks whether something died


class Exhausted(Exception):
    """All were lent to others, for as long as one would wait."""


class _Own:
    """Something that can be lent, and nothing else."""


def object_of_its_own() -> Any:
    return _Own()


class Turns(Generic[T]):
    """`make` makes one, without waiting for anything. `limit`: how many there may be. `wait`: seconds."""

    def __init__(self, make: Callable[[], T], limit: int, wait: float) -> None:
        self._make = make
        self.limit = limit
        self.wait = wait
        self._reset()

    def _reset(self) -> None:
        self._idle: list[T] = []
        self._made: WeakSet[Any] = WeakSet()
        self._waiting: deque[queue.SimpleQueue[T | None]] = deque()
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def take(self) -> T:
        """Return an idle one, a new one, or one that is given back within `wait` seconds. Raises Exhausted."""
        if self._pid != os.getpid():
            self._reset()  # the parent's go on there
        try:
            return self._idle.pop()
        except IndexError:
            return self._new() or self._next()

    def give(self, one: T) -> None:
        """Take one back, for whoever waits first."""
        self._idle.append(one)
        if self._waiting:
            self._serve()

    def discard(self, one: T) -> None:
        """Make room for a new one."""
        self._made.discard(one)
        with suppress(IndexError):
            self._waiting[0].put(None)

    def take_idle(self) -> list[T]:
        """Discard all that nobody has; return them."""
        if self._pid != os.getpid():
            self._reset()
        idle: list[T] = []
        with suppress(IndexError):  # others may still take from it
            while True:
                idle.append(self._idle.pop())
        for one in idle:
            self.discard(one)
        return idle

    def _new(self) -> T | None:
        with self._lock:
            if len(self._made) >= self.limit:
                return None
            one = self._make()
            self._made.add(one)
        return one

    def _next(self) -> T:
        mine: queue.SimpleQueue[T | None] = queue.SimpleQueue()
        end = time.monotonic() + self.wait
        self._waiting.append(mine)
        try:
            while True:
                self._serve()  # what was given back just before we stood in the queue
                left = end - time.monotonic()
                with suppress(queue.Empty):
                    one = mine.get(timeout=max(0.0, min(left, _LOOK_AGAIN)))
                    if one is not None:
                        return one
                if left <= 0:
                    gc.collect()  # one that an exception lost may be dead, but for a cycle that holds it
                one = self._new()
                if one is not None:
                    return one
                if left <= 0:
                    raise Exhausted(
                        f"all of its {self.limit} connections (max_connections) were in use for {self.wait:g} seconds"
                    )
        finally:
            self._leave(mine)

    def _serve(self) -> None:
        while self._waiting:
            try:
                one = self._idle.pop()
            except IndexError:
                return
            try:
                first = self._waiting.popleft()
            except IndexError:
                self._idle.append(one)
            else:
                first.put(one)

    def _leave(self, mine: "queue.SimpleQueue[T | None]") -> None:
        with suppress(ValueError):
            self._waiting.remove(mine)
        with suppress(queue.Empty):  # what is put there later dies with the queue, which makes room for a new one
            while True:
                one = mine.get_nowait()
                if one is not None:
                    self.give(one)
