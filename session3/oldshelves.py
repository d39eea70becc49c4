"""Databases of the other flavours of `dbm`, which a shelf reads as they are, until its first write converts them.

>>> find_old("no-such-file")
('', [])
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

from session3.disk import exists
from session3.dumbfile import ShelfError

#: Where a flavour's module comes from when the Python at hand is without it.
SOURCES = {
    "dbm.gnu": "on Debian: apt install python3-gdbm, or libgdbm-dev before building your own Python",
    "dbm.ndbm": "Debian's python3 has it; before building your own Python: apt install libdb-dev",
    "dbm.sqlite3": "it needs Python 3.13 or newer, built after: apt install libsqlite3-dev",
}
BERKELEY = [number.to_bytes(4, order) for order in ("little", "big") for number in (0x61561, 0x53162)]
GNU = [number.to_bytes(4, sys.byteorder) for number in (0x13579ACD, 0x13579ACE, 0x13579ACF)]


def real_base(base: str) -> str:
    """Return what a shelf's name leads to where it is a link: what takes the place of a database goes beside it."""
    for end in ("", ".db", ".pag"):
        if os.path.islink(base + end):
            real = os.path.realpath(base + end)
            if real.endswith(end):
                return real[: len(real) - len(end)]
    return base


def _head(path: str) -> bytes:
    # Only these are absence: a disk that can't be read says nothing of what is there.
    with suppress(FileNotFoundError, IsADirectoryError), open(path, "rb") as file:
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
