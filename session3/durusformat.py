"""The bytes of a Durus file (Shelf format), walked to find where the last whole transaction ends.

    8 bytes SHELF-1\\n | a transaction | the offset map | transactions that followed, one a commit

A transaction is its length and records. Durus writes a length of 0, then the records, then the length, and so does not
sync: of a killed process a zero length and any part of the records may be left, and of a dead machine anything.

>>> import struct
>>> record = struct.pack(">8sL", bytes(8), 5) + b"state"
>>> record = struct.pack(">Q8s", 8 + len(record), bytes(8)) + record
>>> whole = MAGIC + bytes(8) + struct.pack(">QQQ", 16, 8, 0) + struct.pack(">Q", len(record)) + record
>>> find_end(whole) == find_end(whole + bytes(8) + record[:30]) == len(whole)
True
"""

import errno
import logging
import os
import struct
import tempfile
from typing import BinaryIO

from .access import MODE
from .disk import take_over
from .slotformat import pread

log = logging.getLogger("session3")

MAGIC = b"SHELF-1\n"

_WINDOW = 1 << 20  # bytes that are read at once
_LENGTH = struct.Struct(">Q")
_RECORD = struct.Struct(">Q8s8sL")  # length of what follows, number, the number again, length of the state
_HEAD = len(MAGIC) + _LENGTH.size + 3 * _LENGTH.size  # of an empty file: an empty transaction and an empty map


class NotDurus(ValueError):
    """This is no file of Durus, or its head is damaged."""


class _Contents:
    """A file's bytes, read as they are asked for. Not mapped: a page that the disk can't read would end the process."""

    def __init__(self, fd: int, size: int) -> None:
        self._fd, self._size = fd, size
        self._held, self._start = b"", 0

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        start, stop = part.start or 0, min(part.stop, self._size)
        if start < self._start or stop > self._start + len(self._held):
            self._start, self._held = start, pread(self._fd, max(stop - start, _WINDOW), start)
        return self._held[start - self._start : stop - self._start]


def mend(file: BinaryIO) -> None:
    """Cut off what follows the last whole transaction, and keep a copy of it; the caller holds the file's lock.

    Raises OSError if this is no file of Durus, or its head, that is written once and whole, is damaged.
    """
    size = os.fstat(file.fileno()).st_size
    if size == 0:
        return
    data = _Contents(file.fileno(), size)
    try:
        end = find_end(data)
    except NotDurus as error:
        raise OSError(f"{file.name}: {error}") from error
    if end == size:
        return
    torn = data[end:size]
    _keep_copy(file.name, torn)
    file.seek(end)
    file.truncate()
    log.warning("%s: cut off %d bytes of a transaction that was never finished", file.name, len(torn))


def _keep_copy(name: str, torn: bytes) -> None:
    try:
        fd, copy = tempfile.mkstemp(prefix=os.path.basename(name) + ".torn.", dir=os.path.dirname(name))
        with open(fd, "wb") as kept:
            try:
                take_over(fd, os.stat(name))
                os.chmod(copy, MODE)  # whatever others may do with the file itself
                kept.write(torn)
            except OSError:
                os.unlink(copy)
                raise
    except OSError as error:
        # A zero length is the mark of a commit that did not return: nothing is lost with it. A full disk may well be
        # the reason why it did not, and must not keep the sessions from being read.
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or any(torn[: _LENGTH.size]):
            raise


def find_end(data: "_Contents | bytes") -> int:
    """Return where the last whole transaction ends; 0 if the process that created the file was killed in its head.

    Raises NotDurus if this is no such file, or its head is damaged.
    """
    size = len(data)
    if data[: len(MAGIC)] != MAGIC[:size]:
        raise NotDurus("this is no file of Durus, or one in its old format")
    end = _find_head_end(data, size)
    if end > size:
        if size < _HEAD and not any(data[len(MAGIC) : len(MAGIC) + _LENGTH.size]):
            return 0
        raise NotDurus("the head of this file is damaged")
    position = end
    while position < size:
        after = _find_transaction_end(data, position, size)
        if after is None:
            return end
        if after > position + _LENGTH.size:
            end = after  # what was torn starts with a zero length, but so does an empty one, which a pack may write
        position = after
    return size


def _find_head_end(data: "_Contents | bytes", size: int) -> int:
    position = len(MAGIC)
    for _ in range(2):  # the first transaction, and the offset map
        if position + _LENGTH.size > size:
            return size + 1
        position += _LENGTH.size + _LENGTH.unpack(data[position : position + _LENGTH.size])[0]
    return position


def _find_transaction_end(data: "_Contents | bytes", start: int, size: int) -> int | None:
    """Return the end of the transaction that starts here; None if it is not whole."""
    position = start + _LENGTH.size
    if position > size:
        return None
    end = int(position + _LENGTH.unpack(data[start:position])[0])
    if end > size:
        return None
    while position < end:
        if position + _RECORD.size > end:
            return None
        length, number, again, state = _RECORD.unpack(data[position : position + _RECORD.size])
        references = length - (_RECORD.size - _LENGTH.size) - state
        # The number is there twice: without that, the records that follow a zero length could pass for transactions.
        if number != again or references < 0 or references % 8:
            return None
        position += _LENGTH.size + length
    return end if position == end else None
