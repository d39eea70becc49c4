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
from .Descriptor import opened
from .disk import is_file, sync_folder, take_over
from .LockedFile import BINARY, NO_LINK, LockedFile, bears_name
from .newfiles import TEMPORARY, is_temporary, make, remove_unplaced, temporary_name, write
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
    return make(path, new_file(revision, body), durable, access)


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
        write(self.fd, pack_slot(revision, body), place, self._durable)

    def write_note(self, note: bytes) -> None:
        """Replace the note about the newest slot; there must be one. The next `overwrite` makes it void."""
        assert self.slot is not None
        write(self.fd, pack_note(self.slot.revision, note), NOTE_AT)

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
                write(file.fd, data, 0, self._durable)
                os.replace(temporary, self.path)
            finally:
                remove_unplaced(file)  # on a full disk it would take what is left
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
