"""Fixtures of all tests."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import settings

from .mariadb_server import MARIADBD, MariaDBServer
from .postgres_server import INITDB, PostgresServer
from .sessions import Clock

# The same examples in each run, so that one that fails tells of the change, not of the dice; on slow machines, too.
settings.register_profile("session3", derandomize=True, deadline=None)
settings.load_profile("session3")

VERBS = ("read", "insert", "replace", "remove", "touch", "scan", "sweep", "clear")


@pytest.fixture
def clock() -> Clock:
    # Starts at the real time, so that what a file system stamps is in step with it.
    return Clock(time.time())


@pytest.fixture
def count_verbs(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that counts, from its call on, which verbs a record store is asked for."""

    def start(store: Any) -> Counter[str]:
        counts: Counter[str] = Counter()

        def counting(name: str, verb: Any) -> Any:
            def call(*args: Any, **kwargs: Any) -> Any:
                counts[name] += 1
                return verb(*args, **kwargs)

            return call

        for name in VERBS:
            monkeypatch.setattr(store, name, counting(name, getattr(store, name)))
        return counts

    return start


# -- private servers; each runs as long as the tests do ---------------------------------------------------------------


class GivenServer:
    """A server that somebody else runs, named in the environment."""

    def __init__(self, url: str, database: str) -> None:
        parts = urlsplit(url)
        self.url = url
        self.port = parts.port
        self.settings = {
            "host": parts.hostname, "port": parts.port, "user": unquote(parts.username or ""),
            "password": unquote(parts.password or ""), database: parts.path.strip("/"),
        }  # fmt: skip


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    if url := os.environ.get("SESSION3_TEST_POSTGRES_URL"):
        yield GivenServer(url, "dbname")
        return
    if INITDB is None:
        pytest.skip("needs PostgreSQL: apt-get install postgresql (or name one: SESSION3_TEST_POSTGRES_URL)")
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Any]:
    if url := os.environ.get("SESSION3_TEST_MYSQL_URL"):
        yield GivenServer(url, "database")
        return
    if MARIADBD is None:
        pytest.skip("needs MariaDB: apt-get install mariadb-server (or name one: SESSION3_TEST_MYSQL_URL)")
    with MariaDBServer() as server:
        yield server
