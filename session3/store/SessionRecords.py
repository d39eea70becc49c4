"""Sessions in records: found, revived, remembered."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from .. import ids
from ..Accepted import Accepted, check_accepts
from ..codec import SessionCodec, Unfit, UnknownClass
from ..DictSession import DictSession
from ..errors import ConfigurationError, DamagedRecord
from ..olderways import OlderWay, likely, make_ways, revive
from ..record import EMPTIED, ROTATED, Record
from ..seals import make_seal
from ..secretkeys import Secret
from ..serializers import PickleSerializer, Serializer
from ..Session import Session
from ..SessionTimes import MAX_SKEW
from ..Snapshot import Snapshot
from ..storesettings import check_clock, check_flag
from ..tuples import maker
from .places import is_same_place, taken_over
from .RecordVerbs import RecordVerbs

log = logging.getLogger("session3")

OnConflict = Literal["merge", "last", "raise"]

_MAX_REPORTED = 10_000  # keys whose damage was logged, remembered so that each is logged once


class Found(NamedTuple):
    """What was found under a key, its forwards followed; the id is None where only the key is known."""

    key: str
    id: str | None
    record: Record
    #: The forwards on the way.
    forwards: tuple[Record, ...] = ()


_found = maker(Found)


class SessionRecords(RecordVerbs):
    """The mechanics between sessions and records.

    `serializer`: PickleSerializer() by default. `session_class`: what a serializer that keeps no classes revives.
    `secret_key` signs the payloads, `encryption_key` encrypts them; each a key or a list, newest first.
    `hash_ids`: file records under the SHA-256 of their id, so that a stolen store opens no session.
    `on_conflict`: "merge" two changes of one session, let the "last" save win, or "raise" SessionConflict.
    `accepts`: older ways of keeping sessions that are still read, a list of Accepted; each session is written in the
    present way at its next save, or at the latest when its access time is next written.
    `clock`: seconds since the epoch, for tests.
    """

    #: True where session3 3.4.1 may have left sessions, under their ids.
    _has_upstream = False

    def __init__(
        self,
        *,
        serializer: Serializer | None = None,
        session_class: type[Session] = DictSession,
        secret_key: Secret | Sequence[Secret] | None = None,
        encryption_key: Secret | Sequence[Secret] | None = None,
        hash_ids: bool = False,
        on_conflict: OnConflict = "merge",
        accepts: Sequence[Accepted] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        if on_conflict not in ("merge", "last", "raise"):
            raise ConfigurationError(f'on_conflict must be "merge", "last" or "raise", not {on_conflict!r}')
        check_flag("hash_ids", hash_ids)
        check_clock(clock)
        self.codec = SessionCodec(
            PickleSerializer() if serializer is None else serializer,
            session_class,
            make_seal(secret_key, encryption_key),
        )
        self._ways = make_ways(check_accepts(accepts), self.codec)
        self._plain_until = _plain_until(check_accepts(accepts), hash_ids)
        self.hash_ids = hash_ids
        #: From an id to the key of its record.
        self._key: Callable[[str], str] = _hashed if hash_ids else str
        self.on_conflict = on_conflict
        self.clock = clock
        self._reported: set[str] = set()

    # -- keys --------------------------------------------------------------------------------------------------------

    def _key_to_save(self, id: str | None) -> str:
        if not ids.is_id(id):
            raise ValueError(f"a session's id must be {ids.RULE}; got {'None' if id is None else 'something else'}")
        return self._key(id)  # type: ignore[arg-type]

    def _older_key(self, id: str | None) -> str | None:
        """Return the key under which a session may be filed in an older way, that of its plain id; else None.

        What looks like a hash is none: it could name a record of the present way, to who has read the store.
        """
        if not self._plain_until or id is None or ids.is_hash(id) or self.clock() >= self._plain_until:
            return None
        return str(id)

    def _plain_key(self, key: str, id: str | None) -> str | None:
        """Return the other key under which a session of this id may be: its plain id, where keys are hashes by now."""
        older = self._older_key(id)
        if older is None and self._has_upstream and self.hash_ids and id is not None and ids.is_upstream_id(id):
            older = str(id)
        return None if older == key else older

    def _forwarded_id(self, forward: str, id: str | None, key: str) -> str | None:
        # With hashed ids only who holds the old id can tell where it leads.
        if forward and self.hash_ids:
            if id is None or isinstance(id, ids.StoredKey):
                return None
            return ids.unveil(forward, id) or (forward if key == id else None)  # left before ids were hashed
        return forward or None

    # -- finding and reviving ----------------------------------------------------------------------------------------

    def _trace(self, key: str, id: str | None, is_new: bool = False, forwards: tuple[Record, ...] = ()) -> Found | None:
        """Return what a key leads to, a session or what is left of one; None if there is nothing, or no more.

        A request in flight is led for as long as the forwards are there; a new one (`is_new`) while they lead, which
        for the last of them the session itself has to say (`_leads`). `forwards`: those that led to this key.
        """
        while True:
            record = self.read(key)
            if record is None or (record.expires is not None and record.is_expired(self.clock())):
                return self._miss(key, id, is_new, forwards)
            if record.forward is None:
                return _found((key, id, record, forwards))
            if is_new and forwards and forwards[-1].leads_until(record.created) <= self.clock():
                return None
            if record.forward in (ROTATED, EMPTIED):
                if is_new and record.forward == ROTATED:
                    log.info("%r: session %s got another id at a login; this one is nobody", self, ids.short_hash(key))
                return _found((key, id, record, forwards))
            id = self._forwarded_id(record.forward, id, key)
            if id is None or not ids.is_id(id) or record in forwards:  # in a ring there is no session
                return None
            forwards = (*forwards, record)
            key = self._key(id)

    def _leads(self, found: Found, session: Session) -> bool:
        """Tell whether the last forward on the way to a session still leads new requests there."""
        return not found.forwards or found.forwards[-1].leads_until(session._id_seen()) > self.clock()

    def _miss(self, key: str, id: str | None, is_new: bool, forwards: tuple[Record, ...]) -> Found | None:
        if (older := self._plain_key(key, id)) is not None:
            return self._trace(older, id, is_new, forwards)
        if log.isEnabledFor(logging.DEBUG):  # hashes cost more than an unknown id is worth
            log.debug("%r: session %s is unknown, or has expired", self, ids.short_hash(key))
        return None

    def _revive(self, key: str, id: str | None, record: Record, *_: object) -> Session | None:
        """Return the session of a record, or None, logged once for each key, if it is damaged or its class unknown."""
        payload, is_outdated = record.payload, False
        try:
            if self._ways or self.codec.is_sealed:
                session, payload, is_outdated = self._read_payload(key, payload)
            else:
                session = self.codec.load(payload)
        except Unfit as error:
            self._report(logging.ERROR, key, f"is treated as absent: it {error}")
            return None
        except DamagedRecord as error:
            hint = likely(self.codec, record.payload)
            self._report_damage(key, f"{error} ({hint})" if hint else error)
            return None
        except UnknownClass as error:
            self._report(logging.ERROR, key, f"needs a class that can't be imported here: {error}")
            return None
        session.__dict__.setdefault("_creation_time", record.created)
        session._clock = self.clock
        self._remember(session, id, key, payload, record)
        if record.user_key is not None and type(session.user) is not str:  # as most users are
            session._know_user_as(record.user_key)
        if is_outdated and session._snapshot is not None:
            session._snapshot.is_outdated = True
        if record.accessed > self.clock() + MAX_SKEW:
            session._count_as_past(self.clock())
        return session

    def _read_payload(self, key: str, sealed: bytes) -> tuple[Session, bytes, bool]:
        """Return the session, its payload in the present way, and whether the record is in an older one."""
        codec = self.codec
        if self._ways:
            return revive(codec, self._open_ways(), key, sealed)
        payload, is_newest = codec.opened(key, sealed) if codec.is_sealed else (sealed, True)
        return codec.load(payload), payload, not is_newest

    def _open_ways(self) -> list[OlderWay]:
        now = self.clock()
        return [way for way in self._ways if now < way.ends]

    def _reads_unsealed(self) -> bool:
        return not self.codec.is_sealed or any(not way.codec.is_sealed for way in self._open_ways())

    def _remember(self, session: Session, id: str | None, key: str, payload: bytes, record: Record) -> None:
        session.id = id
        session._access_time = record.accessed
        session._expires = record.expires
        session._snapshot = Snapshot(self, id, key, payload, record.revision, record.accessed, record.expires)

    def _snapshot_of(self, session: Session) -> Snapshot | None:
        """Return what we remember on the session; None if another store, or another id, is meant: then it is new."""
        snapshot = session._snapshot
        if snapshot is None or snapshot.id != session.id:
            return None
        if snapshot.store is self:
            return snapshot
        if not isinstance(snapshot.store, SessionRecords) or not is_same_place(self, snapshot):
            return None
        session._snapshot = taken_over(self, snapshot)
        return session._snapshot

    def revives(self, session_class: type[Session]) -> bool:
        return self.codec.revives(session_class)

    def is_changed(self, session: Session) -> bool:
        """Tell whether saving the session would write its data."""
        snapshot = self._snapshot_of(session)
        if snapshot is None or session._access_time < snapshot.accessed:
            return True  # new; or its times were set right, which no touch does
        payload = self.codec.dump(session)
        return snapshot.is_foreign or (payload != snapshot.payload and not self._is_same(session, payload, snapshot))

    def _is_same(self, session: Session, payload: bytes, snapshot: Snapshot) -> bool:
        # Where an item was set, other bytes are a change: to look again at what they mean costs as much as two dumps.
        return not session._says_changed() and self.codec.is_same(payload, snapshot.payload)

    def _report_damage(self, key: str, error: object) -> None:
        self._report(logging.WARNING, key, f"is damaged, and treated as absent: {error}")

    def _report(self, level: int, key: str, what: str) -> None:
        if key not in self._reported:
            if len(self._reported) >= _MAX_REPORTED:
                self._reported.clear()
            self._reported.add(key)
            log.log(level, "%r: the record of session %s %s", self, ids.short_hash(key), what)


def _plain_until(accepts: Sequence[Accepted], hash_ids: bool) -> float:
    """Return until when (seconds since the epoch) records are also looked for under plain ids; 0: never."""
    places = [each for each in accepts if each.hash_ids is not None]
    if any(each.hash_ids for each in places) or (places and not hash_ids):
        raise ConfigurationError("Accepted: hash_ids=False is for a store with hash_ids=True; no other switch is read")
    return max((each.ends for each in places), default=0.0)


def _hashed(id: str) -> str:
    return str(id) if isinstance(id, ids.StoredKey) else str(ids.hash_id(id))
