"""New files, whole or not at all: written without a name, or under one that is temporary, and put in place.

>>> import tempfile
>>> path = tempfile.mkdtemp() + "/file"
>>> make(path, b"all of it", False, Access()), make(path, b"too late", False, Access())
(True, False)
>>> os.listdir(os.path.dirname(path))
['file']
"""

import os

from .access import Access
from .Descriptor import Descriptor, opened
from .disk import NO_LINKS, is_taken, sync_folder
from .LockedFile import NO_LINK, LockedFile, bears_name
from .slotformat import pwrite

#: Prefix and suffix of the temporary name beside a file; a leading dot is no file of ours, and nobody else has this.
TEMPORARY = (".", ".2slots.new")
#: The suffix of release 4.0.0a1, which other programs use, too.
_FORMER = ".new"


def make(path: str, data: bytes, durable: bool, access: Access) -> bool:
    """Make a file; False if there is one. FileNotFoundError if its folder is missing."""
    folder = os.path.dirname(path) or "."
    try:
        # A file without a name leaves no litter, whenever we are killed.
        fd = opened(folder, os.O_TMPFILE | os.O_RDWR)
    except FileNotFoundError:
        raise
    except (AttributeError, OSError):  # another platform, or a file system that can't
        return _create_by_name(path, data, durable, access)
    access.give(fd, folder)
    write(fd, data, 0, durable)
    try:
        return _link_unnamed(fd, path, durable)
    except FileNotFoundError:  # no /proc
        return _create_by_name(path, data, durable, access)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        return _create_by_name(path, data, durable, access)


def is_temporary(name: str) -> bool:
    """Tell whether a name, without its folder, can be a temporary one."""
    return name.startswith(TEMPORARY[0]) and name.endswith((TEMPORARY[1], _FORMER))


def temporary_name(path: str) -> str:
    """Return the one temporary name of a file: what killed writers leave is at most one file each."""
    folder, name = os.path.split(path)
    return os.path.join(folder, TEMPORARY[0] + name + TEMPORARY[1])


def _create_by_name(path: str, data: bytes, durable: bool, access: Access) -> bool:
    temporary = temporary_name(path)
    while True:
        with LockedFile(temporary, os.O_CREAT | NO_LINK, access.mode) as file:
            assert file is not None
            try:
                if not bears_name(file.fd, path):
                    os.ftruncate(file.fd, 0)
                    access.give(file.fd, os.path.dirname(path) or ".")
                    write(file.fd, data, 0, durable)
                    return _put_in_place(file, path, durable)
                # A second name of a finished file: who made it was killed before removing this one.
            finally:
                remove_unplaced(file)


def _put_in_place(file: LockedFile, path: str, durable: bool) -> bool:
    try:
        return _linked(file.path, path, durable)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
    # Who creates a file of this name holds this lock, and who replaces one has found it there.
    if is_taken(path):
        return False
    os.rename(file.path, path)
    if durable:
        sync_folder(path)
    return True


def remove_unplaced(file: LockedFile) -> None:
    """Remove a temporary file, unless it was put in place: then another writer may have made one of this name."""
    if bears_name(file.fd, file.path):
        os.unlink(file.path)


def _link_unnamed(fd: Descriptor, path: str, durable: bool) -> bool:
    # What is in /proc is a symbolic link, and only with a folder's descriptor does Python ask to follow it.
    return _linked(str(int(fd)), path, durable, opened("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY))


def _linked(source: str, path: str, durable: bool, folder: int | None = None) -> bool:
    try:
        if folder is None:
            os.link(source, path)
        else:
            os.link(source, path, src_dir_fd=folder, follow_symlinks=True)
        is_new = True
    except FileExistsError:
        is_new = False
    if is_new and durable:
        sync_folder(path)
    return is_new


def write(fd: int, data: bytes, offset: int, durable: bool = False) -> None:
    """Write all of it at an offset; `durable`: and wait for the disk."""
    written = pwrite(fd, data, offset)
    while written < len(data):  # a full disk writes a part, then raises
        written += pwrite(fd, data[written:], offset + written)
    if durable:
        os.fsync(fd)
