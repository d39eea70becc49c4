"""A record as the body of a two-slot file, and what a touch moves as its note.

>>> body = pack(Record(b"data", 7, 1.0, 2.0, 3.0, user_key="alice"))
>>> unpack(Slot(7, body, None)).user_key
'alice'
"""

import struct

from ..record import Record, pack_expires, record_of, unpack_expires
from ..slots import Slot

_HEAD = struct.Struct("<ddddHH")  # created, modified, accessed, expires; lengths of user key and forward plus one
_NOTE = struct.Struct("<dd")  # accessed, expires


def pack(record: Record) -> bytes:
    user_key = b"" if record.user_key is None else b"=" + record.user_key.encode()
    forward = b"" if record.forward is None else b"=" + record.forward.encode()
    times = (record.created, record.modified, record.accessed, pack_expires(record.expires))
    return _HEAD.pack(*times, len(user_key), len(forward)) + user_key + forward + record.payload


def pack_note(record: Record) -> bytes:
    return _NOTE.pack(record.accessed, pack_expires(record.expires))


def unpack(slot: Slot) -> Record:
    body = slot.body
    created, modified, accessed, expires, user_length, forward_length = _HEAD.unpack_from(body)
    if slot.note is not None:
        accessed, expires = _NOTE.unpack(slot.note)
    user_end = _HEAD.size + user_length
    end = user_end + forward_length
    user_key = body[_HEAD.size + 1 : user_end].decode() if user_length else None
    forward = body[user_end + 1 : end].decode() if forward_length else None
    return record_of(
        (body[end:], slot.revision, created, modified, accessed, unpack_expires(expires), user_key, forward)
    )
