"""Two store objects on one place know each other's sessions; on two places a session is new to the second."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from session3 import ids, open_store
from session3.DictSession import DictSession
from session3.errors import SessionDeleted, StoreUnavailable
from session3.serializers import JSONSerializer, PickleSerializer
from session3.store.DirectorySessionStore import DirectorySessionStore
from session3.store.DurusSessionStore import DurusSessionStore
from session3.store.MySQLSessionStore import MySQLSessionStore
from session3.store.PostgresSessionStore import PostgresSessionStore
from session3.store.RedisSessionStore import RedisSessionStore
from session3.store.SQLiteSessionStore import SQLiteSessionStore
from session3.store.VolatileSessionStore import VolatileSessionStore

KEYS = ["a key of at least sixteen characters", "another key of at least sixteen characters"]
_tables = itertools.count()

#: Opens a store object on the one place or, given True, on another place of the same kind.
Open = Callable[..., Any]


class Unknown(VolatileSessionStore):
    """A store of somebody else's, that does not tell where it is: its records are where it is told."""

    def __init__(self, records: Any, **options: Any) -> None:
        super().__init__(**options)
        self._records = records

    def place(self) -> None:
        return None


def embedded(kind: str, folder: Path) -> Open:
    (folder / "there").mkdir()
    (folder / "link").symlink_to(folder / "there")
    numbers = itertools.count()

    def open_one(elsewhere: bool = False, **options: Any) -> Any:
        way = "there" if next(numbers) % 2 else "link/../link"  # another way to the same place each time
        return open_store(f"{kind}://{folder}/{way}/{'other' if elsewhere else 'sessions'}", **options)

    return open_one


def unknown() -> Open:
    here: dict[str, Any] = {}
    return lambda elsewhere=False, **options: Unknown({} if elsewhere else here, **options)


@pytest.fixture
def durus() -> Iterator[Open]:
    pytest.importorskip("durus", reason="needs Durus: pip install 'session3[durus]'")
    from .durus_server import DurusServer

    hosts = itertools.cycle(["127.0.0.1", "localhost"])
    with DurusServer() as server, DurusServer() as other:
        yield lambda elsewhere=False, **options: open_store(
            f"durus://{next(hosts)}:{(other if elsewhere else server).port}", **options
        )


@pytest.fixture
def redis() -> Iterator[Open]:
    client = pytest.importorskip("redis", reason="needs redis-py: pip install 'session3[redis]'")
    from .redis_server import RedisServer

    with RedisServer() as server:
        clients: Iterator[Callable[[int], Any]] = itertools.cycle(
            [
                lambda db: client.Redis("127.0.0.1", server.port, db=db),
                lambda db: client.Redis("localhost", server.port, db=db),
                lambda db: client.Redis(
                    connection_pool=client.BlockingConnectionPool(host="127.0.0.1", port=server.port, db=db)
                ),
            ]
        )
        yield lambda elsewhere=False, **options: RedisSessionStore(next(clients)(int(elsewhere)), **options)


@pytest.fixture
def sql_postgres(postgres: Any) -> Open:
    psycopg2 = pytest.importorskip("psycopg2", reason="needs psycopg2: pip install 'session3[postgres]'")
    table = f"two_objects_{next(_tables)}"
    names = itertools.cycle([table, f"public.{table}"])
    psycopg = pytest.importorskip("psycopg", reason="needs psycopg: pip install 'session3[dev]'")
    drivers = itertools.cycle([psycopg2, psycopg])

    def open_one(elsewhere: bool = False, **options: Any) -> Any:
        driver = next(drivers)
        connect = lambda: driver.connect(**postgres.settings)  # noqa: E731
        store = PostgresSessionStore(connect, f"{table}_other" if elsewhere else next(names), **options)
        store.create()
        return store

    return open_one


@pytest.fixture
def sql_mariadb(mariadb: Any) -> Open:
    pymysql = pytest.importorskip("pymysql", reason="needs PyMySQL: pip install 'session3[mysql]'")
    table = f"two_objects_{next(_tables)}"
    names = itertools.cycle([table, f"{mariadb.settings['database']}.{table}"])

    def open_one(elsewhere: bool = False, **options: Any) -> Any:
        name = f"{table}_other" if elsewhere else next(names)
        store = MySQLSessionStore(lambda: pymysql.connect(**mariadb.settings), name, **options)
        store.create()
        return store

    return open_one


@pytest.fixture(params=["directory", "shelve", "sqlite", "unknown", "durus", "redis", "sql_postgres", "sql_mariadb"])
def open_one(request: Any, tmp_path: Path) -> Iterator[Open]:
    opened: list[Any] = []
    if request.param in ("directory", "shelve", "sqlite"):
        make = embedded(request.param, tmp_path)
    else:
        make = unknown() if request.param == "unknown" else request.getfixturevalue(request.param)

    def open_and_keep(*args: Any, **options: Any) -> Any:
        opened.append(make(*args, **options))
        return opened[-1]

    yield open_and_keep
    for store in opened:
        store.close()


def stored(store: Any, **items: Any) -> Any:
    session = DictSession(ids.make_id())
    session.update(items)
    store.save_session(session)
    return session


def items(store: Any, session: Any) -> dict[str, Any]:
    return dict(store.load_session(session.id))


class TestOnePlace:
    def test_what_others_changed_is_merged(self, open_one: Open) -> None:
        a, b = open_one(), open_one()
        mine, other = stored(a, n=1), None
        other = a.load_session(mine.id)
        other["cart"] = ["tea"]
        a.save_session(other)
        mine["n"] = 2
        b.save_session(mine)
        assert items(a, mine) == {"n": 2, "cart": ["tea"]}
        mine["n"] = 3
        a.save_session(mine)
        assert items(b, mine) == {"n": 3, "cart": ["tea"]}

    def test_what_was_deleted_stays_so(self, open_one: Open) -> None:
        a, b = open_one(), open_one()
        mine = stored(a, n=1)
        b.load_session(mine.id)
        a.delete_session(mine.id)
        mine["n"] = 2
        if a.place() is None:
            return  # a copy of what never was there, for all that this store can know
        with pytest.raises(SessionDeleted):
            b.save_session(mine)
        assert not a.has_session(mine.id)

    def test_what_did_not_change_is_not_written(self, open_one: Open, count_verbs: Any) -> None:
        a, b = open_one(), open_one()
        mine = stored(a, n=1)
        counts = count_verbs(b)
        assert not b.is_changed(mine)
        b.save_session(mine)
        assert not {"insert", "replace", "touch"} & counts.keys()

    def test_the_manager_s_verbs_know_it_too(self, open_one: Open) -> None:
        a, b = open_one(), open_one()
        mine = stored(a, n=1)
        old_id, new_id = mine.id, ids.make_id()
        assert b.move_session(mine, new_id)
        assert not a.has_session(old_id) and a.was_rotated(old_id) and items(a, mine) == {"n": 1}
        assert a.discard_session(mine)
        assert not b.has_session(new_id)

    @pytest.mark.parametrize("seal", ["secret_key", "encryption_key"])
    def test_sealed_payloads_are_compared_too(self, open_one: Open, seal: str, count_verbs: Any) -> None:
        a, b, c = open_one(**{seal: KEYS[:1]}), open_one(**{seal: KEYS[:1]}), open_one(**{seal: KEYS[::-1]})
        mine = stored(a, n=1)
        counts = count_verbs(b)
        b.save_session(mine)
        assert not {"insert", "replace", "touch"} & counts.keys()
        other = a.load_session(mine.id)
        other["cart"] = ["tea"]
        a.save_session(other)
        mine["n"] = 2
        c.save_session(mine)
        assert items(c, mine) == {"n": 2, "cart": ["tea"]}

    def test_hashed_ids_are_known_where_both_hash(self, open_one: Open) -> None:
        a, b = open_one(hash_ids=True), open_one(hash_ids=True)
        mine = stored(a, n=1)
        other = a.load_session(mine.id)
        other["cart"] = ["tea"]
        a.save_session(other)
        mine["n"] = 2
        b.save_session(mine)
        assert items(a, mine) == {"n": 2, "cart": ["tea"]}
        [(_, listed)] = a.iter_sessions()
        b.delete_session(listed)
        assert not a.has_session(mine.id)

    @pytest.mark.parametrize(
        ("before", "now"),
        [
            ({}, {"serializer": JSONSerializer()}),
            ({"serializer": JSONSerializer()}, {"serializer": PickleSerializer()}),
            ({}, {"secret_key": KEYS[0]}),
            ({"secret_key": KEYS[0]}, {}),
            ({"secret_key": KEYS[0]}, {"secret_key": KEYS[1]}),
            ({"encryption_key": KEYS[0]}, {"secret_key": KEYS[0]}),
        ],
    )
    def test_what_another_codec_wrote_is_written_anew(self, open_one: Open, before: Any, now: Any) -> None:
        a, b = open_one(**before), open_one(**now)
        mine = stored(a, n=1, cart=["tea"])
        b.save_session(mine)
        assert items(b, mine) == {"n": 1, "cart": ["tea"]}
        mine["n"] = 2
        b.save_session(mine)
        assert items(b, mine) == {"n": 2, "cart": ["tea"]}

    def test_store_by_store_in_and_out_again(self, open_one: Open) -> None:
        stores = [open_one() for _ in range(3)]
        mine = stored(stores[0], n=0)
        for n in range(1, 10):
            mine["n"] = n
            stores[n % 3].save_session(mine)
            assert items(stores[(n + 1) % 3], mine) == {"n": n}


class TestTwoPlaces:
    def test_a_session_is_copied(self, open_one: Open) -> None:
        a, b = open_one(), open_one(True)
        mine = stored(a, n=1)
        b.save_session(mine)
        assert items(a, mine) == items(b, mine) == {"n": 1}
        mine["n"] = 2
        b.save_session(mine)
        a.delete_session(mine.id)
        a.save_session(mine)
        assert items(a, mine) == items(b, mine) == {"n": 2}

    def test_all_are_copied_from_any_kind_to_any(self, open_one: Open) -> None:
        a, memory = open_one(), VolatileSessionStore()
        for n in range(3):
            stored(a, n=n)
        for _, session in a.iter_sessions():
            memory.save_session(session)
        a.clear()
        for _, session in memory.iter_sessions():
            a.save_session(session)
        assert sorted(session["n"] for _, session in a.iter_sessions()) == [0, 1, 2]

    def test_where_only_one_hashes_a_session_is_new(self, open_one: Open) -> None:
        a, b = open_one(), open_one(hash_ids=True)
        mine = stored(a, n=1)
        b.save_session(mine)
        assert b.load_session(mine.id)["n"] == 1


def test_what_can_not_be_reached_any_more_is_elsewhere(tmp_path: Path) -> None:
    class Away(VolatileSessionStore):
        def place(self) -> None:
            raise StoreUnavailable("the server is gone")

    mine, memory = stored(Away(), n=1), VolatileSessionStore()
    memory.save_session(mine)
    assert items(memory, mine) == {"n": 1}
    with pytest.raises(StoreUnavailable):
        Away().save_session(mine)


def test_to_copy_to_another_kind_of_store_asks_neither_where_it_is(tmp_path: Path, monkeypatch: Any) -> None:
    def asked(store: Any) -> None:
        raise AssertionError("asked for its place")

    monkeypatch.setattr(VolatileSessionStore, "place", asked)
    mine, folder = stored(VolatileSessionStore(), n=1), DirectorySessionStore(tmp_path)
    folder.save_session(mine)
    assert items(folder, mine) == {"n": 1}


def test_a_store_s_subclass_may_lead_to_the_same_place(tmp_path: Path) -> None:
    class Mine(DirectorySessionStore):
        pass

    class Yours(DirectorySessionStore):
        pass

    mine = stored(Mine(tmp_path), n=1)
    Yours(tmp_path).delete_session(mine.id)
    mine["n"] = 2
    with pytest.raises(SessionDeleted):
        Yours(tmp_path).save_session(mine)


def test_stores_in_memory_are_places_of_their_own() -> None:
    for make in (VolatileSessionStore, lambda: SQLiteSessionStore(":memory:")):
        a, b = make(), make()
        mine = stored(a, n=1)
        a.delete_session(mine.id)
        mine = stored(a, n=1)
        b.save_session(mine)
        assert items(b, mine) == {"n": 1}


def test_files_of_different_kinds_are_different_places(tmp_path: Path) -> None:
    folder = DirectorySessionStore(tmp_path / "x")
    mine = stored(folder, n=1)
    other = SQLiteSessionStore(tmp_path / "x.db")
    other.save_session(mine)
    assert items(other, mine) == {"n": 1}
    folder.close()
    other.close()


def test_one_connection_of_durus_given_twice(tmp_path: Path) -> None:
    pytest.importorskip("durus", reason="needs Durus: pip install 'session3[durus]'")
    from session3.durusfiles import open_file

    connection = open_file(tmp_path / "sessions.durus")
    a, b = DurusSessionStore(connection), DurusSessionStore(connection)
    mine = stored(a, n=1)
    a.delete_session(a.load_session(mine.id))
    mine["n"] = 2
    with pytest.raises(SessionDeleted):
        b.save_session(mine)
    connection.get_storage().close()


def test_to_ask_costs_nothing_where_the_store_is_the_same(open_one: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_one()

    def asked() -> None:
        raise AssertionError("asked for its place")

    monkeypatch.setattr(store, "place", asked)
    mine = stored(store, n=1)
    mine["n"] = 2
    store.save_session(mine)
    assert store.move_session(mine, ids.make_id())
    assert store.discard_session(mine)
