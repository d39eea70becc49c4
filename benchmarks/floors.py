"""The floors: the same bytes through the bare driver, with the same durability.

Each has a second row, "and pickle", that also makes the bytes of a dict and a dict of the bytes: the least that a store
can do which somebody writes by hand, without a lock, a check or an expiry. A request that only reads does both, since
nothing but its bytes tells whether a dict changed inside. The cookie's floor has its JSON already.
"""

import base64
import hashlib
import hmac
import json
import os
import pickle
import sqlite3
import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

from .contenders import DATA, KEY, PAYLOAD, SECRET, Contender, Role, Servers, changed, number_in


class Floor(Contender):
    """Moves bytes."""

    role = Role.FLOOR

    def _payload(self, number: int) -> bytes:
        return changed(number)

    def visits(self) -> int:
        return number_in(self.load())


class AndPickle(Contender):
    """Put before a floor: the bytes are a pickled dict."""

    role = Role.PICKLED_FLOOR

    def __init__(self, folder: Path, servers: Servers, stack: ExitStack) -> None:
        self.session = dict(DATA)
        super().__init__(folder, servers, stack)

    def _payload(self, number: int) -> bytes:
        self.session["visits"] = number
        return pickle.dumps(self.session, 5)

    def load(self) -> Any:
        return pickle.loads(super().load())

    def read_only(self) -> None:
        payload = super().load()
        assert pickle.dumps(pickle.loads(payload), 5) == payload

    def visits(self) -> int:
        return Contender.visits(self)


class FileFloor(Floor):
    """open, read, close; and a temporary file renamed over the old one."""

    name, family = "file: open, read, close; temporary file and rename", "files"

    def __init__(self, folder: Path, servers: Servers, stack: ExitStack) -> None:
        self.path = str(folder / "floor")
        self.save(0)

    def load(self) -> bytes:
        with open(self.path, "rb") as file:
            return file.read()

    def save(self, number: int) -> None:
        temporary = self.path + ".tmp"
        with open(temporary, "wb") as file:
            file.write(self._payload(number))
        os.replace(temporary, self.path)


class SQLiteFloor(Floor):
    name, family = "sqlite3: SELECT, UPDATE by primary key", "SQLite"

    def __init__(self, folder: Path, servers: Servers, stack: ExitStack) -> None:
        self.connection = sqlite3.connect(folder / "floor.db", isolation_level=None)
        stack.callback(self.connection.close)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = NORMAL")
        self.connection.execute("CREATE TABLE floor (id TEXT PRIMARY KEY, payload BLOB)")
        self.connection.execute("INSERT INTO floor VALUES (?, ?)", (KEY, PAYLOAD))

    def load(self) -> Any:
        return self.connection.execute("SELECT payload FROM floor WHERE id = ?", (KEY,)).fetchone()[0]

    def save(self, number: int) -> None:
        self.connection.execute("UPDATE floor SET payload = ? WHERE id = ?", (self._payload(number), KEY))


class _ServerFloor(Floor):
    """A connection in autocommit, one SELECT and one UPDATE by primary key."""

    blob: str

    def _connect(self, servers: Servers) -> Any:
        raise NotImplementedError

    def __init__(self, folder: Path, servers: Servers, stack: ExitStack) -> None:
        self.connection = self._connect(servers)
        stack.callback(self.connection.close)
        self.table = table = "floor_" + self.role.name.lower()
        self.select = f"SELECT payload FROM {table} WHERE id = %s"
        self.update = f"UPDATE {table} SET payload = %s WHERE id = %s"
        with self.connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS {table}")
            cursor.execute(f"CREATE TABLE {table} (id varchar(64) PRIMARY KEY, payload {self.blob})")
            cursor.execute(f"INSERT INTO {table} VALUES (%s, %s)", (KEY, PAYLOAD))

    def load(self) -> Any:
        with self.connection.cursor() as cursor:
            cursor.execute(self.select, (KEY,))
            return bytes(cursor.fetchone()[0])

    def save(self, number: int) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(self.update, (self._payload(number), KEY))


class PostgresFloor(_ServerFloor):
    name, family, blob = "psycopg2: SELECT, UPDATE by primary key", "Postgres", "bytea"

    def _connect(self, servers: Servers) -> Any:
        import psycopg2

        connection = psycopg2.connect(**servers.postgres.settings)
        connection.autocommit = True
        return connection


class MySQLFloor(_ServerFloor):
    name, family, blob = "PyMySQL: SELECT, UPDATE by primary key", "MySQL", "longblob"

    def _connect(self, servers: Servers) -> Any:
        import pymysql

        return pymysql.connect(autocommit=True, **servers.mariadb.settings)


class RedisFloor(Floor):
    name, family = "redis-py: GET, SET PX", "Redis"

    def __init__(self, folder: Path, servers: Servers, stack: ExitStack) -> None:
        self.client = servers.redis.client()
        stack.callback(self.client.close)
        self.key = f"{self.role.name}:{KEY}"
        self.save(0)

    def load(self) -> Any:
        return self.client.get(self.key)

    def save(self, number: int) -> None:
        self.client.set(self.key, self._payload(number), px=10**9)


class DurusFloor(Floor):
    name, family = "durus: get, commit of one Persistent", "Durus"

    def __init__(self, folder: Path, servers: Servers, stack: ExitStack) -> None:
        from durus.btree import BTree
        from durus.connection import Connection
        from durus.file_storage import FileStorage
        from durus.persistent_dict import PersistentDict

        storage = FileStorage(str(folder / "floor.durus"))
        stack.callback(storage.close)
        self.connection = Connection(storage)
        self.tree = self.connection.get_root()["floor"] = BTree()
        self.tree[KEY] = PersistentDict(payload=PAYLOAD)
        self.connection.commit()

    def load(self) -> Any:
        self.connection.abort()
        return self.tree[KEY]["payload"]

    def save(self, number: int) -> None:
        self.tree[KEY]["payload"] = self._payload(number)
        self.connection.commit()


class CookieFloor(Contender):
    """JSON, compressed, in base64, under an HMAC-SHA256."""

    name, family, role = "cookie: JSON, zlib, base64, HMAC", "cookie", Role.FLOOR

    def __init__(self, folder: Path, servers: Servers, stack: ExitStack) -> None:
        self.key = hashlib.sha256(SECRET.encode()).digest()
        self.session = dict(DATA)
        self.save(0)

    def load(self) -> Any:
        body, _, signature = self.cookie.rpartition(".")
        expected = hmac.new(self.key, body.encode(), hashlib.sha256).digest()
        assert hmac.compare_digest(base64.urlsafe_b64decode(signature), expected)
        return json.loads(zlib.decompress(base64.urlsafe_b64decode(body)))

    def save(self, number: int) -> None:
        self.session["visits"] = number
        text = json.dumps(self.session, separators=(",", ":")).encode()
        body = base64.urlsafe_b64encode(zlib.compress(text))
        signature = hmac.new(self.key, body, hashlib.sha256).digest()
        self.cookie = f"{body.decode()}.{base64.urlsafe_b64encode(signature).decode()}"


def _and_pickle(floor: type[Floor]) -> type[Contender]:
    pickled: Any = type(f"{floor.__name__}AndPickle", (AndPickle, floor), {"name": f"{floor.name}, and pickle"})
    return cast(type[Contender], pickled)


_BYTES: list[type[Floor]] = [FileFloor, SQLiteFloor, PostgresFloor, MySQLFloor, RedisFloor, DurusFloor]

FLOORS: list[type[Contender]] = [*_BYTES, CookieFloor, *map(_and_pickle, _BYTES)]
