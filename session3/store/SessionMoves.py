"""Sessions that get another id, or that became empty, and what is left of them under the old id."""

import logging
from itertools import pairwise

from .. import ids
from ..errors import SerializationError, SessionConflict, SessionDeleted, StoreUnavailable
from ..record import (
    EMPTIED,
    ROTATED,
    TOMBSTONE_SECONDS,
    Record,
    first_revision,
    forward_of,
    next_revision,
    tombstone_of,
)
from ..Session import Session
from ..Snapshot import Snapshot
from .SessionWrites import PATIENCE, SessionWrites, digest_of, rounds

log = logging.getLogger("session3")


class _Move:
    """A move under way: what is stored under the new id, and what was left, perhaps, under the old one."""

    record: Record | None = None
    left: Record | None = None
    #: Revisions of what was written under the new id, perhaps.
    written: tuple[int, ...] = ()

    def __init__(self, session: Session, snapshot: Snapshot, key: str, new_id: str, grace: float | None) -> None:
        self.session, self.snapshot, self.key, self.new_id, self.grace = session, snapshot, key, new_id, grace
        self.id_time, self.was_unseen = session._id_time, session._id_unseen
        self.since = session._id_seen()
        self.own_tokens = session._tokens()


class SessionMoves(SessionWrites):
    """What a move, an emptying, and the first arrival of a new id do to records."""

    def _move(self, session: Session, snapshot: Snapshot, new_id: str, grace: float | None) -> bool | None:
        """Store a session under its new id, then end the old one. False, and nothing done, if the new id is taken.

        None if another request renewed it meanwhile: once is enough, and the session is now the one that it left.
        """
        move = _Move(session, snapshot, self._key_to_save(new_id), new_id, grace)
        try:
            self._write_new(move)
            if move.record is None:
                session._set_id_time(move.id_time, move.was_unseen)
                return False
            is_moved = self._end_old(move)
            if not is_moved:
                self.remove(move.key)
                return None
            session.id = move.new_id
            self._remember(session, move.new_id, move.key, self.codec.open(move.key, move.record.payload), move.record)
        except BaseException:
            session.id = move.snapshot.id
            session._set_id_time(move.id_time, move.was_unseen)
            self._undo(move)
            raise
        return True

    def _write_new(self, move: _Move) -> None:
        session = move.session
        session._set_id_time(self.clock(), unseen=move.grace is not None)
        record = self._record(session, move.key, self.codec.dump(session), first_revision())
        move.record, move.written = record, (record.revision,)
        if not self.insert(move.key, record) and not self._is_there(move.key, record.revision):
            move.record = None

    def _end_old(self, move: _Move) -> bool:
        """End the old record, and take into the new one what changed there; False if another request renewed it."""
        session, old_key = move.session, move.snapshot.key
        for _ in rounds():
            if self._leave_behind(move):
                return True
            try:
                move.snapshot = self._catch_up(session, move.snapshot)
            except SessionDeleted:
                if move.grace is None and self._is_login(session, move.snapshot) and self._is_rotated(move.snapshot):
                    return True  # another request logged in first, under an id of its own; this login stands, too
                raise
            if session._came_back and not session.has_info():
                raise SessionDeleted(f"{self!r}: session {ids.short_hash(old_key)} was emptied meanwhile")
            if move.grace is not None and move.snapshot.key != old_key:
                theirs = self.codec.load(move.snapshot.payload)
                session._set_id_time(theirs._id_time, theirs._id_unseen)
                return False
            if move.grace is None:
                # Who planted the old id may be making tokens in it at this moment.
                session._forget_tokens(session._tokens() - move.own_tokens)
            session._set_id_time(self.clock(), unseen=move.grace is not None)
            self._write_again(move)
        raise SessionConflict(f"{self!r}: no rotation of session {ids.short_hash(move.key)} in {PATIENCE:g} seconds")

    def _write_again(self, move: _Move) -> None:
        earlier = move.record
        assert earlier is not None
        payload = self.codec.dump(move.session)
        move.record = self._record(move.session, move.key, payload, next_revision(earlier.revision))
        move.written += (move.record.revision,)
        self.replace(move.key, move.record, earlier.revision)

    def _leave_behind(self, move: _Move) -> bool:
        """Turn the old record into a tombstone, or with a grace into a forward; False if it changed."""
        old, now = move.snapshot, self.clock()
        revision = next_revision(old.revision)
        if move.grace is None:
            used = b"".join(digest_of(token) for token in move.session._used_tokens)
            move.left = tombstone_of(revision, used, now)
        else:
            to = ids.veil(move.new_id, old.id) if self.hash_ids and old.id else move.new_id
            move.left = forward_of(to, revision, now if move.since is None else move.since, move.grace, now)
        try:
            if self.replace(old.key, move.left, old.revision):
                return True
        except StoreUnavailable:
            if not self._is_there(old.key, revision):
                raise
        else:
            if not self._is_there(old.key, revision):
                move.left = None
                return False
        self._make_sure_it_stayed(
            move.key, move.new_id
        )  # only the reply was lost, but others may have been led to the new id since
        return True

    def _make_sure_it_stayed(self, key: str, id: str | None) -> None:
        """Raise SessionDeleted if a session that others may have been led to is not under this key any more."""
        found = self._trace(key, id)
        if found is None or found.key != key or found.record.forward is not None:
            raise SessionDeleted(f"{self!r}: session {ids.short_hash(key)} was moved or deleted meanwhile")

    def _undo(self, move: _Move) -> None:
        """Leave no session under an id that nobody has, and lose none, where a move came to no end."""
        if move.record is None:
            return
        old = move.snapshot
        try:
            if move.left is not None and self._is_there(old.key, move.left.revision):
                if move.grace is not None:
                    return  # the old id leads to the new one
                before = self.codec.load(old.payload)
                before._creation_time = move.session._creation_time
                before._access_time, before._expires = old.accessed, old.expires
                record = self._record(before, old.key, old.payload, next_revision(move.left.revision))
                self.replace(old.key, record, move.left.revision)
            try:
                self._take_back(move)
            except StoreUnavailable:
                self._take_back(move)  # once more: else a logout would not be final
        except StoreUnavailable as error:
            log.warning("%r: what is left of a move that failed was not cleared: %s", self, error)

    def _take_back(self, move: _Move) -> None:
        # On condition of their revisions: an id that an application chose may be another session's.
        for revision in reversed(move.written):
            if self.remove(move.key, revision):
                break

    def _is_login(self, session: Session, snapshot: Snapshot) -> bool:
        user_key = session.get_user_key()
        return user_key is not None and user_key != self.codec.load(snapshot.payload).get_user_key()

    def _is_rotated(self, snapshot: Snapshot) -> bool:
        found = self._trace(snapshot.key, snapshot.id)
        return found is not None and found.record.forward == ROTATED

    # -- what is known of an old id ----------------------------------------------------------------------------------

    def rotated_at(self, id: str) -> float | None:
        found = self._trace(self._key(id), id) if ids.is_id(id) else None
        if found is None:
            return None
        ends, last = [], found.record
        if last.forward == ROTATED:
            ends.append(last.modified)
        for forward, following in pairwise((*found.forwards, last)):
            seen: float | None = following.created
            if following.forward in (None, EMPTIED):
                session = self._revive(*found)
                seen = following.modified if session is None else session._id_seen()
            ends.append(forward.leads_until(seen))
        return max((end for end in ends if end <= self.clock()), default=None)

    def was_rotated(self, id: str) -> bool:
        return self.rotated_at(id) is not None

    def note_arrival(self, session: Session) -> None:
        snapshot = self._snapshot_of(session)
        if snapshot is None or not session._id_unseen:
            return
        is_changed, made = self.is_changed(session), session._id_time
        session._set_id_time(self.clock())
        if is_changed:
            return  # it is written with the rest
        payload = self.codec.dump(session)
        record = self._record(session, snapshot.key, payload, next_revision(snapshot.revision))
        try:
            is_noted = self.replace(snapshot.key, record, snapshot.revision)
        except StoreUnavailable as error:
            log.warning("the first arrival of a new id was not written: %s", error)
            is_noted = False
        if is_noted:
            self._remember(session, snapshot.id, snapshot.key, payload, record)
        else:
            session._set_id_time(made, unseen=True)

    # -- sessions that became empty ----------------------------------------------------------------------------------

    def _empty(self, session: Session, snapshot: Snapshot) -> bool:
        """Leave a session, as it was emptied, for requests in flight to merge with; False if it was changed."""
        mark = self._mark_for(session)
        if mark is not None:
            self._mark(session, mark)
        try:
            payload = self.codec.dump(session)
        except SerializationError:
            return self.remove(snapshot.key, snapshot.revision) or self._catch_up(session, snapshot) is None
        record = self._record(session, snapshot.key, payload, next_revision(snapshot.revision))
        left = record._replace(user_key=None, expires=self.clock() + TOMBSTONE_SECONDS, forward=EMPTIED)
        if self.replace(snapshot.key, left, snapshot.revision):
            return True
        return self._catch_up(session, snapshot, left.revision, mark).revision == left.revision

    def _end_emptied(self, key: str, record: Record) -> bool:
        """Let nothing bring an emptied session back: its user logged out."""
        ended = tombstone_of(next_revision(record.revision), b"", self.clock() - 2 * TOMBSTONE_SECONDS)
        return self.replace(key, ended, record.revision)
