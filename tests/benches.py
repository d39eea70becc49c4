"""Where a test gets any of the stores from, by name: for two clients, and on a server of its own if it needs one."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from session3 import open_store

from .stores.conftest import ServerClock

SECRET = "a key of at least sixteen characters"


class Bench:
    """Where a test gets its store from; what it opens is closed after the test."""

    def __init__(self, request: pytest.FixtureRequest, folder: Path, clock: ServerClock) -> None:
        self.fixture, self.folder, self.clock = request.getfixturevalue, folder, clock
        self.stack = contextlib.ExitStack()

    def open(self, url: str, **options: Any) -> Any:
        return self.stack.enter_context(open_store(url, clock=self.clock, **options))

    def age_table(self, store: Any, aged: str) -> None:
        """Let the times in a table go back as the clock advances, since its server has a clock of its own."""
        columns = ("created", "modified", "accessed", "expires")
        sql = ", ".join(f"{column} = {column} - {aged}" for column in columns)
        self.clock.age_records = lambda seconds: store._change(f"UPDATE {store._name} SET {sql}", (seconds,) * 4)


def memory(bench: Bench) -> list[Any]:
    one, other = bench.open("memory://"), bench.open("memory://")
    other._records = one._records
    return [one, other]


def on_files(kind: str, **options: Any) -> Callable[[Bench], list[Any]]:
    return lambda bench: [bench.open(f"{kind}://{bench.folder}/sessions", **options) for _ in range(2)]


def durus_file(bench: Bench) -> list[Any]:
    pytest.importorskip("durus", reason="needs Durus: pip install 'session3[durus]'")
    return [bench.open(f"durus://{bench.folder}/sessions")] * 2  # a file is for one at a time


def durus_server(bench: Bench) -> list[Any]:
    pytest.importorskip("durus", reason="needs Durus: pip install 'session3[durus]'")
    from .durus_server import DurusServer

    url = bench.stack.enter_context(DurusServer()).url
    return [bench.open(url), bench.open(url)]


def redis_server(bench: Bench) -> list[Any]:
    pytest.importorskip("redis", reason="needs redis-py: pip install 'session3[redis]'")
    from .redis_server import RedisServer

    # One, since two would measure two distances to the server's clock, some milliseconds apart.
    return [bench.open(bench.stack.enter_context(RedisServer()).url)] * 2


def postgresql(bench: Bench) -> list[Any]:
    pytest.importorskip("psycopg2", reason="needs psycopg2: pip install 'session3[postgres]'")
    return on_table(bench, f"{bench.fixture('postgres').url}?table=model", "%s * interval '1 second'")


def mysql(bench: Bench) -> list[Any]:
    pytest.importorskip("pymysql", reason="needs PyMySQL: pip install 'session3[mysql]'")
    return on_table(bench, f"{bench.fixture('mariadb').url}?table=model", "INTERVAL %s SECOND")


def on_table(bench: Bench, url: str, aged: str) -> list[Any]:
    stores = [bench.open(url) for _ in range(2)]
    stores[0].setup(overwrite=True)
    bench.stack.callback(stores[0]._change, "DROP TABLE model", ())
    bench.age_table(stores[0], aged)
    return stores


#: With how many examples: those that ask a server are slower.
STORES: dict[str, tuple[Callable[[Bench], list[Any]], int]] = {
    "memory": (memory, 500),
    "directory": (on_files("directory"), 100),
    "shelve": (on_files("shelve"), 100),
    "sqlite": (on_files("sqlite"), 100),
    "sqlite, signed, ids hashed": (on_files("sqlite", secret_key=SECRET, hash_ids=True), 100),
    "durus file": (durus_file, 100),
    "durus server": (durus_server, 20),
    "redis": (redis_server, 20),
    "postgresql": (postgresql, 20),
    "mysql": (mysql, 20),
}
