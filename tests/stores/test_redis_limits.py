"""A limit of connections, set on the client that a store is given."""

import gc
import itertools
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from session3.errors import StoreUnavailable
from session3.store.RedisSessionStore import RedisSessionStore

from ..contract import new_id, run_threads, stored
from ..processes import Child

redis = pytest.importorskip("redis", reason="needs redis-py: pip install 'session3[redis]'")

from redis.sentinel import Sentinel  # noqa: E402 - it comes with redis

from ..redis_server import RedisSentinel, RedisServer, redis_cluster  # noqa: E402 - likewise

_numbers = itertools.count()

KINDS = ["plain", "blocking", "sentinel", "cluster", "credentials"]


@pytest.fixture(autouse=True)
def no_garbage_of_earlier_tests() -> None:
    """Who waited too long looks for connections that are dead, and would find sockets that others left."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def sentinel(server: RedisServer) -> Iterator[RedisSentinel]:
    with RedisSentinel(server) as watching:
        yield cast(RedisSentinel, watching)


@pytest.fixture(scope="module")
def cluster() -> Iterator[list[RedisServer]]:
    with redis_cluster() as servers:
        yield servers


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest) -> Callable[..., RedisSessionStore]:
    """Return a function that makes a store with so many connections at most."""

    def make(limit: int, **options: Any) -> RedisSessionStore:
        prefix = f"limits-{os.getpid()}-{next(_numbers)}:"
        return RedisSessionStore(limited_client(request, limit), prefix, **options)

    make.kind = request.param  # type: ignore[attr-defined]
    return make


def limited_client(request: pytest.FixtureRequest, limit: int) -> Any:
    if request.param == "cluster":
        nodes = request.getfixturevalue("cluster")
        return redis.RedisCluster("127.0.0.1", nodes[0].port, max_connections=limit)
    port = request.getfixturevalue("server").port
    if request.param == "sentinel":
        manager: Any = Sentinel([("127.0.0.1", request.getfixturevalue("sentinel").port)])  # type: ignore[no-untyped-call]
        return manager.master_for("sessions", max_connections=limit)
    options: dict[str, Any] = {"port": port, "max_connections": limit}
    if request.param == "blocking":
        return redis.Redis(connection_pool=redis.BlockingConnectionPool(**options, timeout=20))
    if request.param == "credentials":
        provider = redis.UsernamePasswordCredentialProvider("default", "any")
        return redis.Redis(connection_pool=redis.ConnectionPool(**options, credential_provider=provider))
    return redis.Redis(connection_pool=redis.ConnectionPool(**options))


@pytest.fixture
def admins(request: pytest.FixtureRequest, make: Any) -> list[Any]:
    """A client of each server that a store may open connections to."""
    servers = request.getfixturevalue("cluster") if make.kind == "cluster" else [request.getfixturevalue("server")]
    return [server.client() for server in servers]


def opened(admins: list[Any]) -> int:
    return sum(admin.info("stats")["total_connections_received"] for admin in admins)


def pause(admins: list[Any], milliseconds: int) -> None:
    for admin in admins:
        admin.execute_command("CLIENT", "PAUSE", milliseconds)


def test_requests_wait_for_a_connection_that_another_one_has(make: Any, admins: list[Any]) -> None:
    store = make(1, timeout=10)
    session = stored(store)
    before = opened(admins)
    pause(admins, 300)
    run_threads(lambda _: store.load_session(session.id).user == "alice" or pytest.fail("nobody"), "abcdef")
    # In a cluster each node is another one, and one of them may be new.
    assert opened(admins) - before == 0
    for admin in admins:
        admin.close()


def test_who_waited_too_long_is_told_of_the_limit_and_nothing_is_closed(make: Any, admins: list[Any]) -> None:
    store = make(2, timeout=1.0)
    sessions = [stored(store) for _ in range(4)]
    run_threads(lambda _: store.load_session(sessions[0].id), "abcd")
    before = opened(admins)
    client = store._client()
    free = threading.Event()
    lent = threading.Semaphore(0)

    def hold(_: Any) -> None:
        lent.release()
        free.wait(30)

    holders = [threading.Thread(target=_hold, args=(store, hold), daemon=True) for _ in range(2)]
    for holder in holders:
        holder.start()
        assert lent.acquire(timeout=30)
    start = time.monotonic()
    with pytest.raises(StoreUnavailable, match=r"all of its 2 connections \(max_connections\)") as error:
        store.load_session(sessions[0].id)
    assert 0.9 < time.monotonic() - start < 5
    assert repr(store) in str(error.value)
    free.set()
    for holder in holders:
        holder.join()
    assert store.load_session(sessions[0].id).user == "alice"
    may_open = 2 if make.kind == "cluster" else 1  # the second was not needed before, perhaps
    assert store._client() is client and opened(admins) - before <= may_open
    for admin in admins:
        admin.close()


def _hold(store: Any, act: Any) -> None:
    """Have a connection of the store's, or a turn at them, while `act` runs."""
    if store._turns is None:
        connection = store._client()._turns.take()
        act(None)
        store._client()._give(connection)
    else:
        store._talk(act)


def test_a_blocking_pool_waits_no_longer_than_it_was_told_to(server: RedisServer) -> None:
    pool = redis.BlockingConnectionPool(port=server.port, max_connections=1, timeout=0.05)
    store = RedisSessionStore(redis.Redis(connection_pool=pool), timeout=30)
    session = stored(store)
    connection = store._client()._turns.take()
    start = time.monotonic()
    with pytest.raises(StoreUnavailable, match="max_connections"):
        store.load_session(session.id)
    assert time.monotonic() - start < 5
    store._client()._give(connection)
    store.delete_session(session)
    store.close()


def test_many_threads_share_few_connections_and_none_starves(make: Any, admins: list[Any]) -> None:
    store = make(3, timeout=20)
    session = stored(store)
    before = opened(admins)

    def work(name: str) -> None:
        for _ in range(20):
            assert store.load_session(session.id).user == "alice"
            assert store.load_session(new_id()) is None

    run_threads(work, map(str, range(30)))
    assert opened(admins) - before <= 2 * len(admins) + len(admins)
    store.close()
    for admin in admins:
        admin.close()


def test_a_child_has_the_whole_limit(server: RedisServer) -> None:
    store = RedisSessionStore(redis.Redis(port=server.port, max_connections=1), timeout=5)
    session = stored(store)
    lent = store._client()._turns.take()

    def load(report: Any) -> None:
        report(store.load_session(session.id).user == "alice")

    with Child(load) as child:
        assert child.report() == 1
    store._client()._give(lent)
    assert store.load_session(session.id).user == "alice"
    store.delete_session(session)
    store.close()


def test_a_connection_that_an_exception_lost_is_replaced(server: RedisServer) -> None:
    """As a signal's, between the moment that a request took one and the one that it would give it back."""
    store = RedisSessionStore(redis.Redis(port=server.port, max_connections=1), timeout=0.3)
    for _ in range(3):
        session = stored(store)
        store._client()._turns.take()
        store.delete_session(session)
    store.close()


def test_dead_connections_make_room_for_new_ones(server: RedisServer, make: Any, admins: list[Any]) -> None:
    store = make(2, timeout=10)
    session = stored(store)
    for _round in range(5 if make.kind == "cluster" else 150):  # more than redis-py makes without being told
        run_threads(lambda _: store.load_session(session.id).user == "alice" or pytest.fail("nobody"), "abcdef")
        for admin in admins:
            admin.client_kill_filter(_type="normal", skipme=True)
    store.close()
    for admin in admins:
        admin.close()
