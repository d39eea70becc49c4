"""The conformance suite on our own back end, over each store."""

import contextlib
import functools
import itertools
import os
import pickle
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from session3 import open_store
from session3.backends import for_store
from session3.backends.base import VALID_KEY_CHARS, CreateError, SessionBase, UpdateError
from session3.errors import SerializationError, SessionConflict, StoreUnavailable
from session3.store.DirectorySessionStore import DirectorySessionStore
from session3.store.SessionStore import SessionStore
from session3.store.ShelveSessionStore import ShelveSessionStore
from session3.store.SQLiteSessionStore import SQLiteSessionStore
from session3.store.VolatileSessionStore import VolatileSessionStore

from ..durus_server import DurusServer
from ..sessions import Clock, Shop
from ..stores.conftest import ServerClock
from .conformance import CodingContract, CookieTestContract, ExpiryContract, KeyContract, MappingContract, SaltContract
from .driven import Backend, Driver
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
    MappingContract, CookieTestContract, ExpiryContract, KeyContract, CodingContract, SaltContract,
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


@pytest.fixture(scope="module")
def durus_url() -> Iterator[str]:
    pytest.importorskip("durus", reason="needs Durus: pip install 'session3[durus]'")
    with DurusServer() as server:
        yield server.url


class TestDurusServer(OnStore):
    @pytest.fixture
    def store(self, durus_url: str, clock: Clock) -> Any:
        store = open_store(durus_url, clock=clock)
        store.clear()  # type: ignore[attr-defined]
        return store


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    pytest.importorskip("redis", reason="needs redis-py: pip install 'session3[redis]'")
    from ..redis_server import URL_VARIABLE, RedisServer

    if URL_VARIABLE in os.environ:
        yield os.environ[URL_VARIABLE]
        return
    with RedisServer() as server:
        yield server.url


class TestRedis(OnStore):
    @pytest.fixture
    def store(self, redis_url: str, clock: Clock) -> Iterator[Any]:
        with open_store(f"{redis_url}?prefix=session3-test-{os.getpid()}-{next(_numbers)}:", clock=clock) as store:
            yield store
            store.clear()  # type: ignore[attr-defined]


@contextlib.contextmanager
def on_a_table(store_class: Any, connect: Callable[[], Any], interval: str) -> Iterator[Any]:
    """Open a store on a table of its own, on a server with a clock of its own: as the test's advances, what is stored
    there is aged. `interval` is that of some seconds, in the server's SQL.
    """
    clock = ServerClock(time.time())
    with store_class(connect, f"backends_{next(_numbers)}", clock=clock) as store:
        store.setup(overwrite=True)
        columns = ("created", "modified", "accessed", "expires")
        aged = f"UPDATE {store._name} SET " + ", ".join(f"{name} = {name} - {interval}" for name in columns)
        clock.age_records = lambda seconds: store._change(aged, (seconds,) * 4)
        yield store
        store._change(f"DROP TABLE {store._name}", ())


class OnServer(OnStore):
    @pytest.fixture
    def store(self, table: Any, clock: Clock) -> Any:
        table._change(f"DELETE FROM {table._name}", ())  # of a few rows; to truncate a table takes longer
        table.clock.now = clock()
        return table


@pytest.fixture(scope="module")
def postgres_table(postgres: Any) -> Iterator[Any]:
    driver = pytest.importorskip("psycopg2", reason="needs psycopg2: pip install 'session3[postgres]'")
    from session3.store.PostgresSessionStore import PostgresSessionStore

    connect = functools.partial(driver.connect, **postgres.settings)
    with on_a_table(PostgresSessionStore, connect, "%s * interval '1 second'") as store:
        yield store


class TestPostgres(OnServer):
    @pytest.fixture
    def table(self, postgres_table: Any) -> Any:
        return postgres_table


@pytest.fixture(scope="module")
def mysql_table(mariadb: Any) -> Iterator[Any]:
    driver = pytest.importorskip("pymysql", reason="needs PyMySQL: pip install 'session3[mysql]'")
    from session3.store.MySQLSessionStore import MySQLSessionStore

    connect = functools.partial(driver.connect, **mariadb.settings)
    with on_a_table(MySQLSessionStore, connect, "INTERVAL %s SECOND") as store:
        yield store


class TestMySQL(OnServer):
    @pytest.fixture
    def table(self, mysql_table: Any) -> Any:
        return mysql_table


class Objects(SessionStore):
    """Three methods over the objects themselves."""

    def __init__(self, clock: Clock) -> None:
        self.sessions: dict[str, Any] = {}
        self.clock = clock

    def load_session(self, id: str, default: Any = None) -> Any:
        return self.sessions.get(id, default)

    def save_session(self, session: Any) -> None:
        self.sessions[session.id] = session

    def delete_session(self, session: Any) -> None:
        self.sessions.pop(getattr(session, "id", session), None)


class Pickles(Objects):
    """Three methods over pickles."""

    def load_session(self, id: str, default: Any = None) -> Any:
        return pickle.loads(self.sessions[id]) if id in self.sessions else default

    def save_session(self, session: Any) -> None:
        self.sessions[session.id] = pickle.dumps(session)


class OnThreeMethods(StoredContract, ExpiringContract):
    async def test_cycle_key_of_what_was_deleted_brings_nothing_back(self, at: Driver) -> None:
        session = await at.stored(a=1)
        await session.set("a", 2)
        key = session.key
        await at.new(key).flush()
        with pytest.raises(UpdateError):
            await session.cycle_key()
        assert at.backend.store.sessions == {}  # type: ignore[attr-defined]

    async def test_what_is_not_saved_is_not_seen(self, at: Driver) -> None:
        session, cart = at.new(), [1]
        await session.set("cart", cart)
        await session.save()
        for change in (session.cycle_key, session.save):
            cart.append(2)
            await session.set("unsaved", 1)
            assert "unsaved" not in await at.kept(session.key)
            assert len((await at.kept(session.key))["cart"]) < len(cart)
            await change()
            assert await at.kept(session.key) == {"cart": cart, "unsaved": 1}
            await session.pop("unsaved")
            await session.save()


class TestObjects(OnThreeMethods):
    @pytest.fixture
    def store(self, clock: Clock) -> Any:
        return Objects(clock)


class TestPickles(OnThreeMethods):
    @pytest.fixture
    def store(self, clock: Clock) -> Any:
        return Pickles(clock)


class TestForStore:
    def test_it_makes_a_class(self) -> None:
        made = for_store(VolatileSessionStore())
        assert issubclass(made, SessionBase)
        assert isinstance(made(), SessionBase)

    def test_a_store_that_keeps_no_expiry_is_watched(self, clock: Clock) -> None:
        made = for_store(Objects(clock), cookie_age=100)
        for expiry, seconds in ((-1, 0), (50, 50), (None, 100)):
            session = made()
            session["a"] = 1
            session.set_expiry(expiry)
            session.save()
            if seconds:
                clock.advance(seconds - 1)
                assert made(session.session_key).get("a") == 1
                clock.advance(1)
            assert made(session.session_key).get("a") is None
        with pytest.raises(NotImplementedError):
            made.clear_expired()

    def test_clear_and_save_of_a_session_that_knows_no_items_leaves_none(self) -> None:
        store = VolatileSessionStore()
        store.save_session(Shop("example1"))
        made = for_store(store)
        session = made("example1")
        session["a"] = 1
        session.save()
        session = made("example1")
        session.clear()
        session.save()
        assert dict(made("example1")) == dict(session) == {}
        assert type(store.load_session("example1")) is Shop

    def test_parallel_saves_of_a_session_that_knows_no_items_are_merged_item_by_item(self) -> None:
        store = VolatileSessionStore()
        store.save_session(Shop("example1"))
        made = for_store(store)
        one, other = made("example1"), made("example1")
        one["a"] = other["b"] = 1
        one.save()
        other.save()
        assert dict(made("example1")) == dict(other) == {"a": 1, "b": 1}
        one, other = made("example1"), made("example1")
        one["c"] = 1
        del other["a"]
        one.save()
        other.save()
        assert dict(made("example1")) == dict(other) == {"b": 1, "c": 1}
        assert type(store.load_session("example1")) is Shop

    @pytest.mark.parametrize("again", [True, False], ids=["again", "first"])
    def test_a_create_that_fails_leaves_no_key(self, again: bool) -> None:
        class Unreachable(VolatileSessionStore):
            is_down = False

            def insert(self, key: str, record: Any) -> bool:
                if self.is_down:
                    raise StoreUnavailable("down")
                return super().insert(key, record)

        store = Unreachable()
        session = for_store(store)()
        if again:
            session.create()
        first = session.session_key
        session["a"], store.is_down = 1, True
        with pytest.raises(StoreUnavailable):
            session.create()
        assert session.session_key is None
        store.is_down = False
        session["a"] = print, lambda: None
        with pytest.raises(SerializationError):
            session.save()
        assert session.session_key is None
        session["a"] = 2
        session.save()
        assert session.session_key not in (None, first)
        assert dict(for_store(store)(session.session_key)) == {"a": 2}

    def test_a_create_that_finds_no_free_key_leaves_none(self) -> None:
        session_class = for_store(VolatileSessionStore())
        taken = session_class()
        taken.save()
        session = session_class()
        session._get_new_session_key = lambda: taken.session_key or ""  # type: ignore[method-assign]
        session["a"] = 1
        with pytest.raises(SessionConflict):
            session.save()
        assert session.session_key is None

    def test_classes_over_different_stores_are_apart(self) -> None:
        one, other = for_store(VolatileSessionStore()), for_store(VolatileSessionStore())
        session = one()
        session["a"] = 1
        session.save()
        assert one(session.session_key)["a"] == 1
        assert not other().exists(session.session_key or "")

    def test_settings_of_one_class_are_not_those_of_another(self) -> None:
        store = VolatileSessionStore()
        assert for_store(store, cookie_age=500)().get_session_cookie_age() == 500
        assert for_store(store)().get_session_cookie_age() == 1_209_600
