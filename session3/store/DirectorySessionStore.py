"""One file a session, in a folder.

>>> import tempfile
>>> from session3.Session import Session
>>> store = DirectorySessionStore(tempfile.mkdtemp())
>>> session = Session("example1")
>>> session.set_user("alice")
>>> store.save_session(session)
>>> store.load_session("example1").user
'alice'

Threads and processes: safe. Crash: a save that returned is there, a save that did not left the session as it was.
Files have mode 0600 and the folder 0700, or others where `mode` and `group` say so; a file's name is the session's id,
or with `hash_ids` its SHA-256. What else is in the folder is left alone, and so is a link. Hard links are not needed.
With `durable` a save and a delete survive a power cut, too: each waits for the disk.
A folder that session3 3.4.1 filled is read as it is, and each of its sessions is rewritten at its next save; not where
a `secret_key` or `encryption_key` is set, since its files bear no signature, unless `accepts` says so.
With `hash_ids` they keep their names.
"""

import contextlib
import itertools
import os
from collections.abc import Callable, Hashable, Iterator
from typing import Any

from .. import ids, slots
from ..access import access_of
from ..datafaults import is_of_signal
from ..Descriptor import opened
from ..disk import is_file, is_taken, make_folder, why_not_made
from ..errors import StoreUnavailable
from ..record import Record
from .directoryfiles import (
    UPSTREAM,
    check_folder,
    is_barred,
    is_nobody_elses,
    is_upstream,
    leftover,
    may_go,
    read_upstream,
)
from .directoryrecord import pack, pack_note, unpack
from .failures import unavailable, unavailable_on
from .places import file_place
from .RecordStore import RecordStore

_SAMPLE = 20  # files that a check tries to read: another user's may be among them


class DirectorySessionStore(RecordStore):
    """Keeps each session in a two-slot file (session3.slots). With `create` the folder is made at once.

    `mode` and `group`: of the files that it makes, for several users who share it (0o660 and a group that all are in);
    the folder is then the group's, too. What another user's file is replaced by keeps its mode and group.
    """

    _has_upstream = True
    is_multiprocess_safe = True
    is_thread_safe = True

    def __init__(
        self,
        directory: str | os.PathLike[str],
        create: bool = False,
        *,
        durable: bool = False,
        mode: int | None = None,
        group: str | int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.durable = durable
        self._access = access_of(mode, group)
        self.directory = os.path.abspath(directory)
        self._prefix = self.directory + os.sep
        if create:
            self._make_folder()

    def __repr__(self) -> str:
        return f"DirectorySessionStore({self.directory!r})"

    def place(self) -> Hashable | None:
        return file_place("directory", self.directory)

    def read(self, key: str) -> Record | None:
        path = self._prefix + key
        try:
            try:
                slot = slots.read(path)
                record = None if slot is None else unpack(slot)
            except slots.NotSlots:
                record = read_upstream(path) if self._reads_unsealed() else None
            if record is None and self._is_ours(key):
                self._report_damage(key, "no valid contents")
        except (FileNotFoundError, IsADirectoryError):
            return None
        except OSError as error:
            if is_of_signal(error):
                raise
            raise unavailable(self, error) from error
        return record

    @unavailable_on(OSError)
    def insert(self, key: str, record: Record) -> bool:
        try:
            is_new = self._create(key, record)
        except FileNotFoundError:
            self._make_folder()
            is_new = self._create(key, record)
        if not is_new and not self._is_ours(key):
            raise StoreUnavailable(f"{self!r} can't keep session {ids.short_hash(key)}: its name is another file's")
        return is_new

    @unavailable_on(OSError)
    def replace(self, key: str, record: Record, revision: int) -> bool:
        with self._writing(key) as file:
            if file is None or self._revision(file) != revision:
                return False
            file.overwrite(record.revision, pack(record))
            return True

    @unavailable_on(OSError)
    def remove(self, key: str, revision: int | None = None) -> bool:
        with self._writing(key) as file:
            if file is None or (revision is not None and self._revision(file) != revision):
                return False
            if file.slot is None:
                if not may_go(file.fd, key, self._access.mode):
                    return False
            elif unpack(file.slot).forward is not None:
                return False
            file.unlink()
            return True

    @unavailable_on(OSError)
    def touch(self, key: str, revision: int, accessed: float, expires: float | None) -> bool:
        with self._writing(key) as file:
            if file is None or file.slot is None or file.slot.revision != revision:
                return False
            touched = unpack(file.slot).touched(accessed, expires, self.clock())
            file.write_note(pack_note(touched))
            return True

    @unavailable_on(OSError)
    def scan(self) -> Iterator[tuple[str, Record]]:
        for key in filter(ids.is_id, self._names()):
            try:
                record = self.read(key)
            except StoreUnavailable:
                if not is_barred(self._prefix + key):
                    raise
            else:
                if record is not None:
                    yield key, record

    @unavailable_on(OSError)
    def sweep(self, unused_for: float | None) -> tuple[int, int]:
        now, deleted, left = self.clock(), 0, 0

        def sweep_one(key: str) -> None:
            nonlocal deleted, left
            record = self._look(key)
            if record is None:
                return
            if not record.is_due(now, unused_for):
                left += record.is_session(now)
                if record.is_ahead(now):
                    self.replace(key, record.set_right(now), record.revision)
            elif self._remove_if_due(key, now, unused_for):
                deleted += 1

        self._for_each(sweep_one)
        return deleted, left

    @unavailable_on(OSError)
    def create(self) -> None:
        self._make_folder()

    @unavailable_on(OSError)
    def check(self) -> None:
        self._access.check()
        path = os.path.realpath(self.directory)
        if not is_taken(path):
            if reason := why_not_made(path):
                raise StoreUnavailable(f"{self!r} can't be made: {reason}")
            return
        check_folder(path, self._access)
        for key in itertools.islice(filter(ids.is_id, self._names()), _SAMPLE):
            with contextlib.suppress(slots.NotSlots, FileNotFoundError):
                if not is_barred(self._prefix + key):
                    slots.read(self._prefix + key)

    @unavailable_on(OSError)
    def clear(self) -> None:
        def clear_one(key: str) -> None:
            if self._look(key) is None:
                return  # not even locked: another program may hold it for long
            with self._writing(key) as file:
                if file is not None and self._look_again(key, file) is not None:
                    file.unlink()

        self._for_each(clear_one)

    # -- files -------------------------------------------------------------------------------------------------------

    def _create(self, key: str, record: Record) -> bool:
        path, body = self._prefix + key, pack(record)
        return slots.create(path, record.revision, body, durable=self.durable, access=self._access)

    def _writing(self, key: str) -> slots.SlotFile:
        return slots.writing(self._prefix + key, durable=self.durable)

    def _make_folder(self) -> None:
        make_folder(self.directory, self._access, durable=self.durable)

    def _names(self) -> Iterator[str]:
        with contextlib.suppress(FileNotFoundError), os.scandir(self.directory) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):  # else it is somebody else's
                    yield entry.name

    def _for_each(self, act: Callable[[str], None]) -> None:
        """Call `act` with each key, and remove what killed writers left; the first error is raised at the end."""
        failure: Exception | None = None
        for name in self._names():
            try:
                if ids.is_id(name):
                    act(name)
                elif slots.is_temporary(name):
                    slots.sweep_temporary(self._prefix + name, is_ours=is_nobody_elses(name[1:-4]))
            except (OSError, StoreUnavailable) as error:
                if not is_barred(self._prefix + name):
                    failure = failure or error
        if failure is not None:
            raise failure

    def _look(self, key: str) -> Record | None:
        """Return what a sweep goes by, without a lock; None if it is not ours, or gone."""
        record = self.read(key)
        if record is None:
            with contextlib.suppress(FileNotFoundError):
                record = self._leftover(opened(self._prefix + key, slots.READ), key)
        return record

    def _is_ours(self, key: str) -> bool:
        """Tell whether what bears a name is a session's, if only a damaged one's."""
        path = self._prefix + key
        try:
            slots.read(path)
            return True
        except FileNotFoundError:
            return True
        except slots.NotSlots:
            return is_file(path) and may_go(opened(path, slots.READ), key, self._access.mode)

    def _look_again(self, key: str, file: slots.SlotFile | None) -> Record | None:
        """Return what a sweep goes by, now that the file is locked: it may have been used since.

        `read` would lock a damaged file, too, and wait for ourselves.
        """
        if file is None:
            return None
        return self._leftover(file.fd, key) if file.slot is None else unpack(file.slot)

    def _remove_if_due(self, key: str, now: float, unused_for: float | None) -> bool:
        with self._writing(key) as file:
            record = self._look_again(key, file)
            if file is None or record is None or not record.is_due(now, unused_for):
                return False
            file.unlink()
            return True

    # -- the files of session3 3.4.1 ---------------------------------------------------------------------------------

    def _leftover(self, fd: int, name: str) -> Record | None:
        return leftover(fd, name, self._access.mode, reads_upstream=self._reads_unsealed())

    def _revision(self, file: slots.SlotFile) -> int | None:
        if file.slot is not None:
            return file.slot.revision
        # A file of 3.4.1 has no revision but its time; one that is damaged has no live session to replace.
        is_old = file.starts_with(UPSTREAM) and is_upstream(file.fd, os.path.basename(file.path))
        return os.fstat(file.fd).st_mtime_ns if is_old else None
