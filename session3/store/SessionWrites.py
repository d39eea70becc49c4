"""Sessions into records: written, swapped, merged."""

import itertools
import logging
import time
from collections.abc import Iterator

from .. import ids
from ..errors import SessionConflict, SessionDeleted, StoreUnavailable
from ..expiry import own_deadline
from ..record import (
    TOMBSTONE_SECONDS,
    Record,
    first_revision,
    is_later_revision,
    next_revision,
    record_of,
    user_key_text,
)
from ..Session import Session
from ..Snapshot import Snapshot
from .SessionRecords import SessionRecords

log = logging.getLogger("session3")

#: Rounds and seconds after which a save gives up.
MAX_TRIES = 1000
PATIENCE = 10.0


def rounds() -> Iterator[None]:
    """Go on until both are over.

    A writer loses a round only when another one wins it. But who merges takes longer than who need not, and may lose to
    the same one for as long as that saves without a pause: so many rounds alone would not mean a broken store.
    """
    yield from itertools.repeat(None, MAX_TRIES)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        yield


class SessionWrites(SessionRecords):
    """What a save does to a record that nobody, or somebody, has written meanwhile."""

    def _record(self, session: Session, key: str, payload: bytes, revision: int) -> Record:
        self.codec.check(session, payload)
        sealed = self.codec.seal(key, payload) if self.codec.is_sealed else payload
        times = session._creation_time, self.clock(), session._access_time, session._expires
        return record_of((sealed, revision, *times, user_key_text(session.get_user_key()), None))

    def _overwrite(self, session: Session, key: str, payload: bytes) -> None:
        """Store a session that is new to us, whatever is under its key."""
        record = self._record(session, key, payload, first_revision())
        for _ in rounds():
            if self.insert(key, record):
                break
            current = self.read(key)
            if current is None:
                self.remove(key)  # damaged, or gone since
                continue
            if current.revision == record.revision:
                break  # our own write: only the reply to it was lost
            record = record._replace(revision=current.revision_over(self.clock()))
            if self.replace(key, record, current.revision):
                break
        else:
            raise SessionConflict(f"{self!r}: no save of session {ids.short_hash(key)} in {PATIENCE:g} seconds")
        self._remember(session, session.id, key, payload, record)

    def _swap(self, session: Session, snapshot: Snapshot, payload: bytes) -> None:
        """Store a changed session in place of the record it was loaded from, merging what changed there meanwhile."""
        for _ in rounds():
            session._access_time = max(session._access_time, self.clock())  # to write is to use
            record = self._record(session, snapshot.key, payload, next_revision(snapshot.revision))
            if self.replace(snapshot.key, record, snapshot.revision):
                self._remember(session, snapshot.id, snapshot.key, payload, record)
                return
            snapshot = self._catch_up(session, snapshot, record.revision)
            if snapshot.revision == record.revision:
                return  # our own write: only the reply to it was lost
            payload = self.codec.dump(session)
            if self.codec.is_same(payload, snapshot.payload):
                return  # the other request had made the same change
        raise SessionConflict(f"{self!r}: no save of session {ids.short_hash(snapshot.key)} in {PATIENCE:g} seconds")

    def _write_anew(self, key: str, payload: bytes, revision: int) -> bool:
        """Write what is stored in the present way; False if it was changed or deleted since.

        The state stays, and so does the revision: to requests in flight nothing happened.
        """
        record = self.read(key)  # its access time may have moved
        if record is None or record.revision != revision:
            return False
        sealed = self.codec.seal(key, payload) if self.codec.is_sealed else payload
        return self.replace(key, record._replace(payload=sealed), revision)

    def _catch_up(self, session: Session, snapshot: Snapshot, tried: int | None = None) -> Snapshot:
        """Merge into the session what others did since its snapshot, and return the snapshot of what is stored now.

        `tried`: the revision of its own write that may have come through, though the store says no. Raises
        SessionDeleted if it is gone, SessionConflict if conflicts are to be raised.
        """
        found = self._find(snapshot.key, snapshot.id)
        if found is not None and found.key == snapshot.key:
            found = found if is_later_revision(found.record.revision, snapshot.revision) else None
        theirs = None if found is None else self._revive(*found)
        if theirs is None or theirs._snapshot is None:
            log.info("%r: session %s was deleted while a request worked on it", self, ids.short_hash(snapshot.key))
            raise SessionDeleted(f"{self!r}: session {ids.short_hash(snapshot.key)} was deleted meanwhile")
        is_own = theirs._snapshot.revision == tried
        if self.on_conflict == "raise" and not is_own:
            log.warning("%r: session %s was changed by two requests at once", self, ids.short_hash(snapshot.key))
            raise SessionConflict(f"{self!r}: session {ids.short_hash(snapshot.key)} was changed meanwhile")
        if self.on_conflict == "merge" and not is_own:
            base = self.codec.load(snapshot.payload)
            base.id, base._creation_time, base._access_time = session.id, session._creation_time, snapshot.accessed
            self._take_over(session, type(session).merge(base, session, theirs), theirs)
        session.id = theirs.id
        session._access_time = max(session._access_time, theirs._access_time)
        session._snapshot = theirs._snapshot
        return theirs._snapshot

    def _take_over(self, session: Session, merged: Session, theirs: Session) -> None:
        before = session._kept_expiry()
        for name in session._kept():
            del session.__dict__[name]
        session.__dict__.update(merged._kept())
        if session._kept_expiry() != before:  # the other request said when the session expires
            own = own_deadline(session._kept_expiry(), self.clock())
            session._expires = theirs._expires if own is None else own

    def _leave_behind(self, snapshot: Snapshot, new_id: str | None, grace: float | None) -> bool:
        """Turn the record of a moved session into a tombstone, or for a grace a forward; False if it changed."""
        now = self.clock()
        forward = ""
        if grace is not None and new_id is not None:
            forward = ids.veil(new_id, snapshot.id) if self.hash_ids and snapshot.id else new_id
        left = Record(
            payload=b"",
            revision=next_revision(snapshot.revision),
            created=now,
            modified=now,
            accessed=now,
            expires=now + (TOMBSTONE_SECONDS if grace is None else grace),
            forward=forward,
        )
        try:
            is_left = self.replace(snapshot.key, left, snapshot.revision)
        except StoreUnavailable:
            if not self._is_there(snapshot.key, left.revision):
                raise
            is_left = True
        return is_left or self._is_there(snapshot.key, left.revision)

    def _is_there(self, key: str, revision: int) -> bool:
        """Tell whether a record of ours is stored, though its write said no, or nothing: only the reply was lost."""
        current = self.read(key)
        return current is not None and current.revision == revision
