"""A record as the value of a Redis key, and the scripts that change it on the server.

0    magic and format, 4 bytes; the revision, 8: what a compare-and-swap compares, as bytes, since a number in Lua
     has 53 bits
12   created, modified, accessed, expires: doubles, seconds since the epoch by the server's clock; a touch overwrites
     the last two in place
44   lengths of user key and forward, 2 bytes each; user key; forward; payload

>>> record = Record(b"payload", 7, 1.0, 2.0, 3.0, user_key="alice")
>>> unpack(pack(record, offset=0.5), offset=0.5) == record
True
"""

import hashlib
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..errors import DamagedRecord
from ..record import Record, pack_expires, record_of, unpack_expires
from .ServerClock import MAX_DRIFT

_MAGIC = b"s3r1"
_HEAD = struct.Struct(">4sQddddHH")


def pack(record: Record, offset: float) -> bytes:
    """Return the value of a record; `offset` is how far the record's clock is ahead of the server's."""
    user_key = b"" if record.user_key is None else b"=" + record.user_key.encode()
    forward = b"" if record.forward is None else b"=" + record.forward.encode()
    created, modified, accessed = record.created - offset, record.modified - offset, record.accessed - offset
    times = (created, modified, accessed, pack_expires(record.expires) - offset)
    head = _HEAD.pack(_MAGIC, record.revision, *times, len(user_key), len(forward))
    return b"".join((head, user_key, forward, record.payload))


def unpack(value: bytes, offset: float) -> Record:
    """Return the record of a value. Raises DamagedRecord if it is no value of ours."""
    if len(value) < _HEAD.size or not value.startswith(_MAGIC):
        raise DamagedRecord("the value of its key is not in session3's format")
    _, revision, created, modified, accessed, expires, user_length, forward_length = _HEAD.unpack_from(value)
    user_end = _HEAD.size + user_length
    end = user_end + forward_length
    if len(value) < end:
        raise DamagedRecord("the value of its key was cut off")
    try:
        user_key, forward = value[_HEAD.size : user_end].decode(), value[user_end:end].decode()
    except UnicodeDecodeError as error:
        raise DamagedRecord("its user key or its forward is no text") from error
    times = (created + offset, modified + offset, accessed + offset, unpack_expires(expires + offset))
    texts = (user_key[1:] if user_length else None, forward[1:] if forward_length else None)
    return record_of((value[end:], revision, *times, *texts))


def shift(now: float | None, time: Sequence[bytes] | None = None) -> float:
    """Return by how much the server's time, as its command TIME gives it, differs from `now`: as a script says it.

    >>> shift(1000.0, [b"1000", b"400000"]), shift(1000.0, [b"1010", b"500000"]), shift(None)
    (0.0, 10.5, 0.0)
    """
    if now is None or time is None:
        return 0.0
    difference = int(time[0]) + int(time[1]) / 1e6 - now
    return difference if abs(difference) >= MAX_DRIFT else 0.0


def head(revision: int) -> bytes:
    """Return how the value of a record with this revision begins."""
    return _MAGIC + revision.to_bytes(8, "big")


def times(value: bytes) -> bytes:
    """Return how a value begins, up to and with its times: what tells whether it was written or touched since."""
    return value[:44]


# -- scripts ---------------------------------------------------------------------------------------------------------


def answer(reply: Any) -> tuple[Any, float]:
    """Return the result of a script, and by how much the server's time differs from what the caller took it to be."""
    return (reply[0], float(reply[1])) if isinstance(reply, list) else (reply, 0.0)


class Script(NamedTuple):
    """A Lua script, and the SHA-1 under which a server that has seen it knows it."""

    text: str
    sha: str


# ARGV[1] is what the caller takes the server's time to be. Where that is right within MAX_DRIFT it is left at that;
# else all its times are shifted by the difference, and the caller is told, beside the result. An empty one stands.
_START = """
local key, shift = KEYS[1], 0
if ARGV[1] ~= '' then
  local time = redis.call('TIME')
  shift = time[1] + time[2] / 1000000 - ARGV[1]
  if math.abs(shift) < MAX_DRIFT then shift = 0 end
end
local function answer(result)
  if shift == 0 then return result end
  return {result, string.format('%.6f', shift)}
end
local function shifted(value)
  if shift == 0 then return value end
  local created, modified, accessed, expires = struct.unpack('>dddd', value, 13)
  local times = struct.pack('>dddd', created + shift, modified + shift, accessed + shift, expires + shift)
  return value:sub(1, 12) .. times .. value:sub(45)
end
-- "Not there" from a replica that lags behind would log somebody out: a write, which changes nothing, makes it say
-- that it is read-only. A primary that takes no writes, since its disk failed (MISCONF), knows all the same.
-- '' where the key has another type; any other refusal is none of the record's.
local function look(...)
  local value = redis.pcall(...)
  if type(value) ~= 'table' then return value end
  return value.err:find('WRONGTYPE') and '' or redis.call(...)
end
local function unsure(is_there)
  local write = is_there and redis.pcall('RENAMENX', key, key) or redis.pcall('DEL', key)
  return type(write) == 'table' and write.err and not write.err:find('MISCONF') and write
end
local function refuse()
  return unsure(redis.call('EXISTS', key) == 1) or answer(0)
end
"""


def _script(body: str) -> Script:
    text = _START.replace("MAX_DRIFT", str(MAX_DRIFT)) + body
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


#: Answers with the value; '' is damaged, nil is not there.
READ = _script("""
local value = look('GET', key)
return not value and unsure(false) or answer(value)
""")

#: ARGV: value, milliseconds to live.
INSERT = _script("""
return answer(redis.call('SET', key, shifted(ARGV[2]), 'PX', ARGV[3], 'NX') and 1 or 0)
""")

#: ARGV: value, milliseconds to live, how the value there has to begin.
REPLACE = _script("""
if look('GETRANGE', key, 0, #ARGV[4] - 1) ~= ARGV[4] then return refuse() end
redis.call('SET', key, shifted(ARGV[2]), 'PX', ARGV[3])
return answer(1)
""")

#: ARGV: how the value there has to begin; '' if what a rotation left behind is to stay.
REMOVE = _script("""
local head = look('GETRANGE', key, 0, 47)
if head:sub(1, #ARGV[2]) ~= ARGV[2] then return refuse() end
if ARGV[3] == '' and #head == 48 and head:sub(1, 4) == 's3r1' then
  local user, forward = struct.unpack('>HH', head, 45)
  if forward ~= 0 and redis.call('STRLEN', key) >= 48 + user + forward then return refuse() end
end
if head == '' and redis.call('EXISTS', key) == 0 then return refuse() end
return answer(redis.call('DEL', key))
""")

#: ARGV: how the value there has to begin, accessed, expires or '', milliseconds to live if it gets, or has, this.
TOUCH = _script("""
local head = look('GETRANGE', key, 0, 47)
if #head < 48 or head:sub(1, #ARGV[2]) ~= ARGV[2] then return refuse() end
local accessed, expires = struct.unpack('>dd', head, 29)
if ARGV[3] + shift < accessed then return answer(1) end
accessed = ARGV[3] + shift
if ARGV[4] ~= '' then expires = ARGV[4] + shift end
redis.call('SETRANGE', key, 28, struct.pack('>dd', accessed, expires))
if ARGV[4] ~= '' or expires == math.huge then redis.call('PEXPIRE', key, ARGV[5]) end
return answer(1)
""")

#: Only compares the clocks.
LOOK = _script("""
return answer(1)
""")

#: Runs each command that the others do, on a key that is nobody's; fails with the first refusal.
CHECK = _script("""
local refusal
local function try(command, ...)
  local reply = redis.pcall(command, ...)
  if type(reply) == 'table' and reply.err and not refusal then
    refusal = redis.error_reply(reply.err .. ' (' .. command .. ')')
  end
end
try('TIME')
try('SET', key, 'check', 'PX', 1000, 'NX')
try('GETRANGE', key, 0, 4)
try('SETRANGE', key, 0, 'c')
try('STRLEN', key)
try('PEXPIRE', key, 1000)
try('PTTL', key)
try('EXISTS', key)
try('RENAMENX', key, key)
try('DEL', key)
return refusal or answer(1)
""")

#: ARGV: milliseconds to live for a key that would live for ever.
LIMIT = _script("""
if redis.call('PTTL', key) == -1 then redis.call('PEXPIRE', key, ARGV[2]) end
return answer(0)
""")
