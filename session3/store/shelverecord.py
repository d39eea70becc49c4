"""What a shelf keeps of sessions: a record under its key, and beside it a note of what a touch changed.

>>> record = Record(b"payload", 7, 1.0, 2.0, 3.0)
>>> unpack("example1", pack("example1", record)) == record
True
>>> unpack("example2", pack("example1", record))
Traceback (most recent call last):
    ...
session3.errors.DamagedRecord: another session's record lies in its place; .dir and .dat do not fit together

Values are found by their place in a file, so that each says whose it is. One that session3 4.0.0a1 wrote does not: it
is taken for what its place says until it is written again, or met by a sweep, which adds the key. The key is no field
of the record, but a text that its pickle loads and drops at once: 4.0.0a1, at work beside us in a deploy or after one
that was taken back, refuses a record that has more fields than its own.
"""

import hashlib
import io
import pickle
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from ..errors import DamagedRecord
from ..record import Record

#: Ends the name of a note; no id has a colon.
TOUCHED = b":touched"
#: What stands for a deleted session, until a sweep takes it out: to do that, the whole index has to be written anew.
DEAD = pickle.dumps(None, 5)

#: Why a session of 3.4.1 may not be opened.
UNSIGNED = "is of session3 3.4.1, and not read where a key is set, since it bears no signature: see accepts="

_HEAD_AT, _HEAD = 11, b"}\x94(\x8c\x07payload\x94"  # how a record goes on behind protocol and length
_PROTOCOL = b"\x80\x05"
_OWNED = _PROTOCOL + pickle.SHORT_BINUNICODE  # then the key's length, the key, and that it is dropped


def pack(key: str, record: Record) -> bytes:
    owner, pickled = key.encode(), pickle.dumps(record._asdict(), 5)
    return _OWNED + bytes((len(owner),)) + owner + pickle.POP + pickled[len(_PROTOCOL) :]


def pack_note(record: Record) -> bytes:
    return pickle.dumps((record.revision, record.accessed, record.expires), 5)


def unpack(key: str, value: bytes) -> Record:
    """Return the record that is the key's. Raises DamagedRecord."""
    try:
        record = Record(**_unpickled(value))
    except Exception as error:  # garbage can make a decoder raise anything
        if not _was_raised_here(error.__traceback__):
            raise
        raise DamagedRecord(error) from error
    if _owner(value) not in (None, key.encode()):
        raise DamagedRecord("another session's record lies in its place; .dir and .dat do not fit together")
    return record


def with_note(record: Record, notes: Iterable[bytes]) -> Record | None:
    """Return the record as the first note that is whole leaves it; None if none is.

    One about another revision says nothing.
    """
    for note in notes:
        try:
            revision, accessed, expires = _unpickled(note)
            return record._replace(accessed=accessed + 0.0, expires=expires) if revision == record.revision else record
        except Exception as error:  # garbage can make a decoder raise anything
            if not _was_raised_here(error.__traceback__):
                raise
    return None


def names_class(error: DamagedRecord) -> bool:
    """Tell whether a value is no record since it names a class: it may be of session3 3.4.1, or somebody else's."""
    return isinstance(error.__cause__, _ForeignClass)


def lacks_key(value: bytes) -> bool:
    """Tell whether a value that is a record does not say whose."""
    return _owner(value) is None


def _owner(value: bytes) -> bytes | None:
    start = len(_OWNED) + 1
    return value[start : start + value[start - 1]] if value.startswith(_OWNED) and len(value) >= start else None


def was_ours(value: bytes) -> bool:
    """Tell whether a value that is no record of its key was one of ours.

    It is another key's; or it still begins as one, but can't be unpickled. What can is of another version of ours,
    perhaps, or somebody else's.
    """
    owner = _owner(value)
    if not value.startswith(_HEAD, _HEAD_AT if owner is None else _HEAD_AT + len(owner) + 3):
        return False
    try:
        return Record._fields == tuple(_unpickled(value)) and owner is not None
    except Exception as error:  # garbage can make a decoder raise anything
        if not _was_raised_here(error.__traceback__):
            raise
        return True


# -- session3 3.4.1 --------------------------------------------------------------------------------------------------


def unpack_upstream(key: str, value: bytes) -> Record | None:
    """Return what session3 3.4.1 left under a key: a pickled session; None if it is anything else.

    Nothing that the pickle names is imported or called here: what is in there is looked at as plain data.
    """
    try:
        state = vars(_InertUnpickler(io.BytesIO(value)).load())["state"]
        id, created, accessed = state["id"], state["_creation_time"] + 0.0, state["_access_time"] + 0.0
    except Exception as error:  # somebody else's pickle can make it raise anything
        if not _was_raised_here(error.__traceback__):
            raise
        return None
    if id != key:
        return None
    # Whatever is written over it has another revision.
    revision = int.from_bytes(hashlib.sha256(value).digest()[:7], "big") + 1
    return Record(value, revision, created, accessed, accessed)


class _Inert:
    """Stands in for every class that a pickle names."""

    def __new__(cls, *args: object, **options: object) -> "_Inert":
        return object.__new__(cls)

    def __init__(self, *args: object, **options: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        self.state = state

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def append(self, item: object) -> None:
        pass

    add = append


class _InertUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return _Inert


class _ForeignClass(pickle.UnpicklingError):
    pass


class _PlainUnpickler(pickle.Unpickler):
    """Reads what needs no import, so that a planted pickle does nothing; the payload inside is checked later."""

    def find_class(self, module: str, name: str) -> Any:
        raise _ForeignClass(f"{module}.{name} has no place in a record")


def _unpickled(data: bytes) -> Any:
    return _PlainUnpickler(io.BytesIO(data)).load()


def _was_raised_here(trace: TracebackType | None) -> bool:
    """Tell the data's exception from that of a signal's handler, which came meanwhile and is not ours to judge."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is None or trace.tb_frame.f_globals is globals()
