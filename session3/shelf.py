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
see whatever was written before they asked. Forks: the child opens the files anew. kill -9, and a signal's exception:
see `ShelfTransaction`; no step leaves files that a reader, ours or Python's, takes for something else (at worst
Python's stops at a torn last line, which the next `writing` cuts). A power cut costs at most the latest writes; with
`durable` not even these. It may leave another key's value under a key whose last write it took: let values say whose
they are.

A stock `dbm.dumb` knows no locks. It may read what was there when it opened, until the next `compact`, which moves
values; and write while nobody else does. To copy a shelf that is in use, keep writers away: `flock shelf.dat cp
shelf.dat shelf.dir backup/`. Without that, keys whose values moved meanwhile are damaged in the copy.

How. A value is appended to .dat, then its line to .dir, and the line counts. Bytes of .dat are reused or dropped only
after a new .dir was put in place by renaming: a reader who finds the same .dir after reading a value knows that
nothing moved under it. Nobody renames .dat, and its lock is the lock. Both may be links: what they lead to is used.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from session3.access import Access
from session3.datafaults import is_of_signal
from session3.disk import check_writable, exists
from session3.dumbfile import Index, ShelfError
from session3.LockedFile import LockedFile
from session3.oldshelves import find_old, open_old, real_base
from session3.ShelfTransaction import ShelfTransaction

__all__ = ["Shelf", "ShelfError", "ShelfTransaction", "open_shelf"]

T = TypeVar("T")
_OWNER_ONLY = Access()


class Shelf:
    """See `open_shelf`. Closing is no end: the next use opens the files again."""

    #: Size of .dat in bytes from which on a block of writes ends with a `compact` where over half of it is garbage.
    compact_above = 1 << 20
    #: The same for .dir, which grows a line with each write: lines beyond two for each key.
    spare_lines = 1000

    _index: Index | None = None
    _compact_next = 0  # not before .dat has this size
    _transaction: Callable[[], ShelfTransaction | None] = staticmethod(lambda: None)  # the latest, held weakly

    def __init__(
        self, filename: str | os.PathLike[str], *, durable: bool = False, access: Access = _OWNER_ONLY
    ) -> None:
        self.filename = real_base(os.path.abspath(os.fspath(filename)))
        self.durable = durable
        self.access = access
        self._dat, self._dir, self._marker = (self.filename + end for end in (".dat", ".dir", ".dir.new"))
        self._restart()
        _shelves.add(self)

    def get(self, key: bytes) -> bytes | None:
        """Return the value as of now, or None. A power cut without `durable` may have taken it, or all but its key."""
        return self.get_each(key)[0]

    def get_each(self, *keys: bytes) -> list[bytes | None]:
        """Return the values of all these keys as of one moment."""
        while True:
            with self._mutex:
                index = self._index or self._open()
                while index:
                    places, values = [], []
                    for key in keys:
                        places.append(index.places.get(key))
                        values.append(index.get(key))
                    if not index.catch_up():
                        index = self._open()
                    elif places == [index.places.get(key) for key in keys]:
                        return values
            nothing: list[bytes | None] = [None] * len(keys)
            was_old, values = self._ask_old(lambda old: [old.get(key) for key in keys], nothing)
            if was_old:
                return values

    def earlier(self, key: bytes) -> list[bytes]:
        """Return what the key had before, the latest first, as far as that is still there: for who met damage."""
        with self._mutex:
            index = self._current()
            return list(index.earlier(key)) if index else []

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
        """Give the room of old values back; `writing` does so by itself, see `compact_above`. Raises ShelfError."""
        with self.writing() as transaction:
            try:
                transaction._compact()
            except OSError as error:
                if is_of_signal(error):
                    raise
                raise ShelfError(f"{self.filename} can't be compacted, and is as it was: {error}") from error

    def check(self) -> None:
        """Raise the OSError that the next write would meet, as far as that can be told; makes nothing."""
        if not self._is_ours():
            self._ask_old(lambda old: None, None)
        for path in (self._dat, self._dir):
            check_writable(os.path.realpath(path))
        with self._mutex:
            self._current()
        if exists(self._dat):
            with LockedFile(self._dat):
                pass  # so it can be locked

    def close(self) -> None:
        """Let go of the files; a transaction of another thread keeps what it needs until its end."""
        if self._is_writing():
            raise RuntimeError("a shelf can't be closed inside its writing()")
        with self._mutex:
            self._drop()

    def is_open(self) -> bool:
        """Tell whether the files were there, in our format, when they were last looked at."""
        return self._index is not None

    def _is_writing(self) -> bool:
        transaction = self._transaction()
        return transaction is not None and transaction.is_of_this_thread()

    def _drop(self) -> None:
        index, self._index = self._index, None
        if index:
            index.close()

    def _restart(self) -> None:
        """Begin anew in a forked child, where other threads' locks stay locked."""
        # Around what is in memory, briefly; reentrant, for a signal's handler that uses the shelf, too.
        self._mutex = threading.RLock()
        self._drop()

    def _is_ours(self) -> bool:
        is_dumb = exists(self._dir) and not exists(self.filename + ".pag")  # ndbm has a .dir too
        return exists(self._dat) and (is_dumb or exists(self._marker))

    def _current(self) -> Index | None:
        return self._index if self._index and self._index.catch_up() else self._open()

    def _open(self) -> Index | None:
        """Open what is there now; None when that isn't ours. Under the mutex, as all that touches the index."""
        self._drop()
        while self._index is None and self._is_ours():
            with suppress(FileNotFoundError):  # gone since: look again
                self._index = Index(self._marker if exists(self._marker) else self._dir, self._dat)
        return self._index

    def _ask_old(self, question: Callable[[Any], T], nothing: T) -> tuple[bool, T]:
        """Ask the database of another flavour, if any. False: by now there is ours to ask."""
        flavour, _ = find_old(self.filename)
        answer = nothing
        try:
            if flavour:
                with open_old(self.filename, flavour) as old:
                    answer = question(old)
        except OSError:
            if not self._is_ours():
                raise
        return not self._is_ours(), answer


def open_shelf(filename: str | os.PathLike[str], *, durable: bool = False, access: Access = _OWNER_ONLY) -> Shelf:
    """Return the shelf in `filename`.dat and `filename`.dir, which the first `writing` creates.

    They are for the owner only unless `access` says otherwise. `durable` waits for the disk at each write. A gdbm, ndbm
    or SQLite database that `filename` names is read as it is, and converted by the first `writing`, for the same owner,
    group and mode, since no lock can make those formats safe against kill -9. Where this Python lacks the module for
    it, the first use raises a ShelfError, an OSError, which says how to get it.
    """
    return Shelf(filename, durable=durable, access=access)


_shelves: weakref.WeakSet[Shelf] = weakref.WeakSet()


def _after_fork() -> None:
    for shelf in list(_shelves):
        shelf._restart()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
