"""The files in a folder of sessions that are no two-slot files: those of session3 3.4.1, and damaged ones.

>>> import tempfile
>>> with tempfile.NamedTemporaryFile() as file:  # empty, as a power cut may leave one
...     leftover(file.fileno(), file.name).payload
b''
"""

import os

from .. import slotformat, slots
from ..record import Record

#: How the files of session3 3.4.1 start, a bare pickle of protocol 4, and how many characters are in their names.
UPSTREAM, UPSTREAM_NAME = b"\x80\x04", 11


def read_upstream(path: str) -> Record | None:
    """Return what a file of 3.4.1 holds; None if it is none. Raises OSError."""
    with open(path, "rb") as file:
        payload, stat = file.read(), os.fstat(file.fileno())
    if not payload.startswith(UPSTREAM):
        return None
    return Record(payload, stat.st_mtime_ns, stat.st_mtime, stat.st_mtime, stat.st_mtime)


def leftover(fd: int, name: str, *, reads_upstream: bool = True) -> Record | None:
    """Return for a file of ours that is damaged, or of 3.4.1, a record as old as the file; None if it is another's.

    A file that was never a session's, in a folder that was given by mistake, has hardly the mode of ours, and starts
    otherwise.
    """
    stat, is_upstream = os.fstat(fd), slotformat.pread(fd, len(UPSTREAM), 0) == UPSTREAM
    has_mark = stat.st_mode & 0o777 == slots.MODE or len(name) == UPSTREAM_NAME
    if (has_mark and (is_upstream or slotformat.may_be_slots(fd))) or (is_upstream and reads_upstream):
        return Record(b"", 0, stat.st_mtime, stat.st_mtime, stat.st_mtime, forward="")
    return None
