"""What a record store keeps under a key."""

import hashlib
import math
import secrets
from typing import NamedTuple

from .SessionTimes import MAX_SKEW
from .tuples import maker
from .userkeys import key_text

#: What `forward` says of an id that leads nowhere: its session got another id, at a login; or it was emptied.
ROTATED, EMPTIED = "", "."

#: How long (seconds) what is known of an old id is kept at least; longer than any page's requests are on their way.
TOMBSTONE_SECONDS = 60.0
#: How long (seconds) the old id of a renewal leads on at most while nobody has come with the new one.
UNSEEN_SECONDS = 3600.0

_LEAST_GRACE = 0.001  # seconds; none at all is how 4.0.0a1's forwards look

#: What is further ahead was written by a clock that was wrong, and counts as now: else no timeout would hold until the
#: right time is there.
AHEAD = MAX_SKEW

_MAX_USER_KEY = 200  # characters; a longer one is hashed
_HASHED = "sha256:"
_MAX_GROWTH = 2**16 * 2**30  # of a revision while a request runs: more writes than any can miss, at full step


class Record(NamedTuple):
    """One session at rest. Times are seconds since the epoch by the store's clock; None expires never.

    `forward` is None on a session. On what is left of one it is ROTATED (a tombstone, whose payload is digests of the
    form tokens that the rotation used), EMPTIED (a tombstone, too, whose payload is the session as it was emptied, for
    requests in flight to merge with), or tells where a renewed id leads. On all of these `expires` is until when it is
    known; on a forward `accessed - modified` is the grace, and `created` since when the old id itself was in use.
    """

    payload: bytes
    revision: int
    created: float
    modified: float
    accessed: float
    expires: float | None = None
    user_key: str | None = None
    forward: str | None = None

    def is_expired(self, now: float) -> bool:
        return self.expires is not None and self.expires <= now

    def is_due(self, now: float, unused_for: float | None) -> bool:
        """Tell whether a sweep takes it: unused for so many seconds, or, with None, past its own expiry."""
        if unused_for is None:
            return self.is_expired(now)
        return max(self.accessed, self.modified) < now - unused_for

    def is_ahead(self, now: float) -> bool:
        """Tell whether a session was used at a time that is still to come; a lock is kept so on purpose."""
        return self.forward is None and max(self.accessed, self.modified) > now + AHEAD

    def set_right(self, now: float) -> "Record":
        """Return one that is ahead as if it was used now, so that it gets older from now on."""
        accessed, modified = min(self.accessed, now), min(self.modified, now)
        return self._replace(revision=next_revision(self.revision), accessed=accessed, modified=modified)

    def touched(self, accessed: float, expires: float | None, now: float = math.inf) -> "Record":
        """Return it as a touch leaves it: an earlier access time changes nothing, and no expiry keeps the old one.

        `now`: where it is known, an access time that is still to come gives way.
        """
        if accessed < self.accessed <= now + AHEAD:
            return self
        return self._replace(accessed=accessed, expires=self.expires if expires is None else expires)

    def is_session(self, now: float) -> bool:
        return self.forward is None and not self.is_expired(now)

    def leads_until(self, seen: float | None) -> float:
        """Return until when a forward leads new requests on; `seen`: when one first came with the id it leads to."""
        grace = self.accessed - self.modified
        if grace <= 0 and self.expires is not None:
            return self.expires  # of 4.0.0a1, which knew one time for both
        unseen_until = self.modified + max(UNSEEN_SECONDS, grace)
        return unseen_until if seen is None else min(unseen_until, max(seen, self.modified) + grace)

    def revision_over(self, now: float) -> int:
        """Return the revision of a new session under the key of this record.

        To requests in flight it is one more change of a live session, which they merge with. Over what is none any
        more it is another session, and theirs was deleted: its revision is too far above to follow theirs.
        """
        return next_revision(self.revision if self.is_session(now) else self.revision + _MAX_GROWTH)


record_of = maker(Record)


def forward_of(to: str, revision: int, since: float, grace: float, now: float) -> Record:
    """Return what a renewal leaves; `since`: when the old id came into use, `grace` (seconds) as of the new one's."""
    grace = max(grace, _LEAST_GRACE)
    kept = now + max(UNSEEN_SECONDS, grace) + TOMBSTONE_SECONDS
    return Record(b"", revision, min(since, now), now, now + grace, kept, forward=to)


def tombstone_of(revision: int, tokens: bytes, now: float) -> Record:
    """Return what a login leaves; `tokens`: digests of the form tokens that it used."""
    return Record(tokens, revision, now, now, now, now + TOMBSTONE_SECONDS, forward=ROTATED)


def first_revision() -> int:
    """Return where a key's revisions start: at random, so that a key that comes back never meets an old revision."""
    return secrets.randbits(61) + 1


def next_revision(revision: int) -> int:
    """Return a revision above this one, below 2**63.

    The step is random, so that two writers who start from the same revision never make the same next one: a writer
    whose reply was lost can tell its own write from a rival's.
    """
    return revision + 1 + secrets.randbits(30)


def is_later_revision(revision: int, before: int) -> bool:
    """Tell whether a revision can follow another one of the same record, within a request or so.

    Revisions start at random and grow in small steps: one that is lower, or far above, belongs to a key that was
    deleted and came back, and is another session's.
    """
    return before < revision < before + _MAX_GROWTH


def pack_expires(expires: float | None) -> float:
    """Return a float for formats that know no None."""
    return math.inf if expires is None else expires


def unpack_expires(packed: float) -> float | None:
    return None if packed == math.inf else packed


def user_key_text(user_key: object) -> str | None:
    """Return a user's key as any store can keep it: as it is, or what is long, or not printable, as its SHA-256."""
    if user_key is None:
        return None
    text = user_key if type(user_key) is str else key_text(user_key)
    # A name that looks like such a hash is hashed too, so that nobody can choose another user's.
    if text is None or (len(text) <= _MAX_USER_KEY and text.isprintable() and not text.startswith(_HASHED)):
        return text
    return _HASHED + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
