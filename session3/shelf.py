"""A crash-safe file of keys and values that Python's own `shelve` and `dbm` can read.

>>> import dbm.dumb, tempfile
>>> folder = tempfile.TemporaryDirectory()
>>> name = os.path.join(folder.name, "shelf")
>>> shelf = open_shelf(name)
>>> with shelf.writing() as transaction:
...     transaction[b"key"] = b"value"
>>> shelf.get(b"key"), dbm.dumb.open(name, "r")[b"key"]
(b'value', b'value')
>>> shelf.close(); folder.cleanup()

Guarantees. Threads: one Shelf serves any number. Processes: writers exclude each other; readers wait for nobody, and
see whatever was written before they asked. Forks: the child opens the files anew. kill -9: see `ShelfTransaction`; no
step leaves files that a reader, ours or Python's, takes for something else (at worst Python's stops at a torn last
line, which the next `writing` cuts). A power cut costs at most the latest writes; with `durable` not even these. A
stock `dbm.dumb` knows no locks: it may read at any time, what was there when it opened, and write while nobody else
does.

How. A value is appended to .dat, then its line to .dir, and the line counts. Bytes of .dat are reused or dropped only
after a new .dir was put in place by renaming: a reader who finds the same .dir after reading a value knows that
nothing moved under it. Nobody renames .dat, and its lock is the lock.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from session3 import dumbfile
from session3.disk import exists
from session3.dumbfile import BINARY, Index, ShelfError
from session3.locks import lock
from session3.ShelfTransaction import ShelfTransaction

__all__ = ["Shelf", "ShelfError", "ShelfTransaction", "open_shelf"]

T = TypeVar("T")


class Shelf:
    """See `open_shelf`. Closing is no end: the next use opens the files again."""

    #: Size of .dat in bytes from which on a block of writes ends with a `compact` where over half of it is garbage.
    compact_above = 1 << 20
    #: The same for .dir, which grows a line with each write: lines beyond two for each key.
    spare_lines = 1000

    _index: Index | None = None
    _locked = -1  # .dat, opened to lock and write
    _compact_next = 0  # not before .dat has this size

    def __init__(self, filename: str | os.PathLike[str], *, durable: bool = False) -> None:
        self.filename = os.path.abspath(os.fspath(filename))
        self.durable = durable
        self._dat, self._dir, self._marker = (self.filename + end for end in (".dat", ".dir", ".dir.new"))
        self._restart()
        _shelves.add(self)

    def get(self, key: bytes) -> bytes | None:
        """Return the value as of now, or None. A power cut without `durable` may have shortened or zeroed it."""
        while True:
            with self._mutex:
                index = self._index or self._open()
                while index:
                    place, value = index.places.get(key), index.get(key)
                    if not index.catch_up():
                        index = self._open()
                    elif index.places.get(key) == place:
                        return value
            was_old, value = self._ask_old(lambda old: old.get(key), None)
            if was_old:
                return value

    def keys(self) -> list[bytes]:
        """Return the keys of this moment."""
        while True:
            with self._mutex:
                if index := self._current():
                    return list(index.places)
            nothing: list[bytes] = []
            was_old, keys = self._ask_old(lambda old: list(old.keys()), nothing)
            if was_old:
                return keys

    def __contains__(self, key: bytes) -> bool:
        return self.get(key) is not None

    def __len__(self) -> int:
        return len(self.keys())

    def writing(self) -> ShelfTransaction:
        """Return a context manager: in its block nobody else writes, in no thread and no process. It doesn't nest."""
        return ShelfTransaction(self)

    def compact(self) -> None:
        """Give the room of old values back; `writing` does so by itself, see `compact_above`."""
        with self.writing() as transaction:
            transaction._compact()

    def close(self) -> None:
        """Let go of the files, as soon as no other thread is `writing`."""
        if self._writer == threading.get_ident():
            raise RuntimeError("a shelf can't be closed inside its writing()")
        with self._turn, self._mutex:
            self._drop()

    def __del__(self) -> None:
        self._drop()

    def _drop(self) -> None:
        index, self._index = self._index, None
        if index:
            index.close()
        self._close_lock()

    def _restart(self) -> None:
        """Begin anew in a forked child, where other threads' locks stay locked, and the flock is the parent's."""
        self._mutex = threading.Lock()  # around what is in memory, briefly
        self._turn = threading.Lock()  # around a whole transaction; taken before the other
        self._writer = 0  # the thread that has the turn
        self._life = object()
        self._drop()

    def _is_ours(self) -> bool:
        is_dumb = exists(self._dir) and not exists(self.filename + ".pag")  # ndbm has a .dir too
        return exists(self._dat) and (is_dumb or exists(self._marker))

    def _current(self) -> Index | None:
        return self._index if self._index and self._index.catch_up() else self._open()

    def _open(self) -> Index | None:
        """Open what is there now; None when that isn't ours. Under the mutex, as all that touches the index."""
        if self._index:
            self._index.close()
        self._index = None
        while self._index is None and self._is_ours():
            with suppress(FileNotFoundError):  # gone since: look again
                self._index = Index(self._marker if exists(self._marker) else self._dir, self._dat)
        return self._index

    def _ask_old(self, question: Callable[[Any], T], nothing: T) -> tuple[bool, T]:
        """Ask the database of another flavour, if any. False: by now there is ours to ask."""
        flavour, _ = dumbfile.find_old(self.filename)
        answer = nothing
        try:
            if flavour:
                with dumbfile.open_old(self.filename, flavour) as old:
                    answer = question(old)
        except OSError:
            if not self._is_ours():
                raise
        return not self._is_ours(), answer

    def _lock(self) -> int:
        """Wait for the lock, and return the locked .dat."""
        if self._pid != os.getpid():
            # Forked in C, as by uWSGI, where no hook of Python's is called: what the parent locks we would hold, too.
            self._close_lock()
        while True:
            if self._locked < 0:
                self._locked = os.open(self._dat, os.O_RDWR | os.O_CREAT | BINARY, 0o600)
            lock(self._locked)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(self._locked), os.stat(self._dat)):
                    return self._locked
            self._close_lock()

    def _close_lock(self) -> None:
        fd, self._locked, self._pid = self._locked, -1, os.getpid()
        if fd >= 0:
            os.close(fd)


def open_shelf(filename: str | os.PathLike[str], *, durable: bool = False) -> Shelf:
    """Return the shelf in `filename`.dat and `filename`.dir, which the first `writing` creates, for the owner only.

    `durable` waits for the disk at each write. A gdbm, ndbm or SQLite database that `filename` names is read as it is,
    and converted by the first `writing`, since no lock can make those formats safe against kill -9. Where this Python
    lacks the module for it, the first use raises a ShelfError, an OSError, which says how to get it.
    """
    return Shelf(filename, durable=durable)


_shelves: weakref.WeakSet[Shelf] = weakref.WeakSet()


def _after_fork() -> None:
    for shelf in list(_shelves):
        shelf._restart()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
