"""Sessions in records: found, revived, merged, remembered."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from .. import ids
from ..codec import SessionCodec, UnknownClass
from ..DictSession import DictSession
from ..errors import ConfigurationError, DamagedRecord, SessionConflict, SessionDeleted
from ..record import TOMBSTONE_SECONDS, Record, first_revision, is_later_revision, next_revision, user_key_text
from ..seals import make_seal
from ..secretkeys import Secret
from ..serializers import PickleSerializer, Serializer
from ..Session import Session
from ..Snapshot import Snapshot
from .RecordVerbs import RecordVerbs

log = logging.getLogger("session3")

OnConflict = Literal["merge", "last", "raise"]

#: A writer loses a round only when another one wins it, so this many in a row mean a broken store.
MAX_TRIES = 1000
_MAX_FORWARDS = 8
_MAX_REPORTED = 10_000  # keys whose damage was logged, remembered so that each is logged once


class Found(NamedTuple):
    """Where a session was found, its forwards followed; the id is None where only the key is known."""

    key: str
    id: str | None
    record: Record


class SessionRecords(RecordVerbs):
    """The mechanics between sessions and records.

    `serializer`: PickleSerializer() by default. `session_class`: what a serializer that keeps no classes revives.
    `secret_key` signs the payloads, `encryption_key` encrypts them; each a key or a list, newest first.
    `hash_ids`: file records under the SHA-256 of their id, so that a stolen store opens no session.
    `on_conflict`: "merge" two changes of one session, let the "last" save win, or "raise" SessionConflict.
    `clock`: seconds since the epoch, for tests.
    """

    def __init__(
        self,
        *,
        serializer: Serializer | None = None,
        session_class: type[Session] = DictSession,
        secret_key: Secret | Sequence[Secret] | None = None,
        encryption_key: Secret | Sequence[Secret] | None = None,
        hash_ids: bool = False,
        on_conflict: OnConflict = "merge",
        clock: Callable[[], float] = time.time,
    ) -> None:
        if on_conflict not in ("merge", "last", "raise"):
            raise ConfigurationError(f'on_conflict must be "merge", "last" or "raise", not {on_conflict!r}')
        self.codec = SessionCodec(
            serializer or PickleSerializer(), session_class, make_seal(secret_key, encryption_key)
        )
        self.hash_ids = hash_ids
        self.on_conflict = on_conflict
        self.clock = clock
        self._reported: set[str] = set()

    # -- keys --------------------------------------------------------------------------------------------------------

    def _key(self, id: str) -> str:
        if not self.hash_ids:
            return id
        return str(id) if isinstance(id, ids.StoredKey) else str(ids.hash_id(id))

    def _key_to_save(self, id: str | None) -> str:
        if not ids.is_id(id):
            raise ValueError(f"a session's id must be {ids.RULE}; got {'None' if id is None else 'something else'}")
        return self._key(id)  # type: ignore[arg-type]

    def _forwarded_id(self, forward: str, id: str | None) -> str | None:
        # With hashed ids only who holds the old id can tell where it leads.
        if forward and self.hash_ids:
            return None if id is None or isinstance(id, ids.StoredKey) else ids.unveil(forward, id)
        return forward or None

    # -- finding and reviving ----------------------------------------------------------------------------------------

    def _find(self, key: str, id: str | None) -> Found | None:
        """Return the live session that a key leads to, its forwards followed, or None."""
        for _ in range(_MAX_FORWARDS):
            record = self.read(key)
            if record is None or record.is_expired(self.clock()):
                log.debug("%r: session %s is unknown, or has expired", self, ids.short_hash(key))
                return None
            if record.forward is None:
                return Found(key, id, record)
            if record.forward == "":
                log.info("%r: session %s got another id at a login; this one is nobody", self, ids.short_hash(key))
                return None
            id = self._forwarded_id(record.forward, id)
            if not ids.is_id(id):
                return None
            key = self._key(id)  # type: ignore[arg-type]
        return None

    def _is_tombstone(self, key: str) -> bool:
        record = self.read(key)
        return record is not None and record.forward == "" and not record.is_expired(self.clock())

    def _revive(self, found: Found) -> Session | None:
        """Return the session of a record, or None, logged once for each key, if it is damaged or its class unknown."""
        try:
            payload = self.codec.open(found.key, found.record.payload)
            session = self.codec.load(payload)
        except DamagedRecord as error:
            self._report_damage(found.key, error)
            return None
        except UnknownClass as error:
            self._report(logging.ERROR, found.key, f"needs a class that can't be imported here: {error}")
            return None
        session.__dict__.setdefault("_creation_time", found.record.created)
        session._clock = self.clock
        self._remember(session, found.id, found.key, payload, found.record)
        return session

    def _remember(self, session: Session, id: str | None, key: str, payload: bytes, record: Record) -> None:
        session.id = id
        session._access_time = record.accessed
        session._expires = record.expires
        session._snapshot = Snapshot(self, id, key, payload, record)

    def _snapshot_of(self, session: Session) -> Snapshot | None:
        """Return what we remember on the session; None if another store, or another id, is meant: then it is new."""
        snapshot = session._snapshot
        return snapshot if snapshot is not None and snapshot.store is self and snapshot.id == session.id else None

    def revives(self, session_class: type[Session]) -> bool:
        return self.codec.revives(session_class)

    def is_changed(self, session: Session) -> bool:
        """Tell whether saving the session would write its data."""
        snapshot = self._snapshot_of(session)
        return snapshot is None or not self.codec.is_same(self.codec.dump(session), snapshot.payload)

    def _report_damage(self, key: str, error: object) -> None:
        self._report(logging.WARNING, key, f"is damaged, and treated as absent: {error}")

    def _report(self, level: int, key: str, what: str) -> None:
        if key not in self._reported:
            if len(self._reported) >= _MAX_REPORTED:
                self._reported.clear()
            self._reported.add(key)
            log.log(level, "%r: the record of session %s %s", self, ids.short_hash(key), what)

    # -- writing -----------------------------------------------------------------------------------------------------

    def _record(self, session: Session, key: str, payload: bytes, revision: int) -> Record:
        return Record(
            payload=self.codec.seal(key, payload),
            revision=revision,
            created=session._creation_time,
            modified=self.clock(),
            accessed=session._access_time,
            expires=session._expires,
            user_key=user_key_text(session.get_user_key()),
        )

    def _overwrite(self, session: Session, key: str, payload: bytes) -> None:
        """Store a session that is new to us, whatever is under its key."""
        record = self._record(session, key, payload, first_revision())
        for _ in range(MAX_TRIES):
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
            raise SessionConflict(f"{self!r}: no save of session {ids.short_hash(key)} in {MAX_TRIES} tries")
        self._remember(session, session.id, key, payload, record)

    def _swap(self, session: Session, snapshot: Snapshot, payload: bytes) -> None:
        """Store a changed session in place of the record it was loaded from, merging what changed there meanwhile."""
        for _ in range(MAX_TRIES):
            session._access_time = max(session._access_time, self.clock())  # to write is to use
            record = self._record(session, snapshot.key, payload, next_revision(snapshot.revision))
            if self.replace(snapshot.key, record, snapshot.revision):
                self._remember(session, snapshot.id, snapshot.key, payload, record)
                return
            snapshot = self._catch_up(session, snapshot)
            if snapshot.revision == record.revision:
                return  # our own write: only the reply to it was lost
            payload = self.codec.dump(session)
            if self.codec.is_same(payload, snapshot.payload):
                return  # the other request had made the same change
        raise SessionConflict(f"{self!r}: no save of session {ids.short_hash(snapshot.key)} in {MAX_TRIES} tries")

    def _catch_up(self, session: Session, snapshot: Snapshot) -> Snapshot:
        """Merge into the session what others did since its snapshot, and return the snapshot of what is stored now.

        Raises SessionDeleted if it is gone, SessionConflict if conflicts are to be raised.
        """
        found = self._find(snapshot.key, snapshot.id)
        if found is not None and found.key == snapshot.key:
            found = found if is_later_revision(found.record.revision, snapshot.revision) else None
        theirs = None if found is None else self._revive(found)
        if theirs is None or theirs._snapshot is None:
            log.info("%r: session %s was deleted while a request worked on it", self, ids.short_hash(snapshot.key))
            raise SessionDeleted(f"{self!r}: session {ids.short_hash(snapshot.key)} was deleted meanwhile")
        if self.on_conflict == "raise":
            log.warning("%r: session %s was changed by two requests at once", self, ids.short_hash(snapshot.key))
            raise SessionConflict(f"{self!r}: session {ids.short_hash(snapshot.key)} was changed meanwhile")
        if self.on_conflict == "merge":
            base = self.codec.load(snapshot.payload)
            base.id, base._creation_time, base._access_time = session.id, session._creation_time, snapshot.accessed
            self._take_over(session, type(session).merge(base, session, theirs), theirs)
        session.id = theirs.id
        session._access_time = max(session._access_time, theirs._access_time)
        session._snapshot = theirs._snapshot
        return theirs._snapshot

    def _take_over(self, session: Session, merged: Session, theirs: Session) -> None:
        own = session._own_deadline(0)
        for name in session._kept():
            del session.__dict__[name]
        session.__dict__.update(merged._kept())
        if session._own_deadline(0) != own:  # the other request said when the session expires
            now_own = session._own_deadline(self.clock())
            session._expires = theirs._expires if now_own is None else now_own

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
        if self.replace(snapshot.key, left, snapshot.revision):
            return True
        current = self.read(snapshot.key)
        return current is not None and current.revision == left.revision  # only the reply was lost
