"""Questions and orders to the disk that the standard library has no single word for."""

import errno
import os
import stat
from contextlib import suppress

from .access import Access
from .Descriptor import Descriptor, opened

#: What a file system says that has no hard links, or not here.
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)


def sync_folder(path: str) -> None:
    """Make the names in the file's folder survive a power cut."""
    if os.name == "posix":  # elsewhere a folder can't be opened
        os.fsync(opened(os.path.dirname(path) or ".", os.O_RDONLY))


def make_folder(path: str, access: Access, *, durable: bool = False) -> None:
    """Make a folder that may be there already, and those above it; `durable`: their names survive a power cut."""
    path = os.path.realpath(path)  # a link may lead to what is not there yet
    above, new = os.path.dirname(path), [path]
    while durable and not exists(os.path.dirname(new[-1])):
        new.append(os.path.dirname(new[-1]))
    os.makedirs(above, exist_ok=True)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
    else:
        if os.name == "posix":
            access.give_folder(opened(path, os.O_RDONLY), above)
    if durable:
        for folder in reversed(new):
            sync_folder(folder)


def take_over(fd: int, old: os.stat_result) -> None:
    """Give a new file the owner, the group and the mode of the one that it replaces, as far as we may."""
    if not hasattr(os, "fchown"):
        return
    mode, new = stat.S_IMODE(old.st_mode), os.fstat(fd)
    try:
        if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
            os.fchown(fd, old.st_uid, old.st_gid)
    except PermissionError:  # only root gives files away; a member may still give it to the group
        try:
            os.fchown(fd, -1, old.st_gid)
        except PermissionError:
            mode &= ~0o070  # it would be another group's
    if stat.S_IMODE(new.st_mode) != mode:
        os.fchmod(fd, mode)


def exists(path: str) -> bool:
    """Tell whether a file is there. OSError where that can't be told: no permission is no absence."""
    try:
        os.stat(path)
        is_there = True
    except FileNotFoundError:
        is_there = False
    return is_there


def is_file(path: str) -> bool:
    """Tell whether this is a file itself: no link to one, no folder, nothing of another kind. OSError if missing."""
    return stat.S_ISREG(os.lstat(path).st_mode)


def is_taken(path: str) -> bool:
    """Tell whether anything bears this name, and be it a link that leads nowhere. OSError as `exists`."""
    try:
        os.lstat(path)
        is_there = True
    except FileNotFoundError:
        is_there = False
    return is_there


def why_not_made(path: str) -> str:
    """Return why a folder, and those above it, can't be made; else ""."""
    while not is_taken(os.path.dirname(path)):
        path = os.path.dirname(path)
    return why_not(path)


def why_not(path: str) -> str:
    """Return why a file can't be written, where that can be told, for a driver that does not say; else ""."""
    folder = os.path.dirname(path) or "."
    try:
        # Too many open files, no such folder, a failing disk. Not the file itself: to close it frees SQLite's locks.
        _ = [opened(folder, os.O_RDONLY) for _ in range(3)]  # as many as SQLite has open of a database
    except OSError as error:
        return f"{(error.strerror or str(error)).lower()}: {error.filename}"
    with suppress(AttributeError, OSError):  # another platform
        if (found := os.statvfs(folder)).f_flag & os.ST_RDONLY:
            return "the file system is read-only"
        if found.f_bavail == 0:
            return "no space left on device"
    is_refused = os.path.lexists(path) and not os.access(path, os.R_OK | os.W_OK)
    if is_refused or not os.access(folder, os.W_OK | os.X_OK):
        return "permission denied"
    return ""


def check_writable(path: str) -> None:
    """Raise OSError if a file, or its successor in the same folder, can't be written; makes nothing."""
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), folder)
    if why := why_not(path):
        raise PermissionError(errno.EACCES, why, path)


def create_private(path: str) -> Descriptor:
    """Create a file for its owner only, and return it, open to read and write. Raises FileExistsError."""
    return opened(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0))
