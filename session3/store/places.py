"""Whether two store objects lead to the same place, so that one knows a session that the other has loaded."""

import os
from collections.abc import Hashable
from typing import Any

from ..codec import SessionCodec
from ..errors import DamagedRecord, StoreUnavailable
from ..record import is_later_revision
from ..Snapshot import Snapshot

_PROBE = "probe"


def file_place(kind: str, path: str) -> Hashable:
    """Return what tells one file, or folder, from another, whatever links lead to it."""
    return kind, os.path.normcase(os.path.realpath(path))


def is_same_place(store: Any, snapshot: Snapshot) -> bool:
    """Tell whether `store` keeps the session of another store's snapshot under the same key of the same place.

    Raises StoreUnavailable if `store` itself has to ask and gets no answer; who can't reach the other one is elsewhere.
    """
    other = snapshot.store
    if store.hash_ids != other.hash_ids or not _are_of_one_kind(type(store), type(other)):
        return False
    place = store.place()
    try:
        theirs = other.place()
    except StoreUnavailable:
        return False
    if place is None and theirs is None and type(store) is type(other):
        # A store of somebody else's that does not tell. Revisions start at random: who has this one has the record.
        record, before = store.read(snapshot.key), snapshot.revision
        return record is not None and (record.revision == before or is_later_revision(record.revision, before))
    return place is not None and bool(place == theirs)


def _are_of_one_kind(one: type, other: type) -> bool:
    # Asked first: to copy from one kind of store to another asks no server where it is.
    return one.place is other.place or issubclass(one, other) or issubclass(other, one)  # type: ignore[attr-defined]


def taken_over(store: Any, snapshot: Snapshot) -> Snapshot:
    """Return a snapshot of another store's as `store` would have it, had it loaded the session itself."""
    is_alike = _are_alike(store.codec, snapshot.store.codec)
    payload = snapshot.payload if is_alike else store.codec.dump(snapshot.store.codec.load(snapshot.payload))
    taken = Snapshot(store, snapshot.id, snapshot.key, payload, snapshot.revision, snapshot.accessed, snapshot.expires)
    taken.is_foreign, taken.is_outdated = not is_alike, is_alike and snapshot.is_outdated
    return taken


def _are_alike(codec: SessionCodec, other: SessionCodec) -> bool:
    """Tell whether what one of them wrote needs not to be written again by the other."""
    ours, theirs = codec.serializer, other.serializer
    if type(ours) is not type(theirs) or getattr(ours, "__dict__", None) != getattr(theirs, "__dict__", None):
        return False
    if codec.session_class is not other.session_class or codec.is_sealed != other.is_sealed:
        return False
    try:
        return codec.open(_PROBE, other.seal(_PROBE, b"")) == b""
    except DamagedRecord:
        return False
