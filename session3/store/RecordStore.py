"""The contract over records: what all stores of records share.

A store of records gives the eight verbs of RecordVerbs, and gets the whole contract of SessionStore.
"""

from collections.abc import Iterator
from typing import Any

from .. import ids
from ..errors import SessionDeleted, StoreExists
from ..record import first_revision, next_revision
from ..Session import Session
from .SessionRecords import MAX_TRIES, Found, SessionRecords
from .SessionStore import SessionStore


class RecordStore(SessionRecords, SessionStore):
    """Base of the stores that keep records; SessionRecords tells the keywords that all of them take."""

    # -- the contract ------------------------------------------------------------------------------------------------

    def load_session(self, id: str, default: Any = None) -> Any:
        found = self._find(self._key(id), id) if ids.is_id(id) else None
        session = None if found is None else self._revive(found)
        return default if session is None else session

    def has_session(self, id: str) -> bool:
        return ids.is_id(id) and self._find(self._key(id), id) is not None

    def save_session(self, session: Session) -> None:
        snapshot = self._snapshot_of(session)
        payload = self.codec.dump(session)
        if snapshot is None:
            self._overwrite(session, self._key_to_save(session.id), payload)
        elif not self.codec.is_same(payload, snapshot.payload):
            self._swap(session, snapshot, payload)
        elif session._access_time > snapshot.accessed or session._expires != snapshot.expires:
            moved = session._expires if session._expires != snapshot.expires else None
            self.touch(snapshot.key, session._access_time, moved)

    def create_session(self, session: Session) -> bool:
        key = self._key_to_save(session.id)
        payload = self.codec.dump(session)
        record = self._record(session, key, payload, first_revision())
        if not self.insert(key, record):
            current = self.read(key)
            if current is None:
                return False
            if current.revision != record.revision:  # else it is our own write, and only the reply to it was lost
                record = record._replace(revision=next_revision(current.revision))
                if not current.is_expired(self.clock()) or not self.replace(key, record, current.revision):
                    return False
        self._remember(session, session.id, key, payload, record)
        return True

    def delete_session(self, session: Session | str) -> None:
        if isinstance(session, str):
            if ids.is_id(session):
                self.remove(self._key(session))
            return
        snapshot = self._snapshot_of(session)
        session._snapshot = None
        if snapshot is None:
            if session.id is not None:
                self.delete_session(session.id)
            return
        key, id, revision = snapshot.key, snapshot.id, snapshot.revision
        # One round trip, unless it was changed or renewed meanwhile: then the logout has to follow it.
        while not self.remove(key, revision):
            found = self._find(key, id)
            if found is None:
                return
            key, id, revision = found.key, found.id, found.record.revision

    def iter_sessions(self) -> Iterator[tuple[str, Any]]:
        for key, record in self.scan():
            if record.is_session(self.clock()):
                session = self._revive(Found(key, None if self.hash_ids else key, record))
                if session is not None:
                    yield (ids.StoredKey(key) if self.hash_ids else key), session

    def setup(self, *, overwrite: bool = False) -> None:
        if not overwrite and any(record.is_session(self.clock()) for _, record in self.scan()):
            raise StoreExists(f"{self!r} holds sessions; setup(overwrite=True) deletes them")
        self.clear()

    def delete_old_sessions(self, minutes: float) -> tuple[int, int]:
        if minutes < 0:
            raise ValueError("minutes must not be negative")
        return self.sweep(minutes * 60)

    def delete_expired_sessions(self) -> tuple[int, int]:
        return self.sweep(None)

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
            return super().move_session(session, new_id, grace)
        key = self._key_to_save(new_id)
        payload = self.codec.dump(session)
        record = self._record(session, key, payload, first_revision())
        if not self.insert(key, record):
            return False
        for _ in range(MAX_TRIES):
            if self._leave_behind(snapshot, new_id, grace):
                break
            try:
                snapshot = self._catch_up(session, snapshot)
            except SessionDeleted:
                if grace is None and session.get_user_key() is not None and self._is_tombstone(snapshot.key):
                    break  # another request logged in first, under an id of its own; this login stands too
                self.remove(key)
                raise
            payload = self.codec.dump(session)
            earlier, record = record, self._record(session, key, payload, next_revision(record.revision))
            self.replace(key, record, earlier.revision)
        session.id = new_id
        self._remember(session, new_id, key, payload, record)
        return True

    def was_rotated(self, id: str) -> bool:
        return ids.is_id(id) and self._is_tombstone(self._key(id))
