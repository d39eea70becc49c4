import contextlib
import itertools
import logging
import math
import os
import signal
import struct
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from click.testing import CliRunner

from session3 import ids, open_store
from session3.cli import main
from session3.DictSession import DictSession
from session3.errors import ConfigurationError, MissingDriver, SessionDeleted, StoreUnavailable
from session3.record import Record
from session3.store.RedisSessionStore import DEFAULT_TTL, RedisSessionStore
from session3.store.ServerClock import ServerClock

from ..contract import (
    CrashContract,
    IterationContract,
    ProcessContract,
    RecordContract,
    SealContract,
    SetupContract,
    SweepContract,
    ThreadContract,
    new_id,
    run_threads,
    stored,
)
from ..processes import Child, Worker, is_true_in_a_fork_of_c, run_together
from ..sessions import Clock

redis = pytest.importorskip("redis", reason="needs redis-py: pip install 'session3[redis]'")

from redis.sentinel import Sentinel  # noqa: E402 - it comes with redis

from ..redis_server import URL_VARIABLE, LossyProxy, RedisSentinel, RedisServer, redis_cluster  # noqa: E402 - likewise

DAY = 86400
WEEK = 7 * DAY * 1000  # milliseconds, as Redis counts them

_numbers = itertools.count()


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A server that stays as it is."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def server_of_its_own() -> Iterator[RedisServer]:
    """A server that a test may stop."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def prefix() -> str:
    return f"session3-test-{os.getpid()}-{next(_numbers)}:"


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str:
    """The server that was named for the tests, or else one of our own."""
    named = os.environ.get(URL_VARIABLE)
    return named if named else str(request.getfixturevalue("server").url)


@pytest.fixture
def store_url(url: str, prefix: str) -> str:
    return f"{url}?prefix={quote(prefix)}"


@pytest.fixture
def make_store(store_url: str, clock: Clock) -> Any:
    return lambda **options: open_store(store_url, clock=clock, **options)


@pytest.fixture
def store(make_store: Any) -> Iterator[Any]:
    with make_store() as store:
        yield store
        store.clear()


@pytest.fixture
def client(server: RedisServer) -> Iterator[Any]:
    """For a look behind the store."""
    with server.client() as client:
        yield client


@pytest.fixture
def here(server: RedisServer, prefix: str, clock: Clock) -> Iterator[RedisSessionStore]:
    """A store on the server of our own, also if another one was named."""
    with RedisSessionStore(server.client(), prefix, clock=clock) as store:
        yield store
        store.clear()


class TestRedisSessionStore(
    RecordContract, IterationContract, SweepContract, SetupContract, ThreadContract, ProcessContract, CrashContract
):
    def test_four_processes_lose_none_of_800_keys(self, store: Any, store_url: str) -> None:
        session = stored(store)
        with contextlib.ExitStack() as stack:
            workers = [stack.enter_context(Worker("add_keys", store_url, session.id, name, 200)) for name in "abcd"]
            assert run_together(*workers) == [200] * 4
        assert len(store.load_session(session.id)) == 800


class TestSealedRedisSessionStore(SealContract):
    @pytest.fixture(autouse=True)
    def _clean(self, make_store: Any) -> Iterator[None]:
        yield
        make_store().clear()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with redis_cluster() as servers, redis.RedisCluster("127.0.0.1", servers[0].port) as client:
        yield client


class TestOnACluster(
    RecordContract,
    IterationContract,
    SweepContract,
    SetupContract,
    SealContract,
    ThreadContract,
    ProcessContract,
    CrashContract,
):
    @pytest.fixture
    def make_store(self, cluster: Any, prefix: str, clock: Clock) -> Iterator[Any]:
        with contextlib.ExitStack() as stack:
            yield lambda **options: stack.enter_context(RedisSessionStore(cluster, prefix, clock=clock, **options))

    @pytest.fixture
    def store_url(self, cluster: Any, prefix: str) -> str:
        return f"redis+cluster://127.0.0.1:{cluster.get_default_node().port}/?prefix={prefix}"

    @pytest.fixture
    def store(self, cluster: Any, prefix: str, clock: Clock) -> Iterator[Any]:
        with RedisSessionStore(cluster, prefix, clock=clock) as store:
            yield store
            store.clear()

    def test_sessions_are_on_every_node(self, store: Any, cluster: Any) -> None:
        for _ in range(100):
            stored(store)
        assert all(cluster.get_redis_connection(node).dbsize() > 0 for node in cluster.get_primaries())

    def test_scripts_that_every_node_forgot_are_sent_again(self, store: Any, cluster: Any) -> None:
        cluster.script_flush()
        for _ in range(20):
            assert store.load_session(stored(store).id).user == "alice"

    def test_its_name_is_that_of_its_nodes(self, store: Any, cluster: Any) -> None:
        assert all(node.name in repr(store) for node in cluster.get_primaries())

    def test_the_client_that_was_given_is_left_as_it_is(self, store: Any, cluster: Any) -> None:
        stored(store)
        assert store._client() is not cluster
        assert store._client().cluster_error_retry_attempts == 1
        assert getattr(cluster, "cluster_error_retry_attempts", 10) > 1


def test_a_cluster_that_is_gone_and_comes_back(clock: Clock) -> None:
    with redis_cluster() as servers:
        client = redis.RedisCluster("127.0.0.1", servers[0].port)
        store = RedisSessionStore(client, clock=clock)
        stored(store)
        for server in servers:
            server.kill()
        with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{servers[0].port}"):
            store.load_session(new_id())
        for server in servers:
            server.start()
        for server in servers:
            server.wait_until_covered()
        with contextlib.suppress(StoreUnavailable):
            store.load_session(new_id())
        assert store.load_session(stored(store).id).user == "alice"
        store.close()
        client.close()


# -- clients ---------------------------------------------------------------------------------------------------------


def test_a_client_of_sentinel(server_of_its_own: RedisServer, clock: Clock) -> None:
    with RedisSentinel(server_of_its_own) as sentinel:
        manager: Any = Sentinel([("127.0.0.1", sentinel.port)])  # type: ignore[no-untyped-call]
        client = manager.master_for("sessions")
        with RedisSessionStore(client, clock=clock) as store:
            assert repr(store) == "RedisSessionStore(\"redis 'sessions' of Sentinel\", prefix='session3:')"
            session = stored(store)
            assert store.load_session(session.id).user == "alice"
            assert store.delete_old_sessions(0) == (0, 1)
            store.delete_session(session)
            assert not store.has_session(session.id)
            server_of_its_own.kill()
            with pytest.raises(StoreUnavailable, match="sessions"):
                store.has_session(session.id)
            server_of_its_own.start()
            assert store.load_session(stored(store).id).user == "alice"


def test_sentinels_that_are_gone_are_asked_once(
    server: RedisServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RedisSentinel(server) as sentinel:
        manager: Any = Sentinel([("127.0.0.1", sentinel.port)] * 3)  # type: ignore[no-untyped-call]
        sentinel.kill()
        store = RedisSessionStore(manager.master_for("sessions"), clock=clock)
        attempts = counted_connects(monkeypatch)
        with pytest.raises(StoreUnavailable):
            store.load_session(new_id())
        assert len(attempts) == 3
        assert sum(attempts) <= store.timeout


@pytest.mark.parametrize("is_single", [False, True])
def test_other_kinds_of_clients(clock: Clock, is_single: bool) -> None:
    with RedisServer("--unixsocket", "socket", "--unixsocketperm", "777") as server:
        path = str(server.folder / "socket")
        server.folder.chmod(0o711)
        pool = redis.BlockingConnectionPool(
            max_connections=2, timeout=30, connection_class=redis.UnixDomainSocketConnection, path=path
        )
        by_pool = redis.Redis(connection_pool=pool)
        by_path = redis.Redis(unix_socket_path=path, single_connection_client=is_single)
        with RedisSessionStore(by_pool, clock=clock) as one, RedisSessionStore(by_path, clock=clock) as other:
            run_threads(lambda _: stored(one), "abcdefgh")
            assert other.load_session(stored(one).id).user == "alice"
            assert len(list(other.iter_sessions())) == 9
            assert one._client()._turns.limit == 2 and one._client()._turns.wait == one.timeout
            assert repr(other) == f"RedisSessionStore('unix://{path}?db=0', prefix='session3:')"
        by_path.close()


@pytest.mark.parametrize("connections", [1, 4])
def test_a_limit_of_connections_is_enough_for_all(server: RedisServer, prefix: str, connections: int) -> None:
    client = redis.Redis(port=server.port, max_connections=connections)
    with RedisSessionStore(client, prefix) as store:
        run_threads(lambda _: stored(store), "abcd"[:connections])
        assert len(list(store.iter_sessions())) == connections
        assert store.delete_old_sessions(60) == (0, connections)
        store.setup(overwrite=True)
        assert list(store.iter_sessions()) == []


@pytest.mark.parametrize("kind", ["plain", "blocking", "cluster"])
def test_closing_takes_no_connection_from_who_is_using_it(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, prefix: str, kind: str
) -> None:
    store = RedisSessionStore(client_of(kind, request), prefix)
    session = stored(store)
    read = redis.Connection.read_response
    closed: list[bool] = []

    def close_and_read(*arguments: Any, **options: Any) -> Any:
        if not closed:
            closed.append(True)
            run_threads(lambda _: store.close(), "a")
        return read(*arguments, **options)

    monkeypatch.setattr(redis.Connection, "read_response", close_and_read)
    assert store.load_session(session.id).id == session.id and closed
    assert store.has_session(session.id)
    store.clear()
    store.close()


def client_of(kind: str, request: pytest.FixtureRequest) -> Any:
    if kind == "cluster":
        return request.getfixturevalue("cluster")
    port = request.getfixturevalue("server").port
    if kind == "plain":
        return redis.Redis(port=port)
    return redis.Redis(connection_pool=redis.BlockingConnectionPool(port=port, max_connections=2))


def test_closing_leaves_no_connection_open(here: RedisSessionStore) -> None:
    session = stored(here)
    connections = here._client()
    idle, lent = connections._turns.take(), connections._turns.take()
    for connection in (idle, lent):
        connection.connect()
    connections._give(idle)
    here.close()
    assert idle._sock is None and lent._sock is not None
    connections._give(lent)
    assert lent._sock is None
    assert here.load_session(session.id).id == session.id


def test_a_client_that_decodes_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ConfigurationError, match="decode_responses"):
        RedisSessionStore(redis.Redis(port=1, decode_responses=True))


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("redis://localhost",), "client must be a redis.Redis .* not a builtins.str"),
        ((redis.asyncio.Redis(),), "not a redis.asyncio"),
        ((redis.Redis(), ""), "prefix"),
    ],
)
def test_what_cannot_work_is_refused(arguments: Any, part: str) -> None:
    with pytest.raises(ConfigurationError, match=part):
        RedisSessionStore(*arguments)


@pytest.mark.parametrize("options", [{"default_ttl": 0}, {"default_ttl": math.inf}, {"timeout": 0}])
def test_seconds_that_cannot_work_are_refused(options: Any) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        RedisSessionStore(redis.Redis(), **options)


def test_without_the_driver_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(MissingDriver, match=r"redis is not installed.*session3\[redis\]"):
        open_store("redis://localhost/0")


# -- round trips -----------------------------------------------------------------------------------------------------


def commands(client: Any, act: Callable[[], Any]) -> dict[str, int]:
    """Return what the server did for `act`: the scripts (evalsha, a round trip each), and what was called in them."""
    client.config_resetstat()
    act()
    stats = client.info("commandstats")
    ours = {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()}
    return {name: calls for name, calls in ours.items() if name not in ("config|resetstat", "info")}


def test_round_trips(here: RedisSessionStore, client: Any, clock: Clock) -> None:
    for _ in range(2):  # the first one makes the scripts known
        first, doomed = stored(here), stored(here)
        loaded = here.load_session(first.id)
        loaded["n"] = 1
        here.save_session(loaded)
        clock.advance(100)
        loaded._set_access_time(60)
        here.save_session(loaded)
        here.delete_session(doomed)
        here.load_session(new_id())
    session = DictSession(new_id())
    assert commands(client, lambda: here.save_session(session)) == {"evalsha": 1, "set": 1}
    assert commands(client, lambda: here.load_session(session.id or "")) == {"get": 1}
    # What is not there is asked for by a script, too, since a replica has to say that it is one.
    assert commands(client, lambda: here.load_session(new_id())) == {"evalsha": 1, "get": 2, "del": 1}
    loaded = here.load_session(session.id or "")
    assert commands(client, lambda: here.save_session(loaded)) == {}
    loaded["n"] = 1
    assert commands(client, lambda: here.save_session(loaded)) == {"evalsha": 1, "getrange": 1, "set": 1}
    clock.advance(100)
    loaded._set_access_time(60)
    touched = {"evalsha": 1, "getrange": 1, "setrange": 1, "pexpire": 1}
    assert commands(client, lambda: here.save_session(loaded)) == touched
    assert commands(client, lambda: here.delete_session(loaded)) == {"evalsha": 1, "getrange": 1, "del": 1}
    doomed = stored(here)
    assert commands(client, lambda: here.delete_session(doomed.id)) == {"evalsha": 1, "getrange": 1, "del": 1}


def test_by_the_systems_clock_a_round_trip_is_one_too(server: RedisServer, client: Any, prefix: str) -> None:
    with RedisSessionStore(server.client(), prefix) as store:
        session = stored(store)
        assert commands(client, lambda: store.load_session(session.id)) == {"get": 1}
        store._server_clock = ServerClock(time.time)  # as after a second without a comparison
        assert commands(client, lambda: store.load_session(session.id)) == {"get": 1, "time": 1}
        store._server_clock = ServerClock(time.time)
        assert round_trips(client, lambda: store.load_session(session.id)) == 1
        session["n"] = 1
        assert round_trips(client, lambda: store.save_session(session)) == 1
        store.clear()


def round_trips(client: Any, act: Callable[[], object]) -> int:
    """Return how often the server found something to read meanwhile."""
    before = client.info("stats")["total_reads_processed"]
    act()
    after = client.info("stats")["total_reads_processed"]
    return int(after - before - 1)  # the second INFO


def test_a_touch_does_not_send_the_data(here: RedisSessionStore, client: Any, clock: Clock) -> None:
    session = here.load_session(stored(here, data={"blob": "x" * 1_000_000}).id)
    clock.advance(100)
    session._set_access_time(60)
    here.save_session(session)
    clock.advance(100)
    session._set_access_time(60)
    before = client.info("stats")
    here.save_session(session)
    after = client.info("stats")
    assert after["total_net_input_bytes"] - before["total_net_input_bytes"] < 2000


def test_iteration_scans_and_never_asks_for_all_keys(here: RedisSessionStore, client: Any) -> None:
    for _ in range(250):
        stored(here)
    calls = commands(client, lambda: list(here.iter_sessions()))
    assert calls["scan"] >= 1 and calls["get"] == 250
    assert not {"keys", "mget"} & calls.keys()


def test_scripts_that_the_server_forgot_are_sent_again(here: RedisSessionStore, client: Any) -> None:
    session = stored(here)
    client.script_flush()
    loaded = here.load_session(session.id)
    loaded["n"] = 1
    client.script_flush()
    here.save_session(loaded)
    client.script_flush()
    assert here.load_session(new_id()) is None
    loaded["n"] = 2
    client.script_flush()
    assert set(commands(client, lambda: here.save_session(loaded))) == {"evalsha", "eval", "getrange", "set"}
    assert here.load_session(session.id)["n"] == 2


# -- expiry ----------------------------------------------------------------------------------------------------------


def test_nothing_lives_for_ever(here: RedisSessionStore, client: Any, clock: Clock) -> None:
    session = here.load_session(stored(here).id)
    name = here.prefix + session.id
    assert WEEK < client.pttl(name) <= DEFAULT_TTL * 1000
    session["n"] = 1
    client.persist(name)
    here.save_session(session)
    assert WEEK < client.pttl(name) <= DEFAULT_TTL * 1000
    client.pexpire(name, 60_000)
    clock.advance(100)
    session._set_access_time(60)
    here.save_session(session)
    assert WEEK < client.pttl(name) <= DEFAULT_TTL * 1000
    here.move_session(session, new_id())
    assert 0 < client.pttl(name) <= 61_001
    assert WEEK < client.pttl(here.prefix + session.id) <= DEFAULT_TTL * 1000


def test_the_default_can_be_chosen(server: RedisServer, client: Any, prefix: str) -> None:
    with RedisSessionStore(server.client(), prefix, default_ttl=3600) as store:
        session = stored(store)
        assert 60_000 < client.pttl(prefix + session.id) <= 3_600_000
        store.clear()


@pytest.mark.parametrize("seconds", [1000, 10 * 365 * DAY])
def test_redis_keeps_a_session_for_as_long_as_its_expiry_says(
    here: RedisSessionStore, client: Any, clock: Clock, seconds: int
) -> None:
    session = here.load_session(stored(here, _expires=clock() + seconds).id)
    name = here.prefix + session.id
    assert (seconds - 900) * 1000 < client.pttl(name) <= (seconds + 1) * 1000 + 1
    clock.advance(100)
    session._expires = clock() + 2 * seconds
    session._set_access_time(60)
    here.save_session(session)
    assert (2 * seconds - 900) * 1000 < client.pttl(name) <= (2 * seconds + 1) * 1000 + 1
    client.pexpire(name, 60_000)
    session = here.load_session(session.id)
    clock.advance(100)
    session._set_access_time(60)
    here.save_session(session)  # its expiry does not move
    assert client.pttl(name) <= 60_000


@pytest.mark.parametrize("seconds", [30, 1000.25, 10 * 365 * DAY])
def test_redis_never_takes_a_session_before_its_expiry(
    here: RedisSessionStore, client: Any, clock: Clock, seconds: float
) -> None:
    stored(here)
    session = stored(here, _expires=clock() + seconds)
    name = here.prefix + session.id
    for moved in (0, 100):
        revision = session._snapshot.revision
        assert here.touch(session.id, revision, clock(), clock() + seconds + moved)
        # Both by the server's clock: the expiry in the value, and when Redis takes the key.
        expires = struct.unpack_from(">d", client.get(name), 36)[0]
        assert expires * 1000 < client.execute_command("PEXPIRETIME", name) < (expires + 60) * 1000


def test_a_touch_never_goes_back(here: RedisSessionStore, clock: Clock) -> None:
    session = stored(here)
    before = here.read(session.id)
    assert before is not None
    assert here.touch(session.id, before.revision, before.accessed - 10, None)
    assert here.read(session.id) == before


def test_a_session_that_is_used_during_the_sweep_stays(
    here: RedisSessionStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, old = stored(here), stored(here)
    clock.advance(100)
    order = here._order

    def use_and_order(node: Any, script: Any, key: str, *arguments: Any) -> int:
        if key == session.id:
            here.touch(key, here.read(key).revision, clock(), None)  # type: ignore[union-attr]
        return order(node, script, key, *arguments)

    monkeypatch.setattr(here, "_order", use_and_order)
    assert here.delete_old_sessions(1) == (1, 0)
    assert here.has_session(session.id) and not here.has_session(old.id)


def test_an_expiry_beyond_what_redis_can_count(here: RedisSessionStore, client: Any) -> None:
    for expires in (1e300, math.inf):
        session = stored(here, _expires=expires)
        assert here.has_session(session.id)
        assert client.pttl(here.prefix + session.id) > WEEK


def test_one_that_redis_took_is_deleted(here: RedisSessionStore, client: Any) -> None:
    session = stored(here)
    late = here.load_session(session.id)
    client.pexpire(here.prefix + session.id, 0)
    assert here.load_session(session.id) is None
    late["n"] = 1
    with pytest.raises(SessionDeleted):
        here.save_session(late)


# -- clocks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("apart", [DAY, -DAY])
def test_machines_with_clocks_a_day_apart_agree(server: RedisServer, prefix: str, clock: Clock, apart: int) -> None:
    other_clock = Clock(clock() + apart)
    with (
        RedisSessionStore(server.client(), prefix, clock=clock) as one,
        RedisSessionStore(server.client(), prefix, clock=other_clock) as other,
    ):
        assert list(other.iter_sessions()) == []
        session, kept = stored(one, _expires=clock() + 100), stored(one)
        loaded = other.load_session(session.id)
        assert loaded._expires - other_clock() == pytest.approx(100, abs=1)
        assert loaded.get_access_age(other_clock()) == pytest.approx(0, abs=1)
        assert loaded.get_creation_time() == pytest.approx(other_clock(), abs=1)
        assert other.delete_old_sessions(1) == (0, 2)
        assert other.delete_expired_sessions() == (0, 2)
        for both in (clock, other_clock):
            both.advance(50)
        loaded._set_access_time(1)
        loaded["n"] = 1
        other.save_session(loaded)
        assert one.load_session(session.id).get_access_age(clock()) == pytest.approx(0, abs=1)
        for both in (clock, other_clock):
            both.advance(49)
        assert one.has_session(session.id) and other.has_session(session.id)
        for both in (clock, other_clock):
            both.advance(2)
        assert not one.has_session(session.id) and not other.has_session(session.id)
        assert other.delete_expired_sessions() == (1, 1)
        assert one.delete_old_sessions(1) == (1, 0)
        assert not other.has_session(kept.id)


def test_a_systems_clock_that_is_set_changes_nothing(
    server: RedisServer, client: Any, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = Clock(time.time())
    monkeypatch.setattr(time, "time", wrong)
    with RedisSessionStore(server.client(), prefix, clock=time.time) as store:
        session = stored(store, _expires=wrong() + 1000)
        for step in (DAY, -2 * DAY):
            wrong.advance(step)
            loaded = store.load_session(session.id)
            assert loaded._expires - wrong() == pytest.approx(1000, abs=100)
            assert loaded.get_access_age(wrong()) == pytest.approx(0, abs=100)
            loaded["n"] = step
            loaded._expires = wrong() + 1000
            store.save_session(loaded)
            assert 900_000 < client.pttl(prefix + session.id) <= 1_001_001
            wrong.advance(step)
            assert [found._expires - wrong() for _, found in store.iter_sessions()] == [pytest.approx(1000, abs=100)]
            assert store.delete_old_sessions(60) == (0, 1)
        store.clear()


def test_times_do_not_wander(server: RedisServer, prefix: str) -> None:
    with RedisSessionStore(server.client(), prefix) as store:
        session = stored(store, _expires=time.time() + 1000)
        first = store.load_session(session.id)
        for n in range(200):
            loaded = store.load_session(session.id)
            loaded["n"] = n
            store.save_session(loaded)
        assert loaded._expires == pytest.approx(first._expires, abs=1e-4)
        assert loaded.get_creation_time() == pytest.approx(first.get_creation_time(), abs=1e-4)
        store.clear()


# -- damage, and others' keys ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [b"", b"garbage", b"s3r1", b"s3r1" + b"\xff" * 60, b"s4r1" + b"\0" * 60, None])
def test_a_value_that_is_not_ours_is_absent(
    here: RedisSessionStore, client: Any, value: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    session = stored(here)
    name = here.prefix + session.id
    late = here.load_session(session.id)
    client.delete(name)
    if value is None:
        client.rpush(name, "a list")
    else:
        client.set(name, value)
    with caplog.at_level(logging.WARNING, "session3"):
        assert here.load_session(session.id) is None
        assert not here.has_session(session.id)
        assert list(here.iter_sessions()) == []
    assert [r.levelname for r in caplog.records] == ["WARNING"] and ids.short_hash(session.id) in caplog.text
    late["n"] = 1
    with pytest.raises(SessionDeleted):
        here.save_session(late)
    assert client.pttl(name) == -1
    assert here.delete_expired_sessions() == (0, 0)
    assert WEEK < client.pttl(name) <= DEFAULT_TTL * 1000
    stored_again = DictSession(session.id)
    stored_again["n"] = 2
    here.save_session(stored_again)
    assert here.load_session(session.id)["n"] == 2


@pytest.mark.parametrize("prefix", ["a:", "a*:", "[a]?\\:", "é:", "é", "{all}"])
def test_keys_of_others_are_left_alone(server: RedisServer, client: Any, prefix: str) -> None:
    client.flushdb()
    others = ["a", "a:b:c", "aa:x", "a:.hidden", f"{prefix}not an id", "x" + prefix + "y", "é", "al"]
    for name in others:
        client.set(name, "theirs")
    with RedisSessionStore(server.client(), prefix) as store:
        session = stored(store)
        assert [id for id, _ in store.iter_sessions()] == [session.id]
        assert store.delete_old_sessions(0) in ((1, 0), (0, 1))
        store.setup(overwrite=True)
    assert sorted(name.decode() for name in client.keys()) == sorted(set(others))
    assert {client.pttl(name) for name in others} == {-1}
    client.flushdb()


def test_any_record_is_read_as_it_was_written(here: RedisSessionStore, clock: Clock) -> None:
    now = clock()
    for user_key, forward, expires in itertools.product([None, "", "élan" * 50], [None, "", "f" * 256], [None, now]):
        record = Record(b"\0payload", 2**63 - 1, now - 3, now - 2, now - 1, expires, user_key, forward)
        key = new_id()
        assert here.insert(key, record) and not here.insert(key, record)
        found = here.read(key)
        assert found is not None
        assert found[2:6] == pytest.approx(record[2:6])
        assert (found[:2], found[6:]) == (record[:2], record[6:])


# -- faults ----------------------------------------------------------------------------------------------------------


def counted_connects(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a list that grows with each attempt to connect: how long it would wait, in seconds."""
    attempts: list[float] = []
    connect = redis.Connection._connect

    def counting(self: Any) -> Any:
        attempts.append(self.socket_connect_timeout)
        return connect(self)

    monkeypatch.setattr(redis.Connection, "_connect", counting)
    return attempts


def test_a_server_that_is_gone_and_comes_back(
    server_of_its_own: RedisServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = server_of_its_own.client()
    store = RedisSessionStore(client, clock=clock)
    session = stored(store)
    server_of_its_own.kill()
    attempts = counted_connects(monkeypatch)
    where = f"127.0.0.1:{server_of_its_own.port}"
    for act in (
        lambda: store.load_session(session.id),
        lambda: store.has_session(session.id),
        lambda: store.delete_session(session.id),
        lambda: stored(store),
        lambda: list(store.iter_sessions()),
        lambda: store.delete_old_sessions(0),
        store.setup,
    ):
        attempts.clear()
        with pytest.raises(StoreUnavailable, match=where) as error:
            act()
        assert isinstance(error.value.__cause__, redis.ConnectionError)
        assert 1 <= len(attempts) <= 2
        assert sum(attempts) <= store.timeout
    server_of_its_own.start()
    assert store.load_session(session.id) is None  # this server keeps nothing on disk
    assert store.load_session(stored(store).id).user == "alice"
    assert client.get_retry() == server_of_its_own.client().get_retry()  # the caller's client is as it was
    store.close()


def test_a_server_that_was_restarted_is_not_even_noticed(server_of_its_own: RedisServer, clock: Clock) -> None:
    store = RedisSessionStore(server_of_its_own.client(), clock=clock)
    run_threads(lambda _: stored(store), "abcdefgh")  # several connections, all of them dead then
    for end in (server_of_its_own.kill, server_of_its_own.stop):
        end()
        server_of_its_own.start()
        run_threads(lambda _: stored(store), "abcdefgh")
    store.close()


def test_a_server_that_is_down_at_first(server_of_its_own: RedisServer, clock: Clock) -> None:
    server_of_its_own.stop()
    store = open_store(server_of_its_own.url, clock=clock)
    with pytest.raises(StoreUnavailable):
        stored(store)
    server_of_its_own.start()
    assert store.load_session(stored(store).id).user == "alice"
    store.close()


def test_a_server_that_does_not_answer(
    server_of_its_own: RedisServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RedisSessionStore(server_of_its_own.client(), clock=clock, timeout=0.4)
    session = stored(store)
    assert server_of_its_own.process is not None
    server_of_its_own.process.send_signal(signal.SIGSTOP)
    attempts = counted_connects(monkeypatch)
    for connects in (0, 1):  # on the connection that it has, and on a new one
        with pytest.raises(StoreUnavailable):
            store.load_session(session.id)
        assert len(attempts) == connects
    server_of_its_own.process.send_signal(signal.SIGCONT)
    assert store.load_session(session.id).user == "alice"
    store.close()
    default = RedisSessionStore(server_of_its_own.client(), clock=clock)._client()
    arguments = default.connection_pool.connection_kwargs
    # Notices of maintenance, where redis-py has them, would stretch these to ten seconds.
    assert not getattr(default.connection_pool, "maint_notifications_enabled", bool)()
    assert arguments["socket_connect_timeout"] + arguments["socket_timeout"] <= 2


def test_a_client_in_more_of_a_hurry_stays_so() -> None:
    client = redis.Redis(socket_timeout=0.1, socket_connect_timeout=0.2)
    arguments = RedisSessionStore(client)._client().connection_pool.connection_kwargs
    assert (arguments["socket_timeout"], arguments["socket_connect_timeout"]) == (0.1, 0.2)


@pytest.mark.parametrize("verb", ["insert", "replace", "remove"])
def test_a_write_whose_reply_was_lost_knows_itself(
    server: RedisServer, prefix: str, clock: Clock, verb: str, caplog: pytest.LogCaptureFixture
) -> None:
    with LossyProxy(server) as proxy, RedisSessionStore(redis.Redis("127.0.0.1", proxy.port), prefix) as store:
        session = stored(store, data={"n": 0})
        stored(store)
        proxy.loses = prefix.encode()
        if verb == "insert":
            stored(store, data={"n": 1})
        elif verb == "replace":
            session["n"] = 1
            store.save_session(session)
            session["n"] = 2
            store.save_session(session)
            assert store.load_session(session.id)["n"] == 2
        else:
            store.delete_session(session)
            assert not store.has_session(session.id)
        assert proxy.lost == 1
        assert caplog.records == []
        store.clear()


def test_a_replica_never_says_that_a_session_is_not_there(server: RedisServer, prefix: str, clock: Clock) -> None:
    with RedisServer("--replicaof", "127.0.0.1", str(server.port)) as replica, server.client() as primary:
        store = RedisSessionStore(server.client(), prefix, clock=clock)
        session = stored(store)
        assert primary.execute_command("WAIT", 1, 0) == 1
        moved = RedisSessionStore(replica.client(), prefix, clock=clock)
        assert moved.load_session(session.id).user == "alice"
        late = store.load_session(session.id)
        late["n"] = 1
        newer = store.load_session(session.id)
        newer["m"] = 1
        store.save_session(newer)
        key, revision = newer._snapshot.key, newer._snapshot.revision
        assert primary.execute_command("WAIT", 1, 0) == 1
        record = store.read(key)
        assert record is not None
        for act in (
            lambda: moved.load_session(new_id()),
            lambda: moved.has_session(new_id()),
            lambda: moved.delete_session(new_id()),
            lambda: stored(moved),
            lambda: moved.replace(key, record, revision),
            lambda: moved.replace(key, record, revision + 1),
            lambda: moved.replace(new_id(), record, revision),
            lambda: moved.remove(key, revision),
            lambda: moved.remove(key, revision + 1),
            lambda: moved.touch(key, revision, clock(), None),
            lambda: moved.touch(new_id(), 1, clock(), None),
            lambda: moved.setup(overwrite=True),
        ):
            with pytest.raises(StoreUnavailable, match=r"(?i)read.?only"):
                act()
        assert dict(store.load_session(session.id)) == {"m": 1}
        store.clear()
        store.close()
        moved.close()


def test_a_server_that_became_a_replica_is_left_for_its_successor(
    server: RedisServer, server_of_its_own: RedisServer, prefix: str, clock: Clock
) -> None:
    """As where a name, or an address, moves to another machine, and old connections stay."""
    with LossyProxy(server) as proxy, RedisSessionStore(redis.Redis("127.0.0.1", proxy.port), prefix) as store:
        stored(store)
        proxy._server = server_of_its_own
        with server.client() as demoted:
            demoted.replicaof("127.0.0.1", server_of_its_own.port)
            try:
                assert store.load_session(stored(store).id).user == "alice"
            finally:
                demoted.replicaof("NO", "ONE")


def test_a_full_server_says_so_and_keeps_the_old_record(server_of_its_own: RedisServer, clock: Clock) -> None:
    store = RedisSessionStore(server_of_its_own.client(), clock=clock)
    session = stored(store)
    with server_of_its_own.client() as client:
        client.config_set("maxmemory", 1)
        session["n"] = 1
        with pytest.raises(StoreUnavailable, match="maxmemory"):
            store.save_session(session)
        assert dict(store.load_session(session.id)) == {}
        assert store.load_session(new_id()) is None
        store.delete_session(session.id)
        client.config_set("maxmemory", 0)
    assert store.load_session(stored(store).id).user == "alice"
    store.close()


def test_a_forked_child_leaves_the_parents_connections_alone(here: RedisSessionStore) -> None:
    session = stored(here)

    def load(report: Any) -> None:
        for n in range(3):
            report(here.load_session(session.id).user == "alice" and n)
        here.close()
        report(3)
        signal.pause()

    with Child(load) as child:
        assert [child.report() for _ in range(4)] == [0, 1, 2, 3]
        assert here.load_session(session.id).user == "alice"
    assert here.load_session(session.id).user == "alice"


def test_after_a_fork_that_python_does_not_know_of_a_child_has_connections_of_its_own(here: RedisSessionStore) -> None:
    session = stored(here)
    number = here._client().execute_command("CLIENT", "ID")

    def child() -> bool:
        own: int = here._client().execute_command("CLIENT", "ID")
        return own != number and bool(here.load_session(session.id).user == "alice")

    assert is_true_in_a_fork_of_c(child)
    assert here._client().execute_command("CLIENT", "ID") == number


# -- passwords and the command ---------------------------------------------------------------------------------------


def test_a_password_is_used_and_never_shown(clock: Clock) -> None:
    with RedisServer("--requirepass", "p:/s#?s") as server:
        url = f"redis://:{quote('p:/s#?s', safe='')}@127.0.0.1:{server.port}/1"
        with open_store(url, clock=clock) as store:
            assert store.load_session(stored(store).id).user == "alice"
            assert repr(store) == f"RedisSessionStore('redis://127.0.0.1:{server.port}/1', prefix='session3:')"
        with open_store(url.replace("%23", "WRONG"), clock=clock) as store:
            with pytest.raises(StoreUnavailable, match=r"WRONGPASS|invalid") as error:
                store.load_session(new_id())
            assert "WRONG%3" not in "".join(traceback.format_exception(error.value))
            assert "p:/s" not in "".join(traceback.format_exception(error.value))


def test_setup_from_a_shell(server: RedisServer, prefix: str) -> None:
    url = f"{server.url}?prefix={prefix}"
    done = CliRunner().invoke(main, ["setup", url])
    assert (done.exit_code, done.output.count("\n")) == (0, 1)
    assert f"127.0.0.1:{server.port}/0" in done.output
    with open_store(url) as store:
        session = stored(store)
        assert CliRunner().invoke(main, ["setup", url]).exit_code == 0
        assert store.has_session(session.id)
        assert CliRunner().invoke(main, ["setup", url, "--overwrite", "--yes"]).exit_code == 0
        assert not store.has_session(session.id)


def test_setup_of_a_server_that_is_not_there(server_of_its_own: RedisServer, tmp_path: Path) -> None:
    server_of_its_own.kill()
    done = CliRunner().invoke(main, ["setup", server_of_its_own.url.replace("//", "//:hidden@")])
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert f"127.0.0.1:{server_of_its_own.port}" in done.output
    assert "hidden" not in done.output and "Traceback" not in done.output


def test_a_server_that_does_not_tell_its_time_is_unavailable(
    server: RedisServer, here: RedisSessionStore, client: Any, clock: Clock
) -> None:
    """A user of the server may be kept from TIME; what is stored is no answer then, since nobody knows whether it is
    over."""
    session = stored(here)
    client.acl_setuser("timeless", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-time"])
    try:
        kept_from_it = server.client(username="timeless", password="any")
        with (
            RedisSessionStore(kept_from_it, here.prefix, clock=clock) as store,
            pytest.raises(StoreUnavailable, match="can't be used"),
        ):
            store.load_session(session.id)
    finally:
        client.acl_deluser("timeless")
