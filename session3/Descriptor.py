"""The number of an open file, as os.open returns it, that can't be left open.

>>> fd = opened(os.devnull, os.O_RDONLY)
>>> os.read(fd, 1)
b''
"""

import functools
import os

from .access import MODE


class Descriptor(int):
    """Closes its file as the last reference to it goes.

    By C alone, as it is made: between two steps of Python's a signal's exception may come, and what has only a number
    then would stay open for ever. A file object does the same, and asks the system about the file first.
    """

    __slots__ = ()

    # Not os.close itself: that is no method, and would not be given which one to close.
    __del__ = functools.lru_cache(maxsize=0)(os.close)


def opened(path: str, flags: int, mode: int = MODE) -> Descriptor:
    """Open a file as os.open does."""
    return next(map(Descriptor, map(os.open, (path,), (flags,), (mode,))))
