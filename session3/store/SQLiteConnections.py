"""SQLite's connections: one for each thread, and none that is open over a fork.

>>> import tempfile
>>> file = tempfile.NamedTemporaryFile()
>>> connections = SQLiteConnections("a store", lambda: sqlite3.connect(file.name, isolation_level=None), lambda: 1)
>>> with connections.guard():
...     connections.get().execute("SELECT 1").fetchone()
(1,)
>>> connections.close()

SQLite keeps in tables of the process which of a file's locks it has, and a child inherits the tables, but not the
locks: what it opens on a file that its parent had open takes no lock from the system, and loses all that it writes as
soon as the parent closes the file and removes the log of its changes (https://sqlite.org/howtocorrupt.html, 2.6). So
before a fork all connections are closed, each when its thread is done with its statement, and none is opened until
after it. A fork in C may call no hook of Python's: then the child is refused what its parent had open.

Hooks of your own (os.register_at_fork) that use a store, or take a lock that is held around its calls, have to be
registered after this module was imported: those before a fork run in the opposite order.
"""

import contextlib
import os
import sqlite3
import threading
import weakref
from collections import deque
from collections.abc import Callable
from itertools import repeat
from operator import methodcaller

from ..connections import never_close
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

    def guard(self) -> "threading.RLock":
        """Return the lock to hold while the connection is used; it is this thread's, and forks wait for it."""
        lock = self._local.lock
        if _forker and not _is_owned(lock):
            with _forking:
                pass
        return lock

    def get(self) -> sqlite3.Connection:
        """Return this thread's connection; with the guard held."""
        place, token = self._local.place, (self._generation, self._file())
        # The process is asked of the system each time: a fork in C calls no hook.
        if place is None or place.token != token or place.connection is None or place.pid != os.getpid():
            return self._connect(token)
        return place.connection

    def close(self) -> None:
        """Close this thread's connection; those of others may be at work, and are closed by them, or as they end."""
        self._generation += 1
        self._local.leave()

    def _connect(self, token: tuple[int, object]) -> sqlite3.Connection:
        local, pid = self._local, os.getpid()
        local.leave()
        inherited = [place for place in _places.copy() if place.pid != pid]
        if any(place.token[1] == token[1] for place in inherited):
            never_close(inherited)
            raise StoreUnavailable(
                f"{self._name} was open in a process that this one was forked from by C, not by Python, and would lose"
                " what is saved; close the store before such a fork"
            )
        local.place = place = _Place(token, local.lock)
        local.closer = _Closer(place)
        _places.add(place)
        # Asked once the place is known: who forks closes what is known after saying so.
        while _is_another_forking() and _stood_aside(local.lock):
            _places.add(place)
        connection = place.connection = self._open()
        return connection


class _Place:
    """A thread's connection, known to all from before it is opened until after it was closed."""

    connection: sqlite3.Connection | None = None
    is_left = False  # by its thread: what a signal's exception kept from being closed then is closed later

    def __init__(self, token: tuple[int, object], lock: "threading.RLock") -> None:
        self.token = token
        self.lock = lock
        self.pid = os.getpid()

    def close(self) -> None:
        # Not where it was inherited: a thread that is not here may have held the lock, and the file is the parent's.
        if self.pid == os.getpid():
            with self.lock:
                self._close()

    def close_if_free(self) -> None:
        if self.pid == os.getpid() and self.lock.acquire(blocking=False):
            try:
                self._close()
            finally:
                self.lock.release()

    def _close(self) -> None:
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
        # As Python exits, a daemon thread may have stopped for ever in a statement, with the lock.
        self._place.close_if_free()


class _Local(threading.local):
    place: _Place | None = None
    closer: _Closer | None = None

    def __init__(self) -> None:
        self.lock = threading.RLock()  # held while its thread opens, uses or closes a connection

    def leave(self) -> None:
        place, self.place = self.place, None
        if place is not None:
            place.is_left = True
        self.closer = None
        for place in _places.copy():
            if place.is_left:
                place.close_if_free()


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


def _is_owned(lock: "threading.RLock") -> bool:
    """Tell whether this thread has a lock: what threading.Condition asks of one."""
    owned: bool = lock._is_owned()  # type: ignore[attr-defined]
    return owned


def _stood_aside(lock: "threading.RLock") -> bool:
    """Wait for a fork without one's own lock, which the thread that forks may want.

    False, and nothing waited for, where the lock is also held further out: who forks waits for that in any case.
    """
    lock.release()
    try:
        if _is_owned(lock):
            return False
        with _forking:
            return True
    finally:
        lock.acquire()


def _wholly(act: Callable[[], None]) -> None:
    """Do something to its end, though a signal's exceptions come in between: Python forks all the same."""
    interrupted: BaseException | None = None
    while True:
        try:
            act()
            break
        except BaseException as error:
            interrupted = error
    if interrupted is not None:
        raise interrupted


def _before_fork() -> None:
    _wholly(_close_all)


def _close_all() -> None:
    global _forker
    if not _is_owned(_forking):
        _forking.acquire()
    _forker = threading.get_ident()
    pid, places = os.getpid(), _places.copy()
    while places:
        for place in places:
            place.close()
        # What a signal's handler opened, of a thread that had its lock already.
        places = {place for place in _places.copy() if place.pid == pid and place.connection is not None}
    for ref, pid in list(_others.items()):
        lock = ref()
        if lock is not None and pid == os.getpid() and lock not in _taken:
            # By C alone: a lock that was taken and is not noted would never be released.
            _taken.extend(filter(methodcaller("acquire"), (lock,)))


def _release() -> None:
    global _forker
    _forker = 0
    deque(map(methodcaller("release"), map(_taken.pop, repeat(-1, len(_taken)))), maxlen=0)  # by C alone, too


def _let_go() -> None:
    _release()
    while _is_owned(_forking):
        _forking.release()


def _after_in_parent() -> None:
    _wholly(_let_go)


def _after_in_child() -> None:
    global _forking
    _release()
    _forking = threading.RLock()  # others may have waited for the old one
    _places.difference_update([place for place in _places if place.connection is None])  # of who waited to open one
    never_close([place for place in _places if place.pid != os.getpid()])


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
