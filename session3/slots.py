"""The two-slot file: one small file whose contents are replaced as a whole, in place.

Overwriting blocks that a file already has costs a few microseconds where a temporary file and a rename cost hundreds.
To make it atomic the file has two slots: a new body goes into the slot that is not the newest one, under a checksum
over all of it. Whoever is killed half-way leaves a slot that fails its checksum, and the other one is the newest.

A body that outgrows its slot goes into a new file, renamed over the old one. Writers lock the file itself and then
look whether it still bears its name; readers lock nothing, as a rule. Revisions must grow. Knows nothing of sessions.
No link is followed: under a name of ours it is somebody else's. A file system need not have hard links.

>>> import tempfile
>>> path = tempfile.mkdtemp() + "/file"
>>> create(path, 1, b"first")
True
>>> with writing(path) as file:
...     file.overwrite(2, b"second")
>>> read(path).body
b'second'
"""

import os
from contextlib import suppress

from .access import MODE, Access
from .Descriptor import Descriptor, opened
from .disk import NO_LINKS, is_file, is_taken, sync_folder, take_over
from .LockedFile import BINARY, NO_LINK, LockedFile, bears_name
from .slotformat import (
    NOTE_AT,
    NotSlots,
    Slot,
    View,
    is_start,
    look,
    new_file,
    pack_note,
    pack_slot,
    pread,
    pwrite,
)

__all__ = [
    "MODE",
    "READ",
    "TEMPORARY",
    "NotSlots",
    "Slot",
    "SlotFile",
    "create",
    "is_temporary",
    "read",
    "sweep_temporary",
    "temporary_name",
    "writing",
]

#: Prefix and suffix of the temporary name beside a file; a leading dot is no file of ours, and nobody else has this.
TEMPORARY = (".", ".2slots.new")
#: The suffix of release 4.0.0a1, which other programs use, too.
_FORMER = ".new"

#: How a file is opened to be read: no link is followed, and what is no file keeps nobody waiting.
READ = os.O_RDONLY | BINARY | NO_LINK
_OURS_ONLY = Access()


def read(path: str) -> Slot | None:
    """Return what the file holds; None if no slot is valid. Raises FileNotFoundError, NotSlots."""
    try:
        fd = opened(path, READ)
        view = look(fd)
    except FileNotFoundError:
        raise
    except OSError as error:
        if is_file(path):
            raise
        raise NotSlots from error
    if view.is_certain:
        return view.slot
    # Damaged, or writers were at both slots while we looked: with them held off it is certain.
    with _Held(path) as file:
        if file is None:
            raise FileNotFoundError(path)
        return file.slot


def create(path: str, revision: int, body: bytes, *, durable: bool = False, access: Access = _OURS_ONLY) -> bool:
    """Make a new file, whole or not at all; False if there is one. FileNotFoundError if its folder is missing.

    `durable`: it survives a power cut from the moment that this returns. `access`: who may use it.
    """
    data, folder = new_file(revision, body), os.path.dirname(path) or "."
    try:
        # A file without a name leaves no litter, whenever we are killed.
        fd = opened(folder, os.O_TMPFILE | os.O_RDWR)
    except FileNotFoundError:
        raise
    except (AttributeError, OSError):  # another platform, or a file system that can't
        return _create_by_name(path, data, durable, access)
    access.give(fd, folder)
    _write(fd, data, 0, durable)
    try:
        return _link_unnamed(fd, path, durable)
    except FileNotFoundError:  # no /proc
        return _create_by_name(path, data, durable, access)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        return _create_by_name(path, data, durable, access)


class SlotFile(LockedFile):
    """A file that is open and locked for writing; `slot` is what it holds, None if that is damaged or not ours.

    For one write: what is here is not brought up to date by it. `durable`: what was written, replaced or removed
    survives a power cut; not a note.
    """

    slot: Slot | None = None
    _view: View | None = None

    def __init__(self, path: str, *, durable: bool = False) -> None:
        super().__init__(path, NO_LINK)
        self._durable = durable

    def _look(self) -> None:
        self._view = self.slot = None
        try:
            self._view = look(self.fd)
            self.slot = self._view.slot
        except NotSlots:
            pass  # what it is instead is asked with `starts_with`

    def overwrite(self, revision: int, body: bytes) -> None:
        """Replace what the file holds; an error or a kill leaves it as it was."""
        place = None if self._view is None else self._view.place_for(body)
        if place is None:
            self._replace_file(new_file(revision, body))
            return
        if self._view is not None and self._view.is_far_too_large_for(body):
            with suppress(OSError):  # a full disk may have no place for another file, where this one has its own
                self._replace_file(new_file(revision, body))
                return
        _write(self.fd, pack_slot(revision, body), place, self._durable)

    def write_note(self, note: bytes) -> None:
        """Replace the note about the newest slot; there must be one. The next `overwrite` makes it void."""
        assert self.slot is not None
        _write(self.fd, pack_note(self.slot.revision, note), NOTE_AT)

    def starts_with(self, prefix: bytes) -> bool:
        """Tell how a file starts that is not ours."""
        return pread(self.fd, len(prefix), 0) == prefix

    def unlink(self) -> None:
        os.unlink(self.path)
        if self._durable:
            sync_folder(self.path)

    def _replace_file(self, data: bytes) -> None:
        temporary = temporary_name(self.path)
        if bears_name(self.fd, temporary):
            os.unlink(temporary)  # left by a create that was killed before it did this
        with LockedFile(temporary, os.O_CREAT | NO_LINK) as file:
            assert file is not None
            try:
                os.ftruncate(file.fd, 0)
                take_over(file.fd, os.fstat(self.fd))
                _write(file.fd, data, 0, self._durable)
                os.replace(temporary, self.path)
            finally:
                _remove_ours(file)  # on a full disk it would take what is left
            if self._durable:
                sync_folder(self.path)


class _Held(SlotFile):
    """A file that is locked while it is read; whoever may read it can do so."""

    _access = os.O_RDONLY


#: `with writing(path) as file`: a SlotFile, or None if there is no file.
writing = SlotFile


def sweep_temporary(path: str, *, is_ours: bool = False) -> None:
    """Remove a temporary file that a killed writer left; one that is in use stays, and so does somebody else's.

    `is_ours`: the caller knows it by its name, though it bears the suffix that others use, too.
    """
    is_ours = is_ours or path.endswith(TEMPORARY[1])
    with suppress(FileNotFoundError):
        # First without the lock: somebody else's file may be locked for long.
        if is_ours or is_start(opened(path, READ)):
            with LockedFile(path, NO_LINK) as file:
                if file is not None and (is_ours or is_start(file.fd)):
                    os.unlink(path)


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
                    _write(file.fd, data, 0, durable)
                    return _put_in_place(file, path, durable)
                # A second name of a finished file: who made it was killed before removing this one.
            finally:
                _remove_ours(file)


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


def _remove_ours(file: LockedFile) -> None:
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
    except FileExistsError:
        return False
    if durable:
        sync_folder(path)
    return True


def _write(fd: int, data: bytes, offset: int, durable: bool = False) -> None:
    written = pwrite(fd, data, offset)
    while written < len(data):  # a full disk writes a part, then raises
        written += pwrite(fd, data[written:], offset + written)
    if durable:
        os.fsync(fd)
