"""Many sessions, fast: one goes through the store, and its back end copies it under all other keys."""

import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

from session3 import open_store
from session3.codec import SessionCodec
from session3.DictSession import DictSession
from session3.record import Record, first_revision
from session3.serializers import PickleSerializer
from session3.store.SQLSessionStore import COLUMNS

from .contenders import DATA
from .sections import Bench

_BATCH = 10_000  # keys that are copied at once
_REMOVERS = 8  # threads
_DAY = 86_400.0
_COLUMNS = ", ".join(COLUMNS)


def urls(bench: Bench, number: int) -> dict[str, str]:
    """Return the URL of each store that is asked for and can be had here; another number is another place."""
    folder, (postgres, mariadb, redis) = bench.folder, bench.servers
    found = {
        "Directory": f"directory://{folder}/directory{number}",
        "Shelve": f"shelve://{folder}/shelf{number}",
        "SQLite": f"sqlite://{folder}/{number}.db",
        "Durus": f"durus://{folder}/{number}.durus",
    }
    if postgres is not None:
        found["Postgres"] = f"{postgres.url}?table=bench{number}"
    if mariadb is not None:
        found["MySQL"] = f"{mariadb.url}?table=bench{number}"
    if redis is not None:
        found["Redis"] = f"redis://127.0.0.1:{redis.port}/{number}"
    return {name: url for name, url in found.items() if is_asked_for(bench, name)}


def is_asked_for(bench: Bench, store: str) -> bool:
    family = "files" if store in ("Directory", "Shelve") else store.split()[0]  # the server of Durus is Durus, too
    return bench.families is None or family in bench.families


def open_empty(url: str) -> Any:
    """Return a store without sessions, in which they can be kept at once."""
    store = open_store(url)
    store.setup(overwrite=True)
    return store


def record(*, age: float = 0.0, lifetime: float | None = _DAY) -> Record:
    """Return the session of the benchmark as it is stored: last used `age` seconds ago, expiring so long from then."""
    session, then = DictSession(None), time.time() - age
    session.update(DATA)
    payload = SessionCodec(PickleSerializer(), DictSession, None).dump(session)
    return Record(payload, first_revision(), then, then, then, None if lifetime is None else then + lifetime)


def fill(store: Any, kept: Record, keys: Sequence[str], tick: Callable[[int], None] = lambda count: None) -> None:
    """Store a record under each of the keys, none of which is taken; `tick` is told how many it was each time."""
    kind = type(store).__name__
    if kind == "MySQLSessionStore":
        keys = sorted(keys)  # its table is in the order of the keys: at random, each row would meet another page
    store.insert(keys[0], kept)
    copy = _COPIERS[kind]
    others = iter(keys[1:])
    while batch := list(islice(others, _BATCH)):
        copy(store, keys[0], batch)
        tick(len(batch))
    _settle(store)


def drop(store: Any) -> None:
    """Let a server forget what is in a store, in one step; what is in files goes with their folder."""
    kind = type(store).__name__
    if kind in ("PostgresSessionStore", "MySQLSessionStore"):
        store._change(f"DROP TABLE {store._table}", ())
    elif kind == "RedisSessionStore":
        store._given.flushdb(asynchronous=True)
        store._given.close()
    store.close()


def empty(folder: Path) -> None:
    """Remove what is in a folder. By several threads, since some disks are told of each file, and waited for."""
    for path in folder.iterdir():
        if path.is_dir():
            names = [entry.path for entry in os.scandir(path)]
            with ThreadPoolExecutor(_REMOVERS) as removers:
                for start in range(0, len(names), _BATCH):
                    removers.submit(_unlink, names[start : start + _BATCH])
            path.rmdir()
        else:
            path.unlink()


def _unlink(names: list[str]) -> None:
    for name in names:
        os.unlink(name)


# -- copies, in the language of each back end ------------------------------------------------------------------------


def _copy_file(store: Any, first: str, keys: list[str]) -> None:
    with open(f"{store.directory}/{first}", "rb") as file:
        data = file.read()
    for key in keys:
        fd = os.open(f"{store.directory}/{key}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(fd, data)
        os.close(fd)


def _copy_value(store: Any, first: str, keys: list[str]) -> None:
    with store._shelf.writing() as shelf:
        value = shelf.get(first.encode())
        for key in keys:
            shelf[key.encode()] = value


def _copy_row(store: Any, first: str, keys: list[str]) -> None:
    copy = f"INSERT INTO {store._table} (id, {_COLUMNS}) SELECT ?, {_COLUMNS} FROM {store._table} WHERE id = ?"
    with store._connections.guard():
        connection = store._connections.get()
        connection.execute("PRAGMA cache_size = -1000000")  # KiB: random keys meet all pages of the index
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(copy, ((key, first) for key in keys))
        connection.execute("COMMIT")


def _copy_postgres_row(store: Any, first: str, keys: list[str]) -> None:
    source = f"{store._table}, unnest(%s) AS key WHERE id = %s"
    store._change(f"INSERT INTO {store._table} (id, {_COLUMNS}) SELECT key, {_COLUMNS} FROM {source}", (keys, first))


def _copy_mysql_row(store: Any, first: str, keys: list[str]) -> None:
    source = f"{store._table}, JSON_TABLE(%s, '$[*]' COLUMNS (k varchar(128) PATH '$')) AS new WHERE id = %s"
    copy = f"INSERT INTO {store._table} (id, {_COLUMNS}) SELECT k, {_COLUMNS} FROM {source}"
    store._change(copy, (json.dumps(keys), first))


def _copy_redis_value(store: Any, first: str, keys: list[str]) -> None:
    script = """
        local value, milliseconds = redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])
        for place = 2, #KEYS do redis.call('SET', KEYS[place], value, 'PX', milliseconds) end
    """
    names = [store.prefix + key for key in (first, *keys)]
    store._given.eval(script, len(names), *names)


def _copy_persistent(store: Any, first: str, keys: list[str]) -> None:
    from durus.persistent_dict import PersistentDict

    def copied(found: Any) -> Any:
        items = {name: copied(value) if isinstance(value, PersistentDict) else value for name, value in found.items()}
        return PersistentDict(items)

    def work(root: Any, again: bool) -> None:
        tree = root["session3"]
        for key in keys:
            tree[key] = copied(tree[first])

    store._transactions.run(work)


_COPIERS: dict[str, Callable[[Any, str, list[str]], None]] = {
    "DirectorySessionStore": _copy_file,
    "ShelveSessionStore": _copy_value,
    "SQLiteSessionStore": _copy_row,
    "PostgresSessionStore": _copy_postgres_row,
    "MySQLSessionStore": _copy_mysql_row,
    "RedisSessionStore": _copy_redis_value,
    "DurusSessionStore": _copy_persistent,
}


def _settle(store: Any) -> None:
    """Let a database do now what it would else do, after so many rows, while we measure."""
    kind = type(store).__name__
    if kind == "PostgresSessionStore":
        store._change(f"VACUUM ANALYZE {store._table}", ())
        store._change("CHECKPOINT", ())
    elif kind == "MySQLSessionStore":
        store._query(f"ANALYZE TABLE {store._table}", ())
    elif kind == "SQLiteSessionStore":
        store._query("PRAGMA wal_checkpoint(TRUNCATE)", ())
        store.close()  # with the large cache
