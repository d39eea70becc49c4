"""Private servers for the tests of the stores on servers; each runs as long as the tests do."""

import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from ..mariadb_server import MARIADBD, MariaDBServer
from ..postgres_server import INITDB, PostgresServer
from ..sessions import Clock


class ServerClock(Clock):
    """A clock for stores whose server has its own: as it advances, the times that are stored there go back as much."""

    def __init__(self, now: float) -> None:
        super().__init__(now)
        self.age_records: Any = None

    def advance(self, seconds: float) -> None:
        super().advance(seconds)
        self.age_records(seconds)


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
