"""PostgresSessionStore over psycopg2; a part of the contract over psycopg 3, too."""

import functools
import importlib
import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest

from session3.errors import StoreUnavailable
from session3.store.PostgresSessionStore import PostgresSessionStore

from ..contract import (
    CrashContract,
    IterationContract,
    ProcessContract,
    RecordContract,
    SealContract,
    SetupContract,
    SweepContract,
    ThreadContract,
    run_threads,
    stored,
)
from ..postgres_server import INITDB, PGBOUNCER, PgBouncer, PostgresServer
from ..server_contract import CutOffContract, RestartContract, ServerSQLContract, fail_once, use_all_of
from .conftest import ServerClock

psycopg2 = pytest.importorskip("psycopg2", reason="needs psycopg2: pip install 'session3[postgres]'")

_tables = itertools.count()


@pytest.fixture
def connect(postgres: Any) -> Any:
    return lambda: psycopg2.connect(**postgres.settings)


@pytest.fixture
def table() -> str:
    return f"sessions_{next(_tables)}"


@pytest.fixture
def clock() -> ServerClock:
    return ServerClock(time.time())


@pytest.fixture
def make_store(connect: Any, table: str, clock: ServerClock) -> Iterator[Any]:
    stores = []

    def make(**options: Any) -> PostgresSessionStore:
        stores.append(PostgresSessionStore(connect, table, clock=clock, **options))
        return stores[-1]

    first = make()
    first.setup(overwrite=True)
    columns = ("created", "modified", "accessed", "expires")
    aged = ", ".join(f"{column} = {column} - %s * interval '1 second'" for column in columns)
    clock.age_records = lambda seconds: first._change(f"UPDATE {table} SET {aged}", (seconds,) * 4)
    yield make
    first._change(f"DROP TABLE IF EXISTS {table}", ())
    for store in stores:
        store.close()


@pytest.fixture
def store(make_store: Any) -> Any:
    return make_store()


@pytest.fixture
def store_url(postgres: Any, table: str) -> str:
    return f"{postgres.url}?table={table}"


@pytest.fixture
def store_class() -> Any:
    return PostgresSessionStore


@pytest.fixture
def unreachable_url() -> str:
    return "postgresql://session3:open%20sesame@127.0.0.1:9/shop"


@pytest.fixture
def odd_connects(postgres: Any) -> Any:
    extras = importlib.import_module("psycopg2.extras")
    options = [
        {"client_encoding": "LATIN1"},
        {"cursor_factory": extras.RealDictCursor},
        {"connection_factory": extras.RealDictConnection},
        {"connection_factory": extras.NamedTupleConnection},
    ]
    return {str(odd): functools.partial(psycopg2.connect, **postgres.settings, **odd) for odd in options}


@pytest.fixture
def close_connections(connect: Any) -> Iterator[Any]:
    connection = connect()
    connection.autocommit = True

    def close() -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )

    yield close
    connection.close()


@pytest.fixture
def count_statements(connect: Any) -> Iterator[Any]:
    connection = connect()
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")

    def count(act: Any) -> int:
        cursor.execute("SELECT pg_stat_statements_reset()")
        act()
        cursor.execute(
            "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat_statements%'"
        )
        return int(cursor.fetchone()[0])

    yield count
    connection.close()


class TestPostgresSessionStore(
    RecordContract, IterationContract, SweepContract, SetupContract, ThreadContract, ProcessContract, CrashContract
):
    pass


class TestSealedPostgresSessionStore(SealContract):
    pass


class TestPostgresServer(ServerSQLContract):
    pass


class TestPsycopg3(IterationContract, SweepContract, SetupContract, ThreadContract, ServerSQLContract, CutOffContract):
    @pytest.fixture
    def driver(self) -> Any:
        return pytest.importorskip("psycopg", reason="needs psycopg 3: pip install 'psycopg[binary]'")

    @pytest.fixture
    def connect(self, postgres: Any, driver: Any) -> Any:
        return lambda: driver.connect(**postgres.settings)

    @pytest.fixture
    def odd_connects(self, postgres: Any, driver: Any) -> Any:
        rows = importlib.import_module("psycopg.rows")
        options = [
            {"client_encoding": "LATIN1"},
            {"row_factory": rows.dict_row},
            {"row_factory": rows.scalar_row},
            {"cursor_factory": driver.ClientCursor},
            {"cursor_factory": driver.RawCursor},
        ]
        return {str(odd): functools.partial(driver.connect, **postgres.settings, **odd) for odd in options}

    @pytest.fixture
    def cut_off(self, driver: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
        # Its generator sends the statement, and then waits.
        return lambda: fail_once(monkeypatch, driver.Connection, "wait", lambda connection, steps: next(steps))


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    if INITDB is None:
        pytest.skip("needs PostgreSQL: apt-get install postgresql")
    with PostgresServer() as server:
        yield server


class TestRestart(RestartContract):
    @pytest.fixture
    def own_store(self, server: PostgresServer) -> Iterator[PostgresSessionStore]:
        with PostgresSessionStore(lambda: psycopg2.connect(**server.settings), "restarted") as store:
            store.setup(overwrite=True)
            yield store


class TestPreparedStatements:
    @pytest.fixture
    def driver(self) -> Any:
        return psycopg2

    def test_what_the_server_forgot_is_prepared_again(self, store: Any) -> None:
        session = stored(store, data={"n": 0})
        for n in range(1, 4):
            store._change("DISCARD ALL", ())
            loaded = store.load_session(session.id)
            loaded["n"] = n
            store.save_session(loaded)
        assert store.load_session(session.id)["n"] == 3

    def test_a_column_that_got_another_type_is_read_again(self, store: Any, make_store: Any) -> None:
        session, other = stored(store), make_store()
        for _ in range(10):  # psycopg 3 prepares what it has run five times
            store.load_session(session.id)
        other._change("CREATE DOMAIN bytes AS bytea", ())
        try:
            other._change(f"ALTER TABLE {store._name} ALTER payload TYPE bytes", ())
            assert store.load_session(session.id).user == "alice"
        finally:
            other._change("DROP DOMAIN bytes CASCADE", ())

    def test_behind_a_pooler_all_goes_on(self, postgres: Any, driver: Any, store: Any, table: str) -> None:
        if PGBOUNCER is None:
            pytest.skip("needs PgBouncer: apt-get install pgbouncer")
        session = stored(store)
        with (
            PgBouncer(postgres) as pooler,
            PostgresSessionStore(lambda: driver.connect(**pooler.settings), table) as pooled,
        ):

            def add(name: str) -> None:
                for n in range(50):
                    loaded = pooled.load_session(session.id)
                    loaded[f"{name}{n}"] = n
                    pooled.save_session(loaded)

            run_threads(add, "abcd")
        assert len(store.load_session(session.id)) == 200


class TestPreparedStatementsOfPsycopg3(TestPreparedStatements):
    @pytest.fixture
    def driver(self) -> Any:
        return pytest.importorskip("psycopg", reason="needs psycopg 3: pip install 'psycopg[binary]'")

    @pytest.fixture
    def connect(self, postgres: Any, driver: Any) -> Any:
        return lambda: driver.connect(**postgres.settings)


@pytest.mark.parametrize("module", ["psycopg2", "psycopg"])
def test_a_database_that_knows_no_encoding(postgres: Any, connect: Any, module: str) -> None:
    driver = pytest.importorskip(module, reason=f"needs {module}")
    with PostgresSessionStore(connect) as first:
        first._change("DROP DATABASE IF EXISTS plain", ())
        first._change("CREATE DATABASE plain TEMPLATE template0 ENCODING SQL_ASCII LC_COLLATE 'C' LC_CTYPE 'C'", ())
    with PostgresSessionStore(lambda: driver.connect(**{**postgres.settings, "dbname": "plain"})) as store:
        store.setup()
        use_all_of(store, store, module)


@pytest.mark.parametrize("code", ["deadlock_detected", "serialization_failure"])
def test_what_the_server_undid_to_let_another_go_on_is_tried_again(store: Any, code: str) -> None:
    session = stored(store, data={"n": 0})
    for statement in (
        "DROP SEQUENCE IF EXISTS tries",
        "CREATE SEQUENCE tries",
        "CREATE OR REPLACE FUNCTION give_way() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF nextval('tries') < 3 THEN RAISE EXCEPTION USING ERRCODE = '{code}'; END IF; RETURN new; END $$",
        f"CREATE TRIGGER give_way BEFORE UPDATE ON {store._name} FOR EACH ROW EXECUTE FUNCTION give_way()",
    ):
        store._change(statement, ())
    session["n"] = 1
    store.save_session(session)
    assert store.load_session(session.id)["n"] == 1
    assert store._query("SELECT last_value FROM tries", ()) == [(3,)]


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_a_stricter_isolation_loses_and_fails_nothing(postgres: Any, store: Any, table: str, isolation: str) -> None:
    options = "-c default_transaction_isolation=" + isolation.replace(" ", "\\ ")
    session = stored(store)
    with PostgresSessionStore(lambda: psycopg2.connect(**postgres.settings, options=options), table) as strict:

        def add(name: str) -> None:
            for n in range(50):
                loaded = strict.load_session(session.id)
                loaded[f"{name}{n}"] = n
                strict.save_session(loaded)
                strict.delete_old_sessions(1)

        run_threads(add, "abcd")
    assert len(store.load_session(session.id)) == 200


def test_a_server_that_became_a_replica_is_left_for_its_successor(store: Any) -> None:
    session = stored(store)
    store._change("SET default_transaction_read_only = on", ())
    session["n"] = 1
    store.save_session(session)
    assert store.load_session(session.id)["n"] == 1


def test_overwriting_while_another_overwrites(store: Any, make_store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    create = store._create
    dropped: list[int] = []

    def create_and_lose(statement: str) -> None:
        create(statement)
        if not dropped:  # after the table, before its index
            dropped.append(make_store()._change(f"DROP TABLE {store._name}", ()))

    monkeypatch.setattr(store, "_create", create_and_lose)
    store._change(f"ALTER TABLE {store._name} DROP COLUMN forward", ())  # of another shape: else it stays
    store.setup(overwrite=True)
    assert dropped and store.has_session(stored(store).id)


@pytest.mark.parametrize("table", ["t" * 63, "visits_user_key"])
def test_each_table_has_its_index_whatever_it_is_called(connect: Any, table: str) -> None:
    with PostgresSessionStore(connect, "visits") as visits, PostgresSessionStore(connect, table) as store:
        visits.setup(overwrite=True)
        store.setup(overwrite=True)
        columns = "SELECT indexdef FROM pg_indexes WHERE tablename = %s AND indexdef LIKE %s"
        assert len(store._query(columns, (table, "%(user_key)%"))) == 1
        assert store.has_session(stored(store).id)
        for each in (visits, store):
            each._change(f"DROP TABLE {each._table}", ())


def test_a_table_in_a_schema(connect: Any) -> None:
    with PostgresSessionStore(connect, "shop.visits") as store:
        store._change("CREATE SCHEMA IF NOT EXISTS shop", ())
        store.setup(overwrite=True)
        session = store.load_session("missing-session", None)
        assert session is None
        assert store._query("SELECT to_regclass('shop.visits')::text", ()) == [("shop.visits",)]
        store._change("DROP SCHEMA shop CASCADE", ())


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_a_row_that_the_server_refuses_is_not_shown(store: Any, table: str, postgres: Any, driver: str) -> None:
    connect = importlib.import_module(driver).connect
    store._change(f"ALTER TABLE {table} ADD CHECK (length(user_key) < 5)", ())
    with PostgresSessionStore(lambda: connect(**postgres.settings), table) as other:
        with pytest.raises(StoreUnavailable, match="violates check constraint") as failure:
            stored(other, user="alice of the sales department", secret="4711")
        said = str(failure.value)
        assert "Failing row" in str(failure.value.__cause__) and "Failing row" not in said and "alice" not in said
