"""Stores written by hand, for one session, on the bare driver: the least that does the job of a floor and ours besides.

Each makes a dict of the bytes, knows whether anything inside it changed (nothing but its bytes tells), and saves by a
compare-and-swap that a kill -9 survives as the floor does. No expiry, no other users, no errors, no merge. What one of
these takes, no library can do without.
"""

import fcntl
import os
import pickle
import struct
import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from .contenders import DATA, KEY, PAYLOAD, Contender, Role, Servers
from .floors import DurusFloor, FileFloor, MySQLFloor, PostgresFloor, RedisFloor, SQLiteFloor

_REVISION = struct.Struct(">Q")


class ByHand(Contender):
    """Put before a floor, whose bytes are a pickle here, under a revision."""

    role = Role.BY_HAND

    def __init__(self, folder: Path, servers: Servers, stack: ExitStack) -> None:
        super().__init__(folder, servers, stack)
        self.session, self.revision = dict(DATA), 0
        self._prepare()

    def _prepare(self) -> None:
        """Make what the floor has ready for revisions: 0 is there now."""

    def _read(self) -> bytes:
        payload: bytes = super().load()
        return payload

    def _swap(self, payload: bytes, revision: int) -> bool:
        """Store a pickle under this revision if the one below it is there; tell whether it was."""
        raise NotImplementedError

    def load(self) -> Any:
        return pickle.loads(self._read())

    def save(self, number: int) -> None:
        self.session["visits"] = number
        self.revision += 1
        assert self._swap(pickle.dumps(self.session, 5), self.revision)

    def read_only(self) -> None:
        payload = self._read()
        assert pickle.dumps(pickle.loads(payload), 5) == payload

    def visits(self) -> int:
        return Contender.visits(self)


class FileByHand(ByHand):
    """Two slots of a block each, written in turn under a lock; the newer one whose checksum holds counts."""

    name, family = "files, by hand: two slots, lock", FileFloor.family

    _HEAD, _BLOCK = struct.Struct("<QII"), 4096  # revision, length, checksum

    def __init__(self, folder: Path, servers: Servers, stack: ExitStack) -> None:
        self.path = str(folder / "by hand")
        with open(self.path, "wb") as file:
            file.write(self._slot(PAYLOAD, 0).ljust(2 * self._BLOCK, b"\0"))
        super().__init__(folder, servers, stack)

    def _slot(self, payload: bytes, revision: int) -> bytes:
        return self._HEAD.pack(revision, len(payload), zlib.crc32(payload)) + payload

    def _newest(self, fd: int) -> tuple[int, bytes]:
        data, found = os.pread(fd, 2 * self._BLOCK, 0), (-1, b"")
        for start in (0, self._BLOCK):
            revision, length, checksum = self._HEAD.unpack_from(data, start)
            if revision > found[0]:
                payload = data[start + self._HEAD.size : start + self._HEAD.size + length]
                if payload and zlib.crc32(payload) == checksum:
                    found = revision, payload
        return found

    def _read(self) -> bytes:
        fd = os.open(self.path, os.O_RDONLY)
        payload = self._newest(fd)[1]
        os.close(fd)
        return payload

    def _swap(self, payload: bytes, revision: int) -> bool:
        fd = os.open(self.path, os.O_RDWR)
        fcntl.flock(fd, fcntl.LOCK_EX)
        is_there = self._newest(fd)[0] == revision - 1
        if is_there:
            os.pwrite(fd, self._slot(payload, revision), revision % 2 * self._BLOCK)
        os.close(fd)
        return is_there


class SQLiteByHand(ByHand, SQLiteFloor):
    name = "SQLite, by hand: UPDATE of a revision"

    def _prepare(self) -> None:
        self.connection.execute("ALTER TABLE floor ADD COLUMN revision INTEGER DEFAULT 0")

    def _swap(self, payload: bytes, revision: int) -> bool:
        sql = "UPDATE floor SET payload = ?, revision = ? WHERE id = ? AND revision = ?"
        return self.connection.execute(sql, (payload, revision, KEY, revision - 1)).rowcount == 1


class PostgresByHand(ByHand, PostgresFloor):
    name = "psycopg2, by hand: prepared, UPDATE of a revision"

    def _prepare(self) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {self.table} ADD COLUMN revision bigint DEFAULT 0")
            cursor.execute(f"PREPARE by_hand_load AS SELECT payload FROM {self.table} WHERE id = $1")
            cursor.execute(
                f"PREPARE by_hand_save AS UPDATE {self.table} SET payload = $1, revision = $2"
                " WHERE id = $3 AND revision = $4"
            )
        self.select = "EXECUTE by_hand_load (%s)"

    def _swap(self, payload: bytes, revision: int) -> bool:
        with self.connection.cursor() as cursor:
            cursor.execute("EXECUTE by_hand_save (%s, %s, %s, %s)", (payload, revision, KEY, revision - 1))
            return bool(cursor.rowcount == 1)


class MySQLByHand(ByHand, MySQLFloor):
    name = "PyMySQL, by hand: UPDATE of a revision"

    def _prepare(self) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {self.table} ADD COLUMN revision bigint DEFAULT 0")

    def _swap(self, payload: bytes, revision: int) -> bool:
        sql = f"UPDATE {self.table} SET payload = %s, revision = %s WHERE id = %s AND revision = %s"
        with self.connection.cursor() as cursor:
            return bool(cursor.execute(sql, (payload, revision, KEY, revision - 1)) == 1)


class RedisByHand(ByHand, RedisFloor):
    name = "redis-py, by hand: GET, a script"

    #: The revision is in front of the pickle.
    _SCRIPT = (
        "if redis.call('GETRANGE', KEYS[1], 0, 7) ~= ARGV[1] then return 0 end"
        " redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) return 1"
    )

    def _prepare(self) -> None:
        self.sha = self.client.script_load(self._SCRIPT)
        self.client.set(self.key, _REVISION.pack(0) + PAYLOAD)

    def _read(self) -> bytes:
        return super()._read()[_REVISION.size :]

    def _swap(self, payload: bytes, revision: int) -> bool:
        before, value = _REVISION.pack(revision - 1), _REVISION.pack(revision) + payload
        return bool(self.client.evalsha(self.sha, 1, self.key, before, value, 10**9))


class DurusByHand(ByHand, DurusFloor):
    name = "durus, by hand: commit of a revision"

    def _prepare(self) -> None:
        self.tree[KEY]["revision"] = 0
        self.connection.commit()

    def _swap(self, payload: bytes, revision: int) -> bool:
        self.connection.abort()
        found = self.tree[KEY]
        if found["revision"] != revision - 1:
            return False
        found.update(payload=payload, revision=revision)
        self.connection.commit()
        return True


BY_HAND: list[type[Contender]] = [
    FileByHand, SQLiteByHand, PostgresByHand, MySQLByHand, RedisByHand, DurusByHand,
]  # fmt: skip
