"""The writing side of a shelf: one transaction, and in it conversion and compaction. See session3/shelf.py."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from session3 import dumbfile
from session3.disk import sync_folder
from session3.dumbfile import Index, Place, ShelfError, room
from session3.locks import unlock

if TYPE_CHECKING:
    from session3.shelf import Shelf

_log = logging.getLogger(__name__)


class ShelfTransaction:
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

    def __enter__(self) -> ShelfTransaction:
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
        gone = {key for key in keys if key in self._index.places}
        if gone:
            # Nothing here holds the old index: a large one and its successor need not be in memory both.
            self._replace(item for item in self._index.places.items() if item[0] not in gone)
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

    def _replace(self, items: Iterable[tuple[bytes, Place]]) -> None:
        dumbfile.write_index(self._shelf._dir, items)
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
        if self._index.end > self._end:
            self._drop_lost(self._index.places)

    def _drop_lost(self, places: dict[bytes, Place]) -> None:
        """Leave out the keys whose values a power cut took off .dat: what is written there next is not theirs."""
        _log.warning("%s.dat ends before some of its values; they are left out", self._shelf.filename)
        kept = (item for item in places.items() if dumbfile.end_of(item[1]) <= self._end)
        dumbfile.write_index(self._shelf._dir, kept)
        self._shelf._open()

    def _convert(self, flavour: str) -> None:
        """Copy an old database into .dat and the marker, which from then on counts in its place."""
        shelf = self._shelf
        if not flavour:
            return dumbfile.write_index(shelf._dir, ())
        with dumbfile.open_old(shelf.filename, flavour) as old:  # open to the end: gdbm keeps its writers out
            keys = old.keys()  # not all flavours iterate
            places = {key: self._add(old.get(key)) for key in keys}
            os.fsync(self._fd)
            dumbfile.write_index(shelf._marker, places.items())
            self._roll_forward(places)

    def _roll_forward(self, places: dict[bytes, Place]) -> None:
        """End a conversion, also one that somebody was killed in."""
        shelf = self._shelf
        _, files = dumbfile.find_old(shelf.filename)
        if shelf._dir in files:  # ndbm's, and it may look like an empty one of ours, or ours like one of ndbm's
            dumbfile.remove_files(files)
            files = []
        dumbfile.write_index(shelf._dir, places.items())
        dumbfile.remove_files([*files, shelf._marker])
        sync_folder(shelf._dir)

    def _tidy(self) -> None:
        """Compact where that is due. What was written is safe, so trouble here is no failure of the block."""
        shelf, index = self._shelf, self._index
        try:
            if self._end >= shelf.compact_above and self._end > 2 * index.live and self._end >= shelf._compact_next:
                self._compact()
            elif index.has_damage or index.lines > 2 * len(index.places) + shelf.spare_lines:
                self._replace(index.places.items())
        except OSError as error:
            shelf._compact_next = self._end + shelf.compact_above  # a full disk: not again at each write
            _log.warning("%s can't be compacted: %s", shelf.filename, error)

    def _compact(self) -> None:
        """Make room in front for all values, then move all there: every step leaves a whole database."""
        places = dict(self._index.places)
        total = sum(room(size) for _, size in places.values())
        self._end = max(room(self._end), total)
        self._move(places, [key for key, place in places.items() if place[0] < total])
        end, self._end = self._end, 0
        try:
            self._move(places, sorted(places, key=places.__getitem__))
            end = total
        finally:
            self._end = end
        os.ftruncate(self._fd, total)

    def _move(self, places: dict[bytes, Place], keys: list[bytes]) -> None:
        """Append these values once more, from the end that was set, and put an index that says so in place."""
        for key in keys:
            places[key] = self._add(dumbfile.read_at(self._fd, places[key]))
        os.fsync(self._fd)
        self._replace(places.items())  # also where nothing moved: readers have to see that something will
