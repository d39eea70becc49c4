"""One connection for all threads of a process, under a lock.

It is asked for with `get`, and used, while its `guard` is held: a lock itself, since no signal's exception can come
between taking it and the block that frees it. A child of a fork never uses, and never closes, a connection of its
parent.
"""

import contextlib
import itertools
import os
import threading
from collections.abc import Collection
from typing import Any, Generic, TypeVar

from .errors import StoreUnavailable

C = TypeVar("C")

#: Open connections by the number of their Held. A Held that is garbage is finalized before what is in here, so that no
#: connection complains of not having been closed.
_open: dict[int, Any] = {}
_numbers = itertools.count()


class Held(Generic[C]):
    """A connection, with the process that opened it; closed when nobody holds it any more."""

    def __init__(self, connection: C) -> None:
        self.connection = connection
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


class Shared(Generic[C]):
    """One connection, under a lock; of no use in a forked child."""

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
