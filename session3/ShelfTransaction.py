"""The writing side of a shelf: one transaction, and in it conversion and compaction. See session3/shelf.py."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from session3 import dumbfile
from session3.datafaults import is_of_signal
from session3.disk import create_private, sync_folder, take_over
from session3.dumbfile import Index, Place, ShelfError, room
from session3.LockedFile import LockedFile
from session3.oldshelves import find_old, open_old, remove_files

if TYPE_CHECKING:
    from session3.shelf import Shelf

_log = logging.getLogger(__name__)


class ShelfTransaction(LockedFile):
    """The right to write, for one block: see `Shelf.writing`. There is no rollback.

    Each single statement is atomic against kill -9: once it has returned, its effect survives the process (and a power
    cut, with `durable`); before that, the old value is there or the new one. After an exception, such as a full disk,
    the old one; after that of a signal's handler, either.

    It has .dat open for itself and is its lock, among threads too: nothing else has to be given back.
    """

    def __init__(self, shelf: Shelf) -> None:
        super().__init__(shelf._dat)
        self._shelf = shelf
        self._owner = os.getpid(), threading.get_ident()
        self._end = 0  # of .dat
        self._has_written = False

    def __enter__(self) -> ShelfTransaction:
        shelf = self._shelf
        if shelf._is_writing():
            raise RuntimeError("a shelf's writing() doesn't nest")
        if not shelf._index:
            shelf._ask_old(lambda old: None, None)  # where its module is missing, fail before a file is made
        while super().__enter__() is None:
            self._make_file()
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            if self._has_written and self.fd >= 0 and not any(exception):
                self._tidy()
        finally:
            super().__exit__(*exception)

    def is_of_this_thread(self) -> bool:
        """Tell whether the calling thread is inside the block, which is that of no parent process."""
        return self.fd >= 0 and self._owner == (os.getpid(), threading.get_ident())

    def get(self, key: bytes) -> bytes | None:
        """Return the value, or None."""
        return self.get_each(key)[0]

    def get_each(self, *keys: bytes) -> list[bytes | None]:
        with self._shelf._mutex:
            return [self._index.get(key) for key in keys]

    def earlier(self, key: bytes) -> list[bytes]:
        with self._shelf._mutex:
            return list(self._index.earlier(key))

    def keys(self) -> list[bytes]:
        """Return the keys of this moment."""
        with self._shelf._mutex:
            return list(self._index.places)

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self._check()
        shelf, before = self._shelf, self._end
        try:
            place = self._add(value)
            if shelf.durable:
                os.fsync(self.fd)
        except OSError:
            self._cut(before)
            raise
        with shelf._mutex:
            try:
                self._index.append(key, place, shelf.durable)
            except BaseException:
                shelf._drop()  # what it knows may be more than what is in the file
                raise
        self._has_written = True

    def __delitem__(self, key: bytes) -> None:
        """Remove the key; one that is not there is no error."""
        self.remove([key])

    def remove(self, keys: Iterable[bytes]) -> int:
        """Remove all these keys in one step, and return how many were there.

        No line can say "deleted" to a stock reader, so .dir is written anew: as costly for one key as for a thousand.
        """
        with self._shelf._mutex:
            places = self._index.places
        if gone := {key for key in keys if key in places}:
            self._replace(item for item in places.items() if item[0] not in gone)
            self._has_written = True
        return len(gone)

    def sweep_litter(self) -> None:
        """Remove what killed writers left beside the files."""
        dumbfile.sweep_temporary(self._shelf._dir)

    def _check(self) -> None:
        if self.fd < 0:
            raise RuntimeError("a transaction ends with its block, and can't be used in a forked child")

    @property
    def _index(self) -> Index:
        """The index as of now, to be used under the mutex: another thread may close the shelf."""
        self._check()
        index = self._shelf._index or self._shelf._open()
        if index is None:
            raise ShelfError(f"{self._shelf.filename}.dir went away during a transaction")
        return index

    def _make_file(self) -> None:
        path = os.path.realpath(self.path)
        with suppress(FileExistsError):
            fd = create_private(path)
            try:
                self._shelf.access.give(fd, os.path.dirname(path))
            except BaseException:
                os.unlink(path)  # else it would be taken for one that somebody wanted so
                raise

    def _look(self) -> None:
        self._shelf._transaction = weakref.ref(self)
        with self._shelf._mutex:
            self._prepare()

    def _cut(self, end: int) -> None:
        """Take away what was added in vain: a full disk is full enough."""
        with suppress(OSError):
            os.ftruncate(self.fd, end)
            self._end = end

    def _add(self, value: bytes) -> Place:
        """Append a value, which nobody finds before its line is there."""
        position = room(self._end)
        self._end = position + len(value)
        dumbfile.write_at(self.fd, value, position)
        return position, len(value)

    def _replace(self, items: Iterable[tuple[bytes, Place]]) -> None:
        os.fsync(self.fd)  # the new index reaches the disk: not before the values that it leads to
        dumbfile.write_index(self._shelf._dir, items, os.fstat(self.fd))
        with self._shelf._mutex:
            self._shelf._open()

    def _prepare(self) -> None:
        """Put files of our own in place, whole ones, and know what is in them."""
        shelf = self._shelf
        self._end = os.fstat(self.fd).st_size
        index = shelf._current()
        if index is None:
            self._convert(find_old(shelf.filename)[0])
            shelf._open()
        elif index.path == shelf._marker:
            self._roll_forward(index.places)
            shelf._open()
        self._index.cut()
        if self._index.end > self._end:
            self._drop_lost(self._index.places)

    def _drop_lost(self, places: dict[bytes, Place]) -> None:
        """Leave out the keys whose values a power cut took off .dat: what is written there next is not theirs."""
        _log.warning("%s.dat ends before some of its values; they are left out", self._shelf.filename)
        kept = (item for item in places.items() if dumbfile.end_of(item[1]) <= self._end)
        dumbfile.write_index(self._shelf._dir, kept, os.fstat(self.fd))
        self._shelf._open()

    def _convert(self, flavour: str) -> None:
        """Copy an old database into .dat and the marker, which from then on counts in its place."""
        shelf = self._shelf
        if not flavour:
            return dumbfile.write_index(shelf._dir, (), os.fstat(self.fd))
        take_over(self.fd, os.stat(find_old(shelf.filename)[1][-1]))
        with open_old(shelf.filename, flavour) as old:  # open to the end: gdbm keeps its writers out
            keys = old.keys()  # not all flavours iterate
            places = {key: self._add(old.get(key)) for key in keys}
            os.fsync(self.fd)
            dumbfile.write_index(shelf._marker, places.items(), os.fstat(self.fd))
            self._roll_forward(places)

    def _roll_forward(self, places: dict[bytes, Place]) -> None:
        """End a conversion, also one that somebody was killed in."""
        shelf = self._shelf
        _, files = find_old(shelf.filename)
        if shelf._dir in files:  # ndbm's, and it may look like an empty one of ours, or ours like one of ndbm's
            remove_files(files)
            files = []
        dumbfile.write_index(shelf._dir, places.items(), os.fstat(self.fd))
        remove_files([*files, shelf._marker])
        sync_folder(shelf._dir)

    def _tidy(self) -> None:
        """Compact where that is due. What was written is safe, so trouble here is no failure of the block."""
        shelf = self._shelf
        try:
            with shelf._mutex:
                index = self._index
            if self._end >= shelf.compact_above and self._end > 2 * index.live and self._end >= shelf._compact_next:
                self._compact()
            elif index.has_damage or index.lines > 2 * len(index.places) + shelf.spare_lines:
                self._replace(index.places.items())
        except OSError as error:
            if is_of_signal(error):
                raise
            shelf._compact_next = self._end + shelf.compact_above  # a full disk: not again at each write
            _log.warning("%s can't be compacted: %s", shelf.filename, error)

    def _compact(self) -> None:
        """Make room in front for all values, then move all there: every step leaves a whole database."""
        with self._shelf._mutex:
            places = dict(self._index.places)
        total = sum(room(size) for _, size in places.values())
        try:
            self._end = max(room(self._end), total)
            self._move(places, [key for key, place in places.items() if place[0] < total])
            self._end = 0
            self._move(places, sorted(places, key=places.__getitem__))
        except BaseException:
            self._give_back()
            raise
        self._end = total
        os.ftruncate(self.fd, total)
        os.fsync(self.fd)  # else a power cut could bring what was there back under the lines of new values

    def _give_back(self) -> None:
        """Cut off what a compaction that failed has copied to where no line leads."""
        with self._shelf._mutex:
            index = self._shelf._current()
        self._end = os.fstat(self.fd).st_size
        if index and index.end < self._end:
            self._cut(index.end)

    def _move(self, places: dict[bytes, Place], keys: list[bytes]) -> None:
        """Append these values once more, from the end that was set, and put an index that says so in place."""
        for key in keys:
            places[key] = self._add(dumbfile.read_at(self.fd, places[key]))
        self._replace(places.items())  # also where nothing moved: readers have to see that something will
