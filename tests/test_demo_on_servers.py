"""The demo on stores that are servers: set up from a shell, restarted, and with the server itself restarted."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .durus_server import DurusServer
from .mariadb_server import MARIADBD, MariaDBServer
from .postgres_server import INITDB, PostgresServer
from .private_server import find_program
from .redis_server import RedisServer
from .servers import DemoServer
from .test_cli import session3
from .test_demo import Browser

REDIS = find_program("redis-server")

pytest.importorskip("quixote", reason="needs Quixote: pip install 'session3[quixote]'")

SERVERS: dict[str, tuple[Any, Callable[[], Any], str]] = {
    "postgresql": (INITDB, PostgresServer, "apt-get install postgresql"),
    "durus": (sys.executable, DurusServer, "pip install 'session3[durus]'"),
    "mysql": (MARIADBD, MariaDBServer, "apt-get install mariadb-server"),
    # One that keeps what it has answered for, as the others do.
    "redis": (
        REDIS,
        lambda: RedisServer("--appendonly", "yes", "--appendfsync", "always"),
        "apt-get install redis-server",
    ),
}


@pytest.fixture(params=SERVERS)
def database(request: pytest.FixtureRequest) -> Iterator[Any]:
    program, make, remedy = SERVERS[request.param]
    if program is None:
        pytest.skip(f"needs {request.param}: {remedy}")
    server = make()
    with server:
        yield server


def test_two_demos_on_one_database_and_both_restarted(database: Any, tmp_path: Path) -> None:
    done = session3("setup", database.url)
    assert done.returncode == 0 and "sesame" not in done.stdout
    with DemoServer(tmp_path, database.url) as first, DemoServer(tmp_path, database.url) as second:
        assert "sesame" not in first.line
        browser = Browser(first).log_in("alice")
        for browser.server in (second, first, second):
            browser.post("/count")
        assert (browser.user, browser.count) == ("alice", 3)
        assert session3("setup", database.url).returncode == 0  # and its session stays
        for end in (database.kill, database.stop):
            end()
            browser.get()
            assert browser.status == 503 and "sesame" not in browser.page
            database.start()
            for browser.server in (second, first):
                browser.get()
                assert (browser.status, browser.user) == (200, "alice")
                browser.post("/count")
        assert browser.count == 7
        for server in (first, second):
            assert "sesame" not in server.end()
    with DemoServer(tmp_path, database.url) as browser.server:
        browser.get()
        assert (browser.user, browser.count) == ("alice", 7)
