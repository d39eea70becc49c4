"""The contract over records: what all stores of records share.

A store of records gives the nine verbs of RecordVerbs, and gets the whole contract of SessionStore.
"""

import logging
from collections.abc import Iterator
from typing import Any

from .. import ids
from ..codec import UnknownClass
from ..errors import DamagedRecord, StoreExists, StoreUnavailable
from ..olderways import renewed
from ..record import EMPTIED, ROTATED, Record, first_revision, next_revision
from ..Session import Session
from ..Snapshot import Snapshot
from .SessionLock import SessionLock
from .SessionMoves import SessionMoves
from .SessionRecords import log
from .SessionStore import SessionStore
from .SessionWrites import rounds

#: A key that no id has, and no hash of one.
NOBODYS_KEY = ".check"


class RecordStore(SessionMoves, SessionStore):
    """Base of the stores that keep records; SessionRecords tells the keywords that all of them take."""

    deletes_by_id = True

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
        elif snapshot.is_foreign or (payload != snapshot.payload and not self._is_same(session, payload, snapshot)):
            self._swap(session, snapshot, payload)
        elif session._access_time < snapshot.accessed:
            self._set_times_right(session, snapshot, payload)
        elif session._access_time > snapshot.accessed:
            self._touch_session(session)

    def _set_times_right(self, session: Session, snapshot: Snapshot, payload: bytes) -> None:
        """Write times that were ahead of the clock: a touch sets back one at most. Who else writes does the same."""
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
        snapshot = self._snapshot_of(session) if isinstance(session, Session) else None
        id = session.id if isinstance(session, Session) else session
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

    def check(self) -> None:
        self.read(NOBODYS_KEY)

    def delete_old_sessions(self, minutes: float) -> tuple[int, int]:
        if not isinstance(minutes, (int, float)):
            raise TypeError(f"minutes is a number, not a {type(minutes).__name__}")
        if not minutes >= 0:  # which nan is not
            raise ValueError("minutes must not be negative, nor nan")
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

    def needs_new_id(self, session: Session) -> bool:
        if not self._plain_until:
            return False
        snapshot = self._snapshot_of(session)
        if snapshot is None or snapshot.key != snapshot.id or self._older_key(snapshot.id) is None:
            return False
        return session._access_time > snapshot.accessed or session._says_changed()
