"""The conformance suite on our own back end, over each store."""

import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from session3 import open_store
from session3.backends import for_store
from session3.backends.base import VALID_KEY_CHARS, CreateError, SessionBase, UpdateError
from session3.store.DirectorySessionStore import DirectorySessionStore
from session3.store.ShelveSessionStore import ShelveSessionStore
from session3.store.SQLiteSessionStore import SQLiteSessionStore
from session3.store.VolatileSessionStore import VolatileSessionStore

from ..durus_server import DurusServer
from ..sessions import Clock
from ..stores.conftest import ServerClock
from .conformance import CodingContract, CookieTestContract, ExpiryContract, KeyContract, MappingContract
from .driven import Backend
from .own import OurOwnCoding, OurOwnExpiry, OurOwnMapping, OurOwnStored
from .stored import ClearContract, ExpiringContract, StoredContract

SECRET = "the secret of a site in the tests"

_numbers = itertools.count()


class StoreBackend(Backend):
    create_error, update_error, valid_key_chars = CreateError, UpdateError, VALID_KEY_CHARS

    def __init__(self, store: Any) -> None:
        self.store = store
        self.now, self.advance = store.clock, store.clock.advance  # type: ignore[method-assign]
        self.configure()

    def configure(self, **settings: Any) -> None:
        self.session_class = for_store(self.store, **{"secret_key": SECRET, **settings})


@pytest.fixture
def backend(store: Any) -> Iterator[Backend]:
    with store:
        yield StoreBackend(store)


class OnStore(StoredContract, ClearContract, ExpiringContract, OurOwnStored):
    """What the store has a part in."""


class InSession(
    MappingContract, CookieTestContract, ExpiryContract, KeyContract, CodingContract,
    OurOwnMapping, OurOwnExpiry, OurOwnCoding,
):  # fmt: skip
    """What the store has little to do with: once in memory, and once in a database."""


class TestVolatile(OnStore, InSession):
    @pytest.fixture
    def store(self, clock: Clock) -> Any:
        return VolatileSessionStore(clock=clock)


class TestSQLite(OnStore, InSession):
    @pytest.fixture
    def store(self, clock: Clock, tmp_path: Path) -> Any:
        return SQLiteSessionStore(tmp_path / "sessions", clock=clock)


class TestSQLiteInMemory(OnStore):
    @pytest.fixture
    def store(self, clock: Clock) -> Any:
        return SQLiteSessionStore(":memory:", clock=clock)


class TestHashedIds(OnStore):
    @pytest.fixture
    def store(self, clock: Clock) -> Any:
        return VolatileSessionStore(clock=clock, hash_ids=True, secret_key=SECRET)


class TestDirectory(OnStore):
    @pytest.fixture
    def store(self, clock: Clock, tmp_path: Path) -> Any:
        return DirectorySessionStore(tmp_path / "sessions", clock=clock)


class TestShelve(OnStore):
    @pytest.fixture
    def store(self, clock: Clock, tmp_path: Path) -> Any:
        return ShelveSessionStore(tmp_path / "sessions", clock=clock)


class TestDurusFile(OnStore):
    @pytest.fixture
    def store(self, clock: Clock, tmp_path: Path) -> Any:
        pytest.importorskip("durus", reason="needs Durus: pip install 'session3[durus]'")
        return open_store(f"durus://{tmp_path}/sessions", clock=clock)


class TestDurusServer(OnStore):
    @pytest.fixture(scope="class")
    def url(self) -> Iterator[str]:
        pytest.importorskip("durus", reason="needs Durus: pip install 'session3[durus]'")
        with DurusServer() as server:
            yield server.url

    @pytest.fixture
    def store(self, url: str, clock: Clock) -> Any:
        store = open_store(url, clock=clock)
        store.clear()  # type: ignore[attr-defined]
        return store


class TestRedis(OnStore):
    @pytest.fixture(scope="class")
    def url(self) -> Iterator[str]:
        pytest.importorskip("redis", reason="needs redis-py: pip install 'session3[redis]'")
        from ..redis_server import URL_VARIABLE, RedisServer

        if URL_VARIABLE in os.environ:
            yield os.environ[URL_VARIABLE]
            return
        with RedisServer() as server:
            yield server.url

    @pytest.fixture
    def store(self, url: str, clock: Clock) -> Iterator[Any]:
        with open_store(f"{url}?prefix=session3-test-{os.getpid()}-{next(_numbers)}:", clock=clock) as store:
            yield store
            store.clear()  # type: ignore[attr-defined]


class OnServer(OnStore):
    """On a server with a clock of its own: as the test's advances, what is stored there is aged."""

    #: The seconds of an interval, in the server's SQL.
    interval: str

    @pytest.fixture(scope="class")
    def prepared(self, request: pytest.FixtureRequest) -> Iterator[Any]:
        """A store on a table for all tests of the class."""
        clock = ServerClock(time.time())
        with self.open(request, f"backends_{next(_numbers)}", clock) as store:
            store.setup(overwrite=True)
            columns = ("created", "modified", "accessed", "expires")
            aged = f"UPDATE {store._name} SET " + ", ".join(f"{name} = {name} - {self.interval}" for name in columns)
            clock.age_records = lambda seconds: store._change(aged, (seconds,) * 4)
            yield store
            store._change(f"DROP TABLE {store._name}", ())

    def open(self, request: pytest.FixtureRequest, table: str, clock: Clock) -> Any:
        raise NotImplementedError

    @pytest.fixture
    def store(self, prepared: Any) -> Any:
        prepared.clear()
        prepared.clock.now = time.time()
        return prepared


class TestPostgres(OnServer):
    interval = "%s * interval '1 second'"

    def open(self, request: pytest.FixtureRequest, table: str, clock: Clock) -> Any:
        driver = pytest.importorskip("psycopg2", reason="needs psycopg2: pip install 'session3[postgres]'")
        from session3.store.PostgresSessionStore import PostgresSessionStore

        settings = request.getfixturevalue("postgres").settings
        return PostgresSessionStore(lambda: driver.connect(**settings), table, clock=clock)


class TestMySQL(OnServer):
    interval = "INTERVAL %s SECOND"

    def open(self, request: pytest.FixtureRequest, table: str, clock: Clock) -> Any:
        driver = pytest.importorskip("pymysql", reason="needs PyMySQL: pip install 'session3[mysql]'")
        from session3.store.MySQLSessionStore import MySQLSessionStore

        settings = request.getfixturevalue("mariadb").settings
        return MySQLSessionStore(lambda: driver.connect(**settings), table, clock=clock)


class TestForStore:
    def test_it_makes_a_class(self) -> None:
        made = for_store(VolatileSessionStore())
        assert issubclass(made, SessionBase)
        assert isinstance(made(), SessionBase)

    def test_classes_over_different_stores_are_apart(self) -> None:
        one, other = for_store(VolatileSessionStore()), for_store(VolatileSessionStore())
        session = one()
        session["a"] = 1
        session.save()
        assert one(session.session_key)["a"] == 1
        assert not other().exists(session.session_key)

    def test_settings_of_one_class_are_not_those_of_another(self) -> None:
        store = VolatileSessionStore()
        assert for_store(store, cookie_age=500)().get_session_cookie_age() == 500
        assert for_store(store)().get_session_cookie_age() == 1_209_600
