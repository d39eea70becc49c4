"""The files under a shelf: `dbm.dumb`, written append-only, and the older formats that are converted to it.

`.dat` holds the values, each in 512-byte blocks of its own; `.dir` a line for each key with the value's offset and
length. A later line for a key wins. A last line without its newline is what a killed writer left, and doesn't count.

>>> format_line(b"key", (512, 20)), parse_line(b"'key', (512, 20)\\n")
(b"'key', (512, 20)\\n", (b'key', (512, 20)))
"""

from __future__ import annotations

import ast
import importlib
import itertools
import logging
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

from session3.disk import exists, sync_folder

Place = tuple[int, int]  # offset and length of a value in .dat
BLOCK = 512  # a stock writer overwrites in place up to the end of a value's last block
BINARY = getattr(os, "O_BINARY", 0)
_PART = 2**20  # bytes of .dir that are read at once; a line is shorter
_LINES = 10_000  # that are written at once

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
        self.has_damage = False
        self._fds: list[int] = []
        try:
            for name in (path, dat):
                self._fds.append(os.open(name, BINARY | (os.O_RDWR if os.access(name, os.W_OK) else os.O_RDONLY)))
            self._file = os.fstat(self._fds[0])
            self._read(self._file.st_size)
            if self.has_damage and not self.places:
                raise ShelfError(f"{path} is no index of Python's dbm.dumb; move it away or use another name")
        except BaseException:
            self.close()
            raise

    def get(self, key: bytes) -> bytes | None:
        """Return what is in the key's place, which is its value only if `catch_up` agrees afterwards."""
        place = self.places.get(key)
        return place and read_at(self._fds[1], place)

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
        return True

    def _read(self, end: int) -> None:
        # In parts, since a large index is in memory as objects already.
        while data := read_at(self._fds[0], (self.size, min(end - self.size, _PART))):
            lines = data[: data.rfind(b"\n") + 1]
            for line in lines.splitlines():
                if found := parse_line(line):
                    self._add(*found)
                else:
                    self.has_damage = True
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
        if os.fstat(self._fds[0]).st_size > self.size:
            os.ftruncate(self._fds[0], self.size)

    def append(self, key: bytes, place: Place, sync: bool) -> None:
        """Add a line, or leave the file as it was; for who holds the lock."""
        line = format_line(key, place)
        try:
            write_at(self._fds[0], line, self.size)
            if sync:
                os.fsync(self._fds[0])
            self._add(key, place)
            self.size += len(line)
        except BaseException:  # a full disk: part of the line may be there
            self.cut()
            raise

    def close(self) -> None:
        """Close the files, and forget what is in them; again is no error."""
        self.places = {}
        while self._fds:
            os.close(self._fds.pop())


def write_index(path: str, items: Iterable[tuple[bytes, Place]]) -> None:
    """Put a new .dir in place of the old one, if any: a reader finds either, at any moment, after a power cut too."""
    temporary = path + ".tmp"  # one name: whoever writes holds the lock, and a killed one's litter is used again
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | BINARY, 0o600)
    try:
        with suppress(FileNotFoundError):
            os.chmod(temporary, stat.S_IMODE(os.stat(path).st_mode))
        rest, position = iter(items), 0
        while part := b"".join([format_line(*item) for item in itertools.islice(rest, _LINES)]):
            write_at(fd, part, position)
            position += len(part)
        # Always: a rename that outlives its data in a power cut would lose every key, not only the latest.
        os.fsync(fd)
    finally:
        os.close(fd)
    os.replace(temporary, path)
    sync_folder(path)


#: Where a flavour's module comes from when the Python at hand is without it.
SOURCES = {
    "dbm.gnu": "on Debian: apt install python3-gdbm, or libgdbm-dev before building your own Python",
    "dbm.ndbm": "Debian's python3 has it; before building your own Python: apt install libdb-dev",
    "dbm.sqlite3": "it needs Python 3.13 or newer, built after: apt install libsqlite3-dev",
}
BERKELEY = [number.to_bytes(4, order) for order in ("little", "big") for number in (0x61561, 0x53162)]
GNU = [number.to_bytes(4, sys.byteorder) for number in (0x13579ACD, 0x13579ACE, 0x13579ACF)]


def _head(path: str) -> bytes:
    with suppress(OSError), open(path, "rb") as file:
        return file.read(16)
    return b""


def find_old(base: str) -> tuple[str, list[str]]:
    """Return the module and the files, the telling one last, of a database of another flavour, or ("", []).

    `dbm.whichdb` won't do: it doesn't know the flavours that the Python at hand has no module for.
    """
    if exists(base + ".pag"):
        return "dbm.ndbm", [base + ".dir", base + ".pag"]
    berkeley, main = _head(base + ".db"), _head(base)
    if berkeley[:4] in BERKELEY or berkeley[12:] in BERKELEY:
        return "dbm.ndbm", [base + ".db"]
    if main == b"SQLite format 3\0":
        return "dbm.sqlite3", [base + "-wal", base + "-shm", base]
    if main[:4] in GNU:
        return "dbm.gnu", [base]
    return "unknown" if exists(base) else "", []


@contextmanager
def open_old(base: str, flavour: str) -> Iterator[Any]:
    """Open a database of another flavour for reading; failures are OSErrors, those of its module included."""
    if flavour == "unknown":
        raise ShelfError(f"{base} is no database that Python's dbm knows; move it away or use another name")
    try:
        module = importlib.import_module(flavour)
    except ImportError as error:
        source = SOURCES[flavour]
        raise ShelfError(f"{base} is a {flavour} database, and this Python lacks {error.name}; {source}") from error
    with closing(module.open(base, "r")) as old:
        yield old


def remove_files(paths: list[str]) -> None:
    """Delete, in this order, those that are there."""
    for path in paths:
        with suppress(FileNotFoundError):
            os.unlink(path)
