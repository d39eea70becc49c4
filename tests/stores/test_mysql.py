"""MySQLSessionStore over PyMySQL; a part of the contract over mysqlclient, too."""

import contextlib
import functools
import importlib
import itertools
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from session3 import open_store
from session3.errors import StoreUnavailable
from session3.store.MySQLSessionStore import MySQLSessionStore

from ..contract import (
    CrashContract,
    IterationContract,
    ProcessContract,
    RecordContract,
    SealContract,
    SetupContract,
    SweepContract,
    ThreadContract,
    stored,
)
from ..mariadb_server import MARIADBD, MariaDBServer
from ..server_contract import CutOffContract, RestartContract, ServerSQLContract, fail_once, refused
from .conftest import ServerClock

pymysql = pytest.importorskip("pymysql", reason="needs PyMySQL: pip install 'session3[mysql]'")

_tables = itertools.count()


@pytest.fixture
def connect(mariadb: Any) -> Any:
    return lambda: pymysql.connect(**mariadb.settings)


@pytest.fixture
def table() -> str:
    return f"sessions_{next(_tables)}"


@pytest.fixture
def clock() -> ServerClock:
    return ServerClock(time.time())


@pytest.fixture
def make_store(connect: Any, table: str, clock: ServerClock) -> Iterator[Any]:
    stores = []

    def make(**options: Any) -> MySQLSessionStore:
        stores.append(MySQLSessionStore(connect, table, clock=clock, **options))
        return stores[-1]

    first = make()
    first.setup(overwrite=True)
    columns = ("created", "modified", "accessed", "expires")
    aged = ", ".join(f"{column} = {column} - INTERVAL %s SECOND" for column in columns)
    clock.age_records = lambda seconds: first._change(f"UPDATE {table} SET {aged}", (seconds,) * 4)
    yield make
    first._change(f"DROP TABLE IF EXISTS {table}", ())
    for store in stores:
        store.close()


@pytest.fixture
def store(make_store: Any) -> Any:
    return make_store()


@pytest.fixture
def store_url(mariadb: Any, table: str) -> str:
    return f"{mariadb.url}?table={table}"


@pytest.fixture
def store_class() -> Any:
    return MySQLSessionStore


@pytest.fixture
def unreachable_url() -> str:
    return "mysql://session3:open%20sesame@127.0.0.1:9/shop"


@pytest.fixture
def odd_connects(mariadb: Any) -> Any:
    return odd_ones(pymysql, pymysql.cursors, mariadb.settings)


def odd_ones(driver: Any, cursors: Any, settings: dict[str, Any]) -> dict[str, Any]:
    options: list[dict[str, Any]] = [
        *({"charset": charset} for charset in ("latin1", "gbk", "sjis", "big5", "ascii")),
        *({"cursorclass": getattr(cursors, name)} for name in ("DictCursor", "SSCursor", "SSDictCursor")),
    ]
    for mode in ("ORACLE", "EMPTY_STRING_IS_NULL", "NO_BACKSLASH_ESCAPES,ANSI_QUOTES", "PIPES_AS_CONCAT"):
        options.append({"init_command": f"SET sql_mode = '{mode}'"})
    return {str(odd): functools.partial(driver.connect, **settings, **odd) for odd in options}


@pytest.fixture
def close_connections(connect: Any) -> Iterator[Any]:
    connection = connect()

    def close() -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT id FROM information_schema.processlist WHERE user = 'session3' AND id <> connection_id()"
            )
            for (id,) in cursor.fetchall():
                with contextlib.suppress(connection.Error):  # it may have ended by itself
                    cursor.execute(f"KILL HARD CONNECTION {id}")

    yield close
    connection.close()


@pytest.fixture
def count_statements(connect: Any) -> Iterator[Any]:
    connection = connect()
    cursor = connection.cursor()

    def questions() -> int:
        cursor.execute("SHOW GLOBAL STATUS LIKE 'Questions'")
        return int(cursor.fetchone()[1])

    def count(act: Any) -> int:
        before = questions()
        act()
        return questions() - before - 1  # the second SHOW counts, too

    yield count
    connection.close()


class TestMySQLSessionStore(
    RecordContract, IterationContract, SweepContract, SetupContract, ThreadContract, ProcessContract, CrashContract
):
    pass


class TestSealedMySQLSessionStore(SealContract):
    pass


class TestMySQLServer(ServerSQLContract, CutOffContract):
    @pytest.fixture
    def cut_off(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        return lambda: fail_once(monkeypatch, pymysql.connections.Connection, "_read_query_result")


class TestMySQLClient(
    IterationContract, SweepContract, SetupContract, ThreadContract, ServerSQLContract, CutOffContract
):
    @pytest.fixture
    def driver(self) -> Any:
        return pytest.importorskip("MySQLdb", reason="needs mysqlclient: pip install mysqlclient")

    @pytest.fixture
    def connect(self, mariadb: Any, driver: Any) -> Any:
        return lambda: driver.connect(**mariadb.settings)

    @pytest.fixture
    def odd_connects(self, mariadb: Any, driver: Any) -> Any:
        return odd_ones(driver, importlib.import_module("MySQLdb.cursors"), mariadb.settings)

    @pytest.fixture
    def cut_off(self, driver: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
        return lambda: fail_once(monkeypatch, driver.connections.Connection, "store_result")

    def test_a_large_session_is_saved_where_the_connection_had_died(self, store: Any, close_connections: Any) -> None:
        session = stored(store)
        session["blob"] = b"x" * 9_000_000  # PyMySQL sends two bytes for each, mysqlclient where it must
        close_connections()
        store.save_session(session)
        assert len(store.load_session(session.id)["blob"]) == 9_000_000


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDBServer]:
    if MARIADBD is None:
        pytest.skip("needs MariaDB: apt-get install mariadb-server")
    with MariaDBServer() as server:
        yield server


class TestRestart(RestartContract):
    @pytest.fixture
    def own_store(self, server: MariaDBServer) -> Iterator[MySQLSessionStore]:
        with MySQLSessionStore(lambda: pymysql.connect(**server.settings), "restarted") as store:
            store.setup(overwrite=True)
            yield store


def test_the_victim_of_a_deadlock_is_tried_again(store: Any) -> None:
    session = stored(store, data={"n": 0})
    store._change(
        f"CREATE TRIGGER give_way BEFORE UPDATE ON {store._name} FOR EACH ROW IF coalesce(@tries, 0) < 2 THEN"
        " SET @tries = coalesce(@tries, 0) + 1; SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213; END IF",
        (),
    )
    session["n"] = 1
    store.save_session(session)
    assert store.load_session(session.id)["n"] == 1
    assert store._query("SELECT @tries", ()) == [(2,)]


def test_a_server_that_stopped_answering_is_unavailable(server: MariaDBServer) -> None:
    assert server.process is not None
    with open_store(f"{server.url}?table=silent&read_timeout=1") as store:
        store.setup(overwrite=True)
        session = stored(store)
        server.process.send_signal(signal.SIGSTOP)
        while not is_stopped(server.process.pid):
            pass
        try:
            with pytest.raises(StoreUnavailable):
                store.load_session(session.id)
        finally:
            server.process.send_signal(signal.SIGCONT)
        assert store.has_session(session.id)


def is_stopped(pid: int) -> bool:
    """Tell whether each of its threads has had the signal."""
    return all(
        file.read_text().rpartition(")")[2].split()[0] == "T" for file in Path(f"/proc/{pid}/task").glob("*/stat")
    )


@pytest.mark.parametrize("code", [1290, 1836])
def test_a_server_that_became_a_replica_is_left_for_its_successor(
    mariadb: Any, connect: Any, store: Any, code: int
) -> None:
    session = stored(store)
    store._change(
        f"CREATE TRIGGER read_only BEFORE UPDATE ON {store._name} FOR EACH ROW"
        f" IF @is_successor IS NULL THEN SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {code}; END IF",
        (),
    )
    servers = [connect, lambda: pymysql.connect(**mariadb.settings, init_command="SET @is_successor = 1")]
    with MySQLSessionStore(lambda: servers.pop(0)(), store._name) as moved:
        session = moved.load_session(session.id)
        session["n"] = 1
        moved.save_session(session)
    assert store.load_session(session.id)["n"] == 1


def test_a_table_in_another_database(connect: Any) -> None:
    with MySQLSessionStore(connect, "visits.of_shop") as store:
        store._change("CREATE DATABASE IF NOT EXISTS visits", ())
        store.setup(overwrite=True)
        assert store.load_session("missing-session") is None
        store._change("DROP DATABASE visits", ())


@pytest.mark.parametrize("size", [9_000_000, 20_000_000])  # escaping makes the first too large, too
def test_a_payload_over_the_packet_size_is_refused_with_both_sizes(store: Any, size: int) -> None:
    assert f"{size:,}"[:2] in refused(store, size) and "16,777,216" in refused(store, size)


def test_a_lax_server_cuts_nothing(connect: Any, table: str, store: Any) -> None:
    def lax() -> Any:
        connection = connect()
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION sql_mode = ''")
        return connection

    with MySQLSessionStore(lax, table) as cutting:
        session = stored(cutting, data={"blob": bytes(70_000)})
        assert len(cutting.load_session(session.id)["blob"]) == 70_000


def test_a_session_that_is_longer_than_the_server_takes_by_now_still_loads(make_store: Any, connect: Any) -> None:
    """As after a move to a server with other settings: its functions give NULL for what is over the limit."""
    session = stored(make_store(), data={"blob": "x" * 3_000_000})
    connection = connect()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT @@global.max_allowed_packet")
            [limit] = cursor.fetchone()
            cursor.execute("SET GLOBAL max_allowed_packet = 1048576")
            try:
                store = make_store()
                assert len(store.load_session(session.id)["blob"]) == 3_000_000
                assert [id for id, _ in store.iter_sessions()] == [session.id]
            finally:
                cursor.execute("SET GLOBAL max_allowed_packet = %s", (limit,))
    finally:
        connection.close()
