"""Connections to real servers that allow few of them: crowds, forks, exits, and pools of the application's."""

import contextlib
import functools
import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from session3.errors import StoreUnavailable
from session3.store.MySQLSessionStore import MySQLSessionStore
from session3.store.PostgresSessionStore import PostgresSessionStore

from .. import crowd
from ..contract import new_id, run_threads, stored
from ..mariadb_server import MARIADBD, MariaDBServer
from ..postgres_server import INITDB, PostgresServer
from ..private_server import free_port
from ..processes import ROOT, is_true_in_a_fork, is_true_in_a_fork_of_c
from ..servers import environment

DRIVERS = ("psycopg2", "psycopg", "pymysql", "MySQLdb")


@pytest.fixture(scope="module")
def servers() -> Iterator[Callable[[str], Any]]:
    """Return the server that a driver speaks to, which allows 20 connections."""
    with ExitStack() as stack:
        started: dict[str, Any] = {}

        def of(driver: str) -> Any:
            kind = "postgres" if driver.startswith("psycopg") else "mariadb"
            if kind not in started:
                if kind == "postgres":
                    if INITDB is None:
                        pytest.skip("needs PostgreSQL: apt-get install postgresql")
                    server: Any = PostgresServer("-c", "max_connections=20", "-c", "superuser_reserved_connections=1")
                else:
                    if MARIADBD is None:
                        pytest.skip("needs MariaDB: apt-get install mariadb-server")
                    server = MariaDBServer("--max-connections=20")
                started[kind] = stack.enter_context(server)
            return started[kind]

        yield of


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    pytest.importorskip(name, reason=f"needs {name}")
    return name


@pytest.fixture
def server(servers: Callable[[str], Any], driver: str) -> Any:
    return servers(driver)


@pytest.fixture
def connect(server: Any, driver: str) -> Callable[[], Any]:
    return lambda: import_module(driver).connect(**server.settings)


@pytest.fixture
def store_class(driver: str) -> Any:
    return PostgresSessionStore if driver.startswith("psycopg") else MySQLSessionStore


@pytest.fixture
def store(store_class: Any, connect: Any) -> Iterator[Any]:
    with store_class(connect, "pooled", timeout=60) as store:
        store.setup(overwrite=True)
        yield store


def counting(connect: Any) -> tuple[Any, list[int]]:
    """Return an opener that counts."""
    opened: list[int] = []

    def open() -> Any:
        opened.append(1)
        return connect()

    return open, opened


# -- crowds ----------------------------------------------------------------------------------------------------------


def test_a_thread_a_request_opens_no_connection_a_request(store_class: Any, connect: Any, store: Any) -> None:
    session = stored(store)
    open, opened = counting(connect)
    with store_class(open, "pooled") as pooled:
        for _ in range(50):
            thread = threading.Thread(target=pooled.load_session, args=(session.id,))
            thread.start()
            thread.join()
    assert len(opened) == 1


def test_a_crowd_of_threads_is_served_by_ten_connections(
    store_class: Any, connect: Any, driver: str, server: Any
) -> None:
    open, opened = counting(connect)
    store, ids = crowd.made(driver, server.settings)
    store.close()
    failed: list[str] = []
    with store_class(open, "crowd", timeout=60) as store:
        run_threads(lambda id: crowd.visit(store, id, failed), ids)
        assert failed == []
        assert {store.load_session(id)["n"] for id in ids} == {2}
    assert len(opened) <= 10


@pytest.mark.parametrize("patch", ["early", "late", "never", "waits"])
def test_a_crowd_of_greenlets_is_served_by_ten_connections(driver: str, server: Any, patch: str) -> None:
    pytest.importorskip("gevent", reason="needs gevent: pip install gevent")
    if patch == "waits" and driver != "psycopg2":
        pytest.skip("psycopg2 alone can be told how to wait")
    run = subprocess.run(
        [sys.executable, "-m", "tests.crowd", driver, json.dumps(server.settings), patch],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (run.returncode, run.stdout) == (0, "[]\n"), run.stderr


def test_who_finds_none_free_is_told_of_the_limit(store_class: Any, connect: Any, store: Any) -> None:
    with store_class(connect, "pooled", max_connections=1, timeout=0) as pooled:
        place = pooled._pool.take()
        with pytest.raises(StoreUnavailable, match="max_connections"):
            pooled.load_session(new_id())
        pooled._pool.give_back(place)
        assert pooled.load_session(new_id()) is None


def test_a_pool_may_make_raw_cursors(servers: Callable[[str], Any]) -> None:
    driver: Any = pytest.importorskip("psycopg", reason="needs psycopg")
    pool = psycopg_pool(servers("psycopg"), cursor_factory=driver.RawCursor)
    with pool, PostgresSessionStore(pool, "raw") as store:
        store.setup(overwrite=True)
        assert store.has_session(stored(store).id)
        with pool.connection() as connection:
            assert connection.execute("SELECT $1::text", ["as it was"]).fetchone() == ("as it was",)


def test_idle_connections_that_the_server_closed_cost_no_request(store: Any, connect: Any, driver: str) -> None:
    session = stored(store)
    for place in [store._pool.take() for _ in range(5)]:
        store._pool.give_back(place)
    end_all_others(connect, driver)
    for n in range(10):
        session["n"] = n
        store.save_session(session)
        assert store.load_session(session.id)["n"] == n


def end_all_others(connect: Any, driver: str) -> None:
    connection = connect()
    cursor = connection.cursor()
    if driver.startswith("psycopg"):
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
    else:
        cursor.execute(
            "SELECT id FROM information_schema.processlist WHERE id <> connection_id() AND user = 'session3'"
        )
        for (id,) in cursor.fetchall():
            with contextlib.suppress(connection.Error):  # it may have ended by itself
                cursor.execute(f"KILL HARD CONNECTION {id}")
    connection.close()


# -- forks and exits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asks", [is_true_in_a_fork, is_true_in_a_fork_of_c])
def test_a_forked_child_has_connections_of_its_own(store_class: Any, connect: Any, store: Any, asks: Any) -> None:
    open, opened = counting(connect)
    with store_class(open, "pooled") as pooled:
        session = stored(pooled)
        at_work = pooled._pool.take()

        def is_served() -> bool:
            return pooled.load_session(session.id) is not None and len(opened) == 2

        assert asks(is_served)
        pooled._pool.give_back(at_work)
        for place in [pooled._pool.take() for _ in range(2)]:
            pooled._pool.give_back(place)
        assert pooled.has_session(session.id) and len(opened) == 2


_EXIT = """
import json, sys, threading
from importlib import import_module
from session3.DictSession import DictSession
from session3.store.{store} import {store}

driver, settings = sys.argv[1], json.loads(sys.argv[2])
store = {store}(lambda: import_module(driver).connect(**settings), "pooled")
inside = threading.Semaphore(0)

def work():
    store.save_session(DictSession("example" + str(threading.get_ident())))
    inside.release()
    while True:
        store.delete_old_sessions(1e6)

for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
for _ in range(3):
    inside.acquire()
{end}
"""


@pytest.mark.parametrize("end", ["", "store.close()"])
def test_a_process_ends_beside_daemon_threads_in_a_call(store: Any, driver: str, server: Any, end: str) -> None:
    code = _EXIT.format(store=type(store).__name__, end=end)
    for _ in range(2):  # more of them in the faults' table
        run = subprocess.run(
            [sys.executable, "-c", code, driver, json.dumps(server.settings)],
            cwd=ROOT, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert (run.returncode, run.stderr) == (0, ""), run.stderr


_SITE = """
import os
from importlib import import_module
from session3.store.{store} import {store}

store = {store}(lambda: import_module({driver!r}).connect(**{settings!r}), "crowd", timeout=60)

def application(environ, start_response):
    id = environ["PATH_INFO"].strip("/")
    if id:
        session = store.load_session(id)
        session["n"] += 1
        store.save_session(session)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


#: Each driver in one of two ways, those that wait in Python in the one that is harder for them.
PRELOADS = {"psycopg2": [], "psycopg": ["--preload"], "pymysql": ["--preload"], "MySQLdb": []}


def test_a_site_under_gunicorn_and_gevent(driver: str, server: Any, tmp_path: Path) -> None:
    pytest.importorskip("gunicorn", reason="needs gunicorn: pip install gunicorn gevent")
    store, ids = crowd.made(driver, server.settings)
    code = _SITE.format(store=type(store).__name__, driver=driver, settings=server.settings)
    (tmp_path / "site_of_many.py").write_text(code)
    port, answers = free_port(), []
    command = [sys.executable, "-m", "gunicorn", "-k", "gevent", "-b", f"127.0.0.1:{port}", "-w", "2"]
    process = subprocess.Popen(
        [*command, *PRELOADS[driver], "--backlog", "512", "site_of_many:application"],
        cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        assert any("Booting worker" in line for line in process.stderr)
        run_threads(lambda id: [answers.append(answer(port, id)) for _ in range(2)], ids)  # type: ignore[func-returns-value]
        assert answers == [200] * (2 * crowd.MEMBERS)
        assert {store.load_session(id)["n"] for id in ids} == {2}
    finally:
        process.terminate()
        process.communicate(timeout=60)
        store.close()


def answer(port: int, id: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", f"/{id}")
        return connection.getresponse().status
    finally:
        connection.close()


# -- pools of the application's --------------------------------------------------------------------------------------


def psycopg2_pool(server: Any, **options: Any) -> Any:
    # It keeps as many as it has at least, and opens the others each time.
    return import_module("psycopg2.pool").ThreadedConnectionPool(3, 3, **server.settings, **options)


def psycopg_pool(server: Any, **options: Any) -> Any:
    pools = pytest.importorskip("psycopg_pool", reason="needs psycopg_pool: pip install 'psycopg[pool]'")
    return pools.ConnectionPool(kwargs={**server.settings, **options}, min_size=0, max_size=3, open=True)


def engine(name: str) -> Callable[..., Any]:
    def make(server: Any, **options: Any) -> Any:
        sqlalchemy = pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy: pip install SQLAlchemy")
        settings = server.settings
        url = sqlalchemy.URL.create(
            name, settings["user"], settings["password"], settings["host"], settings["port"],
            settings.get("dbname") or settings["database"],
        )  # fmt: skip
        return sqlalchemy.create_engine(url, pool_size=2, max_overflow=1, connect_args=options)

    return make


POOLS = {
    "psycopg2.pool": ("psycopg2", psycopg2_pool),
    "psycopg_pool": ("psycopg", psycopg_pool),
    "Engine, psycopg2": ("psycopg2", engine("postgresql+psycopg2")),
    "Engine, psycopg": ("psycopg", engine("postgresql+psycopg")),
    "Engine, PyMySQL": ("pymysql", engine("mysql+pymysql")),
    "Engine, mysqlclient": ("MySQLdb", engine("mysql+mysqldb")),
}
#: What else may be given of a pool: its methods, one by one.
WAYS: dict[str, Callable[[Any], Any]] = {
    "itself": lambda pool: pool,
    "getconn": lambda pool: pool.getconn,
    "connection": lambda pool: pool.connection,
    "raw_connection": lambda pool: pool.raw_connection,
    "a function": lambda pool: functools.partial(_call, pool.raw_connection),
}


def _call(open: Callable[[], Any]) -> Any:
    return open()


@pytest.mark.parametrize("given", POOLS)
class TestPoolsOfTheApplication:
    @pytest.fixture
    def driver(self, given: str) -> str:
        name = POOLS[given][0]
        pytest.importorskip(name, reason=f"needs {name}")
        return name

    @pytest.fixture
    def pool(self, given: str, server: Any) -> Iterator[Any]:
        pool = POOLS[given][1](server)
        yield pool
        close(pool)

    @pytest.fixture
    def pooled(self, pool: Any, store_class: Any, store: Any) -> Any:
        return store_class(pool, "pooled", timeout=60)

    def test_it_serves_a_crowd_and_gets_all_back(self, pool: Any, pooled: Any) -> None:
        session = stored(pooled)

        def add(name: str) -> None:
            for n in range(3):
                loaded = pooled.load_session(session.id)
                loaded[f"{name}{n}"] = n
                pooled.save_session(loaded)

        run_threads(add, [f"{n}-" for n in range(30)])
        assert len(pooled.load_session(session.id)) == 90
        assert at_work(pool) == 0

    def test_each_connection_is_as_it_was(self, pool: Any, pooled: Any, driver: str) -> None:
        looks = looks_of_postgres if driver.startswith("psycopg") else looks_of_mysql
        with borrowed(pool) as connection:
            before = looks(connection)
        session = stored(pooled)
        for _ in range(10):
            session["n"] = session.get("n", 0) + 1
            pooled.save_session(session)
            assert pooled.load_session(session.id)["n"] == session["n"]
        with borrowed(pool) as connection:
            assert looks(connection) == before

    def test_what_the_application_undoes_is_undone(self, pool: Any, pooled: Any, store: Any) -> None:
        stored(pooled)
        with borrowed(pool) as connection:
            cursor = connection.cursor()
            cursor.execute("DELETE FROM pooled")
            connection.rollback()
        assert len(list(store.iter_sessions())) == 1

    def test_it_waits_for_what_others_have(self, pool: Any, pooled: Any) -> None:
        session, done = stored(pooled), threading.Event()
        with ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(borrowed(pool))
            thread = threading.Thread(
                target=lambda: [act() for act in (lambda: pooled.has_session(session.id), done.set)]
            )
            thread.start()
            assert not done.wait(0.05)
        thread.join()
        assert done.is_set()

    def test_connections_that_the_server_closed_cost_no_request(
        self, pool: Any, pooled: Any, connect: Any, driver: str
    ) -> None:
        session = stored(pooled)
        with ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(borrowed(pool))
        for n in range(3):
            end_all_others(connect, driver)
            session["n"] = n
            pooled.save_session(session)
        assert pooled.load_session(session.id)["n"] == 2
        assert at_work(pool) == 0

    def test_one_that_was_cut_off_goes_to_nobody(self, pool: Any, pooled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """As the timeout of a request does it, before the reply is read."""
        session, other, execute = stored(pooled), stored(pooled), pooled._execute
        cut_off: list[Any] = []

        def cut(connection: Any, sql: str, parameters: Any) -> Any:
            cut_off.append(connection)
            execute(connection, sql, parameters)
            raise TimeoutError

        monkeypatch.setattr(pooled, "_execute", cut)
        with pytest.raises(TimeoutError):
            pooled.load_session(session.id)
        monkeypatch.undo()
        assert getattr(cut_off[0], "closed", not getattr(cut_off[0], "open", 0))
        for _ in range(5):
            assert pooled.load_session(other.id).id == other.id
        assert at_work(pool) == 0

    @pytest.mark.parametrize("asks", [is_true_in_a_fork, is_true_in_a_fork_of_c])
    @pytest.mark.parametrize("way", ["itself", "a function", "connection"])
    def test_a_forked_child_shares_no_connection(
        self, pool: Any, store_class: Any, store: Any, driver: str, way: str, asks: Any
    ) -> None:
        """Each would read the other's replies: other users' sessions."""
        try:
            conn = WAYS[way](pool)
        except AttributeError:
            pytest.skip(f"this pool has no {way}")
        name = "pg_backend_pid()" if driver.startswith("psycopg") else "connection_id()"
        with store_class(conn, "pooled") as pooled:

            def used() -> Any:
                return pooled._query(f"SELECT {name}", ())[0][0]

            session, parents = stored(pooled), used()

            def is_another() -> bool:
                try:
                    return bool(used() != parents)
                except StoreUnavailable as error:
                    return "after the fork" in str(error)

            assert asks(is_another)
            assert pooled.has_session(session.id)

    def test_a_user_with_other_letters(self, pooled: Any) -> None:
        session = stored(pooled)
        session.set_user("Žofia 日本")
        pooled.save_session(session)
        assert pooled.load_session(session.id).user == "Žofia 日本"
        assert pooled.read(session.id).user_key == "Žofia 日本"

    @pytest.mark.parametrize("way", WAYS)
    def test_its_methods_will_do_as_well(self, pool: Any, store_class: Any, way: str, store: Any) -> None:
        try:
            conn = WAYS[way](pool)
        except AttributeError:
            pytest.skip(f"this pool has no {way}")
        with store_class(conn, "pooled") as pooled:
            for _ in range(8):  # more than it has
                assert pooled.has_session(stored(pooled).id)
        assert at_work(pool) == 0


@pytest.mark.parametrize("driver", ["psycopg_pool"])
def test_a_pool_that_is_opened_after_the_fork_serves_the_child(driver: str, servers: Any) -> None:
    pools, server = pytest.importorskip(driver, reason=f"needs {driver}"), servers("psycopg")
    pool = pools.ConnectionPool(kwargs=server.settings, min_size=0, max_size=2, open=False)
    with PostgresSessionStore(pool, "pooled", timeout=60) as store:

        def is_served() -> bool:
            pool.open()
            store.setup(overwrite=True)
            return bool(store.has_session(stored(store).id))

        assert is_true_in_a_fork(is_served)


@pytest.mark.parametrize("driver", ["psycopg2", "pymysql"])
def test_an_engine_of_one_connection_serves_a_crowd(driver: str, server: Any, store_class: Any, connect: Any) -> None:
    sqlalchemy = pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy: pip install SQLAlchemy")
    name = "postgresql+psycopg2" if driver == "psycopg2" else "mysql+pymysql"
    made = sqlalchemy.create_engine(f"{name}://", creator=connect, poolclass=sqlalchemy.pool.StaticPool)
    errors: list[Exception] = []
    with store_class(made, "pooled", timeout=60) as pooled:
        pooled.setup(overwrite=True)
        ids = [stored(pooled).id for _ in range(10)]

        def look(id: str) -> None:
            try:
                for _ in range(20):
                    assert pooled.load_session(id).id == id
            except Exception as error:
                errors.append(error)

        run_threads(look, ids)
    assert errors == []
    made.dispose()


def looks_of_postgres(connection: Any) -> list[Any]:
    names = ("autocommit", "cursor_factory", "row_factory", "isolation_level", "encoding")
    return [getattr(connection, name, None) for name in names] + [connection.info.transaction_status]


def looks_of_mysql(connection: Any) -> list[Any]:
    cursor = connection.cursor()
    cursor.execute("SELECT @@sql_mode, @@character_set_client, @@autocommit, @@in_transaction")
    return [connection.get_autocommit(), connection.cursorclass, *cursor.fetchone()]


class borrowed:
    """One of a pool's connections, as the application takes it."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool

    def __enter__(self) -> Any:
        if hasattr(self.pool, "getconn"):
            self.one = self.pool.getconn()
            return self.one
        self.one = self.pool.raw_connection()
        return self.one.driver_connection

    def __exit__(self, *exception: object) -> None:
        if hasattr(self.pool, "putconn"):
            self.pool.putconn(self.one)
        else:
            self.one.close()


def at_work(pool: Any) -> int:
    """Return how many of its connections a pool misses."""
    if hasattr(pool, "_used"):
        return len(pool._used)
    if hasattr(pool, "get_stats"):
        deadline = time.monotonic() + 10
        while (missing := _missing(pool)) and time.monotonic() < deadline:
            threading.Event().wait(0.01)  # for a thread of its own, which opens others for those that died
        return missing
    return int(pool.pool.checkedout())


def _missing(pool: Any) -> int:
    stats = pool.get_stats()
    return int(stats["pool_size"] - stats["pool_available"])


def close(pool: Any) -> None:
    for name in ("closeall", "close", "dispose"):
        if hasattr(pool, name):
            return getattr(pool, name)()  # type: ignore[no-any-return]
