"""Standbys, demoted primaries, databases of any encoding, and tables that others own a part of."""

import threading
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import psycopg2
import pymysql
import pytest

from session3 import open_store
from session3.errors import StoreNotSetUp, StoreUnavailable
from session3.store.MySQLSessionStore import MySQLSessionStore
from session3.store.PostgresSessionStore import PostgresSessionStore

from ..contract import new_id, run_threads, stored
from ..mariadb_server import MARIADBD, MariaDBServer
from ..postgres_server import INITDB, PG_BASEBACKUP, PostgresServer, Standby
from ..server_contract import use_all_of

_POSTGRES_DRIVERS = ("psycopg2", "psycopg")
_MYSQL_DRIVERS = ("pymysql", "MySQLdb")


def connecting(driver: str, server: Any, **others: Any) -> Callable[[], Any]:
    module = pytest.importorskip(driver, reason=f"needs {driver}")
    return lambda: module.connect(**{**server.settings, **others})


# -- PostgreSQL ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def primary() -> Iterator[PostgresServer]:
    if INITDB is None or PG_BASEBACKUP is None:
        pytest.skip("needs PostgreSQL: apt-get install postgresql")
    with PostgresServer() as server:
        yield server


@pytest.mark.parametrize("driver", _POSTGRES_DRIVERS)
def test_a_standby_answers_nobody_until_it_is_promoted(primary: PostgresServer, driver: str) -> None:
    with PostgresSessionStore(connecting(driver, primary)) as first:
        first.setup(overwrite=True)
        session = stored(first)
    with Standby(primary) as server:
        connect = connecting(driver, server)
        handed_in = connect()
        with PostgresSessionStore(connect) as store:
            stores = [store, PostgresSessionStore(handed_in), *_pooled(driver, server)]
            for one in stores:
                for act in (one.load_session, one.has_session, one.delete_session):
                    with pytest.raises(StoreUnavailable, match=r"standby.* lead the connection to the primary"):
                        act(session.id)
                with pytest.raises(StoreUnavailable, match="standby"):
                    one.check()
            server.promote()
            for one in stores:
                assert one.load_session(session.id).id == session.id
                assert one.has_session(stored(one).id)
        handed_in.close()


def _pooled(driver: str, server: Any) -> list[PostgresSessionStore]:
    if driver != "psycopg2":
        return []
    pool = import_module("psycopg2.pool").ThreadedConnectionPool(0, 2, **server.settings)
    return [PostgresSessionStore(pool)]


@pytest.mark.parametrize("driver", _POSTGRES_DRIVERS)
def test_a_server_that_does_not_say_is_asked_once(
    primary: PostgresServer, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As PostgreSQL before 14, or behind a pooler."""
    module = import_module("session3.store.PostgresSessionStore")
    monkeypatch.setattr(module, "_parameter_status", lambda *_: None)
    with PostgresSessionStore(connecting(driver, primary)) as store:
        store.setup(overwrite=True)
        session = stored(store)
    with Standby(primary) as server, PostgresSessionStore(connecting(driver, server)) as store:
        with pytest.raises(StoreUnavailable, match="standby"):
            store.load_session(session.id)
        server.promote()
        assert store.has_session(session.id)


ENCODINGS = ("LATIN1", "LATIN2", "WIN1252", "EUC_JP", "SQL_ASCII", "KOI8R", "UTF8")


@pytest.mark.parametrize("driver", _POSTGRES_DRIVERS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_database_of_any_encoding_takes_users_of_any_letters(
    primary: PostgresServer, driver: str, encoding: str
) -> None:
    admin = psycopg2.connect(**primary.settings)
    admin.autocommit = True
    with admin.cursor() as cursor:
        cursor.execute("DROP DATABASE IF EXISTS letters WITH (FORCE)")
        cursor.execute(f"CREATE DATABASE letters ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    admin.close()
    with PostgresSessionStore(connecting(driver, primary, dbname="letters")) as store:
        store.setup()
        use_all_of(store, store, encoding)
        for user in ("Žofia", "Αλέξης", "日本語" * 60, "🙂", "žluťoučký" * 22, "plain", "sha256:x"):
            session = stored(store)
            session.set_user(user)
            store.save_session(session)
            loaded, record = store.load_session(session.id), store.read(session.id)
            assert loaded.user == user and record is not None
            assert (
                store._query(f"SELECT octet_length(user_key) FROM {store._table} WHERE id = %s", (session.id,))[0][0]
                < 256
            )


def test_a_row_with_a_user_in_letters_stays_valid(primary: PostgresServer) -> None:
    """As 4.0.0a1 wrote it."""
    with PostgresSessionStore(connecting("psycopg2", primary)) as store:
        store.setup(overwrite=True)
        session = stored(store)
        store._change(f"UPDATE {store._table} SET user_key = 'Žofia'", ())
        record = store.read(session.id)
        assert record is not None and record.user_key == "Žofia"
        assert store.replace(session.id, record._replace(revision=record.revision + 1), record.revision)
        again = store.read(session.id)
        assert again is not None and again.user_key == "Žofia"
        assert store._query(f"SELECT user_key ~ '^[\\x01-\\x7f]*$' FROM {store._table}", ()) == [(True,)]


@pytest.fixture
def owner(primary: PostgresServer) -> Iterator[PostgresSessionStore]:
    with PostgresSessionStore(connecting("psycopg2", primary), "granted") as store:
        store.setup(overwrite=True)
        for statement in (
            "DROP ROLE IF EXISTS app",
            "CREATE ROLE app LOGIN PASSWORD 'sesame'",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON granted TO app",
            "ALTER TABLE granted SET (fillfactor = 50)",
        ):
            store._change(statement, ())
        yield store
        store._change("DROP TABLE granted", ())
        store._change("DROP ROLE app", ())


def test_overwriting_keeps_who_may_use_the_table_and_its_settings(
    primary: PostgresServer, owner: PostgresSessionStore
) -> None:
    with PostgresSessionStore(connecting("psycopg2", primary, user="app", password="sesame"), "granted") as app:
        session = stored(app)
        owner.setup(overwrite=True)
        assert app.load_session(session.id) is None
        assert app.has_session(stored(app).id)
        app.setup(overwrite=True)  # without the permission to truncate
        assert list(app.iter_sessions()) == []
    options = owner._query("SELECT reloptions FROM pg_class WHERE oid = 'granted'::regclass", ())
    assert options == [(["fillfactor=50"],)]


@pytest.mark.parametrize("verb", ["SELECT", "INSERT", "UPDATE", "DELETE"])
def test_check_names_what_may_not_be_done(primary: PostgresServer, owner: PostgresSessionStore, verb: str) -> None:
    with PostgresSessionStore(connecting("psycopg2", primary, user="app", password="sesame"), "granted") as app:
        session = stored(app)
        app.check()
        assert [id for id, _ in app.iter_sessions()] == [session.id]
        owner._change(f"REVOKE {verb} ON granted FROM app", ())
        with pytest.raises(StoreUnavailable, match="permission denied"):
            app.check()


# -- MySQL and MariaDB -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariaDBServer]:
    if MARIADBD is None:
        pytest.skip("needs MariaDB: apt-get install mariadb-server")
    with MariaDBServer() as server:
        yield server


@pytest.fixture
def read_only(mariadb: MariaDBServer) -> Iterator[Callable[[int], None]]:
    admin = pymysql.connect(**mariadb.settings)
    cursor = admin.cursor()

    def switch(value: int) -> None:
        cursor.execute(f"SET GLOBAL read_only = {value}")

    yield switch
    switch(0)
    admin.close()


@pytest.mark.parametrize("driver", _MYSQL_DRIVERS)
def test_a_read_only_server_answers_nobody_until_it_is_no_more(
    mariadb: MariaDBServer, read_only: Callable[[int], None], driver: str
) -> None:
    connect = connecting(driver, mariadb)
    with MySQLSessionStore(connect) as store:
        store.setup(overwrite=True)
        session = stored(store)
    handed_in = connect()
    read_only(1)
    with MySQLSessionStore(connect) as store:
        for one in (store, MySQLSessionStore(handed_in)):
            read_only(1)
            for act in (one.load_session, one.has_session, one.delete_session):
                with pytest.raises(StoreUnavailable, match=r"standby.* lead the connection to the primary"):
                    act(session.id)
            with pytest.raises(StoreUnavailable, match="standby"):
                one.check()
            read_only(0)
            assert one.load_session(session.id).id == session.id
            assert one.has_session(stored(one).id)
    handed_in.close()


@pytest.mark.parametrize("driver", _MYSQL_DRIVERS)
def test_a_primary_that_was_demoted_under_open_connections_answers_nobody(
    mariadb: MariaDBServer, read_only: Callable[[int], None], driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("session3.store.MySQLSessionStore"), "_CONFIRM_EVERY", 0.0)
    connect = connecting(driver, mariadb)
    handed_in = connect()
    with MySQLSessionStore(connect) as store:
        store.setup(overwrite=True)
        session = stored(store)
        for one in (store, MySQLSessionStore(handed_in)):
            assert one.has_session(session.id)
            read_only(1)
            for id in (session.id, new_id()):
                with pytest.raises(StoreUnavailable, match="standby"):
                    one.load_session(id)
            with pytest.raises(StoreUnavailable, match="standby"):
                list(one.iter_sessions())
            read_only(0)
            assert one.has_session(session.id) and one.load_session(new_id()) is None
    handed_in.close()


def test_the_successor_of_a_demoted_primary_is_asked_instead(
    mariadb: MariaDBServer, read_only: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("session3.store.MySQLSessionStore"), "_CONFIRM_EVERY", 0.0)
    with MariaDBServer() as other:
        way = [mariadb]
        with MySQLSessionStore(lambda: pymysql.connect(**way[0].settings)) as store:
            store.setup(overwrite=True)
            session = stored(store)
            record = store.read(session.id)
            assert record is not None
            way[0] = other
            with MySQLSessionStore(lambda: pymysql.connect(**other.settings)) as successor:
                successor.setup(overwrite=True)
                successor.insert(session.id, record)
                late = stored(successor)
            read_only(1)
            assert store.has_session(late.id)
            session["n"] = 1
            store.save_session(session)
            assert store.load_session(session.id)["n"] == 1


@pytest.mark.parametrize("row_format", ["compact", "redundant", "dynamic"])
def test_setup_on_a_server_with_rows_of_any_format(mariadb: MariaDBServer, row_format: str) -> None:
    admin = pymysql.connect(**mariadb.settings)
    try:
        with admin.cursor() as cursor:
            cursor.execute(f"SET GLOBAL innodb_default_row_format = {row_format}")
        with open_store(f"{mariadb.url}?table={row_format}") as store:
            store.setup()
            session = stored(store, data={"blob": bytes(1_000_000)})
            session.set_user("日本語" * 66)
            store.save_session(session)
            assert store.load_session(session.id).user == "日本語" * 66
    finally:
        with admin.cursor() as cursor:
            cursor.execute("SET GLOBAL innodb_default_row_format = dynamic")
        admin.close()


@pytest.mark.parametrize("row_format", ["compact", "dynamic"])
def test_setup_on_a_server_with_small_pages(row_format: str) -> None:
    if MARIADBD is None:
        pytest.skip("needs MariaDB: apt-get install mariadb-server")

    class SmallPages(MariaDBServer):
        def run(self, *command: str) -> None:
            super().run(*command, "--innodb-page-size=4096")

    with (
        SmallPages("--innodb-page-size=4096", f"--innodb-default-row-format={row_format}") as server,
        open_store(server.url) as store,
    ):
        store.setup()
        session = stored(store, data={"blob": bytes(1_000_000)})
        session.set_user("日本語" * 66)
        store.save_session(session)
        assert store.move_session(session, new_id())
        assert store.load_session(session.id).user == "日本語" * 66


def test_check_names_what_may_not_be_done_on_mysql(mariadb: MariaDBServer) -> None:
    root = pymysql.connect(unix_socket=f"{mariadb.folder}/socket", user="root", database="shop")
    owner = MySQLSessionStore(connecting("pymysql", mariadb), "granted")
    with owner, root.cursor() as cursor:
        with pytest.raises(StoreNotSetUp):
            owner.check()
        owner.setup(overwrite=True)
        cursor.execute("CREATE USER app@'%' IDENTIFIED BY 'sesame'")
        cursor.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON granted TO app")
        with MySQLSessionStore(connecting("pymysql", mariadb, user="app", password="sesame"), "granted") as app:
            owner.setup(overwrite=True)
            session = stored(app)
            app.check()
            assert app.has_session(session.id)
            app.setup(overwrite=True)  # without the permission to truncate
            for verb in ("INSERT", "UPDATE", "DELETE"):
                cursor.execute(f"REVOKE {verb} ON granted FROM app")
                with pytest.raises(StoreUnavailable, match=f"sessions could not be {verb.lower()}.*denied"):
                    app.check()
                cursor.execute(f"GRANT {verb} ON granted TO app")
        cursor.execute("DROP USER app")
    root.close()


# -- tables ----------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["postgres", "mariadb"])
def opened(request: pytest.FixtureRequest) -> Callable[[str], Any]:
    if request.param == "postgres":
        server: Any = request.getfixturevalue("primary")
        return lambda table: PostgresSessionStore(connecting("psycopg2", server), table)
    server = request.getfixturevalue("mariadb")
    return lambda table: MySQLSessionStore(connecting("pymysql", server), table)


@pytest.mark.parametrize("shape", ["ours", "another", "none"])
def test_many_overwrite_at_once(opened: Callable[[str], Any], shape: str) -> None:
    with opened("raced") as store:
        store.setup(overwrite=True)
        for _ in range(5):
            if shape == "another":
                store._change("ALTER TABLE raced DROP COLUMN forward", ())
            if shape == "none":
                store._change("DROP TABLE raced", ())
            barrier = threading.Barrier(4)

            def set_up(_: str, barrier: threading.Barrier = barrier) -> None:
                with opened("raced") as other:
                    barrier.wait()
                    other.setup(overwrite=True)

            run_threads(set_up, "abcd")
            store.setup()
            assert store.has_session(stored(store).id)


def test_the_table_of_the_old_release_is_named_and_left_alone(opened: Callable[[str], Any]) -> None:
    with opened("sessions") as store:
        store._change(
            "CREATE TABLE sessions (id varchar(255) NOT NULL PRIMARY KEY, pickle text, modify_time timestamp)", ()
        )
        try:
            for act in (store.setup, store.check, lambda: store.load_session(new_id())):
                with pytest.raises(StoreNotSetUp, match=r"of session3 3\.4\.1.*table="):
                    act()
            assert store._query("SELECT count(*) FROM sessions", ()) == [(0,)]
            store.setup(overwrite=True)
            assert store.has_session(stored(store).id)
        finally:
            store._change("DROP TABLE sessions", ())
