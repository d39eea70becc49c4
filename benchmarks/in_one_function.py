"""Our store of files once more, each operation in one function: what its calls among themselves cost.

A load does what ours does, no less: it checks the id, the file's two slots and their checksums, when the session
expires, and what a rotation may have left; it finds the class, and remembers what a save compares and swaps with. A
request that only reads does what SessionManager does where nobody overrides anything. Whatever is unusual goes our way.
"""

import fcntl
import math
import os
import pickle
import sys
import zlib
from typing import Any

from session3 import ids, slotformat
from session3.ClassReferences import MARK
from session3.DictSession import DictSession
from session3.expiry import ITEM
from session3.Session import not_kept
from session3.Snapshot import Snapshot
from session3.store import directoryrecord as folder
from session3.Visit import Visit

from .contenders import Role
from .ours import OurDirectory

_HEAD, _FIRST = slotformat._SLOT_HEAD.size, slotformat._BLOCK
_START = len(MARK) + 2


class OurDirectoryInOneFunction(OurDirectory):
    """What would be left to gain by calling less."""

    name, role = "session3 Directory, in one function", Role.VARIANT

    def load(self) -> Any:
        store, id = self.store, self.cookie
        if not ids.is_id(id):
            return super().load()
        fd = os.open(store._prefix + id, os.O_RDONLY)
        try:
            data = os.pread(fd, slotformat._FIRST_READ, 0)
        finally:
            os.close(fd)
        magic, size, noted, _, _ = slotformat._FILE_HEAD_AND_NOTE.unpack_from(data)
        newest, start = slotformat._SLOT_HEAD.unpack_from(data, _FIRST), _FIRST
        if len(data) >= _FIRST + size + _HEAD:
            other = slotformat._SLOT_HEAD.unpack_from(data, _FIRST + size)
            if other > newest:
                newest, start = other, _FIRST + size
        revision, length, checksum = newest
        body = data[start + _HEAD : start + _HEAD + length]
        if magic != slotformat._MAGIC or zlib.crc32(body, zlib.crc32(data[start : start + _HEAD - 4])) != checksum:
            return super().load()
        created, _, accessed, expires, user, forward = folder._HEAD.unpack_from(body)
        codec = store.codec
        if noted == revision or forward or codec.is_sealed or (expires != math.inf and expires <= store.clock()):
            return super().load()
        payload = body[folder._HEAD.size + user :]
        end = _START + int.from_bytes(payload[len(MARK) : _START], "big")
        kind = codec._classes._classes.get(payload[:end])
        if kind is not DictSession or getattr(sys.modules.get(kind.__module__), kind.__qualname__, None) is not kind:
            return super().load()
        session = kind.__new__(kind)
        attributes = session.__dict__
        attributes.update(pickle.loads(payload[end:]))
        attributes.setdefault("_form_tokens", [])
        attributes.setdefault("data", {})
        attributes.setdefault("_creation_time", created)
        session._clock, session.id, session._access_time = store.clock, id, accessed
        session._expires = None if expires == math.inf else expires
        session._snapshot = Snapshot(store, id, id, payload, revision, accessed, session._expires)
        return session

    def save(self, number: int) -> None:
        store, session = self.store, self.session
        session["visits"] = number
        snapshot, payload = session._snapshot, self._dump(session)
        if payload == snapshot.payload or session._expires is not None or session.user is not None:
            return super().save(number)
        session._access_time = now = max(session._access_time, store.clock())
        revision = snapshot.revision + 1 + int.from_bytes(os.urandom(4), "big") // 4
        path = store._prefix + snapshot.key
        fd = os.open(path, os.O_RDWR)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            there, here = os.stat(path), os.fstat(fd)
            data = os.pread(fd, slotformat._FIRST_READ, 0)
            magic, size = slotformat._FILE_HEAD.unpack_from(data)
            newest, start, place = slotformat._SLOT_HEAD.unpack_from(data, _FIRST), _FIRST, _FIRST + size
            if len(data) >= _FIRST + size + _HEAD:
                other = slotformat._SLOT_HEAD.unpack_from(data, _FIRST + size)
                if other > newest:
                    newest, start, place = other, _FIRST + size, _FIRST
            body = data[start + _HEAD : start + _HEAD + newest[1]]
            is_whole = zlib.crc32(body, zlib.crc32(data[start : start + _HEAD - 4])) == newest[2]
            body = folder._HEAD.pack(session._creation_time, now, session._access_time, math.inf, 0, 0) + payload
            is_ours = magic == slotformat._MAGIC and (here.st_ino, here.st_dev) == (there.st_ino, there.st_dev)
            assert is_ours and is_whole and newest[0] == snapshot.revision and _HEAD + len(body) <= size
            head = slotformat._SUMMED.pack(revision, len(body))
            os.pwrite(fd, head + zlib.crc32(body, zlib.crc32(head)).to_bytes(4, "little") + body, place)
            fcntl.flock(fd, fcntl.LOCK_UN)
        finally:
            os.close(fd)
        session._snapshot = Snapshot(store, session.id, snapshot.key, payload, revision, now, None)

    def _dump(self, session: Any) -> bytes:
        state, kind = session.__dict__.copy(), type(session)
        for name in not_kept[kind]:
            state.pop(name, None)
        assert getattr(sys.modules.get(kind.__module__), kind.__qualname__, None) is kind
        payload: bytes = self.store.codec._classes._heads[kind] + pickle.dumps(state, 5)
        return payload

    def read_only(self) -> None:
        manager = self.manager
        visit = Visit(self.cookie, None)
        session: Any = self.load() if ids._COOKIE_ID(self.cookie) else None
        visit.session = visit.loaded = session
        kept = session.data.get(ITEM)
        now = session._clock()
        if now - session._access_time > manager.ACCESS_TIME_RESOLUTION:
            session._access_time = now
        visit.user_key, visit.expires, visit.tokens = session.user, session._expires, frozenset(session._form_tokens)
        session["name"]
        snapshot = session._snapshot
        has_moved = session._access_time > snapshot.accessed or session.user != visit.user_key or visit.cycle
        is_limited = kept is not None or manager.idle_timeout or manager.absolute_timeout or manager.renew_after
        assert self._dump(session) == snapshot.payload and not has_moved and not is_limited
