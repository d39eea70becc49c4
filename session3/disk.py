"""Questions and orders to the disk that the standard library has no single word for."""

import errno
import io
import os
import stat
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from .errors import ConfigurationError

PRIVATE = 0o600

_open_private = partial(os.open, mode=PRIVATE)


class FileAccess(NamedTuple):
    """Who may use the files that a store makes: permission bits, and a group's number; None: as by default."""

    mode: int | None = None
    gid: int | None = None


OWNER_ONLY = FileAccess()


def file_access(mode: int | None, group: str | int | None) -> FileAccess:
    """Check what a store was given as `mode=` and `group=`. Raises ConfigurationError."""
    if mode is not None and (type(mode) is not int or not 0 <= mode <= 0o777 or mode & PRIVATE != PRIVATE):
        raise ConfigurationError(f"mode must be permission bits that let the owner read and write, not {mode!r}")
    if group is None or (type(group) is int and group >= 0):
        return FileAccess(mode, group)
    if not isinstance(group, str):
        raise ConfigurationError(f"group must be a group's name or number, not {group!r}")
    try:
        import grp

        return FileAccess(mode, grp.getgrnam(group).gr_gid)
    except (ImportError, KeyError):
        raise ConfigurationError(f"there is no group {group!r} here") from None


def create_private(path: str) -> io.FileIO:
    """Create a file for the owner only, open to read and write. Raises FileExistsError.

    In one call that no signal can cut in two: a descriptor that belongs to no object yet would stay open for ever.
    """
    return io.FileIO(path, "x+", opener=_open_private)


def grant(fd: int, access: FileAccess) -> None:
    """Give a file that was just made to whom it is for. Raises OSError where this process may not do that."""
    if access.gid is not None and os.fstat(fd).st_gid != access.gid:
        os.fchown(fd, -1, access.gid)
    if access.mode is not None and stat.S_IMODE(os.fstat(fd).st_mode) != access.mode:
        os.fchmod(fd, access.mode)


def take_over(fd: int, old: os.stat_result) -> None:
    """Give a new file the owner, group and mode of the one whose place it takes, as far as this process may.

    Where it may not keep the group, the group that the file has instead gets no more than everybody.
    """
    if not hasattr(os, "fchown"):
        return  # Windows
    new, mode = os.fstat(fd), stat.S_IMODE(old.st_mode)
    if new.st_gid != old.st_gid:
        try:
            os.fchown(fd, -1, old.st_gid)
        except OSError:
            mode &= ~0o070 | (mode & 0o007) << 3
    if stat.S_IMODE(new.st_mode) != mode:
        os.fchmod(fd, mode)
    if new.st_uid != old.st_uid:
        with suppress(OSError):  # for root only
            os.fchown(fd, old.st_uid, -1)


def sync_folder(path: str) -> None:
    """Make the names in the file's folder survive a power cut."""
    if os.name == "posix":  # elsewhere a folder can't be opened
        fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def make_folder(path: str, mode: int, *, durable: bool = False) -> None:
    """Make a folder that may be there already, and those above it; `durable`: their names survive a power cut."""
    new = [path]
    while durable and not exists(os.path.dirname(new[-1]) or "."):
        new.append(os.path.dirname(new[-1]))
    os.makedirs(path, mode, exist_ok=True)
    if durable:
        for folder in reversed(new):
            sync_folder(folder)


def exists(path: str) -> bool:
    """Tell whether a file is there. OSError where that can't be told: no permission is no absence."""
    try:
        os.stat(path)
    except FileNotFoundError:
        return False
    return True


def why_not(path: str) -> str:
    """Return why a file can't be written, where that can be told, for a driver that does not say; else ""."""
    folder = os.path.dirname(path) or "."
    with suppress(AttributeError, OSError):  # another platform, or no such folder
        if os.statvfs(folder).f_flag & os.ST_RDONLY:
            return "the file system is read-only"
    if not os.access(path, os.R_OK | os.W_OK) or not os.access(folder, os.W_OK | os.X_OK):
        return "permission denied"
    return ""


def check_writable(path: str) -> None:
    """Raise OSError if a file, or its successor in the same folder, can't be written; makes nothing."""
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), folder)
    if not os.access(folder, os.W_OK | os.X_OK) or (exists(path) and not os.access(path, os.R_OK | os.W_OK)):
        raise PermissionError(errno.EACCES, why_not(path), path)
