"""The floors: the same bytes through the bare driver, with the same durability.

What the least store on top of one takes is in by_hand.py; the cookie's floor is that already.
"""

import base64
import hashlib
import hmac
import json
import os
import sqlite3
import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from .contenders import DATA, KEY, PAYLOAD, SECRET, Contender, Role, Servers, changed, number_in


class Floor(Contender):
    """Moves bytes."""

    role = Role.FLOOR

    def visits(self) -> int:
        return number_in(self.load())


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
            file.write(changed(number))
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
        self.connection.execute("UPDATE floor SET payload = ? WHERE id = ?", (changed(number), KEY))


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
            cursor.execute(self.update, (changed(number), KEY))


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
        self.client.set(self.key, PAYLOAD)

    def load(self) -> Any:
        return self.client.get(self.key)

    def save(self, number: int) -> None:
        self.client.set(self.key, changed(number), px=10**9)


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
        self.tree[KEY]["payload"] = changed(number)
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


FLOORS: list[type[Contender]] = [
    FileFloor, SQLiteFloor, PostgresFloor, MySQLFloor, RedisFloor, DurusFloor, CookieFloor,
]  # fmt: skip
