"""Database connections: one for each thread of each process, or one for all under a lock.

A child of a fork never uses, and never closes, a connection of its parent: closing would end the parent's session with
the server, or drop its locks on a file.
"""

import contextlib
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from .errors import StoreUnavailable

C = TypeVar("C")

#: Connections that came over a fork. They are kept, since freeing one would close it.
_inherited: list[Any] = []


class Held(Generic[C]):
    """A connection, and the process that opened it; closed when nobody holds it any more."""

    def __init__(self, connection: C) -> None:
        self.connection = connection
        self._pid = os.getpid()
        self._is_open = True

    def is_foreign(self) -> bool:
        return self._pid != os.getpid()

    def close(self) -> None:
        if self.is_foreign():
            _inherited.append(self.connection)
        elif self._is_open:
            self._is_open = False
            # A connection that is broken may fail to close, which is as good.
            with contextlib.suppress(Exception):
                self.connection.close()  # type: ignore[attr-defined]

    def __del__(self) -> None:
        self.close()


class PerThread(Generic[C]):
    """Opens a connection for each thread of each process, when it is first asked for one.

    >>> import sqlite3
    >>> connections = PerThread(lambda: sqlite3.connect(":memory:"))
    >>> with connections as connection:
    ...     connection.execute("SELECT 1").fetchone()
    (1,)
    >>> connections.close()
    """

    can_reopen = True

    def __init__(self, open: Callable[[], C]) -> None:
        self._open = open
        self._local = threading.local()
        self._all: weakref.WeakSet[Held[C]] = weakref.WeakSet()
        self._lock = threading.Lock()

    def __enter__(self) -> C:
        held: Held[C] | None = getattr(self._local, "held", None)
        if held is None or held.is_foreign():
            held = self._local.held = Held(self._open())
            with self._lock:
                self._all.add(held)
        return held.connection

    def __exit__(self, *exception: object) -> None:
        pass

    def drop(self) -> None:
        """Forget this thread's connection, which is broken; the next use opens another."""
        self._local.held = None

    def close(self) -> None:
        """Close the connections of all threads; nobody should be using one."""
        with self._lock:
            open_now, self._all = list(self._all), weakref.WeakSet()
            self._local = threading.local()
        for held in open_now:
            held.close()


class Shared(Generic[C]):
    """One connection, under a lock; of no use in a forked child."""

    can_reopen = False

    def __init__(self, connection: C, name: str) -> None:
        self._connection = connection
        self._name = name
        self._pid = os.getpid()
        self._lock = threading.RLock()

    def __enter__(self) -> C:
        if self._pid != os.getpid():
            raise StoreUnavailable(f"{self._name}: a connection can't be used in a forked process")
        self._lock.acquire()
        return self._connection

    def __exit__(self, *exception: object) -> None:
        self._lock.release()

    def drop(self) -> None:
        """A connection that was handed in can't be replaced."""

    def close(self) -> None:
        """The connection belongs to who handed it in."""
