"""The contract over records: what all stores of records share.

A store of records gives the nine verbs of RecordVerbs, and gets the whole contract of SessionStore.
"""

import logging
from collections.abc import Iterator
from typing import Any

from .. import ids
from ..codec import UnknownClass
from ..errors import DamagedRecord, SessionConflict, SessionDeleted, StoreExists, StoreUnavailable
from ..olderways import renewed
from ..record import Record, first_revision, next_revision
from ..Session import Session
from ..Snapshot import Snapshot
from .SessionLock import SessionLock
from .SessionRecords import Found, log
from .SessionStore import SessionStore
from .SessionWrites import PATIENCE, SessionWrites, rounds

#: A key that no id has, and no hash of one.
NOBODYS_KEY = ".check"


class RecordStore(SessionWrites, SessionStore):
    """Base of the stores that keep records; SessionRecords tells the keywords that all of them take."""

    deletes_by_id = True

    # -- the contract ------------------------------------------------------------------------------------------------

    def load_session(self, id: str, default: Any = None) -> Any:
        if not ids.is_id(id):
            return default
        found = self._find(self._key(id), id)
        session = None if found is None else self._revive(*found)
        return default if session is None else session

    def has_session(self, id: str) -> bool:
        return ids.is_id(id) and self._find(self._key(id), id) is not None

    def save_session(self, session: Session) -> None:
        snapshot = self._snapshot_of(session)
        payload = self.codec.dump(session)
        if snapshot is None:
            self._overwrite(session, self._key_to_save(session.id), payload)
        elif snapshot.is_foreign or (payload != snapshot.payload and not self._is_same(session, payload, snapshot)):
            self._swap(session, snapshot, payload)
        elif session._access_time < snapshot.accessed:
            self._set_times_right(session, snapshot, payload)
        elif session._access_time > snapshot.accessed:
            self._touch_session(session)

    def _set_times_right(self, session: Session, snapshot: Snapshot, payload: bytes) -> None:
        """Write times that were ahead of the clock; no touch sets one back. Who else writes does the same."""
        record = self._record(session, snapshot.key, payload, next_revision(snapshot.revision))
        try:
            if self.replace(snapshot.key, record, snapshot.revision):
                self._remember(session, snapshot.id, snapshot.key, payload, record)
        except StoreUnavailable as error:
            log.warning("times that are ahead of the clock were not set right: %s", error)  # as in a touch

    def _touch_session(self, session: Session) -> None:
        try:
            self.refresh_session(session)
        except StoreUnavailable as error:
            log.warning("an access time was not written: %s", error)  # the session was read all the same

    def refresh_session(self, session: Session) -> bool:
        snapshot = self._snapshot_of(session)
        if snapshot is None:
            return self.has_session(session.id or "")
        moved = session._expires if session._expires != snapshot.expires else None
        if snapshot.is_outdated:
            if not self._write_anew(snapshot.key, snapshot.payload, snapshot.revision):
                return False
            snapshot.is_outdated = False
        if not self.touch(snapshot.key, snapshot.revision, session._access_time, moved):
            return False
        snapshot.accessed, snapshot.expires = session._access_time, session._expires
        return True

    def create_session(self, session: Session) -> bool:
        key = self._key_to_save(session.id)
        payload = self.codec.dump(session)
        record = self._record(session, key, payload, first_revision())
        if not self.insert(key, record):
            current = self.read(key)
            if current is None:
                return False
            if current.revision != record.revision:  # else it is our own write, and only the reply to it was lost
                record = record._replace(revision=current.revision_over(self.clock()))
                if not current.is_expired(self.clock()) or not self.replace(key, record, current.revision):
                    return False
        self._remember(session, session.id, key, payload, record)
        return True

    def delete_session(self, session: Session | str) -> None:
        snapshot = self._snapshot_of(session) if isinstance(session, Session) else None
        id = session.id if isinstance(session, Session) else session
        if isinstance(session, Session):
            session._snapshot = None
        if snapshot is None and not ids.is_id(id):
            return
        key = self._key(id) if snapshot is None else snapshot.key  # type: ignore[arg-type]
        # One round trip, unless it is gone, or was renewed: then a logout has to follow it to its new id.
        while not self.remove(key):
            found = self._find(key, id)
            if found is None:
                return
            key, id = found.key, found.id

    def iter_sessions(self) -> Iterator[tuple[str, Any]]:
        for key, record in self.scan():
            if record.is_session(self.clock()):
                session = self._revive(key, None if self.hash_ids else key, record)
                if session is not None:
                    yield (ids.StoredKey(key) if self.hash_ids else key), session

    def setup(self, *, overwrite: bool = False) -> None:
        if not overwrite and any(record.is_session(self.clock()) for _, record in self.scan()):
            raise StoreExists(f"{self!r} holds sessions; setup(overwrite=True) deletes them")
        if overwrite:
            self.clear()
        self.create()

    def check(self) -> None:
        self.read(NOBODYS_KEY)

    def delete_old_sessions(self, minutes: float) -> tuple[int, int]:
        if minutes < 0:
            raise ValueError("minutes must not be negative")
        return self.sweep(minutes * 60)

    def delete_expired_sessions(self) -> tuple[int, int]:
        return self.sweep(None)

    def reseal(self, *, look_only: bool = False) -> tuple[int, int]:
        """Write anew, in the present way, the sessions that are in an older one (`accepts`, older keys).

        Returns (written, left): left are those in older ways that can't be read, those that wait under a plain id for
        their browser to come by, and, with `look_only`, all of them.
        Works beside readers and writers, who notice nothing; decodes only what another serializer wrote.
        """
        written = left = 0
        for key, record in self.scan():
            if record.is_session(self.clock()):
                is_written = self._reseal(key, record, look_only)
                written, left = written + (is_written is True), left + (is_written is False)
        return written, left

    def _reseal(self, key: str, record: Record | None, look_only: bool) -> bool | None:
        """Tell whether a record was written anew; None if there was no need, or it is gone."""
        if record is not None and self._older_key(key) is not None:
            return False if record.is_session(self.clock()) else None  # its id goes on only with its browser's cookie
        for _ in rounds():
            if record is None or not record.is_session(self.clock()):
                return None
            try:
                payload = renewed(self.codec, self._open_ways(), key, record.payload)
            except (DamagedRecord, UnknownClass) as error:
                self._report(logging.WARNING, key, f"can't be written anew: {error}")
                return False
            if payload is None or look_only:
                return None if payload is None else False
            if self._write_anew(key, payload, record.revision):
                return True
            record = self.read(key)
        return False

    def locked(self, id: str, timeout: float = 10.0, lease: float = 60.0) -> SessionLock:
        return SessionLock(self, self._key_to_save(id), timeout, lease)

    # -- asked by the manager ----------------------------------------------------------------------------------------

    def discard_session(self, session: Session) -> bool:
        snapshot = self._snapshot_of(session)
        if snapshot is None or self.remove(snapshot.key, snapshot.revision):
            session._snapshot = None
            return True
        self._catch_up(session, snapshot)
        return False

    def move_session(self, session: Session, new_id: str, grace: float | None = None) -> bool:
        snapshot = self._snapshot_of(session)
        if snapshot is None:
            return self._move_whole(session, new_id)  # it was deleted in this request, or was never here: it is new
        before = session._id_time
        session._set_id_time(self.clock())
        try:
            is_moved = self._move(session, snapshot, self._key_to_save(new_id), new_id, grace)
        except BaseException:
            session._set_id_time(before)
            raise
        if not is_moved:
            session._set_id_time(before)
        return is_moved

    def _move(self, session: Session, snapshot: Snapshot, key: str, new_id: str, grace: float | None) -> bool:
        record = self._record(session, key, self.codec.dump(session), first_revision())
        if not self.insert(key, record) and not self._is_there(key, record.revision):
            return False
        try:
            moved = self._end_old(session, snapshot, Found(key, new_id, record), grace)
        except StoreUnavailable:
            raise  # the old id may lead to the new one by now, which is all that is left of the session then
        except Exception:
            self.remove(key)  # nobody has the new id
            raise
        if moved is None:
            self.remove(key)
            self.save_session(session)
            return True
        session.id = new_id
        self._remember(session, new_id, key, self.codec.open(key, moved.payload), moved)
        return True

    def _end_old(self, session: Session, snapshot: Snapshot, new: Found, grace: float | None) -> Record | None:
        """End the old record of a session that was stored under a new id; return its record there.

        What changed in the old one meanwhile is merged into the new. None if another request renewed the session
        meanwhile: once is enough, and `session` is now the one that it left.
        """
        own_tokens, record, old_key = session._tokens(), new.record, snapshot.key
        for _ in rounds():
            if self._leave_behind(snapshot, new.id, grace):
                return record
            try:
                snapshot = self._catch_up(session, snapshot)
            except SessionDeleted:
                is_login = grace is None and session.get_user_key() is not None and not session._used_tokens
                if is_login and self._is_tombstone(snapshot.key):
                    return record  # another request logged in first, under an id of its own; this login stands too
                raise
            if grace is not None and snapshot.key != old_key:
                session._set_id_time(self.codec.load(snapshot.payload)._id_time)
                return None
            if grace is None:
                # Who planted the old id may be making tokens in it at this moment.
                session._forget_tokens(session._tokens() - own_tokens)
            payload = self.codec.dump(session)
            earlier, record = record, self._record(session, new.key, payload, next_revision(record.revision))
            self.replace(new.key, record, earlier.revision)
        raise SessionConflict(f"{self!r}: no rotation of session {ids.short_hash(new.key)} in {PATIENCE:g} seconds")

    def needs_new_id(self, session: Session) -> bool:
        snapshot = self._snapshot_of(session)
        if snapshot is None or snapshot.key != snapshot.id or self._older_key(snapshot.id) is None:
            return False
        return session._access_time > snapshot.accessed or session._says_changed()

    def was_rotated(self, id: str) -> bool:
        if not ids.is_id(id):
            return False
        older = self._older_key(id)
        return self._is_tombstone(self._key(id)) or (older is not None and self._is_tombstone(older))
