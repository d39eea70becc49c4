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
see whatever was written before they asked. Forks: the child opens the files anew. kill -9: see `Transaction`; no step
leaves files that a reader, ours or Python's, takes for something else (at worst Python's stops at a torn last line,
which the next `writing` cuts). A power cut costs at most the latest writes; with `durable` not even these. A stock
`dbm.dumb` knows no locks: it may read at any time, what was there when it opened, and write while nobody else does.

How. A value is appended to .dat, then its line to .dir, and the line counts. Bytes of .dat are reused or dropped only
after a new .dir was put in place by renaming: a reader who finds the same .dir after reading a value knows that
nothing moved under it. Nobody renames .dat, and its lock is the lock.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TypeVar

from session3 import dumbfile
from session3.dumbfile import BINARY, Index, Place, ShelfError, room
from session3.locks import lock, unlock

__all__ = ["Shelf", "ShelfError", "Transaction", "open_shelf"]

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Shelf:
    """See `open_shelf`. Closing is no end: the next use opens the files again."""

    #: Size of .dat in bytes from which on a block of writes ends with a `compact` where over half of it is garbage.
    compact_above = 1 << 20
    #: The same for .dir, which grows a line with each write: lines beyond two for each key.
    spare_lines = 1000

    def __init__(self, filename: str | os.PathLike[str], *, durable: bool = False) -> None:
        self.filename = os.path.abspath(os.fspath(filename))
        self.durable = durable
        self._dat, self._dir, self._marker = (self.filename + end for end in (".dat", ".dir", ".dir.new"))
        self._index: Index | None = None
        self._locked = -1  # .dat, opened to lock and write
        self._compact_next = 0  # not before .dat has this size
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

    def writing(self) -> Transaction:
        """Return a context manager: in its block nobody else writes, in no thread and no process. It doesn't nest."""
        return Transaction(self)

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
        index, self._index, fd, self._locked = self._index, None, self._locked, -1
        if index:
            index.close()
        if fd >= 0:
            os.close(fd)

    def _restart(self) -> None:
        """Begin anew in a forked child, where other threads' locks stay locked, and the flock is the parent's."""
        self._mutex = threading.Lock()  # around what is in memory, briefly
        self._turn = threading.Lock()  # around a whole transaction; taken before the other
        self._writer = 0  # the thread that has the turn
        self._life = object()
        self._drop()

    def _is_ours(self) -> bool:
        exists = os.path.exists
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
                self._index = Index(self._marker if os.path.exists(self._marker) else self._dir, self._dat)
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
        while True:
            if self._locked < 0:
                self._locked = os.open(self._dat, os.O_RDWR | os.O_CREAT | BINARY, 0o600)
            lock(self._locked)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(self._locked), os.stat(self._dat)):
                    return self._locked
            fd, self._locked = self._locked, -1
            os.close(fd)


class Transaction:
    """The right to write, for one block: see `Shelf.writing`. There is no rollback.

    Each single statement is atomic against kill -9: once it has returned, its effect survives the process (and a power
    cut, with `durable`); before that, the old value is there or the new one. After an exception, such as a full disk,
    the old one.
    """

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._life = shelf._life
        self._fd = -1  # .dat while the block lasts
        self._end = 0  # of .dat
        self._has_written = False

    def __enter__(self) -> Transaction:
        shelf = self._shelf
        if shelf._writer == threading.get_ident():
            raise RuntimeError("a shelf's writing() doesn't nest")
        shelf._turn.acquire()
        shelf._writer = threading.get_ident()
        try:
            if not shelf._index:
                shelf._ask_old(lambda old: None, None)  # where its module is missing, fail before a file is made
            self._fd = shelf._lock()
            with shelf._mutex:
                self._prepare()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if self._life is not self._shelf._life:
            return  # a child that was forked in the block: the lock is its parent's
        try:
            if self._has_written and kind is None:
                self._tidy()
        finally:
            self._leave()

    def get(self, key: bytes) -> bytes | None:
        """Return the value, or None."""
        with self._shelf._mutex:
            return self._index.get(key)

    def keys(self) -> list[bytes]:
        """Return the keys of this moment."""
        with self._shelf._mutex:
            return list(self._index.places)

    def __setitem__(self, key: bytes, value: bytes) -> None:
        index, durable = self._index, self._shelf.durable
        place = self._add(value)
        if durable:
            os.fsync(self._fd)
        with self._shelf._mutex:
            index.append(key, place, durable)
        self._has_written = True

    def __delitem__(self, key: bytes) -> None:
        """Remove the key; one that is not there is no error."""
        self.remove([key])

    def remove(self, keys: Iterable[bytes]) -> int:
        """Remove all these keys in one step, and return how many were there.

        No line can say "deleted" to a stock reader, so .dir is written anew: as costly for one key as for a thousand.
        """
        places = dict(self._index.places)
        gone = places.keys() & set(keys)
        for key in gone:
            del places[key]
        if gone:
            self._replace(places)
            self._has_written = True
        return len(gone)

    @property
    def _index(self) -> Index:
        if self._fd < 0 or self._life is not self._shelf._life:
            raise RuntimeError("a transaction ends with its block, and can't be used in a forked child")
        if self._shelf._index is None:
            raise ShelfError(f"{self._shelf.filename}.dir went away during a transaction")
        return self._shelf._index

    def _leave(self) -> None:
        self._fd = -1
        if self._shelf._locked >= 0:
            unlock(self._shelf._locked)
        self._shelf._writer = 0
        self._shelf._turn.release()

    def _add(self, value: bytes) -> Place:
        """Append a value, which nobody finds before its line is there."""
        position = room(self._end)
        self._end = position + len(value)
        dumbfile.write_at(self._fd, value, position)
        return position, len(value)

    def _replace(self, places: dict[bytes, Place]) -> None:
        dumbfile.write_index(self._shelf._dir, places)
        with self._shelf._mutex:
            self._shelf._open()

    def _prepare(self) -> None:
        """Put files of our own in place, whole ones, and know what is in them."""
        shelf = self._shelf
        self._end = os.fstat(self._fd).st_size
        index = shelf._current()
        if index is None:
            self._convert(dumbfile.find_old(shelf.filename)[0])
            shelf._open()
        elif index.path == shelf._marker:
            self._roll_forward(index.places)
            shelf._open()
        self._index.cut()

    def _convert(self, flavour: str) -> None:
        """Copy an old database into .dat and the marker, which from then on counts in its place."""
        shelf = self._shelf
        if not flavour:
            return dumbfile.write_index(shelf._dir, {})
        with dumbfile.open_old(shelf.filename, flavour) as old:  # open to the end: gdbm keeps its writers out
            places = {key: self._add(old.get(key)) for key in old.keys()}
            os.fsync(self._fd)
            dumbfile.write_index(shelf._marker, places)
            self._roll_forward(places)

    def _roll_forward(self, places: dict[bytes, Place]) -> None:
        """End a conversion, also one that somebody was killed in."""
        shelf = self._shelf
        _, files = dumbfile.find_old(shelf.filename)
        if files and files[0].endswith(".pag"):  # a .dir beside it is taken for ndbm's
            os.unlink(files[0])
        dumbfile.write_index(shelf._dir, places)
        for file in [*files, shelf._marker]:
            with suppress(FileNotFoundError):
                os.unlink(file)
        dumbfile.sync_folder(shelf._dir)

    def _tidy(self) -> None:
        """Compact where that is due. What was written is safe, so trouble here is no failure of the block."""
        shelf, index = self._shelf, self._index
        try:
            if self._end >= shelf.compact_above and self._end > 2 * index.live and self._end >= shelf._compact_next:
                self._compact()
            elif index.has_damage or index.lines > 2 * len(index.places) + shelf.spare_lines:
                self._replace(dict(index.places))
        except OSError as error:
            shelf._compact_next = self._end + shelf.compact_above  # a full disk: not again at each write
            _log.warning("%s can't be compacted: %s", shelf.filename, error)

    def _compact(self) -> None:
        """Make room in front for all values, then move all there: every step leaves a whole database."""
        places = dict(self._index.places)
        total = sum(room(size) for _, size in places.values())
        self._end = max(room(self._end), total)
        places = self._move(places, [key for key, place in places.items() if place[0] < total])
        end, self._end = self._end, 0
        try:
            self._move(places, sorted(places, key=places.__getitem__))
            end = total
        finally:
            self._end = end
        os.ftruncate(self._fd, total)

    def _move(self, places: dict[bytes, Place], keys: list[bytes]) -> dict[bytes, Place]:
        """Append these values once more, from the end that was set, and put an index that says so in place."""
        places = places | {key: self._add(dumbfile.read_at(self._fd, places[key])) for key in keys}
        os.fsync(self._fd)
        self._replace(places)  # also where nothing moved: readers have to see that something will
        return places


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
