"""What a signal's handler raises, as the time limit of a request: it passes as it is, whatever a driver makes of it."""

import signal
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest
import redis

from session3.DictSession import DictSession
from session3.errors import StoreUnavailable
from session3.store.failures import unavailable_on
from session3.store.MySQLSessionStore import MySQLSessionStore
from session3.store.PostgresSessionStore import PostgresSessionStore
from session3.store.RedisSessionStore import RedisSessionStore

from ..contract import stored
from ..redis_server import RedisServer

DRIVERS = ("psycopg2", "psycopg", "pymysql", "MySQLdb")
#: psycopg2 and mysqlclient wait in C, where Python runs no handler.
THAT_WAIT_IN_PYTHON = ("psycopg", "pymysql")
LIMIT = 0.1  # seconds


class TooLate(TimeoutError):
    """A time limit of the kind that drivers take for the network's."""


class CutOff(ConnectionResetError):
    """Of the kind that they try again after."""


@pytest.fixture(params=[TooLate, CutOff])
def limit(request: pytest.FixtureRequest) -> Iterator[type[OSError]]:
    kind: type[OSError] = request.param

    def handle(number: int, frame: Any) -> None:
        raise kind(number, "this request takes too long")

    before = signal.signal(signal.SIGALRM, handle)
    yield kind
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def opener(driver: str, request: pytest.FixtureRequest) -> Callable[[], Any]:
    module = pytest.importorskip(driver, reason=f"needs {driver}")
    server = request.getfixturevalue("postgres" if driver.startswith("psycopg") else "mariadb")
    return lambda: module.connect(**server.settings)


def store_of(driver: str, conn: Any) -> Any:
    return (PostgresSessionStore if driver.startswith("psycopg") else MySQLSessionStore)(conn, "signals")


@pytest.mark.parametrize("driver", DRIVERS)
def test_while_a_connection_is_opened(driver: str, limit: type[OSError], request: pytest.FixtureRequest) -> None:
    connect, rings = opener(driver, request), [True]

    def open() -> Any:
        if rings:
            rings.pop()
            signal.raise_signal(signal.SIGALRM)
        return connect()

    with store_of(driver, open) as store:
        with pytest.raises(limit):
            store.setup()
        store.setup(overwrite=True)
        assert store.has_session(stored(store).id)


@pytest.mark.parametrize("driver", THAT_WAIT_IN_PYTHON)
def test_while_a_statement_waits(driver: str, limit: type[OSError], request: pytest.FixtureRequest) -> None:
    connect = opener(driver, request)
    with store_of(driver, connect) as store:
        store.setup(overwrite=True)
        session, other = stored(store), connect()
        cursor = other.cursor()
        other.rollback()
        cursor.execute(f"UPDATE {store._table} SET forward = NULL WHERE id = %s", (session.id,))  # locks the row
        session["n"] = 1
        signal.setitimer(signal.ITIMER_REAL, LIMIT)
        with pytest.raises(limit):
            store.save_session(session)
        other.rollback()
        other.close()
        store.save_session(session)
        assert store.load_session(session.id)["n"] == 1


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


def test_while_redis_is_waited_for(server: RedisServer, limit: type[OSError]) -> None:
    with RedisSessionStore(server.client(), timeout=30) as store, server.client() as client:
        session = stored(store)
        for act in (lambda: store.load_session(session.id), lambda: store.save_session(DictSession("example2"))):
            client.client_pause(10 * int(LIMIT * 1000))
            signal.setitimer(signal.ITIMER_REAL, LIMIT)
            with pytest.raises(limit):
                act()
            client.client_unpause()
        assert store.has_session(session.id)


def test_where_a_driver_makes_its_own_of_it(limit: type[OSError]) -> None:
    class Store:
        @unavailable_on(OSError)
        def load(self) -> None:
            try:
                signal.raise_signal(signal.SIGALRM)
            except OSError:
                raise OSError("the server hung up") from None

    with pytest.raises(limit):
        Store().load()


def test_an_exception_that_is_handled_already_is_none_of_it(limit: type[OSError]) -> None:
    """As a site saves what it has when its time is over, and the server is away."""
    module = import_module("pymysql")
    with MySQLSessionStore(lambda: module.connect(host="127.0.0.1", port=1)) as sql:
        client = redis.Redis(host="127.0.0.1", port=1)
        for store in (sql, RedisSessionStore(client)):
            try:
                signal.raise_signal(signal.SIGALRM)
            except limit:
                with pytest.raises(StoreUnavailable):
                    store.load_session("example1")
