"""Questions and orders to the disk that the standard library has no single word for."""

import os
from contextlib import suppress


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
