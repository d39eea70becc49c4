"""The bytes of a two-slot file (see slots.py, which keeps the files).

0       magic, slot size, and the note: a few bytes about the newest slot that can change without it
4096    slot 0: revision, length, checksum, body
4096+n  slot 1
"""

import os
import struct
import zlib
from typing import NamedTuple

from .tuples import maker

_MAGIC = b"2slots\r\n"
_BLOCK = 4096
_FILE_HEAD = struct.Struct("<8sI")
_FILE_HEAD_AND_NOTE = struct.Struct("<8sI52xQHI")
_SUMMED = struct.Struct("<QI")  # of a head, what its checksum is about besides the body: revision, length
_SLOT_HEAD = struct.Struct("<QII")  # these, and the CRC-32 of them and the body
_NOTE_HEAD = struct.Struct("<QHI")  # revision of the slot it is about, length, CRC-32 of both and the note
_MAY_STAY = 16 * _BLOCK  # bytes of a slot that is never too large
_FIRST_READ = 4 * _BLOCK  # takes a whole file of two one-block slots; a larger buffer costs more than a second read

NOTE_AT = 64
MAX_NOTE = 128


class NotSlots(Exception):
    """The file is not a two-slot file."""


class Slot(NamedTuple):
    """What a file holds: its newest valid slot, and the note about that slot, if there is one."""

    revision: int
    body: bytes
    note: bytes | None


class View(NamedTuple):
    """What one look at a file shows."""

    size: int  # of a slot, its head included
    number: int  # of the newest valid slot
    slot: Slot | None
    is_certain: bool  # also if writers are at work: this is what the file held when the look began, or later

    def place_for(self, body: bytes) -> int | None:
        """Return where the slot is that the next body goes into; None if it is too large."""
        return _BLOCK + (1 - self.number) * self.size if _SLOT_HEAD.size + len(body) <= self.size else None

    def is_far_too_large_for(self, body: bytes) -> bool:
        """Tell whether a file of its own is worth its while: one that would be an eighth of this one at most."""
        return self.size > _MAY_STAY and len(body) < self.size // 10


_slot, _view = maker(Slot), maker(View)


def new_file(revision: int, body: bytes) -> bytes:
    """Return the bytes of a file with one slot in use, and room for the body to grow by a quarter."""
    slot = pack_slot(revision, body)
    size = -(-len(slot) * 5 // 4 // _BLOCK) * _BLOCK
    return _FILE_HEAD.pack(_MAGIC, size).ljust(_BLOCK, b"\0") + slot


def pack_slot(revision: int, body: bytes) -> bytes:
    return _SLOT_HEAD.pack(revision, len(body), _checksum(revision, body)) + body


def pack_note(revision: int, note: bytes) -> bytes:
    assert len(note) <= MAX_NOTE
    return _NOTE_HEAD.pack(revision, len(note), _checksum(revision, note)) + note


def look(fd: int) -> View:
    """Look for the newest slot with a valid checksum. Raises NotSlots."""
    data = pread(fd, _FIRST_READ, 0)
    if len(data) < _BLOCK:
        raise NotSlots
    magic, size, *note_head = _FILE_HEAD_AND_NOTE.unpack_from(data)
    if magic != _MAGIC:
        raise NotSlots
    heads = []
    for number, offset in ((0, _BLOCK), (1, _BLOCK + size)):
        head = data[offset : offset + _SLOT_HEAD.size]
        if not head and len(data) == _FIRST_READ:  # else the file ends there
            head = pread(fd, _SLOT_HEAD.size, offset)
        if len(head) == _SLOT_HEAD.size:
            heads.append((*_SLOT_HEAD.unpack(head), number, head))
    heads.sort(reverse=True)  # the newest first
    for revision, length, checksum, number, head in heads:
        start = _BLOCK + number * size + _SLOT_HEAD.size
        body = data[start : start + length]
        if len(body) < length:
            body = _read_body(fd, start, length, size)
        if len(body) == length and _checksum(revision, body) == checksum:
            # The newer slot was torn by a kill; or it is being written for the second time since we read this one,
            # and then this one was overwritten in between.
            is_certain = head is heads[0][-1] or pread(fd, len(head), start - len(head)) == head
            note, is_whole = (None, True) if note_head[0] != revision else _note(data, *note_head)
            return _view((size, number, _slot((revision, body, note)), is_certain and is_whole))
    return View(size, 1, None, False)


def is_start(fd: int) -> bool:
    """Tell whether a file starts as one of ours."""
    return pread(fd, len(_MAGIC), 0) == _MAGIC


def may_be_slots(fd: int) -> bool:
    """Tell whether a damaged file can have been one of ours: it starts so, or with zeros, or is empty (a power cut)."""
    start = pread(fd, len(_MAGIC), 0)
    return start == _MAGIC or not start.strip(b"\0")


def _checksum(revision: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(_SUMMED.pack(revision, len(body))))


def _read_body(fd: int, start: int, length: int, size: int) -> bytes:
    # A damaged head can claim any length: none that the slot or the file does not have is asked for.
    is_possible = length <= size - _SLOT_HEAD.size and length <= os.fstat(fd).st_size
    return pread(fd, length, start) if is_possible else b""


def _note(data: bytes, revision: int, length: int, checksum: int) -> tuple[bytes | None, bool]:
    """Return the note about the slot with this revision, or None; and False if one is there but not whole."""
    start = NOTE_AT + _NOTE_HEAD.size
    note = data[start : start + length]
    is_whole = length <= MAX_NOTE and _checksum(revision, note) == checksum
    return (note if is_whole else None), is_whole


if hasattr(os, "pread"):
    pread, pwrite = os.pread, os.pwrite
else:  # Windows; no descriptor here is shared, so its position is ours

    def pread(fd: int, length: int, offset: int) -> bytes:
        os.lseek(fd, offset, os.SEEK_SET)
        return os.read(fd, length)

    def pwrite(fd: int, data: bytes, offset: int) -> int:  # type: ignore[misc]
        os.lseek(fd, offset, os.SEEK_SET)
        return os.write(fd, data)
