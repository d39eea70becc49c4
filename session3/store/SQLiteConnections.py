"""SQLite's connections: one for each thread, and none that is open over a fork.

>>> import tempfile
>>> file = tempfile.NamedTemporaryFile()
>>> connections = SQLiteConnections("a store", lambda: sqlite3.connect(file.name, isolation_level=None), lambda: 1)
>>> with connections as connection:
...     connection.execute("SELECT 1").fetchone()
(1,)
>>> connections.close()

SQLite keeps in tables of the process which of a file's locks it has, and a child inherits the tables, but not the
locks: what it opens on a file that its parent had open takes no lock from the system, and loses all that it writes as
soon as the parent closes the file and removes the log of its changes (https://sqlite.org/howtocorrupt.html, 2.6). So
before a fork all connections are closed, each when its thread is done with its statement, and none is opened until
after it. A fork in C may call no hook of Python's: then the child is refused what its parent had open.
"""

import contextlib
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable

from ..errors import StoreUnavailable


class SQLiteConnections:
    """Opens a connection for each thread of each process, when it is first asked for one, or again after a fork.

    `file` tells which file it leads to; when its answer changes, as where the file was replaced, another connection is
    opened. A thread uses one at a time.
    """

    def __init__(self, name: str, open: Callable[[], sqlite3.Connection], file: Callable[[], object]) -> None:
        self._name = name
        self._open = open
        self._file = file
        self._local = _Local()
        self._generation = 0  # of connections; those of an earlier one are closed by the threads that have them

    def __enter__(self) -> sqlite3.Connection:
        local, token = self._local, (self._generation, self._file())
        local.lock.acquire()
        try:
            if _forker:
                _wait_for_fork(local.lock)
            place = local.place
            # The process is asked of the system each time: a fork in C calls no hook.
            if place is None or place.token != token or place.connection is None or place.pid != os.getpid():
                return self._connect(token)
            return place.connection
        except BaseException:
            local.lock.release()
            raise

    def __exit__(self, *exception: object) -> None:
        self._local.lock.release()

    def close(self) -> None:
        """Close this thread's connection; those of others may be at work, and are closed by them, or as they end."""
        self._generation += 1
        self._local.leave()

    def _connect(self, token: tuple[int, object]) -> sqlite3.Connection:
        local, pid = self._local, os.getpid()
        local.leave()
        inherited = [place for place in _places.copy() if place.pid != pid]
        if any(place.token[1] == token[1] for place in inherited):
            _never_close(inherited)
            raise StoreUnavailable(
                f"{self._name} was open in a process that this one was forked from by C, not by Python, and would lose"
                " what is saved; close the store before such a fork"
            )
        local.place = place = _Place(token, local.lock)
        local.closer = _Closer(place)
        _places.add(place)
        while _is_another_forking():  # asked once the place is known: who forks closes what is known after saying so
            _wait_for_fork(local.lock)
            _places.add(place)
        connection = place.connection = self._open()
        return connection


class _Place:
    """A thread's connection, known to all from before it is opened until after it was closed."""

    connection: sqlite3.Connection | None = None

    def __init__(self, token: tuple[int, object], lock: "threading.RLock") -> None:
        self.token = token
        self.lock = lock
        self.pid = os.getpid()

    def close(self) -> None:
        # Not where it was inherited: a thread that is not here may have held the lock, and the file is the parent's.
        if self.pid == os.getpid():
            with self.lock:
                connection, self.connection = self.connection, None
                if connection is not None:
                    # One that is broken may fail to close, which is as good.
                    with contextlib.suppress(sqlite3.Error):
                        connection.close()
                _places.discard(self)


class _Closer:
    """Closes a connection as its thread, or its store, goes."""

    def __init__(self, place: _Place) -> None:
        self._place = place

    def __del__(self) -> None:
        self._place.close()


class _Local(threading.local):
    place: _Place | None = None
    closer: _Closer | None = None

    def __init__(self) -> None:
        self.lock = threading.RLock()  # held while its thread opens, uses or closes a connection

    def leave(self) -> None:
        self.place = self.closer = None


# -- forks -----------------------------------------------------------------------------------------------------------

_places: set[_Place] = set()
_forker = 0  # the thread that forks now; nobody else takes a connection meanwhile
_forking = threading.RLock()  # held by it
_others: dict["weakref.ref[threading.RLock]", int] = {}  # locks of connections that stay open, with their process
_taken: list["threading.RLock"] = []  # those of them that are held over the fork


def wait_at_forks(lock: "threading.RLock") -> None:
    """Take a lock over each fork: in a child that was forked inside SQLite, SQLite would wait for itself for ever."""
    _others[weakref.ref(lock, _others.pop)] = os.getpid()


def _is_another_forking() -> bool:
    return _forker not in (0, threading.get_ident())


def _wait_for_fork(lock: "threading.RLock") -> None:
    """Wait, without one's own lock, which the thread that forks may want."""
    while _is_another_forking():
        lock.release()
        with _forking:
            pass
        lock.acquire()


def _never_close(places: list[_Place]) -> None:
    """Take a reference for ever to what was inherited: even as a process exits, Python would close it."""
    import ctypes

    for place in places:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(place))


def _before_fork() -> None:
    global _forker
    _forking.acquire()
    _forker = threading.get_ident()
    for place in _places.copy():
        place.close()
    _taken[:] = [lock for ref, pid in list(_others.items()) if (lock := ref()) is not None and pid == os.getpid()]
    for lock in _taken:
        lock.acquire()


def _release() -> None:
    global _forker
    _forker = 0
    while _taken:
        _taken.pop().release()


def _after_in_parent() -> None:
    _release()
    _forking.release()


def _after_in_child() -> None:
    global _forking
    _release()
    _forking = threading.RLock()  # others may have waited for the old one
    _never_close([place for place in _places if place.pid != os.getpid()])


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
