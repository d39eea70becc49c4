"""Sessions into records: written, swapped, merged."""

import hashlib
import itertools
import logging
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from .. import ids
from ..errors import FormTokenUsed, SessionConflict, SessionDeleted, StoreUnavailable
from ..expiry import own_deadline
from ..record import (
    EMPTIED,
    ROTATED,
    Record,
    first_revision,
    is_later_revision,
    next_revision,
    record_of,
    user_key_text,
)
from ..Session import Session
from ..Snapshot import Snapshot
from .SessionRecords import Found, SessionRecords

log = logging.getLogger("session3")

#: Rounds and seconds after which a save gives up.
MAX_TRIES = 1000
PATIENCE = 10.0

_MERGE = Session.merge.__func__  # type: ignore[attr-defined]
_MARKS = 8  # writes that a session remembers: more than can come between a write and its repetition
_DIGEST = 8  # bytes


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
        record, mark = self._record(session, key, payload, first_revision()), None
        for _ in rounds():
            if self.insert(key, record):
                break
            current = self.read(key)
            if current is None:
                self.remove(key)  # damaged, or gone since
                continue
            if self._is_own(key, current, record, mark):
                break  # only the reply to it was lost
            if mark is None:  # it is harder to tell from now on
                mark = _new_mark()
                self._mark(session, mark)
                payload = self.codec.dump(session)
                record = self._record(session, key, payload, record.revision)
            record = record._replace(revision=current.revision_over(self.clock()))
            if self.replace(key, record, current.revision):
                break
        else:
            raise SessionConflict(f"{self!r}: no save of session {ids.short_hash(key)} in {PATIENCE:g} seconds")
        self._remember(session, session.id, key, payload, record)

    def _swap(self, session: Session, snapshot: Snapshot, payload: bytes) -> None:
        """Store a changed session in place of the record it was loaded from, merging what changed there meanwhile."""
        mark = self._mark_for(session)
        for _ in rounds():
            session._access_time = max(session._access_time, self.clock())  # to write is to use
            if mark is not None:
                self._mark(session, mark)
                payload = self.codec.dump(session)
            record = self._record(session, snapshot.key, payload, next_revision(snapshot.revision))
            if self.replace(snapshot.key, record, snapshot.revision):
                self._remember(session, snapshot.id, snapshot.key, payload, record)
                return
            snapshot = self._catch_up(session, snapshot, record.revision, mark)
            if snapshot.revision == record.revision or mark in session._write_marks:
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

    def _catch_up(
        self, session: Session, snapshot: Snapshot, tried: int | None = None, mark: int | None = None
    ) -> Snapshot:
        """Merge into the session what others did since its snapshot, and return the snapshot of what is stored now.

        `tried`: the revision of its own write that may have come through, though the store says no; `mark`: what that
        write would have left, for those to keep that wrote since. Raises SessionDeleted if it is gone, SessionConflict
        if conflicts are to be raised.
        """
        found = self._meanwhile(session, snapshot)
        theirs = None if found is None else self._revive(*found)
        if found is None or theirs is None or theirs._snapshot is None:
            log.info("%r: session %s was deleted while a request worked on it", self, ids.short_hash(snapshot.key))
            raise SessionDeleted(f"{self!r}: session {ids.short_hash(snapshot.key)} was deleted meanwhile")
        session._came_back = session._came_back or found.record.forward == EMPTIED
        is_own = theirs._snapshot.revision == tried
        if mark is not None and mark in theirs._write_marks and not is_own:
            self._take_over(session, theirs, theirs)
            is_own = True
        if not is_own:
            self._take_in(session, snapshot, theirs)
            self._set_marks(session, theirs._write_marks)
        if theirs.id != session.id or not theirs._id_unseen:
            session._set_id_time(theirs._id_time, theirs._id_unseen)  # of the id that it has now
        session.id = theirs.id
        session._access_time = max(session._access_time, theirs._access_time)
        session._snapshot = theirs._snapshot
        return theirs._snapshot

    def _take_in(self, session: Session, snapshot: Snapshot, theirs: Session) -> None:
        """Do with what others changed as `on_conflict` says. To get another id is no change, of neither side."""
        if self.on_conflict != "merge" and self._holds_more(session, snapshot):
            if self.on_conflict == "last":
                return
            if self._holds_more(theirs, snapshot):
                log.warning("%r: session %s was changed by two requests at once", self, ids.short_hash(snapshot.key))
                raise SessionConflict(f"{self!r}: session {ids.short_hash(snapshot.key)} was changed meanwhile")
        base = self.codec.load(snapshot.payload)
        base.id, base._creation_time, base._access_time = session.id, session._creation_time, snapshot.accessed
        self._take_over(session, type(session).merge(base, session, theirs), theirs)

    def _holds_more(self, session: Session, snapshot: Snapshot) -> bool:
        """Tell whether a request changed more of a session than its id, and since when that is in use."""
        base = self.codec.load(snapshot.payload)
        base._set_id_time(session._id_time, session._id_unseen)
        self._set_marks(base, session._write_marks)
        return not self.codec.is_same(self.codec.dump(session), self.codec.dump(base))

    def _meanwhile(self, session: Session, snapshot: Snapshot) -> Found | None:
        """Return where a session is that others wrote, moved or emptied since its snapshot; None if it is gone."""
        found = self._trace(snapshot.key, snapshot.id)
        if found is None:
            return None
        first = found.forwards[0] if found.forwards else found.record
        if not is_later_revision(first.revision, snapshot.revision):
            return None  # the key came back, with another session
        if found.record.forward == ROTATED:
            if any(digest_of(token) in _digests(found.record) for token in session._used_tokens):
                raise FormTokenUsed("this form was submitted a moment ago by another request")
            return None
        return found

    def _take_over(self, session: Session, merged: Session, theirs: Session) -> None:
        before = session._kept_expiry()
        for name in session._kept():
            del session.__dict__[name]
        session.__dict__.update(merged._kept())
        if session._kept_expiry() != before:  # the other request said when the session expires
            own = own_deadline(session._kept_expiry(), self.clock())
            session._expires = theirs._expires if own is None else own

    # -- writes that know themselves ---------------------------------------------------------------------------------

    def _mark_for(self, session: Session) -> int | None:
        """Return what a write leaves in the session where merging it twice would show."""
        merge: Any = type(session).merge  # a static method has no __func__
        is_plain = getattr(merge, "__func__", merge) is _MERGE
        return None if is_plain and not session._used_tokens and self.on_conflict != "raise" else _new_mark()

    def _mark(self, session: Session, mark: int) -> None:
        self._set_marks(session, [*session._write_marks, mark][-_MARKS:])

    def _set_marks(self, session: Session, marks: Iterable[int]) -> None:
        kept = list(marks)
        if kept:
            session._write_marks = kept
        else:
            session.__dict__.pop("_write_marks", None)  # as a session that was never marked is kept

    def _is_own(self, key: str, current: Record, written: Record, mark: int | None = None) -> bool:
        """Tell whether the record of a new session came through, though the store says no; others may have written it.

        A first revision is random: another session's follows it once in 30,000 times, and in the same second hardly
        ever. Where one was written over what was there, the mark that was left tells.
        """
        if current.revision == written.revision:
            return True
        if current.forward is not None or not is_later_revision(current.revision, written.revision):
            return False
        if mark is None:
            return abs(current.created - written.created) < 1
        theirs = self._revive(key, None, current)
        return theirs is not None and mark in theirs._write_marks

    def _insert_or_nothing(self, key: str, record: Record) -> bool:
        """Insert; where that fails, leave no session under an id that nobody will have."""
        try:
            return self.insert(key, record)
        except BaseException:
            with suppress(StoreUnavailable):
                self.remove(key, record.revision)
            raise

    def _is_there(self, key: str, revision: int) -> bool:
        """Tell whether a record of ours is stored, though its write said no, or nothing: only the reply was lost."""
        current = self.read(key)
        return current is not None and current.revision == revision


def _new_mark() -> int:
    return secrets.randbits(48)


def digest_of(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()[:_DIGEST]


def _digests(tombstone: Record) -> set[bytes]:
    return {tombstone.payload[at : at + _DIGEST] for at in range(0, len(tombstone.payload), _DIGEST)}
