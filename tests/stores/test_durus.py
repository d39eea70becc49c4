"""Sessions in Durus: in its two kinds of files, and on a server."""

import itertools
import logging
import os
import random
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import session3
from session3 import ids
from session3.DictSession import DictSession
from session3.durusfiles import DurusFile, open_file, open_server, open_sqlite
from session3.durusfiles import DurusServer as Server
from session3.durusstorages import import_durus
from session3.errors import ConfigurationError, SessionDeleted, StoreUnavailable
from session3.store import durusrecord
from session3.store.DurusSessionStore import DurusSessionStore

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
    spoil,
    stored,
)
from ..durus_server import DurusServer
from ..processes import ROOT, Child, Worker, run_together, write_for_ever
from ..sessions import Clock

pytest.importorskip("durus", reason="needs Durus: pip install 'session3[durus]'")


class OnFile:
    @pytest.fixture
    def source(self, tmp_path: Path) -> Any:
        return DurusFile(str(tmp_path / "sessions"))


class OnSqlite:
    @pytest.fixture
    def source(self, tmp_path: Path) -> Any:
        return DurusFile(str(tmp_path / "sessions"), sqlite=True)


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    if "SESSION3_TEST_DURUS_URL" in os.environ:
        yield os.environ["SESSION3_TEST_DURUS_URL"]
    else:
        server = DurusServer()
        with server:
            yield server.url


class OnServer:
    @pytest.fixture
    def source(self, server_url: str) -> Any:
        host, _, port = server_url.removeprefix("durus://").rpartition(":")
        source = Server(host, int(port))
        with DurusSessionStore(source) as store:
            store.clear()
        return source

    @pytest.fixture
    def store_url(self, server_url: str) -> str:
        return server_url


class OnOpenConnection:
    @pytest.fixture
    def source(self, tmp_path: Path) -> Iterator[Any]:
        connection = open_sqlite(tmp_path / "sessions")
        yield connection
        connection.get_storage().close()


@pytest.fixture
def make_store(source: Any, clock: Clock) -> Iterator[Any]:
    made: list[DurusSessionStore] = []

    def make(**options: Any) -> DurusSessionStore:
        for earlier in made:
            earlier.close()  # a file is for one at a time
        made.append(DurusSessionStore(source, clock=clock, **options))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture
def store(make_store: Any) -> Any:
    return make_store()


class Contracts(RecordContract, IterationContract, SweepContract, SetupContract, ThreadContract):
    pass


class TestOnFile(OnFile, Contracts, SealContract):
    pass


class TestOnSqlite(OnSqlite, Contracts, SealContract):
    pass


class TestOnServer(OnServer, Contracts, SealContract, ProcessContract, CrashContract):
    pass


class TestOnOpenConnection(OnOpenConnection, Contracts, SealContract):
    pass


class TestFiles(FileContract):
    @pytest.fixture(params=[False, True], ids=["file", "sqlite"])
    def open_at(self, request: pytest.FixtureRequest, clock: Clock) -> Any:
        def open(path: Path, make_parent: bool = False) -> DurusSessionStore:
            if make_parent:
                path.parent.mkdir()
            return DurusSessionStore(DurusFile(str(path), sqlite=request.param), clock=clock)

        return open


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions"


@pytest.fixture
def server() -> Iterator[DurusServer]:
    server = DurusServer()
    with server:
        yield server


# -- kills -----------------------------------------------------------------------------------------------------------


def test_a_writer_killed_on_its_file_loses_nothing_that_was_saved(path: Path) -> None:
    url, saved = f"durus://{path}", 0
    with session3.open_store(url) as store:
        session = stored(store, data={"n": 0, "blob": []})
    for _ in range(50):
        with Child(lambda report: write_for_ever(url, session.id, report)) as writer:
            for _ in range(random.randrange(1, 30)):
                saved = writer.report()
            saved = writer.kill() or saved
        with session3.open_store(url) as store:
            loaded: Any = store.load_session(session.id)
            assert loaded["n"] in (saved, saved + 1)
            assert set(loaded["blob"]) <= {loaded["n"]}
            assert [id for id, _ in store.iter_sessions()] == [session.id]


def test_a_pack_killed_beside_writers_loses_nothing_that_was_saved(path: Path) -> None:
    url, saved = f"durus://{path}", 0
    with session3.open_store(url) as store:
        session = stored(store, data={"n": 0, "blob": []})
        others = {stored(store).id for _ in range(30)}

    def pack_and_write(report: Any) -> None:
        store = DurusSessionStore(DurusFile(str(path)))
        threading.Thread(target=lambda: [store.pack() for _ in itertools.count()], daemon=True).start()
        while True:
            loaded = store.load_session(session.id)
            loaded["n"] += 1
            store.save_session(loaded)
            report(loaded["n"])

    for _ in range(25):
        with Child(pack_and_write) as writer:
            for _ in range(random.randrange(1, 60)):
                saved = writer.report()
            saved = writer.kill() or saved
        with session3.open_store(url) as store:
            assert store.load_session(session.id)["n"] in (saved, saved + 1)
            assert {id for id, _ in store.iter_sessions()} == {session.id, *others}


def test_a_server_killed_under_its_writers_loses_nothing_that_was_saved(server: DurusServer) -> None:
    store = DurusSessionStore(Server("127.0.0.1", server.port))
    session = stored(store, data={"saved": 0})
    unavailable = 0

    def write(report: Any) -> None:
        n = 0
        while True:
            try:
                loaded = store.load_session(session.id)
                loaded["saved"] = n + 1
                store.save_session(loaded)
            except StoreUnavailable:
                continue
            n += 1
            report(n)

    with Child(write) as writer:
        saved = writer.report()
        for _ in range(20):
            for _ in range(random.randrange(1, 20)):
                saved = writer.report()
            server.kill()
            server.start()
            try:
                assert store.load_session(session.id)["saved"] >= saved
            except StoreUnavailable:
                unavailable += 1
        assert unavailable == 0  # the call was tried once more
        saved = max(saved, writer.report())
    store.close()


# -- servers ---------------------------------------------------------------------------------------------------------


def test_a_server_that_went_away_and_came_back(server: DurusServer) -> None:
    store = DurusSessionStore(Server("127.0.0.1", server.port))
    session = stored(store)
    server.kill()
    for act in (lambda: store.load_session(session.id), lambda: stored(store), store.setup, store.pack):
        with pytest.raises(StoreUnavailable, match=rf"'127\.0\.0\.1:{server.port}'.*ConnectionRefusedError") as error:
            act()
        assert isinstance(error.value.__cause__, Exception)
    server.start()
    assert store.load_session(session.id).user == "alice"
    server.kill()
    server.start()
    session["n"] = 1
    store.save_session(session)
    server.stop()
    server.start()
    assert store.load_session(session.id)["n"] == 1
    store.close()


def test_a_server_that_is_not_there_yet(server: DurusServer) -> None:
    server.kill()
    store = session3.open_store(server.url)
    assert store.is_multiprocess_safe
    with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{server.port}"):
        store.load_session("some-session")
    server.start()
    assert stored(store).id in dict(store.iter_sessions())
    store.close()


def test_a_connection_that_was_handed_in_is_not_opened_again(server: DurusServer) -> None:
    connection = open_server("127.0.0.1", server.port)
    store = DurusSessionStore(connection)
    assert store.is_multiprocess_safe and store.is_thread_safe
    session = stored(store)
    server.kill()
    server.start()
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            store.load_session(session.id)
    with pytest.raises(StoreUnavailable, match=r"handed in can't be opened again.*") as error:
        store.load_session(session.id)
    assert isinstance(error.value.__cause__.__cause__, OSError)  # type: ignore[union-attr]
    connection.get_storage().s.close()


def lose_replies(store: DurusSessionStore, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let the reply to each store's first commit be lost, after the server has committed."""
    from durus.client_storage import ClientStorage

    end, lost = ClientStorage.end, [1]

    def end_and_lose(self: Any, *args: Any) -> None:
        end(self, *args)
        if lost[0]:
            lost[0] -= 1
            raise ConnectionResetError("the reply was lost")

    monkeypatch.setattr(ClientStorage, "end", end_and_lose)
    return lost


def test_a_write_whose_reply_was_lost_is_its_own(server: DurusServer, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DurusSessionStore(Server("127.0.0.1", server.port), on_conflict="raise")
    session = stored(store)
    lost = lose_replies(store, monkeypatch)
    record = store.read(session.id)
    assert record is not None
    assert store.replace(session.id, record._replace(revision=record.revision + 7), record.revision)
    lost[0] = 1
    assert store.insert("another", record)
    lost[0] = 1
    assert store.remove("another", record.revision)
    lost[0] = 1
    assert store.touch(session.id, record.revision + 7, record.accessed + 10, None)
    assert lost == [0]
    assert not store.insert(session.id, record)
    assert not store.remove("another") and not store.touch("another", 1, 1, None)
    store.close()


class Alarm(BaseException):
    """What the handler of a signal may raise, wherever the program is."""


def interrupt_loads(
    store: DurusSessionStore, id: str, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> list[BaseException]:
    """Let a signal's exception come once between the request for a session's record and the reply."""
    from durus.client_storage import ClientStorage

    oid = store._transactions.run(lambda root, again: root["session3"][id]._p_oid)
    store._transactions.free()
    receive, pending = ClientStorage._get_load_response, [error]

    def receive_late(self: Any, wanted: bytes) -> Any:
        if wanted == oid and pending:
            raise pending.pop()
        return receive(self, wanted)

    monkeypatch.setattr(ClientStorage, "_get_load_response", receive_late)
    return pending


@pytest.mark.parametrize("is_handed_in", [False, True])
@pytest.mark.parametrize("error", [Alarm(), KeyboardInterrupt(), ValueError("the alarm"), EOFError("the alarm")])
def test_after_an_interrupted_request_nobody_reads_its_reply(
    server: DurusServer, monkeypatch: pytest.MonkeyPatch, error: BaseException, is_handed_in: bool
) -> None:
    connection = open_server("127.0.0.1", server.port)
    store = DurusSessionStore(connection if is_handed_in else Server("127.0.0.1", server.port))
    one, other = stored(store, user="alice"), stored(store, user="bob")
    pending = interrupt_loads(store, one.id, error, monkeypatch)
    with pytest.raises(type(error)) as caught:
        store.load_session(one.id)
    assert caught.value is error and not pending
    if is_handed_in:
        with pytest.raises(StoreUnavailable, match="handed in can't be opened again"):
            store.load_session(other.id)
    else:
        assert store.load_session(other.id).user == "bob" and store.load_session(one.id).user == "alice"
    store.close()
    connection.get_storage().s.close()


def test_an_interrupted_request_holds_up_no_other_client(server: DurusServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server serves one at a time, and waits for the rest of a request that it has begun to read."""
    from durus import client_storage

    connection = open_server("127.0.0.1", server.port)
    store, session = DurusSessionStore(connection), DictSession("session1")

    def send_half(socket: Any, data: bytes) -> None:
        raise Alarm

    with monkeypatch.context() as patch, pytest.raises(Alarm):
        patch.setattr(client_storage, "write_int4_str", send_half)
        store.save_session(session)
    # Sooner than the server, after ten seconds, has had enough by itself.
    with DurusSessionStore(Server("127.0.0.1", server.port, timeout=8)) as another:
        stored(another)
    connection.get_storage().s.close()


def test_a_sweep_that_is_interrupted_deletes_nothing(
    server: DurusServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DurusSessionStore(Server("127.0.0.1", server.port), clock=clock) as store:
        session = stored(store)
        pending = interrupt_loads(store, session.id, ValueError("the alarm"), monkeypatch)
        with pytest.raises(ValueError, match="the alarm"):
            store.delete_old_sessions(10)
        assert not pending and store.has_session(session.id)


def test_a_rival_after_a_lost_reply_is_a_rival(server: DurusServer, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DurusSessionStore(Server("127.0.0.1", server.port))
    rival = DurusSessionStore(Server("127.0.0.1", server.port))
    session = stored(store)
    record = store.read(session.id)
    assert record is not None
    lost = lose_replies(store, monkeypatch)
    opener = store._transactions._opener
    assert opener is not None

    def open_after_the_rival() -> Any:
        current = rival.read(session.id)
        assert current is not None
        assert rival.replace(session.id, current._replace(revision=current.revision + 1), current.revision)
        return opener()

    store._transactions._opener = open_after_the_rival
    assert not store.replace(session.id, record._replace(revision=record.revision + 7), record.revision)
    assert lost == [0]
    store.close()
    rival.close()


def test_processes_that_come_first_to_a_new_server(server: DurusServer) -> None:
    names = [ids.make_id() for _ in range(4)]
    with (
        Worker("save_set", server.url, names[0]) as a,
        Worker("save_set", server.url, names[1]) as b,
        Worker("save_set", server.url, names[2]) as c,
        Worker("save_set", server.url, names[3]) as d,
    ):
        run_together(a, b, c, d)
    with session3.open_store(server.url) as store:
        assert {id for id, _ in store.iter_sessions()} == set(names)


def test_four_processes_lose_no_update(server: DurusServer) -> None:
    with session3.open_store(server.url) as store:
        session = stored(store)
        with (
            Worker("add_keys", server.url, session.id, "a", 200) as a,
            Worker("add_keys", server.url, session.id, "b", 200) as b,
            Worker("add_keys", server.url, session.id, "c", 200) as c,
            Worker("add_keys", server.url, session.id, "d", 200) as d,
        ):
            assert run_together(a, b, c, d) == [200] * 4
        assert len(store.load_session(session.id)) == 800


@pytest.fixture
def pair(server: DurusServer, clock: Clock) -> Iterator[tuple[Any, Any]]:
    """Two stores on one server."""
    with (
        session3.open_store(server.url, clock=clock) as one,
        session3.open_store(server.url, clock=clock) as other,
    ):
        yield one, other


def after_each_verdict(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Let somebody act each time that a sweep has judged a session."""
    judge = durusrecord.is_due

    def judge_and_act(*arguments: Any) -> bool:
        answer = judge(*arguments)
        act()
        return answer

    monkeypatch.setattr(durusrecord, "is_due", judge_and_act)


def test_a_sweep_gets_on_beside_a_writer_who_never_stops(
    pair: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To have looked at a session that is saved meanwhile would be a conflict, in each try anew."""
    sweeper, writer = pair
    busy = stored(writer)
    stored(writer, _expires=clock() + 10)
    clock.advance(11)

    def save() -> None:
        busy["n"] = busy.get("n", 0) + 1
        writer.save_session(busy)

    after_each_verdict(monkeypatch, save)
    assert sweeper.delete_expired_sessions() == (1, 1)
    assert busy["n"] >= 3


def test_a_sweep_leaves_alone_what_another_one_has_just_deleted(
    pair: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, fast = pair
    session = stored(fast, _expires=clock() + 10)
    clock.advance(11)
    after_each_verdict(monkeypatch, lambda: fast.delete_session(session.id))
    assert slow.delete_expired_sessions() == (0, 0)


def test_a_read_sees_what_another_store_saved(server: DurusServer) -> None:
    with session3.open_store(server.url) as one, session3.open_store(server.url) as other:
        session = stored(one)
        for n in range(3):
            assert other.load_session(session.id).get("n", -1) == n - 1
            session["n"] = n
            one.save_session(session)
        one.delete_session(session)
        assert not other.has_session(session.id)


def test_a_load_of_a_known_session_asks_the_server_once(server: DurusServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with session3.open_store(server.url) as store:
        session = stored(store)
        store.load_session(session.id)
        asked = count_requests(monkeypatch)
        store.load_session(session.id)
        assert asked == ["S"]  # whether something changed
        session["n"] = 1
        store.save_session(session)
        assert asked == ["S", "S", "C"]


def count_requests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    from durus import client_storage

    asked: list[str] = []

    def noting(write: Any) -> Any:
        def call(s: Any, command: Any, *more: Any) -> Any:
            if command in ("S", "L", "B", "C"):
                asked.append(command)
            return write(s, command, *more)

        return call

    for name in ("write", "write_all"):
        monkeypatch.setattr(client_storage, name, noting(getattr(client_storage, name)))
    return asked


# -- forks -----------------------------------------------------------------------------------------------------------


def outcome(act: Callable[[], Any]) -> int:
    try:
        act()
    except StoreUnavailable:
        return 1
    return 0


@pytest.mark.parametrize("opening", [open_file, open_sqlite])
def test_a_connection_that_was_handed_in_says_no_in_a_forked_child(path: Path, opening: Any) -> None:
    connection = opening(path)
    store = DurusSessionStore(connection)
    assert not store.is_multiprocess_safe
    session = stored(store)

    def use(report: Any) -> None:
        report(outcome(lambda: store.load_session(session.id)) + outcome(lambda: stored(store)) + outcome(store.clear))
        signal.pause()

    with Child(use) as child:
        assert child.report() == 3
    session["n"] = 1
    store.save_session(session)
    connection.get_storage().close()
    with DurusSessionStore(DurusFile(str(path))) as again:
        assert [s["n"] for _, s in again.iter_sessions()] == [1]


@pytest.mark.parametrize("sqlite", [False, True])
def test_a_child_has_the_file_when_its_parent_has_let_go(path: Path, sqlite: bool) -> None:
    store = DurusSessionStore(DurusFile(str(path), sqlite=sqlite))
    session = stored(store)
    read, write = os.pipe()

    def use(report: Any) -> None:
        report(outcome(lambda: stored(store)))
        os.read(read, 1)
        report(outcome(lambda: stored(store)))
        store.close()
        report(0)
        signal.pause()

    with Child(use) as child:
        assert child.report() == 1  # the parent has it
        assert store.has_session(session.id)
        stored(store)
        store.close()
        os.write(write, b"!")
        # What SQLite knows of its locks came over the fork, too: the child has to leave the file alone for good.
        assert [child.report(), child.report()] == [int(sqlite), 0]
        assert len(list(store.iter_sessions())) == 3 - sqlite
    store.close()
    os.close(read)
    os.close(write)


def test_a_fork_while_another_thread_is_at_work(path: Path, server: DurusServer) -> None:
    with session3.open_store(server.url) as store:
        session = stored(store)
        stop = threading.Event()
        busy = threading.Thread(target=lambda: [store.load_session(session.id) for _ in iter(stop.is_set, True)])
        busy.start()
        try:
            for _ in range(20):
                with Child(lambda report: report(store.has_session(session.id))) as child:
                    assert child.report() == 1
        finally:
            stop.set()
            busy.join()


# -- what a write costs ----------------------------------------------------------------------------------------------


def test_a_save_and_a_touch_cost_the_same_among_many_sessions(path: Path, clock: Clock) -> None:
    noise = random.Random(3)
    with DurusSessionStore(DurusFile(str(path)), clock=clock) as store:

        def grown(act: Callable[[], Any]) -> int:
            before = path.stat().st_size
            act()
            return path.stat().st_size - before

        def measure() -> tuple[int, int, int]:
            session = stored(store, data={"blob": noise.randbytes(4000).hex()})
            session["blob"] = noise.randbytes(4000).hex()
            save = grown(lambda: store.save_session(session))
            clock.advance(100)
            loaded = store.load_session(session.id)
            loaded._set_access_time(60)
            touch = grown(lambda: store.save_session(loaded))
            return save, touch, grown(lambda: store.load_session(session.id))

        small = [max(sizes) for sizes in zip(*(measure() for _ in range(10)), strict=True)]
        record = store.read(stored(store).id)
        assert record is not None
        for n in range(10_000):
            store.insert(f"session-{n}", record)
        large = [max(sizes) for sizes in zip(*(measure() for _ in range(10)), strict=True)]
        assert small == pytest.approx(large, abs=40)
        save, touch, load = large
        assert 4000 < save < 5600  # the blob's 4000 bytes, written in hex and deflated
        assert 0 < touch < 350
        assert load == 0


# -- packing ---------------------------------------------------------------------------------------------------------


def test_packing_makes_the_file_small_while_others_write(path: Path) -> None:
    with DurusSessionStore(DurusFile(str(path))) as store:
        kept = [stored(store, data={"blob": "x"}) for _ in range(50)]
        for n in range(20):
            for session in kept:
                session["blob"] = f"{n}" * 100
                store.save_session(session)
        before = path.stat().st_size
        written: list[Any] = []

        def work(name: str) -> None:
            if name == "p":
                store.pack()
            else:
                written.extend(stored(store, user=name) for _ in range(50))

        run_threads(work, "pab")
        store.pack()
        assert path.stat().st_size < before / 5
        assert path.stat().st_mode & 0o777 == 0o600
        expected = {s.id for s in [*kept, *written]}
        assert {id for id, _ in store.iter_sessions()} == expected
        store.close()
        assert {id for id, _ in store.iter_sessions()} == expected
        assert all(store.load_session(s.id)["blob"] == "19" * 100 for s in kept)


def test_a_server_and_sqlite_are_packed_too(server: DurusServer, path: Path) -> None:
    for source in (Server("127.0.0.1", server.port), DurusFile(str(path), sqlite=True)):
        with DurusSessionStore(source) as store:
            kept, gone = stored(store), stored(store)
            store.delete_session(gone)
            store.pack()
            assert [id for id, _ in store.iter_sessions()] == [kept.id]
            store.pack()
            assert stored(store).id in dict(store.iter_sessions())


# Durus does not close the file that it was packing into.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_pack_that_fails_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with DurusSessionStore(DurusFile(str(path))) as store:
        session = stored(store)

        def full(self: Any) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("durus.file.File.fsync", full)
            with pytest.raises(StoreUnavailable, match="No space left"):
                store.pack()
        assert store.has_session(session.id)
        store.pack()
        assert store.has_session(session.id)


# -- faults ----------------------------------------------------------------------------------------------------------


def test_a_full_disk_is_an_error_and_the_old_record_stays(path: Path) -> None:
    session = DictSession(id := ids.make_id())

    def fill(report: Any) -> None:
        with DurusSessionStore(DurusFile(str(path))) as store:
            session["n"] = 0
            store.save_session(session)
            limits = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 1000, limits[1]))
            session["n"], session["blob"] = 1, random.randbytes(4000)
            report(outcome(lambda: store.save_session(session)))
            report(store.load_session(id)["n"])
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            store.save_session(session)
            report(store.load_session(id)["n"])
        report(9)

    with Child(fill) as child:
        assert [child.report() for _ in range(4)] == [1, 0, 1, 9]
    with DurusSessionStore(DurusFile(str(path))) as store:
        assert store.load_session(id)["n"] == 1


def test_a_record_that_is_damaged_as_a_whole_is_absent_and_swept(
    path: Path, caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    from durus.persistent_dict import PersistentDict

    connection = open_file(path)
    store = DurusSessionStore(connection, clock=clock)
    whole = stored(store)
    tree = connection.get_root()["session3"]
    one_more = {**tree[whole.id]}
    damaged = [None, 7, "text", {}, PersistentDict(), one_more, PersistentDict({**one_more, "payload": 1})]
    damaged[5].pop("created")
    for n, value in enumerate(damaged):
        tree[f"damaged-{n}"] = value
    connection.commit()
    with caplog.at_level(logging.WARNING, "session3"):
        for n in range(len(damaged)):
            assert store.load_session(f"damaged-{n}") is None
            assert not store.touch(f"damaged-{n}", one_more["revision"], clock(), None) or n == 6
            assert not store.replace(f"damaged-{n}", store.read(whole.id), 1)  # type: ignore[arg-type]
    assert caplog.text.count("damaged") >= len(damaged) - 1
    assert [id for id, _ in store.iter_sessions()] == [whole.id]
    assert store.delete_expired_sessions() == (6, 2)
    fresh = DictSession("damaged-6")
    store.save_session(fresh)
    assert store.has_session("damaged-6")
    connection.get_storage().close()


def test_bytes_that_changed_on_the_disk_are_one_damaged_record(path: Path, clock: Clock) -> None:
    with DurusSessionStore(DurusFile(str(path)), clock=clock) as store:
        whole, hurt = stored(store), stored(store)
        storage = store._transactions.storage
        oid = store._transactions.run(lambda root, again: root["session3"][hurt.id]._p_oid)
        at, length = storage.shelf.get_position(oid), len(storage.load(oid))
    with path.open("r+b") as file:
        file.seek(at + 8 + 8 + length - 40)
        file.write(b"?" * 40)
    with DurusSessionStore(DurusFile(str(path)), clock=clock) as store:
        assert store.load_session(hurt.id) is None
        assert store.load_session(whole.id).user == "alice"
        assert [id for id, _ in store.iter_sessions()] == [whole.id]
        assert path.stat().st_size > at + length


def test_what_is_no_connection_is_refused(path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"a Connection of Durus, or a callable"):
        DurusSessionStore("sessions.durus")
    connection = open_file(path)
    connection.get_root()["mine"] = 1
    with pytest.raises(ConfigurationError, match="changes of its own"):
        DurusSessionStore(connection)
    connection.abort()
    with DurusSessionStore(connection) as store:
        session = stored(store)
    assert store.has_session(session.id)  # the application closes it
    connection.get_storage().close()


def test_a_plain_sqlite_storage_tells_that_it_is_bound_to_its_thread(path: Path) -> None:
    import_durus()
    from durus.connection import Connection
    from durus.sqlite_storage import SqliteStorage

    for n in range(5):
        connection = Connection(SqliteStorage(str(path)))
        store = DurusSessionStore(connection)
        assert not store.is_thread_safe and not store.is_multiprocess_safe
        assert len(list(store.iter_sessions())) == n
        stored(store)
        connection.get_storage().close()
    with DurusSessionStore(DurusFile(str(path))) as store:
        assert store.is_thread_safe
        assert len(list(store.iter_sessions())) == 5


def test_a_callable_of_ones_own(path: Path) -> None:
    from durus.connection import Connection
    from durus.file_storage import FileStorage

    opened = []

    def open_it() -> Any:
        opened.append(Connection(FileStorage(str(path))))
        return opened[-1]

    store = DurusSessionStore(open_it)
    assert opened == [] and "open_it" in repr(store)
    session = stored(store)
    assert repr(store) == f"DurusSessionStore({str(path)!r})"
    store.close()
    assert store.has_session(session.id) and len(opened) == 2
    store.close()


def test_a_late_save_over_a_server_is_told(server: DurusServer) -> None:
    with session3.open_store(server.url) as one, session3.open_store(server.url) as other:
        session = stored(one)
        late = other.load_session(session.id)
        one.setup(overwrite=True)
        late["n"] = 1
        with pytest.raises(SessionDeleted):
            other.save_session(late)
        spoil_nothing = stored(other)
        spoil(other, spoil_nothing.id, b"garbage")
        assert one.load_session(spoil_nothing.id) is None


# -- the driver ------------------------------------------------------------------------------------------------------

SAVE = """
import logging, sys
{before}
from session3.durusfiles import DurusFile
from session3.Session import Session
from session3.store.DurusSessionStore import DurusSessionStore
with DurusSessionStore(DurusFile(sys.argv[1])) as store:
    session = Session("example1")
    session.set_user("alice")
    store.save_session(session)
{after}
"""


def save_in_a_program(path: Path, before: str = "", after: str = "") -> tuple[str, str]:
    code = SAVE.format(before=before, after=after)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(path)], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return done.stdout, done.stderr


@pytest.mark.parametrize(
    "before",
    [
        "",
        "logging.basicConfig(level=logging.INFO)",
        "import durus.connection",
        "import io; sys.stderr = io.StringIO(); import durus.logger",
        "import io; sys.stderr = io.StringIO()",
    ],
)
def test_durus_is_quiet_and_leaves_stdout_alone(path: Path, before: str) -> None:
    took = "import durus.logger" in before  # then stdout was gone before we came
    after = "assert logging.getLogger('durus').getEffectiveLevel() == logging.WARNING; print('out')"
    out, said = save_in_a_program(path, before, after)
    assert (out, said) == ("" if took else "out\n", "")


def test_an_application_that_wants_to_hear_durus_does(path: Path) -> None:
    wish = "handler = logging.StreamHandler(sys.stdout); logger = logging.getLogger('durus'); "
    wish += "logger.addHandler(handler); logger.setLevel(logging.INFO)"
    out, said = save_in_a_program(path, before=wish)
    assert "Transaction at" in out and said == ""


def test_without_durus_the_error_names_the_extra(path: Path) -> None:
    code = """
import sys
sys.modules["durus"] = None
from session3 import open_store
from session3.errors import MissingDriver
try:
    open_store("durus:///" + sys.argv[1])
except MissingDriver as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout == "Durus is not installed; run: pip install 'session3[durus]'\n"


# -- open_store ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("durus://", "path is missing"),
        ("durus:sessions", "three slashes"),
        ("durus:///", "path is missing"),
        ("durus://:2972", "host is missing"),
        ("durus://host:0", "port"),
        ("durus://host:99999", "port"),
        ("durus://host:x", "port"),
        ("durus://host:2972/sessions", "path after host and port"),
        ("durus://host:2972?a=b", "follows"),
        ("durus://alice:pass-word@host:2972", "no user and no password"),
        ("durus:///path?a=b", "follows"),
    ],
)
def test_a_wrong_url_says_which_part_and_no_password(url: str, part: str) -> None:
    with pytest.raises(ConfigurationError, match=part) as error:
        session3.open_store(url)
    assert "pass-word" not in str(error.value)


def test_urls(path: Path) -> None:
    with session3.open_store(f"durus://{path}", hash_ids=True) as store:
        assert repr(store) == f"DurusSessionStore({str(path)!r})"
        assert not path.exists()
        stored(store)
        assert path.exists()
    assert repr(session3.open_store("durus://localhost")) == "DurusSessionStore('localhost:2972')"
    assert repr(session3.open_store("durus://[::1]:99")) == "DurusSessionStore('[::1]:99')"


def test_a_server_by_its_name(server: DurusServer) -> None:
    with session3.open_store(f"durus://localhost:{server.port}/") as store:
        assert store.has_session(stored(store).id)
