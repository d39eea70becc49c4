import contextlib
import itertools
import os
import signal
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from session3 import ids
from session3.DictSession import DictSession
from session3.errors import StoreUnavailable
from session3.store import sqliteopening
from session3.store.SQLiteSessionStore import SQLiteSessionStore

from ..contract import (
    CrashContract,
    FileContract,
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
from ..processes import Child, Worker, run_together
from ..sessions import Clock


@pytest.fixture
def make_store(tmp_path: Path, clock: Clock) -> Any:
    return lambda **options: SQLiteSessionStore(tmp_path / "sessions", clock=clock, **options)


@pytest.fixture
def store(make_store: Any) -> Any:
    with make_store() as store:
        yield store


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    return f"sqlite://{tmp_path}/sessions"


@pytest.fixture
def open_at(clock: Clock) -> Any:
    def open(path: Path, make_parent: bool = False, **options: Any) -> SQLiteSessionStore:
        if make_parent:
            path.parent.mkdir()
        return SQLiteSessionStore(path, clock=clock, **options)

    return open


class TestSQLiteSessionStore(
    RecordContract, IterationContract, SweepContract, SetupContract, ThreadContract, ProcessContract, CrashContract
):
    pass


class TestSealedSQLiteSessionStore(SealContract):
    pass


class TestInMemory(RecordContract, IterationContract, SweepContract, SetupContract, ThreadContract):
    @pytest.fixture
    def store(self, clock: Clock) -> Any:
        with SQLiteSessionStore(":memory:", clock=clock) as store:
            assert not store.is_multiprocess_safe
            yield store


class TestSQLiteFiles(FileContract):
    pass


def test_a_file_that_is_no_database_is_unavailable_and_left_alone(open_at: Any, tmp_path: Path) -> None:
    path = tmp_path / "sessions"
    path.write_bytes(b"these are not the bytes of a database" * 100)
    with open_at(path) as store:
        with pytest.raises(StoreUnavailable, match=str(path)):
            store.load_session("some-session")
        with pytest.raises(StoreUnavailable, match=str(path)):
            stored(store)
    assert path.read_bytes().startswith(b"these are not")


def test_a_table_of_ours_in_somebody_elses_database(open_at: Any, tmp_path: Path) -> None:
    path = tmp_path / "site.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE orders (n)")
    with open_at(path) as store:
        assert store.load_session("some-session") is None
        assert store.load_session(stored(store).id).user == "alice"


def test_a_name_with_every_odd_character(open_at: Any, tmp_path: Path) -> None:
    path = tmp_path / "a #?%41 é.db"
    with open_at(path) as store:
        assert store.load_session(stored(store).id).user == "alice"
    assert path.exists()


def test_a_forked_child_opens_a_connection_of_its_own(store: Any) -> None:
    stored(store)
    with store._connections.guard():
        parents = store._connections.get()

    def compare(report: Any) -> None:
        with store._connections.guard():
            childs = store._connections.get()
            report(childs is parents)
        signal.pause()

    with Child(compare) as child:
        assert child.report() == 0
    stored(store)


def test_a_database_in_memory_says_no_in_a_forked_child(clock: Clock) -> None:
    store = SQLiteSessionStore(":memory:", clock=clock)
    session = stored(store)

    def load(report: Any) -> None:
        try:
            store.load_session(session.id)
        except StoreUnavailable:
            report(1)
        signal.pause()

    with Child(load) as child:
        assert child.report() == 1


def test_processes_that_come_first_at_the_same_time(store_url: str) -> None:
    id = ids.make_id()
    with Worker("save_set", store_url, id) as one, Worker("save_set", store_url, ids.make_id()) as other:
        run_together(one, other)
    with Worker("read_and_save", store_url, id) as reader:
        assert run_together(reader) == [["read"]]


def test_a_store_is_closed_beside_threads_at_work(store: Any) -> None:
    session = stored(store)
    rounds = threading.Barrier(3)

    def work(name: str) -> None:
        for _ in range(20):
            rounds.wait()
            if name == "closer":
                store.close()
            else:
                for _ in range(20):
                    assert store.load_session(session.id).user == "alice"

    run_threads(work, ["closer", "reader", "reader"])


def test_a_database_that_was_replaced_is_opened_anew(store: Any) -> None:
    old = stored(store)
    for path in Path(store.filename).parent.glob(Path(store.filename).name + "*"):
        path.unlink()
    assert not store.has_session(old.id)
    assert store.has_session(stored(store).id)
    with SQLiteSessionStore(store.filename) as other:
        assert len(list(other.iter_sessions())) == 1


def test_a_database_in_another_mode_is_switched_while_others_read_it(open_at: Any, tmp_path: Path) -> None:
    path = tmp_path / "site.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("CREATE TABLE orders (n)")
        barrier = threading.Barrier(8)

        def save(_: str) -> None:
            with open_at(path) as store:
                barrier.wait()
                stored(store)

        run_threads(save, "abcdefgh")
    with open_at(path) as store:
        assert len(list(store.iter_sessions())) == 8


class TestFirstSave:
    @pytest.mark.parametrize("is_alive", [True, False], ids=["alive", "killed"])
    def test_takes_nothing_over_from_a_database_that_was_removed(
        self, store: Any, tmp_path: Path, is_alive: bool
    ) -> None:
        """Its log stays while somebody has it open, or if he was killed: what is in it belongs to the old one."""

        def save(report: Any) -> None:
            for _ in range(10):
                stored(store)
            report(1)
            signal.pause()

        with Child(save) as child:
            child.report()
            if not is_alive:
                child.kill()
            (tmp_path / "sessions").unlink()
            assert (tmp_path / "sessions-wal").stat().st_size > 0
            new = stored(store)
            assert [id for id, _ in store.iter_sessions()] == [new.id]

    def test_is_not_lost_to_who_still_had_the_removed_one_open(self, store: Any, open_at: Any, tmp_path: Path) -> None:
        stored(store)
        (tmp_path / "sessions").unlink()
        with open_at(tmp_path / "sessions") as other:
            stored(other)
            assert len(list(store.iter_sessions())) == 1  # has closed the old one
            stored(other)
        assert len(list(store.iter_sessions())) == 2

    def test_beside_others_loses_nothing(self, open_at: Any, tmp_path: Path) -> None:
        for round in range(20):
            path = tmp_path / str(round)
            barrier = threading.Barrier(4)

            def save(_: str, path: Path = path, barrier: threading.Barrier = barrier) -> None:
                with open_at(path) as store:
                    barrier.wait()
                    stored(store)

            run_threads(save, "abcd")
            with open_at(path) as store:
                assert len(list(store.iter_sessions())) == 4
        assert {path.name for path in tmp_path.iterdir()} == {str(round) for round in range(20)}

    def test_leaves_nothing_of_one_that_was_killed(self, store: Any, tmp_path: Path, monkeypatch: Any) -> None:
        def die(name: str, timeout: float) -> None:
            (tmp_path / "sessions.new-wal").touch()
            signal.raise_signal(signal.SIGKILL)

        with monkeypatch.context() as patch:
            patch.setattr(sqliteopening, "connect", die)
            with Child(lambda report: stored(store)) as child:
                os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert "sessions.new" in os.listdir(tmp_path)
        stored(store)
        store.close()
        assert os.listdir(tmp_path) == ["sessions"]

    def test_through_a_link_to_what_is_not_there_yet(self, store: Any, open_at: Any, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "sessions")
        with open_at(tmp_path / "link") as linked:
            assert linked.load_session("some-session") is None
            session = stored(linked)
        assert store.has_session(session.id)
        assert (tmp_path / "link").is_symlink()

    def test_through_a_link_that_leads_nowhere(self, open_at: Any, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "nowhere" / "sessions")
        with open_at(tmp_path / "link") as linked, pytest.raises(StoreUnavailable, match=r"link.*No such file"):
            stored(linked)


class TestAnotherWriter:
    """The moments at which a save looks are counted by the clock that it asks each time."""

    @pytest.fixture
    def writer(self, store: Any) -> Iterator[sqlite3.Connection]:
        """One that holds the database's lock for writing."""
        stored(store)
        with contextlib.closing(sqlite3.connect(store.filename, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection

    def test_is_waited_for_by_looking_again_and_again(
        self, store: Any, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looks: list[int] = []

        def look() -> float:
            looks.append(len(looks))
            if len(looks) == 5:
                writer.execute("COMMIT")
            return 0.0

        monkeypatch.setattr(f"{SQLiteSessionStore.__module__}.time", SimpleNamespace(monotonic=look))
        session = stored(store)
        assert looks == [0, 1, 2, 3, 4]
        assert store.has_session(session.id)

    def test_is_not_waited_for_until_sqlite_hardly_looks_any_more(self, store: Any, writer: sqlite3.Connection) -> None:
        with store._connections.guard():
            connection = store._connections.get()
            assert connection.execute("PRAGMA busy_timeout").fetchone()[0] < 1 + 2 + 5 + 10

    def test_is_not_waited_for_for_ever(
        self, store: Any, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        moments = iter([0.0, 5.0, 9.9, 10.0])
        monkeypatch.setattr(f"{SQLiteSessionStore.__module__}.time", SimpleNamespace(monotonic=lambda: next(moments)))
        with pytest.raises(StoreUnavailable, match="database is locked"):
            stored(store)
        assert list(moments) == []


def test_a_database_that_is_locked_is_opened_once(
    tmp_path: Path, open_at: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To open one takes as long as the wait may, so that a second time would be twice that."""
    connect, opened = sqliteopening.connect, Counter[str]()

    def counting(name: str, durable: bool, timeout: float) -> sqlite3.Connection:
        opened[name] += 1
        return connect(name, durable, timeout)

    monkeypatch.setattr(sqliteopening, "connect", counting)
    with contextlib.closing(sqlite3.connect(tmp_path / "site.db", isolation_level=None)) as other:
        other.execute("CREATE TABLE orders (n)")
        other.execute("BEGIN EXCLUSIVE")
        with open_at(tmp_path / "site.db", timeout=0.05) as store, pytest.raises(StoreUnavailable, match="locked"):
            store.load_session("example1")
    assert list(opened.values()) == [1]


def test_times_are_not_compared_as_text(store: Any, clock: Clock) -> None:
    clock.now = 1e9
    session = stored(store, _expires=clock() + 0.5)
    clock.advance(0.4)
    assert store.has_session(session.id)
    clock.advance(0.2)
    assert not store.has_session(session.id)


class Watched(SQLiteSessionStore):
    """Notes the size of the cache (KiB, below zero) at each delete; may fail there."""

    failure: Exception | None = None

    def cache_size(self) -> int:
        size: int = self._query("PRAGMA cache_size", ())[0][0]
        return size

    def _change(self, sql: str, parameters: Sequence[Any]) -> int:
        if sql.startswith("DELETE"):
            self.while_deleting = self.cache_size()
            if self.failure is not None:
                raise self.failure
        return super()._change(sql, parameters)


def test_a_sweep_keeps_writers_waiting_for_a_batch_at_most(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it looks for sessions whose clock was ahead: a change locks the file for as long as it looks."""
    change, changes = SQLiteSessionStore._change, []

    def note(self: Any, sql: str, parameters: Sequence[Any]) -> int:
        changes.append(sql)
        return change(self, sql, parameters)

    for _ in range(25):
        stored(store)
    monkeypatch.setattr(SQLiteSessionStore, "BATCH", 10)
    monkeypatch.setattr(SQLiteSessionStore, "_change", note)
    assert store.sweep(3600) == (0, 25)
    assert len(changes) == 6 and all("rowid > ? AND rowid <= ?" in sql for sql in changes)


@pytest.mark.parametrize("failure", [None, StoreUnavailable("a full disk")], ids=["swept", "failed"])
def test_a_sweep_gives_its_cache_back(tmp_path: Path, clock: Clock, failure: Exception | None) -> None:
    with Watched(tmp_path / "sessions", clock=clock) as store:
        stored(store, _expires=clock() + 1)
        clock.advance(2)
        store._query("PRAGMA cache_size = -500", ())
        store.failure = failure
        with contextlib.nullcontext() if failure is None else pytest.raises(StoreUnavailable, match="full"):
            store.delete_expired_sessions()
        assert (store.while_deleting, store.cache_size()) == (-12_000, -500)


def test_a_sweep_tells_why_it_failed_where_the_cache_fails_too(tmp_path: Path, clock: Clock) -> None:
    class Broken(Watched):
        def _query(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
            if sql.endswith("-500"):
                raise StoreUnavailable("no cache")
            return super()._query(sql, parameters)

    with Broken(tmp_path / "sessions", clock=clock) as store:
        stored(store, _expires=clock() + 1)
        clock.advance(2)
        SQLiteSessionStore._query(store, "PRAGMA cache_size = -500", ())
        store.failure = StoreUnavailable("a full disk")
        with pytest.raises(StoreUnavailable, match="full"):
            store.delete_expired_sessions()
        SQLiteSessionStore._query(store, "PRAGMA cache_size = -500", ())
        store.failure = None
        assert store.delete_expired_sessions() == (1, 0)


# -- damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["payload", "revision", "created", "modified", "accessed", "expires"])
def test_a_row_with_a_value_of_the_wrong_type_is_damaged(store: Any, clock: Clock, column: str, caplog: Any) -> None:
    hurt, whole = stored(store, _expires=clock() + 1e6), stored(store)
    store._change(f"UPDATE session3 SET {column} = ? WHERE id = ?", ("no such type", hurt.id))
    for _ in range(2):
        assert store.load_session(hurt.id) is None
        assert not store.has_session(hurt.id)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert [id for id, _ in store.iter_sessions()] == [whole.id]


def change_on_disk(store: Any, old: bytes, new: bytes, times: int = -1) -> None:
    store.close()
    path = Path(store.filename)
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new, times))


def test_a_key_that_was_damaged_makes_no_iteration_endless(store: Any) -> None:
    for id in ("example1", "example2", "example3"):
        store.save_session(DictSession(id))
    change_on_disk(store, b"example3", b"example0")
    with pytest.raises(StoreUnavailable, match="in disorder"):
        list(itertools.islice(store.iter_sessions(), 10))


def test_a_damaged_schema_is_unavailable(store: Any) -> None:
    session = stored(store)
    change_on_disk(store, b"session3", b"session\xff", times=1)
    with pytest.raises(StoreUnavailable, match="SQLiteSessionStore"):
        store.load_session(session.id)
