"""What is handed in by mistake, how servers may be set, and what messages say."""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import psycopg2
import pymysql
import pytest

from session3.errors import ConfigurationError, PayloadTooLarge, StoreUnavailable
from session3.store.DurusSessionStore import DurusSessionStore
from session3.store.MySQLSessionStore import MySQLSessionStore
from session3.store.PostgresSessionStore import PostgresSessionStore
from session3.store.RedisSessionStore import RedisSessionStore

from ..contract import new_id, stored
from ..server_contract import refused, use_all_of

SECRET = "hunter2"
STORES = (PostgresSessionStore, MySQLSessionStore)


@pytest.fixture
def table() -> Iterator[str]:
    yield "configured"


# -- what is handed in -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("store_class", [*STORES, RedisSessionStore, DurusSessionStore])
@pytest.mark.parametrize("given", [f"postgresql://shop:{SECRET}@db/shop", {"password": SECRET}, (SECRET,), None])
def test_what_is_no_connection_is_not_repeated(store_class: Any, given: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        store_class(given)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("store_class", STORES)
def test_a_table_that_may_be_something_else_is_not_repeated(store_class: Any) -> None:
    with pytest.raises(ConfigurationError, match="a table's name") as caught:
        store_class(lambda: None, f"postgresql://shop:{SECRET}@db/shop")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("store_class", STORES)
@pytest.mark.parametrize(
    "option",
    [{"max_connections": 0}, {"max_connections": "9"}, {"max_connections": True}, {"max_connections": 1.5}]
    + [{"timeout": value} for value in (-1, "1", None, float("nan"), float("inf"), True)],
)
def test_options_that_can_not_work_are_refused(store_class: Any, option: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(option))):
        store_class(lambda: None, **option)


def opens_another(postgres: Any, mariadb: Any) -> dict[Any, list[Callable[[], Any]]]:
    return {
        PostgresSessionStore: [lambda: pymysql.connect(**mariadb.settings)],
        MySQLSessionStore: [lambda: psycopg2.connect(**postgres.settings)],
    }


@pytest.mark.parametrize("store_class", STORES)
def test_an_opener_of_something_else_is_told_so(store_class: Any, postgres: Any, mariadb: Any) -> None:
    openers = [lambda: None, lambda: SECRET, dict, *opens_another(postgres, mariadb)[store_class]]
    for opener in openers:
        with store_class(opener) as store:
            for act in (lambda store=store: store.load_session(new_id()), store.setup, store.check):
                with pytest.raises(ConfigurationError, match=store_class.DRIVERS) as caught:
                    act()
                assert SECRET not in str(caught.value)


@pytest.mark.parametrize("store_class", STORES)
def test_a_connection_of_another_driver_is_refused(store_class: Any, postgres: Any, mariadb: Any) -> None:
    [opener] = opens_another(postgres, mariadb)[store_class]
    connection = opener()
    try:
        with pytest.raises(ConfigurationError, match=store_class.DRIVERS):
            store_class(connection)
        connection.cursor().execute("SELECT 1")  # and left alone
    finally:
        connection.close()


def test_what_is_for_an_event_loop_is_refused(postgres: Any) -> None:
    pools = pytest.importorskip("psycopg_pool", reason="needs psycopg_pool: pip install 'psycopg[pool]'")
    with pytest.raises(ConfigurationError, match="event loop"):
        PostgresSessionStore(pools.AsyncConnectionPool("", open=False))


@pytest.mark.parametrize("store_class", STORES)
def test_an_error_without_a_text_is_told_by_its_type(store_class: Any) -> None:
    class Exhausted(Exception):
        pass

    def fail() -> Any:
        raise Exhausted

    with store_class(fail) as store, pytest.raises(StoreUnavailable, match="can't be reached: Exhausted"):
        store.load_session(new_id())


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg", "pymysql", "MySQLdb"])
def test_out_of_descriptors_says_something(driver: str, postgres: Any, mariadb: Any) -> None:
    module = pytest.importorskip(driver, reason=f"needs {driver}")
    resource, os = import_module("resource"), import_module("os")
    is_postgres = driver.startswith("psycopg")
    server, kind = (postgres, PostgresSessionStore) if is_postgres else (mariadb, MySQLSessionStore)
    module.connect(**server.settings).close()  # what it imports, it has imported
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
    try:
        with kind(lambda: module.connect(**server.settings)) as store, pytest.raises(StoreUnavailable) as caught:
            store.load_session(new_id())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert str(caught.value).rpartition("reached: ")[2].strip()


def test_a_session_of_bytes_that_are_sent_as_two_is_told_so(mariadb: Any, table: str) -> None:
    with MySQLSessionStore(lambda: pymysql.connect(**mariadb.settings), table) as store:
        store.setup(overwrite=True)
        message = refused(store, 9_000_000, PayloadTooLarge)
        assert "are sent as two" in message and "16,777,216" in message


# -- how a server may be set -----------------------------------------------------------------------------------------

_POSTGRES_SETTINGS = [
    {"default_transaction_isolation": "serializable"},
    {"default_transaction_isolation": "repeatable read"},
    {"default_transaction_deferrable": "on", "default_transaction_isolation": "serializable"},
    {"idle_in_transaction_session_timeout": "100"},
    {"statement_timeout": "10000"},
    {"lock_timeout": "1000"},
    {"standard_conforming_strings": "off"},
    {"backslash_quote": "off"},
    {"bytea_output": "escape"},
    {"extra_float_digits": "-15"},
    {"IntervalStyle": "sql_standard"},
    {"DateStyle": "German"},
    {"TimeZone": "Asia/Kathmandu"},
    {"client_encoding": "SJIS"},
    {"client_encoding": "GB18030"},
    {"search_path": "elsewhere,public"},
    {"synchronous_commit": "off"},
    {"enable_indexscan": "off", "enable_bitmapscan": "off"},
    {"plan_cache_mode": "force_generic_plan"},
    {"transform_null_equals": "on"},
    {"row_security": "off"},
]


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
@pytest.mark.parametrize("way", ["opener", "pool", "connection"])
def test_postgresql_may_be_set_as_it_likes(postgres: Any, driver: str, way: str, table: str) -> None:
    module = pytest.importorskip(driver, reason=f"needs {driver}")
    with PostgresSessionStore(lambda: module.connect(**postgres.settings), table) as store:
        store.setup(overwrite=True)
        store._change("CREATE SCHEMA IF NOT EXISTS elsewhere", ())
        for settings in _POSTGRES_SETTINGS:
            options = " ".join(f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in settings.items())
            with_settings = {**postgres.settings, "options": options}

            def open(with_settings: dict[str, Any] = with_settings) -> Any:
                return module.connect(**with_settings)

            odd, end = _given(open, way, driver, with_settings)
            use_all_of(PostgresSessionStore(odd, table), store, str(settings))
            PostgresSessionStore(odd, table).check()
            end()
        store._change("DROP SCHEMA elsewhere", ())


def test_check_says_that_a_role_may_only_read(postgres: Any, table: str) -> None:
    with PostgresSessionStore(lambda: psycopg2.connect(**postgres.settings), table) as store:
        store.setup(overwrite=True)
        session = stored(store)
    read_only = {**postgres.settings, "options": "-c default_transaction_read_only=on"}
    with PostgresSessionStore(lambda: psycopg2.connect(**read_only), table) as store:
        assert store.has_session(session.id)
        with pytest.raises(StoreUnavailable, match=r"could not be inserted.*read-only"):
            store.check()


def _given(open: Callable[[], Any], way: str, driver: str, settings: dict[str, Any]) -> tuple[Any, Callable[[], Any]]:
    if way == "opener":
        return open, lambda: None
    if way == "connection":
        connection = open()
        return connection, connection.close
    if driver == "psycopg2":
        pool = import_module("psycopg2.pool").ThreadedConnectionPool(1, 2, **settings)
        return pool, pool.closeall
    pool = import_module("psycopg_pool").ConnectionPool(kwargs=settings, min_size=0, max_size=2, open=True)
    return pool, pool.close


_MYSQL_SETTINGS = [
    "autocommit = 0",
    "sql_mode = ''",
    "sql_mode = 'ANSI'",
    "sql_mode = 'ORACLE'",
    "sql_mode = 'EMPTY_STRING_IS_NULL'",
    "sql_mode = 'NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES'",
    "sql_mode = 'PIPES_AS_CONCAT,ANSI_QUOTES,IGNORE_SPACE,STRICT_TRANS_TABLES'",
    "sql_mode = 'NO_UNSIGNED_SUBTRACTION,NO_ZERO_DATE,TIME_ROUND_FRACTIONAL,TRADITIONAL'",
    "tx_isolation = 'SERIALIZABLE'",
    "tx_isolation = 'READ-UNCOMMITTED'",
    "time_zone = '+13:00'",
    "character_set_results = 'utf16'",
    "collation_connection = 'utf8mb4_turkish_ci'",
    "sql_safe_updates = 1",
    "sql_select_limit = 100",
    "sql_auto_is_null = 1",
    "foreign_key_checks = 0",
    "innodb_lock_wait_timeout = 1",
    "max_statement_time = 10",
    "div_precision_increment = 0",
]


@pytest.mark.parametrize("driver", ["pymysql", "MySQLdb"])
@pytest.mark.parametrize("way", ["opener", "connection"])
def test_mysql_may_be_set_as_it_likes(mariadb: Any, driver: str, way: str, table: str) -> None:
    module = pytest.importorskip(driver, reason=f"needs {driver}")
    with MySQLSessionStore(lambda: module.connect(**mariadb.settings), table) as store:
        store.setup(overwrite=True)
        for setting in _MYSQL_SETTINGS:

            def open(setting: str = setting) -> Any:
                return module.connect(**mariadb.settings, init_command=f"SET SESSION {setting}")

            odd: Any = open if way == "opener" else open()
            with MySQLSessionStore(odd, table) as one:
                use_all_of(one, store, setting)
                one.check()
            if way == "connection":
                odd.close()


@pytest.mark.parametrize(
    "setting",
    [{"charset": "gbk"}, *({"init_command": f"SET SESSION sql_mode = '{mode}'"} for mode in ("", "ORACLE"))],
    ids=str,
)
def test_what_a_pools_connections_may_not_be_is_said(mariadb: Any, table: str, setting: dict[str, str]) -> None:
    sqlalchemy = pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy: pip install SQLAlchemy")

    def open() -> Any:
        return pymysql.connect(**{**mariadb.settings, **setting})

    engine = sqlalchemy.create_engine("mysql+pymysql://", creator=open)
    with pytest.raises(ConfigurationError, match="open them so"):
        MySQLSessionStore(engine, table).load_session(new_id())
    assert engine.pool.checkedout() == 0
    engine.dispose()


# -- tables ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["select", "Order", "MixedCase", "_", "t" * 63, "public.user", "_x.Table"])
def test_a_table_may_be_called_as_it_likes(postgres: Any, mariadb: Any, name: str) -> None:
    schema = name.rpartition(".")[0]
    with PostgresSessionStore(lambda: psycopg2.connect(**postgres.settings), name) as store:
        if schema:
            store._change(f'CREATE SCHEMA IF NOT EXISTS "{schema}"', ())
        use(store)
    with MySQLSessionStore(lambda: pymysql.connect(**mariadb.settings), name) as store:
        if schema:
            store._change(f"CREATE DATABASE IF NOT EXISTS `{schema}`", ())
        use(store)


def use(store: Any) -> None:
    store.setup(overwrite=True)
    use_all_of(store, store, store._name)
    stored(store)
    store.setup(overwrite=True)
    store.check()
    assert list(store.iter_sessions()) == []
    store._change(f"DROP TABLE {store._table}", ())


def test_a_table_of_the_same_name_in_a_schema_before_ours_is_refused(postgres: Any) -> None:
    with PostgresSessionStore(lambda: psycopg2.connect(**postgres.settings), "public.twice") as ours:
        ours.setup(overwrite=True)
        session = stored(ours)
        ours._change("CREATE SCHEMA IF NOT EXISTS first", ())
        ours._change("CREATE TABLE first.twice (id text, colour text)", ())
        path = {**postgres.settings, "options": "-c search_path=first,public"}
        with PostgresSessionStore(lambda: psycopg2.connect(**path), "twice") as store:
            for act in (store.check, store.setup, lambda: store.load_session(session.id)):
                with pytest.raises(StoreUnavailable, match=r"another shape.*colour"):
                    act()
        with PostgresSessionStore(lambda: psycopg2.connect(**path), "public.twice") as store:
            assert store.has_session(session.id)
        ours._change("DROP SCHEMA first CASCADE", ())
        ours._change("DROP TABLE public.twice", ())
