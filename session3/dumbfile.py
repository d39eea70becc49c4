"""The files under a shelf: `dbm.dumb`, written append-only.

`.dat` holds the values, each in 512-byte blocks of its own; `.dir` a line for each key with the value's offset and
length. A later line for a key wins. A last line without its newline is what a killed writer left, and doesn't count.

>>> format_line(b"key", (512, 20)), parse_line(b"'key', (512, 20)\\n")
(b"'key', (512, 20)\\n", (b'key', (512, 20)))
"""

from __future__ import annotations

import ast
import itertools
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress

from session3.Descriptor import Descriptor, opened
from session3.disk import create_private, sync_folder, take_over

Place = tuple[int, int]  # offset and length of a value in .dat
BLOCK = 512  # a stock writer overwrites in place up to the end of a value's last block
BINARY = getattr(os, "O_BINARY", 0)
_PART = 2**20  # bytes of .dir that are read at once; a line is shorter
_LINES = 10_000  # that are written at once
TEMPORARY = ".tmp"  # the end of the name of a .dir that is being written

_log = logging.getLogger(__name__)
_plain_line = re.compile(rb"'([^'\\]*)', \((\d+), (\d+)\)\s*").fullmatch


class ShelfError(OSError):
    """The files can't be used as they are; the message says what to do about it."""


def room(size: int) -> int:
    """Return what `size` bytes take up in whole blocks; also the first block boundary from there on."""
    return -(-size // BLOCK) * BLOCK


def end_of(place: Place) -> int:
    """Return where a value ends; one without bytes takes no room, wherever it is."""
    return place[0] + place[1] if place[1] else 0


def read_at(fd: int, place: Place) -> bytes:
    """Read what is there, without the file offset that threads and forks share; less at the end of the file."""
    if sys.platform == "win32":
        os.lseek(fd, place[0], os.SEEK_SET)
        return os.read(fd, place[1])
    return os.pread(fd, place[1], place[0])


def write_at(fd: int, data: bytes, position: int) -> None:
    """Write all of `data` at `position`."""
    rest = memoryview(data)
    while rest:
        if sys.platform == "win32":
            os.lseek(fd, position, os.SEEK_SET)
            done = os.write(fd, rest)
        else:
            done = os.pwrite(fd, rest, position)
        rest, position = rest[done:], position + done


def format_line(key: bytes, place: Place) -> bytes:
    """Return the line of .dir, as `dbm.dumb` writes it."""
    return f"{key.decode('latin-1')!r}, {place!r}\n".encode("latin-1")


def parse_line(line: bytes) -> tuple[bytes, Place] | None:
    """Return key and place, or None where the line means nothing."""
    if plain := _plain_line(line):
        return plain[1], (int(plain[2]), int(plain[3]))
    try:
        key, (position, size) = ast.literal_eval(line.decode("latin-1").strip())
        return key.encode("latin-1"), (int(position), int(size))
    except (ValueError, TypeError, SyntaxError, AttributeError, MemoryError, RecursionError):
        return None


def _opened(path: str) -> Descriptor:
    return opened(path, BINARY | (os.O_RDWR if os.access(path, os.W_OK) else os.O_RDONLY))


class Index:
    """The two files, open to read, and .dir as far as it has been read.

    An open file's inode number isn't given to another, so that the number tells a .dir from its successor.
    """

    def __init__(self, path: str, dat: str) -> None:
        self.path = path
        self.places: dict[bytes, Place] = {}
        self.size = 0  # up to the last complete line, so that a torn one always looks like news
        self.lines = 0
        self.live = 0  # bytes of .dat in use
        self.end = 0  # of the last value in .dat
        self.has_damage = self._is_foreign = False
        self._dir: int  # of the files, which are closed as these go
        self._dat: int
        try:
            self._dir, self._dat = _opened(path), _opened(dat)
            self._file = os.fstat(self._dir)
            self._read(self._file.st_size)
            self._is_torn = self._file.st_size > self.size
            if self._is_foreign and not self.places:
                raise ShelfError(f"{path} is no index of Python's dbm.dumb; move it away or use another name")
        except BaseException:
            self.close()
            raise

    def get(self, key: bytes) -> bytes | None:
        """Return what is in the key's place, which is its value only if `catch_up` agrees afterwards."""
        place = self.places.get(key)
        return place and read_at(self._dat, place)

    def catch_up(self) -> bool:
        """Read what was appended. False: another file is there now, or none, and this index is history."""
        try:
            now = os.stat(self.path)
        except FileNotFoundError:
            return False
        if not os.path.samestat(now, self._file) or now.st_size < self.size:
            return False
        if now.st_size > self.size:
            self._read(now.st_size)
            self._is_torn = now.st_size > self.size
        return True

    def _read(self, end: int) -> None:
        # In parts, since a large index is in memory as objects already.
        while data := read_at(self._dir, (self.size, min(end - self.size, _PART))):
            lines = data[: data.rfind(b"\n") + 1]
            for line in lines.splitlines():
                if found := parse_line(line):
                    self._add(*found)
                else:
                    self.has_damage = True
                    self._is_foreign = self._is_foreign or line[:1] != b"\0"  # zeros are what a power cut leaves
                    _log.warning("%s: a line that can't be read is left out", self.path)
            self.size += len(lines)
            if not lines:
                break  # torn

    def _add(self, key: bytes, place: Place) -> None:
        old = self.places.get(key)
        self.live += room(place[1]) - (room(old[1]) if old else 0)
        self.places[key] = place
        self.end = max(self.end, end_of(place))
        self.lines += 1

    def cut(self) -> None:
        """Take away the torn line that a killed writer left; for who holds the lock."""
        if self._is_torn:
            os.ftruncate(self._dir, self.size)
            self._is_torn = False

    def append(self, key: bytes, place: Place, sync: bool) -> None:
        """Add a line, or leave the file as it was; for who holds the lock."""
        line = format_line(key, place)
        try:
            write_at(self._dir, line, self.size)
            if sync:
                os.fsync(self._dir)
            self._add(key, place)
            self.size += len(line)
        except BaseException:  # a full disk: part of the line may be there
            os.ftruncate(self._dir, self.size)
            raise

    def earlier(self, key: bytes) -> Iterator[bytes]:
        """Yield what the key had before, the latest first, as far as .dir still has its lines: for who met damage."""
        lines = read_at(self._dir, (0, self.size)).splitlines()
        found = [entry[1] for entry in map(parse_line, lines) if entry and entry[0] == key]
        return (read_at(self._dat, place) for place in reversed(found) if place != self.places.get(key))

    def close(self) -> None:
        """Close the files, and forget what is in them; again is no error."""
        self.places = {}
        self._dir = self._dat = -1


def write_index(path: str, items: Iterable[tuple[bytes, Place]], like: os.stat_result) -> None:
    """Put a new .dir in place of the old one, if any: a reader finds either, at any moment, after a power cut too.

    It belongs to whom the old one belonged to; a first one to whom a file `like` that does.
    """
    path = os.path.realpath(path)  # else a link would be replaced, not what it leads to
    with suppress(FileNotFoundError):
        like = os.stat(path)
    sweep_temporary(path)  # whose owner, if a killed writer left it, may be another user
    try:
        fd = create_private(path + TEMPORARY)
        take_over(fd, like)
        rest, position = iter(items), 0
        while part := b"".join([format_line(*item) for item in itertools.islice(rest, _LINES)]):
            write_at(fd, part, position)
            position += len(part)
        # Always: a rename that outlives its data in a power cut would lose every key, not only the latest.
        os.fsync(fd)
        del fd  # closes it, as Windows wants
        os.replace(path + TEMPORARY, path)
    except BaseException:
        sweep_temporary(path)  # on a full disk it would take what is left
        raise
    sync_folder(path)


def sweep_temporary(path: str) -> None:
    """Remove what a killed writer left of a new .dir; for who holds the lock."""
    with suppress(FileNotFoundError):
        os.unlink(os.path.realpath(path) + TEMPORARY)
