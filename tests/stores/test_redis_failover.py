"""Redis beside what happens to it: failovers, greenlets, other protocols, clients that are cut off."""

import contextlib
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from session3 import open_store
from session3.DictSession import DictSession
from session3.errors import SessionDeleted, StoreUnavailable
from session3.store.RedisSessionStore import RedisSessionStore

from ..contract import new_id, run_threads, stored
from ..servers import environment
from ..sessions import Clock

redis = pytest.importorskip("redis", reason="needs redis-py: pip install 'session3[redis]'")

from ..redis_server import LossyProxy, RedisSentinel, RedisServer  # noqa: E402 - it needs redis, too


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


class HastySentinel(RedisSentinel):
    """One that names another primary after a second."""

    def prepare(self) -> None:
        super().prepare()
        file = self.folder / "sentinel.conf"
        hasty = "sentinel down-after-milliseconds sessions 1000\nsentinel failover-timeout sessions 3000\n"
        file.write_text(file.read_text() + hasty)


def test_a_failover_by_sentinel_logs_nobody_out() -> None:
    with (
        RedisServer() as primary,
        RedisServer("--replicaof", "127.0.0.1", str(primary.port)) as replica,
        HastySentinel(primary) as sentinel,
        primary.client() as admin,
        sentinel.client() as watcher,
    ):
        store = open_store(f"redis+sentinel://127.0.0.1:{sentinel.port}/sessions")
        session, gone = stored(store), stored(store)
        store.delete_session(gone)
        assert admin.execute_command("WAIT", 1, 0) == 1
        while not watcher.execute_command("SENTINEL", "REPLICAS", "sessions"):
            pass  # it asks the primary every ten seconds
        primary.kill()
        outages = 0
        while True:
            try:
                found = store.load_session(session.id)
                assert found is not None and store.load_session(gone.id) is None
                break
            except StoreUnavailable:
                outages += 1
        assert outages
        found["n"] = 1
        save_again_and_again(store, found)
        store.check()
        primary.start()  # as a primary, until Sentinel tells it better: nobody may ask it
        for _ in range(50):
            with contextlib.suppress(StoreUnavailable):
                assert store.load_session(session.id)["n"] == 1
        store.close()
        replica.kill()


def save_again_and_again(store: Any, session: DictSession) -> None:
    while True:
        with contextlib.suppress(StoreUnavailable):
            store.save_session(session)
            return


@pytest.mark.parametrize("options", [{"protocol": 3}, {"protocol": 2}, {"client_name": "shop"}, {"db": 3}])
def test_clients_of_other_settings(server: RedisServer, clock: Clock, options: dict[str, Any]) -> None:
    client = server.client(**options)
    with RedisSessionStore(client, "other:", clock=clock) as store:
        store.check()
        session, old = stored(store), stored(store)
        store.delete_session(old)
        assert not store.has_session(old.id) and store.load_session(session.id).user == "alice"
        loaded = store.load_session(session.id)
        loaded["n"] = 1
        store.save_session(loaded)
        clock.advance(100)
        loaded._set_access_time(60)
        store.save_session(loaded)
        store.delete_session(old.id)
        old["n"] = 1
        store.save_session(old)
        assert len(list(store.iter_sessions())) == 2
        assert store.delete_old_sessions(60) == (0, 2)
        session["m"] = 1
        store.save_session(session)
        assert dict(store.load_session(session.id)) == {"n": 1, "m": 1}
        store.delete_session(session)
        loaded["n"] = 2
        with pytest.raises(SessionDeleted):
            store.save_session(loaded)
        store.setup(overwrite=True)
        assert client.keys("other:*") == []
    client.close()


def test_clients_that_are_killed_at_each_moment_lose_nothing(server: RedisServer) -> None:
    """Nor does any request notice that its connection was."""
    store = RedisSessionStore(server.client(), "killed:")
    session = stored(store)
    ended = threading.Event()

    def kill() -> None:
        with server.client() as admin:
            while not ended.is_set():
                admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    killer = threading.Thread(target=kill)
    killer.start()
    saved: dict[str, int] = {}

    def work(name: str) -> None:
        for n in range(30):
            with contextlib.suppress(StoreUnavailable):
                loaded = store.load_session(session.id)
                assert loaded is not None
                loaded[name] = n
                store.save_session(loaded)
                saved[name] = n

    try:
        run_threads(work, "abcd")
    finally:
        ended.set()
        killer.join()
    found = store.load_session(session.id)
    # One whose two tries both were cut off may have been written all the same.
    assert all(found[name] >= n for name, n in saved.items()) and saved
    assert store.load_session(new_id()) is None
    store.clear()
    store.close()


@pytest.mark.parametrize("lost", [b"EVAL", b"SCAN", b"GET"])
def test_a_lost_reply_is_asked_for_again_also_of_a_pipeline(server: RedisServer, lost: bytes) -> None:
    with LossyProxy(server) as proxy, RedisSessionStore(redis.Redis("127.0.0.1", proxy.port), "lost:") as store:
        sessions = [stored(store) for _ in range(5)]
        proxy.loses = lost
        assert len(list(store.iter_sessions())) == 5
        proxy.loses = lost
        assert store.delete_old_sessions(60) == (0, 5)
        proxy.loses = lost
        store.check()
        assert all(store.has_session(session.id) for session in sessions)
        store.clear()


GREENLETS = """
    {patch}
    import sys, session3
    from session3.DictSession import DictSession
    store = session3.open_store(sys.argv[1])
    store.save_session(DictSession("example1"))
    {late}
    import gevent
    def request(n):
        assert store.load_session("example1") is not None
        s = DictSession(f"greenlet{{n}}"); s["n"] = n; store.save_session(s)
        assert store.load_session(s.id)["n"] == n
        store.delete_session(s)
    jobs = [gevent.spawn(request, n) for n in range(150)]
    gevent.joinall(jobs, raise_error=True, timeout=60)
    assert all(job.successful() for job in jobs)
    print(len(store._client()._turns._made))
"""


@pytest.mark.parametrize(("patch", "late"), [(True, False), (False, True), (False, False)])
def test_many_greenlets_share_few_connections(server: RedisServer, patch: bool, late: bool) -> None:
    pytest.importorskip("gevent", reason="needs gevent: pip install gevent")
    line = "from gevent import monkey; monkey.patch_all()"
    code = textwrap.dedent(GREENLETS).format(patch=line if patch else "", late=line if late else "")
    url = f"{server.url}?max_connections=5&timeout=20&prefix=greenlets:"
    done = subprocess.run(
        [sys.executable, "-c", code, url], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) <= 5
