"""The two-slot file: one small file whose contents are replaced as a whole, in place.

Overwriting blocks that a file already has costs a few microseconds where a temporary file and a rename cost hundreds.
To make it atomic the file has two slots: a new body goes into the slot that is not the newest one, under a checksum
over all of it. Whoever is killed half-way leaves a slot that fails its checksum, and the other one is the newest.

    0       magic, slot size, and the note: a few bytes about the newest slot that can change without it
    4096    slot 0: revision, length, checksum, body
    4096+n  slot 1

A body that outgrows its slot goes into a new file, renamed over the old one. Writers lock the file itself and then
look whether it still bears its name; readers lock nothing. Revisions must grow. Knows nothing of sessions.
"""

import contextlib
import os
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from . import locks

_MAGIC = b"2slots\r\n"
_BLOCK = 4096
_FILE_HEAD = struct.Struct("<8sI")
_SLOT_HEAD = struct.Struct("<QII")  # revision, length of the body, CRC-32 of both and the body
_NOTE_HEAD = struct.Struct("<QHI")  # revision of the slot it is about, length, CRC-32 of both and the note
_NOTE_AT = 64
MAX_NOTE = 128
_FIRST_READ = 4 * _BLOCK  # takes a whole file of two one-block slots; a larger buffer costs more than a second read
_MODE = 0o600
#: Prefix and suffix of the temporary name beside a file; a leading dot is no file of ours.
TEMPORARY = (".", ".new")


class Slot(NamedTuple):
    """What a file holds: its newest valid slot, and the note about that slot, if there is one."""

    revision: int
    body: bytes
    note: bytes | None


class NotSlots(Exception):
    """The file is not a two-slot file."""


def read(path: str) -> Slot | None:
    """Return what the file holds; None if no slot is valid. Raises FileNotFoundError, NotSlots."""
    seen = b""
    fd = os.open(path, os.O_RDONLY | _BINARY)
    try:
        while True:
            data = _pread(fd, _FIRST_READ, 0)
            newest = _newest(fd, data)
            # Two writers in a row may have been at both slots while we read; bytes that stay the same are damaged.
            if newest is not None or data == seen:
                return None if newest is None else newest.slot
            seen = data
    finally:
        os.close(fd)


def create(path: str, revision: int, body: bytes) -> bool:
    """Make a new file, whole or not at all; False if there is one."""
    data = _new_file(revision, body)
    folder, name = os.path.split(path)
    try:
        fd = os.open(folder, os.O_TMPFILE | os.O_RDWR, _MODE)
    except (AttributeError, IsADirectoryError, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        return _create_by_name(path, data)
    try:
        _write(fd, data, 0)
        return _link(f"/proc/self/fd/{fd}", path)
    finally:
        os.close(fd)


class SlotFile:
    """A file that is open and locked for writing; `slot` is what it holds, None if that is damaged or not ours."""

    def __init__(self, fd: int, path: str) -> None:
        self.fd = fd
        self.path = path
        self.size = 0
        self._next = 0
        self.slot: Slot | None = None
        with contextlib.suppress(NotSlots):
            data = _pread(fd, _FIRST_READ, 0)
            self.size = _slot_size(data)
            newest = _newest(fd, data)
            if newest is not None:
                self.slot, self._next = newest.slot, 1 - newest.number

    def overwrite(self, revision: int, body: bytes) -> None:
        """Replace what the file holds; an error or a kill leaves it as it was."""
        if _SLOT_HEAD.size + len(body) <= self.size:
            _write(self.fd, _slot(revision, body), _BLOCK + self._next * self.size)
        else:
            self._replace_file(_new_file(revision, body))

    def write_note(self, note: bytes) -> None:
        """Replace the note about the newest slot; there must be one. The next `overwrite` makes it void."""
        assert self.slot is not None and len(note) <= MAX_NOTE
        head = _NOTE_HEAD.pack(self.slot.revision, len(note), _checksum(self.slot.revision, note))
        _write(self.fd, head + note, _NOTE_AT)

    def starts_with(self, prefix: bytes) -> bool:
        """Tell how a file starts that is not ours."""
        return _pread(self.fd, len(prefix), 0) == prefix

    def unlink(self) -> None:
        os.unlink(self.path)

    def _replace_file(self, data: bytes) -> None:
        temporary = temporary_name(self.path)
        with _opened(temporary, os.O_CREAT) as fd:
            assert fd is not None
            os.ftruncate(fd, 0)
            _write(fd, data, 0)
            os.replace(temporary, self.path)


@contextlib.contextmanager
def writing(path: str) -> Iterator[SlotFile | None]:
    """Open and lock a file for writing; None if there is none."""
    with _opened(path) as fd:
        yield None if fd is None else SlotFile(fd, path)


def sweep_temporary(path: str) -> None:
    """Remove a temporary file that a killed writer left; one that is in use stays."""
    with _opened(path) as fd:
        if fd is not None:
            os.unlink(path)


def temporary_name(path: str) -> str:
    """Return the one temporary name of a file: what killed writers leave is at most one file each."""
    folder, name = os.path.split(path)
    return os.path.join(folder, TEMPORARY[0] + name + TEMPORARY[1])


# -- files -----------------------------------------------------------------------------------------------------------

_BINARY = getattr(os, "O_BINARY", 0)  # Windows would translate line ends

if hasattr(os, "pread"):
    _pread, _pwrite = os.pread, os.pwrite
else:  # Windows; no descriptor here is shared, so its position is ours

    def _pread(fd: int, length: int, offset: int) -> bytes:
        os.lseek(fd, offset, os.SEEK_SET)
        return os.read(fd, length)

    def _pwrite(fd: int, data: bytes, offset: int) -> int:  # type: ignore[misc]
        os.lseek(fd, offset, os.SEEK_SET)
        return os.write(fd, data)


@contextlib.contextmanager
def _opened(path: str, flags: int = 0) -> Iterator[int | None]:
    """Open and lock the file that bears a name now; None if none does."""
    while True:
        try:
            fd = os.open(path, os.O_RDWR | _BINARY | flags, _MODE)
        except FileNotFoundError:
            yield None
            return
        try:
            locks.lock(fd)
            # While we waited the file may have been replaced or removed.
            if _bears_name(fd, path):
                yield fd
                return
        finally:
            os.close(fd)


def _bears_name(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def _create_by_name(path: str, data: bytes) -> bool:
    temporary = temporary_name(path)
    with _opened(temporary, os.O_CREAT) as fd:
        assert fd is not None
        os.ftruncate(fd, 0)
        try:
            _write(fd, data, 0)
            return _link(temporary, path)
        finally:
            os.unlink(temporary)


def _link(source: str, path: str) -> bool:
    try:
        # A source in /proc is a symbolic link, and only with a folder's descriptor does Python ask to follow it.
        folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    except AttributeError:
        folder = None
    try:
        if folder is None:
            os.link(source, path)
        else:
            os.link(source, path, src_dir_fd=folder, follow_symlinks=True)
    except FileExistsError:
        return False
    finally:
        if folder is not None:
            os.close(folder)
    return True


def _write(fd: int, data: bytes, offset: int) -> None:
    written = _pwrite(fd, data, offset)
    while written < len(data):  # a full disk writes a part, then raises
        written += _pwrite(fd, data[written:], offset + written)


# -- the format ------------------------------------------------------------------------------------------------------


class _Newest(NamedTuple):
    number: int
    slot: Slot


def _new_file(revision: int, body: bytes) -> bytes:
    slot = _slot(revision, body)
    size = -(-len(slot) * 5 // 4 // _BLOCK) * _BLOCK  # room to grow by a quarter, in whole blocks
    return _FILE_HEAD.pack(_MAGIC, size).ljust(_BLOCK, b"\0") + slot


def _slot(revision: int, body: bytes) -> bytes:
    return _SLOT_HEAD.pack(revision, len(body), _checksum(revision, body)) + body


def _checksum(revision: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(struct.pack("<QI", revision, len(body))))


def _slot_size(data: bytes) -> int:
    if len(data) < _BLOCK or not data.startswith(_MAGIC):
        raise NotSlots
    size: int = _FILE_HEAD.unpack_from(data)[1]
    return size


def _newest(fd: int, data: bytes) -> _Newest | None:
    """Return the newest valid slot of a file whose first bytes are `data`."""
    size = _slot_size(data)
    heads = []
    for number in (0, 1):
        offset = _BLOCK + number * size
        head = data[offset : offset + _SLOT_HEAD.size] or _pread(fd, _SLOT_HEAD.size, offset)
        if len(head) == _SLOT_HEAD.size:
            heads.append((*_SLOT_HEAD.unpack(head), number))
    for revision, length, checksum, number in sorted(heads, reverse=True):
        start = _BLOCK + number * size + _SLOT_HEAD.size
        if length > size - _SLOT_HEAD.size:
            continue
        body = data[start : start + length]
        if len(body) < length:
            body = _pread(fd, length, start)
        if len(body) == length and _checksum(revision, body) == checksum:
            return _Newest(number, Slot(revision, body, _note(data, revision)))
    return None


def _note(data: bytes, revision: int) -> bytes | None:
    about, length, checksum = _NOTE_HEAD.unpack_from(data, _NOTE_AT)
    start = _NOTE_AT + _NOTE_HEAD.size
    note = data[start : start + length]
    return note if about == revision and length <= MAX_NOTE and _checksum(revision, note) == checksum else None
