"""Database connections: one for each thread of each process, or one for all under a lock.

A connection is asked for with `get`, and used, while its `guard` is held: a lock itself, since no signal's exception
can come between taking it and the block that frees it. A child of a fork never uses, and never closes, a connection of
its parent: closing would end the parent's session with the server.
"""

import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Collection
from typing import Any, Generic, TypeVar

from .errors import StoreUnavailable

C = TypeVar("C")

#: Open connections by the number of their Held. A Held that is garbage is finalized before what is in here, so that no
#: connection complains of not having been closed.
_open: dict[int, Any] = {}
_numbers = itertools.count()


class Held(Generic[C]):
    """A connection, with the process that opened it; closed when nobody holds it any more."""

    def __init__(self, connection: C, generation: int = 0) -> None:
        self.connection = connection
        self.generation = generation
        self._pid = os.getpid()
        self._number = next(_numbers)
        _open[self._number] = connection

    def is_foreign(self) -> bool:
        # Asked of the system each time: a fork in C, as uWSGI's, calls no hook of Python's.
        return self._pid != os.getpid()

    def close(self) -> None:
        if not self.is_foreign() and _open.pop(self._number, None) is not None:
            # A connection that is broken may fail to close, which is as good.
            with contextlib.suppress(Exception):
                self.connection.close()  # type: ignore[attr-defined]

    def __del__(self) -> None:
        self.close()


class PerThread(Generic[C]):
    """Opens a connection for each thread of each process, when it is first asked for one.

    >>> import sqlite3
    >>> connections = PerThread(lambda: sqlite3.connect(":memory:"))
    >>> with connections.guard():
    ...     connections.get().execute("SELECT 1").fetchone()
    (1,)
    >>> connections.close()
    """

    can_reopen = True

    def __init__(self, open: Callable[[], C]) -> None:
        self._open = open
        self._local = _Local()
        self._generation = 0  # of connections; those of an earlier one are closed by the threads that have them

    def guard(self) -> "threading.RLock":
        return self._local.lock

    def get(self) -> C:
        local = self._local
        held: Held[C] | None = local.held
        if held is None or held.generation != self._generation or held.is_foreign():
            held = local.held = Held(self._open(), self._generation)
        return held.connection

    def drop(self) -> None:
        """Forget this thread's connection, which is broken; the next use opens another."""
        self._local.held = None

    def close(self) -> None:
        """Close this thread's connection; those of others may be at work, and are closed by them, or as they end."""
        self._generation += 1
        self._local.held = None


class _Local(threading.local):
    held: Any = None

    def __init__(self) -> None:
        self.lock = threading.RLock()  # nobody else takes it; it costs less than a context that does nothing


class Shared(Generic[C]):
    """One connection, under a lock; of no use in a forked child."""

    can_reopen = False

    def __init__(self, connection: C, name: str) -> None:
        self._connection = connection
        self._name = name
        self._pid = os.getpid()
        self.lock = threading.RLock()

    def guard(self) -> "threading.RLock":
        # Before the lock: another thread of the parent may have held it at the fork, and nobody is left to release it.
        if self._pid != os.getpid():
            raise StoreUnavailable(f"{self._name}: a connection can't be used in a forked process")
        return self.lock

    def get(self) -> C:
        return self._connection

    def drop(self) -> None:
        """A connection that was handed in can't be replaced."""

    def close(self) -> None:
        """The connection belongs to who handed it in."""


def never_close(inherited: Collection[object]) -> None:
    """Take a reference for ever to what a child inherited: even as it exits, Python would close it."""
    if inherited:
        import ctypes

        for one in inherited:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(one))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: never_close(_open.values()))
