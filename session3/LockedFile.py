"""The file that bears a name, open and locked.

>>> import tempfile
>>> path = tempfile.mkdtemp() + "/file"
>>> with LockedFile(path, os.O_CREAT) as file:
...     os.write(file.fd, b"nobody else is in here")
22
"""

import io
import os
from typing import TypeVar
from weakref import WeakSet

from . import locks
from .access import MODE
from .disk import is_file

Self = TypeVar("Self", bound="LockedFile")

BINARY = getattr(os, "O_BINARY", 0)  # Windows would translate line ends
#: A link under a name that only we give is somebody else's; and what is no file keeps nobody waiting.
NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


# A class, since a generator as a context manager costs several microseconds of the fifteen that a write takes.
class LockedFile:
    """Opens and locks the file that bears a name now, as a context manager; None if none does. `fd`: its descriptor.

    A file object owns the descriptor: where a signal's exception comes before `__exit__`, the lock goes when this does.
    A child that is forked meanwhile has neither: with its copy of the descriptor the lock would outlive us.
    """

    fd = -1
    _access = os.O_RDWR
    _file: io.FileIO | None = None

    def __init__(self, path: str, flags: int = 0, mode: int = MODE) -> None:
        self.path = path
        self._flags = flags
        self._mode = mode

    def __enter__(self: Self) -> Self | None:
        while True:
            try:
                self._file = _opened(self.path, self._access | BINARY | self._flags, self._mode)
            except FileNotFoundError:
                if self._flags & os.O_CREAT:
                    raise  # it would have been created: the folder is missing
                return None
            except OSError:
                if self._flags != NO_LINK or is_file(self.path):
                    raise
                return None  # what bears the name is somebody else's
            try:
                self.fd = self._file.fileno()
                _open.add(self)
                locks.lock(self.fd)
                # While we waited the file may have been replaced or removed.
                if bears_name(self.fd, self.path):
                    self._look()
                    return self
            except OSError:
                self.__exit__()
                if self._flags != NO_LINK or is_file(self.path):
                    raise
                return None  # a pipe under our name
            except BaseException:
                self.__exit__()
                raise
            self.__exit__()

    def _look(self) -> None:
        """Called with the file open and locked."""

    def __exit__(self, *exception: object) -> None:
        file, self._file, self.fd = self._file, None, -1
        if file is not None:
            try:
                # Unlocked, not only closed: a child that was forked behind Python's back has the descriptor too.
                locks.unlock(file.fileno())
            finally:
                file.close()

    def _forget(self) -> None:
        """Close the parent's file in a forked child, which must not free the lock."""
        file, self._file, self.fd = self._file, None, -1
        if file is not None:
            file.close()


def _opened(path: str, flags: int, mode: int) -> io.FileIO:
    # By C alone: a signal's exception between two steps of Python's would leave a descriptor open that nobody owns.
    how = "rb" if flags & os.O_RDWR == 0 else "r+b"
    return next(map(io.FileIO, map(os.open, (path,), (flags,), (mode,)), (how,)))


_open: "WeakSet[LockedFile]" = WeakSet()  # weak, so that what is forgotten lets go of its lock


def _forget_all() -> None:
    for file in list(_open):
        file._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


def bears_name(fd: int, path: str) -> bool:
    try:
        there = os.stat(path)
    except FileNotFoundError:
        there = None
    if there is None:
        return False
    here = os.fstat(fd)
    return here.st_ino == there.st_ino and here.st_dev == there.st_dev
