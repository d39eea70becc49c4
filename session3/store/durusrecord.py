"""A record as two of Durus's persistent objects: one for all that a save writes, one for what a touch writes.

What the latter says is about the revision that it names, so that a save need not write both.
"""

import itertools
import pickle
import zlib
from operator import itemgetter
from typing import Any

from ..durusstorages import came_from_outside
from ..record import Record, record_of

#: In the root of a database: the tree of sessions.
NAME = "session3"
_fields_of = itemgetter(*Record._fields)

#: What a record raises that was altered on the disk. Durus's own errors are none of these.
DAMAGE = (
    pickle.UnpicklingError, zlib.error, EOFError, LookupError, TypeError, ValueError, AttributeError, ImportError,
)  # fmt: skip


def tree(root: Any) -> Any:
    """Return the tree of sessions, or an empty dict before there is one."""
    return {} if root is None else root.get(NAME, {})


def make_tree(root: Any) -> Any:
    from durus.btree import BTree

    if NAME not in root:
        root[NAME] = BTree()
    return root[NAME]


def is_strange(root: Any) -> bool:
    """Tell whether what bears the name of our tree is none."""
    from durus.btree import BTree

    return not isinstance(tree(root), (BTree, dict))


def page(root: Any, last: str, size: int) -> list[tuple[str, Any]]:
    sessions = tree(root)
    return list(itertools.islice(sessions.items_from(last, closed=False), size)) if sessions else []


def pack(record: Record) -> Any:
    # Durus's own classes, so that its tools can look at a database without this package.
    from durus.persistent_dict import PersistentDict

    return PersistentDict(record._asdict(), touched=PersistentDict())


def unpack_untouched(found: Any) -> Record:
    """Return the record as its last save left it: one object of Durus's, where a touch adds another."""
    return record_of(_fields_of(found.data))


def unpack(found: Any) -> Record:
    return _with_touch(unpack_untouched(found), found)


def _with_touch(record: Record, found: Any) -> Record:
    touched = found.data["touched"].data
    if touched and touched["revision"] == record.revision:
        return record._replace(accessed=touched["accessed"], expires=touched["expires"])
    return record


def unpack_whole(found: Any) -> Record:
    record = unpack(found)
    if not isinstance(record.payload, bytes):
        raise TypeError("the payload is not bytes")
    return record


def pass_on(error: BaseException) -> None:
    """Raise what a signal's handler raised meanwhile again: it is no damage, though it may be of the same kind."""
    if came_from_outside(error):
        raise error


def look(found: Any) -> Record | None:
    """Return the record, whatever its payload; None if it is damaged."""
    try:
        return unpack(found)
    except DAMAGE as error:
        pass_on(error)
        return None


def is_due(found: Any, now: float, unused_for: float | None) -> bool:
    """Tell whether a sweep takes it. A touch only puts that off, so what is not due without it is not asked for it."""
    try:
        record = unpack_untouched(found)
        return record.is_due(now, unused_for) and _with_touch(record, found).is_due(now, unused_for)
    except DAMAGE as error:
        pass_on(error)
        return True


def is_ahead(found: Any, now: float, unused_for: float | None) -> bool:
    """Tell whether it was used at a time that is still to come; a touch is asked only where that keeps it."""
    try:
        record = unpack_untouched(found)
        return record.is_ahead(now) or (record.is_due(now, unused_for) and _with_touch(record, found).is_ahead(now))
    except DAMAGE as error:
        pass_on(error)
        return False


def is_session(found: Any, now: float) -> bool:
    try:
        record = unpack_untouched(found)
        return record.is_session(now) or (record.forward is None and _with_touch(record, found).is_session(now))
    except DAMAGE as error:
        pass_on(error)
        return False


def revision(found: Any) -> int | None:
    record = look(found)
    return None if record is None else record.revision
