"""A file of Durus before Durus opens it: locked, and what a pack left behind undone.

>>> import tempfile
>>> from session3.durusstorages import import_durus
>>> import_durus()
>>> file = lock_file(tempfile.mkdtemp() + "/sessions.durus")
>>> len(file)
0
>>> file.close()
"""

import contextlib
import errno
import gc
import logging
import os
from collections.abc import Callable
from typing import Any, TypeVar

from .access import Access
from .disk import NO_LINKS, create_private, exists

log = logging.getLogger("session3")

T = TypeVar("T")

_OWNER_ONLY = Access()

#: What a file system says that has no locks, as a server's whose clients may not lock there.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


def create_file(path: str, access: Access) -> None:
    """Create an empty file if there is none."""
    with contextlib.suppress(FileExistsError):
        fd = create_private(path)
        try:
            access.give(fd, os.path.dirname(path))
        except BaseException:
            os.unlink(path)  # else it would be taken for one that somebody wanted so
            raise


def lock_file(path: str, access: Access = _OWNER_ONLY) -> Any:
    """Open a file, created if it must be, with Durus's own lock on it."""
    from durus.file import File

    while True:
        create_file(path, access)
        file = File(path)
        try:
            try_to_lock(path, file.obtain_lock)
            if exists(path) and os.path.samestat(os.fstat(file.file.fileno()), os.stat(path)):
                return file  # else a pack has replaced it meanwhile
        except BaseException:
            file.close()
            raise
        file.close()


def try_to_lock(path: str, take: Callable[[], T], *, busy: type[Exception] = OSError, opened: int = 1) -> T:
    """Return what `take` returns, which raises `busy` where somebody has the file; say who that is.

    `opened`: how often this process has the file open because it tries to.
    """
    try:
        return take()
    except busy as error:
        if getattr(error, "errno", None) in _NO_LOCKS:
            raise
        if not _is_open_here(path, opened):
            raise OSError(f"{path} is in use by another process") from error
    # A connection that a signal's exception kept from its owner holds the file until it is collected.
    gc.collect()
    try:
        return take()
    except busy as error:
        raise OSError(
            f"{path} is in use by this very process: whatever needs the file has to share one connection, or one store"
        ) from error


def _is_open_here(path: str, opened: int) -> bool:
    """Tell whether this process has a file open more often than that, where it can be told."""
    count = 0
    with contextlib.suppress(OSError):
        there = os.stat(path)
        for fd in map(int, os.listdir("/dev/fd")):
            with contextlib.suppress(OSError):
                count += os.path.samestat(os.fstat(fd), there)
    return count > opened


def undo_pack(path: str) -> None:
    """Bring back the file that a pack, killed between its two renames, had moved out of the way.

    By itself Durus would start an empty one.
    """
    from durus.file import File

    if not is_pack_interrupted(path):
        return
    with contextlib.ExitStack() as stack:
        for name in (path + ".prepack", path + ".pack"):
            file = File(name)
            stack.callback(file.close)
            try_to_lock(name, file.obtain_lock)  # a pack that is still alive holds it
        if is_pack_interrupted(path):
            _rename_to_nothing(path + ".prepack", path)
            log.warning("%s: a pack was interrupted; what it had moved to %s.prepack is back", path, path)


def _rename_to_nothing(old: str, new: str) -> None:
    """Rename a file whose lock is held; one that has come to bear the new name stays."""
    try:
        os.link(old, new)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if exists(new):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new) from error
        os.rename(old, new)  # between the two only a program that takes no lock could come
    else:
        os.unlink(old)


def is_pack_interrupted(path: str) -> bool:
    # A pack that is done leaves its .prepack, but no .pack.
    return not exists(path) and exists(path + ".prepack") and exists(path + ".pack")


def sweep_pack(path: str) -> None:
    """Remove what a killed pack had written by then; for who holds the lock of the file itself."""
    from durus.file import File

    if exists(path + ".pack"):
        file = File(path + ".pack")
        with contextlib.closing(file), contextlib.suppress(BlockingIOError):
            file.obtain_lock()
            os.unlink(path + ".pack")
