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
Files have mode 0600 and the folder 0700; a file's name is the session's id, or with `hash_ids` its SHA-256.
With `durable` a save and a delete survive a power cut, too: each waits for the disk.
A folder that session3 3.4.1 filled is read as it is, and each of its sessions is rewritten at its next save; not where
a `secret_key` or `encryption_key` is set, since its files bear no signature. With `hash_ids` they keep their names.
"""

import contextlib
import os
import struct
from collections.abc import Callable, Iterator
from typing import Any, TypeGuard

from .. import ids, slots
from ..disk import make_folder
from ..errors import StoreUnavailable
from ..record import Record, pack_expires, record_of, unpack_expires
from .directoryfiles import UPSTREAM, UPSTREAM_NAME, leftover, read_upstream
from .failures import unavailable, unavailable_on
from .RecordStore import RecordStore
from .SessionRecords import Found

_HEAD = struct.Struct("<ddddHH")  # created, modified, accessed, expires; lengths of user key and forward plus one
_NOTE = struct.Struct("<dd")  # accessed, expires


class DirectorySessionStore(RecordStore):
    """Keeps each session in a two-slot file (session3.slots). With `create` the folder is made at once."""

    is_multiprocess_safe = True
    is_thread_safe = True

    def __init__(
        self, directory: str | os.PathLike[str], create: bool = False, *, durable: bool = False, **options: Any
    ) -> None:
        super().__init__(**options)
        self.durable = durable
        self.directory = os.path.abspath(directory)
        self._prefix = self.directory + os.sep
        if create:
            self._make_folder()

    def __repr__(self) -> str:
        return f"DirectorySessionStore({self.directory!r})"

    def read(self, key: str) -> Record | None:
        path = self._prefix + key
        try:
            try:
                slot = slots.read(path)
                record = None if slot is None else _unpack(slot)
            except slots.NotSlots:
                record = None if self.codec.is_sealed else read_upstream(path)
        except (FileNotFoundError, IsADirectoryError):
            return None
        except OSError as error:
            raise unavailable(self, error) from error
        if record is None:
            self._report_damage(key, "no valid contents")
        return record

    @unavailable_on(OSError)
    def insert(self, key: str, record: Record) -> bool:
        try:
            return self._create(key, record)
        except FileNotFoundError:
            self._make_folder()
            return self._create(key, record)

    @unavailable_on(OSError)
    def replace(self, key: str, record: Record, revision: int) -> bool:
        with self._writing(key) as file:
            if file is None or self._revision(file) != revision:
                return False
            file.overwrite(record.revision, _pack(record))
            return True

    @unavailable_on(OSError)
    def remove(self, key: str, revision: int | None = None) -> bool:
        with self._writing(key) as file:
            if file is None or (revision is not None and self._revision(file) != revision):
                return False
            if file.slot is not None and _unpack(file.slot).forward is not None:
                return False
            file.unlink()
            return True

    @unavailable_on(OSError)
    def touch(self, key: str, revision: int, accessed: float, expires: float | None) -> bool:
        with self._writing(key) as file:
            if file is None or file.slot is None or file.slot.revision != revision:
                return False
            touched = _unpack(file.slot).touched(accessed, expires)
            file.write_note(_NOTE.pack(touched.accessed, pack_expires(touched.expires)))
            return True

    @unavailable_on(OSError)
    def scan(self) -> Iterator[tuple[str, Record]]:
        for key in filter(ids.is_id, self._names()):
            record = self.read(key)
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
            elif self._remove_if_due(key, now, unused_for):
                deleted += 1

        self._for_each(sweep_one)
        return deleted, left

    @unavailable_on(OSError)
    def create(self) -> None:
        self._make_folder()

    @unavailable_on(OSError)
    def clear(self) -> None:
        def clear_one(key: str) -> None:
            with self._writing(key) as file:
                if file is not None and self._look_again(key, file) is not None:
                    file.unlink()

        self._for_each(clear_one)

    # -- files -------------------------------------------------------------------------------------------------------

    def _create(self, key: str, record: Record) -> bool:
        return slots.create(self._prefix + key, record.revision, _pack(record), durable=self.durable)

    def _writing(self, key: str) -> slots.SlotFile:
        return slots.writing(self._prefix + key, durable=self.durable)

    def _make_folder(self) -> None:
        make_folder(self.directory, 0o700, durable=self.durable)

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
                    slots.sweep_temporary(self._prefix + name)
            except (OSError, StoreUnavailable) as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def _look(self, key: str) -> Record | None:
        """Return what a sweep goes by, without a lock; None if it is not ours, or gone."""
        record = self.read(key)
        if record is None:
            with contextlib.suppress(FileNotFoundError), open(self._prefix + key, "rb") as file:
                record = self._leftover(file.fileno(), key)
        return record

    def _look_again(self, key: str, file: slots.SlotFile | None) -> Record | None:
        """Return what a sweep goes by, now that the file is locked: it may have been used since.

        `read` would lock a damaged file, too, and wait for ourselves.
        """
        if file is None:
            return None
        return self._leftover(file.fd, key) if file.slot is None else _unpack(file.slot)

    def _remove_if_due(self, key: str, now: float, unused_for: float | None) -> bool:
        with self._writing(key) as file:
            record = self._look_again(key, file)
            if file is None or record is None or not record.is_due(now, unused_for):
                return False
            file.unlink()
            return True

    # -- the files of session3 3.4.1 ---------------------------------------------------------------------------------

    def _miss(self, key: str, id: str | None) -> Found | None:
        if key != id and self._is_upstream_id(id):
            return self._trace(id, id)
        return super()._miss(key, id)

    def _is_upstream_id(self, id: str | None) -> TypeGuard[str]:
        """Tell whether the id itself can be a file's name, though ours bear hashes."""
        return self.hash_ids and id is not None and len(id) == UPSTREAM_NAME

    def _leftover(self, fd: int, name: str) -> Record | None:
        return leftover(fd, name, reads_upstream=not self.codec.is_sealed)

    def _revision(self, file: slots.SlotFile) -> int | None:
        if file.slot is not None:
            return file.slot.revision
        # A file of 3.4.1 has no revision but its time; one that is damaged has no live session to replace.
        return os.fstat(file.fd).st_mtime_ns if file.starts_with(UPSTREAM) else None


def _pack(record: Record) -> bytes:
    user_key = b"" if record.user_key is None else b"=" + record.user_key.encode()
    forward = b"" if record.forward is None else b"=" + record.forward.encode()
    times = (record.created, record.modified, record.accessed, pack_expires(record.expires))
    return _HEAD.pack(*times, len(user_key), len(forward)) + user_key + forward + record.payload


def _unpack(slot: slots.Slot) -> Record:
    body = slot.body
    created, modified, accessed, expires, user_length, forward_length = _HEAD.unpack_from(body)
    if slot.note is not None:
        accessed, expires = _NOTE.unpack(slot.note)
    user_end = _HEAD.size + user_length
    end = user_end + forward_length
    user_key = body[_HEAD.size + 1 : user_end].decode() if user_length else None
    forward = body[user_end + 1 : end].decode() if forward_length else None
    return record_of(
        (body[end:], slot.revision, created, modified, accessed, unpack_expires(expires), user_key, forward)
    )
