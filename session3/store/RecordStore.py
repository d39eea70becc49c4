"""The contract over records: what all stores of records share.

A store of records gives the nine verbs of RecordVerbs, and gets the whole contract of SessionStore.
"""

from collections.abc import Iterator
from typing import Any

from .. import ids
from ..errors import StoreExists, StoreUnavailable
from ..record import EMPTIED, ROTATED, first_revision
from ..Session import Session
from .SessionLock import SessionLock
from .SessionMoves import SessionMoves
from .SessionRecords import log
from .SessionStore import SessionStore


class RecordStore(SessionMoves, SessionStore):
    """Base of the stores that keep records; SessionRecords tells the keywords that all of them take."""

    # -- the contract ------------------------------------------------------------------------------------------------

    def load_session(self, id: str, default: Any = None) -> Any:
        if not ids.is_id(id):
            return default
        found = self._trace(self._key(id), id, True)
        if found is None or found.record.forward is not None:
            return default
        session = self._revive(*found)
        return default if session is None or (found.forwards and not self._leads(found, session)) else session

    def has_session(self, id: str) -> bool:
        found = self._trace(self._key(id), id, True) if ids.is_id(id) else None
        if found is None or found.record.forward is not None:
            return False
        return not found.forwards or self.load_session(id) is not None  # the session knows whether they still lead

    def save_session(self, session: Session) -> None:
        snapshot = self._snapshot_of(session)
        payload = self.codec.dump(session)
        if snapshot is None:
            self._overwrite(session, self._key_to_save(session.id), payload)
        elif payload != snapshot.payload and not self._is_same(session, payload, snapshot):
            self._swap(session, snapshot, payload)
        elif session._access_time > snapshot.accessed:
            self._touch_session(session)

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
        if not self.touch(snapshot.key, snapshot.revision, session._access_time, moved):
            return False
        snapshot.accessed, snapshot.expires = session._access_time, session._expires
        return True

    def create_session(self, session: Session) -> bool:
        key = self._key_to_save(session.id)
        payload = self.codec.dump(session)
        record = self._record(session, key, payload, first_revision())
        if not self._insert_or_nothing(key, record):
            current = self.read(key)
            if current is None:
                return False
            if not self._is_own(key, current, record):  # else only the reply to it was lost
                record = record._replace(revision=current.revision_over(self.clock()))
                if not current.is_expired(self.clock()) or not self.replace(key, record, current.revision):
                    return False
        self._remember(session, session.id, key, payload, record)
        return True

    def delete_session(self, session: Session | str) -> None:
        snapshot = None if isinstance(session, str) else self._snapshot_of(session)
        id = session if isinstance(session, str) else session.id
        if isinstance(session, Session):
            session._snapshot = None
        if snapshot is None and not ids.is_id(id):
            return
        key = self._key(id) if snapshot is None else snapshot.key  # type: ignore[arg-type]
        # One round trip, unless it is gone, or was renewed: then a logout has to follow it to its new id.
        while not self.remove(key):
            found = self._trace(key, id)
            if found is None or found.record.forward == ROTATED:
                return
            if found.record.forward == EMPTIED and self._end_emptied(found.key, found.record):
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

    def delete_old_sessions(self, minutes: float) -> tuple[int, int]:
        if minutes < 0:
            raise ValueError("minutes must not be negative")
        return self.sweep(minutes * 60)

    def delete_expired_sessions(self) -> tuple[int, int]:
        return self.sweep(None)

    def locked(self, id: str, timeout: float = 10.0, lease: float = 60.0) -> SessionLock:
        return SessionLock(self, self._key_to_save(id), timeout, lease)

    # -- asked by the manager ----------------------------------------------------------------------------------------

    def discard_session(self, session: Session) -> bool:
        snapshot = self._snapshot_of(session)
        if snapshot is not None and not self._empty(session, snapshot):
            return False
        session._snapshot = None
        return True

    def move_session(self, session: Session, new_id: str, grace: float | None = None) -> bool:
        snapshot = self._snapshot_of(session)
        if snapshot is None:
            return self._move_whole(session, new_id)  # it was deleted in this request, or was never here: it is new
        is_moved = self._move(session, snapshot, new_id, grace)
        if is_moved is None:
            self.save_session(session)
            stayed = self._snapshot_of(session) or snapshot
            self._make_sure_it_stayed(stayed.key, stayed.id)
        return is_moved is not False
