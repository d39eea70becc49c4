"""What an operation costs, counted: system calls, and what goes to and comes from a server. Noise can't touch these."""

import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from session3 import open_store
from session3.DictSession import DictSession
from session3.SessionManager import SessionManager
from session3.store.VolatileSessionStore import VolatileSessionStore

from .operations import MARK
from .servers import ROOT
from .sessions import Clock

Costs = dict[str, dict[str, int]]

#: System calls of the embedded stores; "stat" is of a name or a descriptor. Those that get memory are not counted.
DIRECTORY: Costs = {
    "load": {"openat": 1, "pread64": 1, "close": 1},
    "unchanged save": {},
    "changed save": {"getrandom": 1, "openat": 1, "flock": 2, "stat": 3, "pread64": 1, "pwrite64": 1, "close": 1},
    "touch": {"openat": 1, "flock": 2, "stat": 3, "pread64": 1, "pwrite64": 1, "close": 1},
    "delete": {"openat": 1, "flock": 2, "stat": 3, "pread64": 1, "unlink": 1, "close": 1},
}
# A transaction of SQLite takes and frees a lock; one that writes two; the first after a write of our own one more.
# It writes a head and a page to its log for each page that changed: of the table and, where a row goes, of its index.
SQLITE: Costs = {
    "load": {"stat": 1, "getpid": 1, "fcntl": 2},
    "unchanged save": {},
    "changed save": {"getrandom": 1, "stat": 1, "getpid": 1, "fcntl": 4, "pwrite64": 2},
    "touch": {"stat": 1, "getpid": 1, "fcntl": 6, "pwrite64": 2},
    "delete": {"stat": 1, "getpid": 1, "fcntl": 6, "pwrite64": 4},
}
SHELVE: Costs = {
    "load": {"pread64": 1, "stat": 1},
    "unchanged save": {},
    "changed save": {
        "getrandom": 1,
        "getpid": 1,
        "openat": 1,
        "pread64": 1,
        "stat": 5,
        "flock": 2,
        "pwrite64": 2,
        "close": 1,
    },
    "touch": {"getpid": 1, "openat": 1, "pread64": 1, "stat": 5, "flock": 2, "pwrite64": 2, "close": 1},
    "delete": {"getpid": 1, "openat": 1, "pread64": 3, "stat": 5, "flock": 2, "pwrite64": 2, "close": 1},
}

EMBEDDED = {"directory": DIRECTORY, "sqlite": SQLITE, "shelve": SHELVE}

#: What goes over the socket to a server: writes, and reads that brought something.
_ONE_ROUND_TRIP = {"sendto": 1, "recvfrom": 1}
ONE_ROUND_TRIP_EACH: Costs = {
    "load": _ONE_ROUND_TRIP,
    "unchanged save": {},
    "changed save": _ONE_ROUND_TRIP,
    "touch": _ONE_ROUND_TRIP,
    "delete": _ONE_ROUND_TRIP,
}
# Durus asks what others changed, and a commit is asked and then sent in two parts.
_COMMIT = {"sendto": 4, "recvfrom": 3}
DURUS: Costs = {
    "load": _ONE_ROUND_TRIP,
    "unchanged save": {},
    "changed save": _COMMIT,
    "touch": _COMMIT,
    "delete": _COMMIT,
}

SERVERS = {
    "postgresql": ONE_ROUND_TRIP_EACH,
    "mysql": ONE_ROUND_TRIP_EACH,
    "redis": ONE_ROUND_TRIP_EACH,
    "durus": DURUS,
}

#: Verbs of a store in a whole request.
CHANGED = {"read": 1, "replace": 1}
NEW = {"insert": 1}
LOGOUT = {"read": 1, "remove": 1}

_MEMORY = "brk,mmap,munmap,mremap,madvise"
_ONE_NAME = {"newfstatat": "stat", "fstat": "stat", "lstat": "stat", "statx": "stat"}
_MARKED = re.compile(rf'"{MARK}/([^/]+)/(begins|ends)"').search
_CALL = re.compile(r"\d+ +(\w+)\(.*?(= -1 E\w+.*)?$").match


@pytest.fixture(scope="module")
def strace() -> str:
    found = shutil.which("strace")
    if found is None:
        pytest.skip("needs strace: apt-get install strace")
    tried = subprocess.run([found, "-f", "-o", "/dev/null", "true"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"strace is not allowed to trace here: {tried.stderr.strip()}")
    return found


@pytest.fixture
def trace(strace: str, tmp_path: Path) -> Callable[[str], dict[str, list[str]]]:
    """Return a function that uses the store of a URL, and returns strace's lines about each operation."""

    def run(url: str) -> dict[str, list[str]]:
        output = tmp_path / "trace"
        subprocess.run(
            [strace, "-f", "-o", output, "-e", f"trace=!{_MEMORY}", sys.executable, "-m", "tests.operations", url],
            cwd=ROOT, check=True,
        )  # fmt: skip
        return _by_operation(output.read_text(errors="replace").splitlines())

    return run


def _by_operation(lines: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in lines:
        mark = _MARKED(line)
        if mark is None:
            current.append(line)
        else:
            current = found.setdefault(mark[1], []) if mark[2] == "begins" else []
    return found


def _counted(operations: dict[str, list[str]], *wanted: str) -> Costs:
    """Count the calls of each operation; of those that are wanted, if any is named, only what did not fail."""
    costs: Costs = {}
    for operation, lines in operations.items():
        calls = [call for call in map(_CALL, lines) if call and (not wanted or (call[1] in wanted and not call[2]))]
        costs[operation] = dict(Counter(_ONE_NAME.get(call[1], call[1]) for call in calls))
    return costs


@pytest.mark.parametrize("scheme", EMBEDDED)
def test_system_calls(trace: Any, tmp_path: Path, scheme: str) -> None:
    assert _counted(trace(f"{scheme}://{tmp_path}/sessions")) == EMBEDDED[scheme]


# -- servers: one round trip an operation ----------------------------------------------------------------------------


@pytest.fixture
def postgresql(postgres: Any) -> Iterator[str]:
    pytest.importorskip("psycopg2", reason="needs psycopg2: pip install 'session3[postgres]'")
    yield from _table(f"{postgres.url}?table=costs")


@pytest.fixture
def mysql(mariadb: Any) -> Iterator[str]:
    pytest.importorskip("pymysql", reason="needs PyMySQL: pip install 'session3[mysql]'")
    yield from _table(f"{mariadb.url}?table=costs")


def _table(url: str) -> Iterator[str]:
    yield url
    with open_store(url) as store:
        store._change("DROP TABLE costs", ())  # type: ignore[attr-defined]


@pytest.fixture
def redis() -> Iterator[str]:
    pytest.importorskip("redis", reason="needs redis-py: pip install 'session3[redis]'")
    from .redis_server import RedisServer

    with RedisServer() as server:
        yield server.url


@pytest.fixture
def durus() -> Iterator[str]:
    pytest.importorskip("durus", reason="needs Durus: pip install 'session3[durus]'")
    from .durus_server import DurusServer

    with DurusServer() as server:
        yield server.url


@pytest.mark.parametrize("server", SERVERS)
def test_round_trips(trace: Any, request: pytest.FixtureRequest, server: str) -> None:
    operations = trace(request.getfixturevalue(server))
    assert _counted(operations, "sendto", "sendmsg", "recvfrom", "recvmsg") == SERVERS[server]


# -- whole requests: verbs, of which each is one round trip or one file ----------------------------------------------


class TestWholeRequests:
    """A request that only reads, and how often an access time is written, are in test_session_manager.py."""

    @pytest.fixture
    def store(self, clock: Clock) -> VolatileSessionStore:
        return VolatileSessionStore(clock=clock)

    @pytest.fixture
    def manager(self, store: VolatileSessionStore) -> SessionManager:
        return SessionManager(store, DictSession)

    @pytest.fixture
    def cookie(self, manager: SessionManager) -> str:
        visit = manager.begin(None)
        assert isinstance(visit.session, DictSession)
        visit.session["cart"] = ["tea"]
        change = manager.finish(visit)
        assert change is not None and change.value is not None
        return change.value

    def test_one_that_makes_a_session(self, manager: SessionManager, store: Any, count_verbs: Any) -> None:
        counts = count_verbs(store)
        visit: Any = manager.begin(None)
        visit.session["cart"] = ["tea"]
        manager.finish(visit)
        assert counts == NEW

    def test_one_that_changes_a_session(
        self, manager: SessionManager, store: Any, cookie: str, clock: Clock, count_verbs: Any
    ) -> None:
        for seconds in (0, 100):  # the access time is written along
            clock.advance(seconds)
            counts = count_verbs(store)
            visit: Any = manager.begin(cookie)
            visit.session["cart"].append("milk")
            manager.finish(visit)
            assert counts == CHANGED

    def test_a_logout(self, manager: SessionManager, store: Any, cookie: str, count_verbs: Any) -> None:
        counts = count_verbs(store)
        visit = manager.begin(cookie)
        visit.end_session()
        manager.finish(visit)
        assert counts == LOGOUT
