"""The floors: the same bytes through the bare driver, with the same durability."""

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

from .contenders import DATA, KEY, PAYLOAD, SECRET, Contender, Servers, changed


class FileFloor(Contender):
    """open, read, close; and a temporary file renamed over the old one."""

    name, family, is_floor = "file: open, read, close; temporary file and rename", "files", True

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


class SQLiteFloor(Contender):
    name, family, is_floor = "sqlite3: SELECT, UPDATE by primary key", "SQLite", True

    def __init__(self, folder: Path, servers: Servers, stack: ExitStack) -> None:
        self.connection = sqlite3.connect(folder / "floor.db", isolation_level=None)
        stack.callback(self.connection.close)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = NORMAL")
        self.connection.execute("CREATE TABLE floor (id TEXT PRIMARY KEY, payload BLOB)")
        self.connection.execute("INSERT INTO floor VALUES (?, ?)", (KEY, PAYLOAD))

    def load(self) -> Any:
        return self.connection.execute("SELECT payload FROM floor WHERE id = ?", (KEY,)).fetchone()

    def save(self, number: int) -> None:
        self.connection.execute("UPDATE floor SET payload = ? WHERE id = ?", (changed(number), KEY))


class _ServerFloor(Contender):
    """A connection in autocommit, one SELECT and one UPDATE by primary key."""

    is_floor = True
    blob: str

    def _connect(self, servers: Servers) -> Any:
        raise NotImplementedError

    def __init__(self, folder: Path, servers: Servers, stack: ExitStack) -> None:
        self.connection = self._connect(servers)
        stack.callback(self.connection.close)
        with self.connection.cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS floor")
            cursor.execute(f"CREATE TABLE floor (id varchar(64) PRIMARY KEY, payload {self.blob})")
            cursor.execute("INSERT INTO floor VALUES (%s, %s)", (KEY, PAYLOAD))

    def load(self) -> Any:
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT payload FROM floor WHERE id = %s", (KEY,))
            return bytes(cursor.fetchone()[0])

    def save(self, number: int) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute("UPDATE floor SET payload = %s WHERE id = %s", (changed(number), KEY))


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


class RedisFloor(Contender):
    name, family, is_floor = "redis-py: GET, SET PX", "Redis", True

    def __init__(self, folder: Path, servers: Servers, stack: ExitStack) -> None:
        self.client = servers.redis.client()
        stack.callback(self.client.close)
        self.save(0)

    def load(self) -> Any:
        return self.client.get(KEY)

    def save(self, number: int) -> None:
        self.client.set(KEY, changed(number), px=10**9)


class DurusFloor(Contender):
    name, family, is_floor = "durus: get, commit of one Persistent", "Durus", True

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

    name, family, is_floor = "cookie: JSON, zlib, base64, HMAC", "cookie", True

    def __init__(self, folder: Path, servers: Servers, stack: ExitStack) -> None:
        self.key = hashlib.sha256(SECRET.encode()).digest()
        self.cookie = self.save(0)

    def load(self) -> Any:
        body, _, signature = self.cookie.rpartition(".")
        expected = hmac.new(self.key, body.encode(), hashlib.sha256).digest()
        assert hmac.compare_digest(base64.urlsafe_b64decode(signature), expected)
        return json.loads(zlib.decompress(base64.urlsafe_b64decode(body)))

    def save(self, number: int) -> str:
        text = json.dumps({**DATA, "visits": number}, separators=(",", ":")).encode()
        body = base64.urlsafe_b64encode(zlib.compress(text))
        signature = hmac.new(self.key, body, hashlib.sha256).digest()
        return f"{body.decode()}.{base64.urlsafe_b64encode(signature).decode()}"


FLOORS = [FileFloor, SQLiteFloor, PostgresFloor, MySQLFloor, RedisFloor, DurusFloor, CookieFloor]
