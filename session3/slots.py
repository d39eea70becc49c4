"""The two-slot file: one small file whose contents are replaced as a whole, in place.

Overwriting blocks that a file already has costs a few microseconds where a temporary file and a rename cost hundreds.
To make it atomic the file has two slots: a new body goes into the slot that is not the newest one, under a checksum
over all of it. Whoever is killed half-way leaves a slot that fails its checksum, and the other one is the newest.

A body that outgrows its slot goes into a new file, renamed over the old one. Writers lock the file itself and then
look whether it still bears its name; readers lock nothing, as a rule. Revisions must grow. Knows nothing of sessions.

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

from . import locks
from .disk import sync_folder
from .LockedFile import BINARY, MODE, LockedFile, bears_name
from .slotformat import NOTE_AT, NotSlots, Slot, View, look, new_file, pack_note, pack_slot, pread, pwrite

__all__ = [
    "MODE",
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

#: Prefix and suffix of the temporary name beside a file; a leading dot is no file of ours.
TEMPORARY = (".", ".new")


def read(path: str) -> Slot | None:
    """Return what the file holds; None if no slot is valid. Raises FileNotFoundError, NotSlots."""
    fd = os.open(path, os.O_RDONLY | BINARY)
    try:
        view = look(fd)
        if not view.is_certain:
            # Damaged, or writers were at both slots while we looked: with them held off it is certain.
            with locks.locked(fd):
                view = look(fd)
        return view.slot
    finally:
        os.close(fd)


def create(path: str, revision: int, body: bytes, *, durable: bool = False) -> bool:
    """Make a new file, whole or not at all; False if there is one. FileNotFoundError if its folder is missing.

    `durable`: it survives a power cut from the moment that this returns.
    """
    data = new_file(revision, body)
    try:
        # A file without a name leaves no litter, whenever we are killed.
        fd = os.open(os.path.dirname(path) or ".", os.O_TMPFILE | os.O_RDWR, MODE)
    except FileNotFoundError:
        raise
    except (AttributeError, OSError):  # another platform, or a file system that can't
        return _create_by_name(path, data, durable)
    try:
        _write(fd, data, 0, durable)
        return _link_unnamed(fd, path, durable)
    except FileNotFoundError:  # no /proc
        return _create_by_name(path, data, durable)
    finally:
        os.close(fd)


class SlotFile(LockedFile):
    """A file that is open and locked for writing; `slot` is what it holds, None if that is damaged or not ours.

    For one write: what is here is not brought up to date by it. `durable`: what was written, replaced or removed
    survives a power cut; not a note.
    """

    slot: Slot | None = None
    _view: View | None = None

    def __init__(self, path: str, *, durable: bool = False) -> None:
        super().__init__(path)
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
        # Of two slots with one revision none is the newest: what is only spelled anew goes into a new file.
        is_anew = self.slot is not None and self.slot.revision == revision
        place = None if self._view is None or is_anew else self._view.place_for(body)
        if place is None:
            self._replace_file(new_file(revision, body))
        else:
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
        with LockedFile(temporary, os.O_CREAT) as file:
            assert file is not None
            try:
                os.ftruncate(file.fd, 0)
                _write(file.fd, data, 0, self._durable)
                os.replace(temporary, self.path)
            except BaseException:
                os.unlink(temporary)  # on a full disk it would take what is left
                raise
            if self._durable:
                sync_folder(self.path)


#: `with writing(path) as file`: a SlotFile, or None if there is no file.
writing = SlotFile


def sweep_temporary(path: str) -> None:
    """Remove a temporary file that a killed writer left; one that is in use stays."""
    with LockedFile(path) as file:
        if file is not None:
            os.unlink(path)


def is_temporary(name: str) -> bool:
    """Tell whether a name, without its folder, is a temporary one."""
    return name.startswith(TEMPORARY[0]) and name.endswith(TEMPORARY[1])


def temporary_name(path: str) -> str:
    """Return the one temporary name of a file: what killed writers leave is at most one file each."""
    folder, name = os.path.split(path)
    return os.path.join(folder, TEMPORARY[0] + name + TEMPORARY[1])


def _create_by_name(path: str, data: bytes, durable: bool) -> bool:
    temporary = temporary_name(path)
    while True:
        with LockedFile(temporary, os.O_CREAT) as file:
            assert file is not None
            try:
                if os.fstat(file.fd).st_nlink == 1:
                    os.ftruncate(file.fd, 0)
                    _write(file.fd, data, 0, durable)
                    return _linked(temporary, path, durable)
                # A second name of a finished file: who made it was killed before removing this one.
            finally:
                os.unlink(temporary)


def _link_unnamed(fd: int, path: str, durable: bool) -> bool:
    # What is in /proc is a symbolic link, and only with a folder's descriptor does Python ask to follow it.
    folder = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY)
    try:
        return _linked(str(fd), path, durable, folder)
    finally:
        os.close(folder)


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
