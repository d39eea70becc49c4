"""Servers that are set up in ways that sessions do not bear: what `check` says, and what requests meet."""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from session3.DictSession import DictSession
from session3.errors import ConfigurationError, SessionDeleted, StoreUnavailable
from session3.SessionManager import SessionManager
from session3.store.RedisSessionStore import RedisSessionStore

from ..contract import new_id, stored

redis = pytest.importorskip("redis", reason="needs redis-py: pip install 'session3[redis]'")

from ..redis_server import RedisServer, redis_cluster  # noqa: E402 - it needs redis, too


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def admin(server: RedisServer) -> Iterator[Any]:
    with server.client() as client:
        client.config_set("min-replicas-to-write", 0)
        client.flushall()
        yield client
        client.config_set("maxmemory", 0)
        client.config_set("maxmemory-policy", "noeviction")


@pytest.fixture
def store(server: RedisServer, admin: Any) -> Iterator[RedisSessionStore]:
    with RedisSessionStore(server.client()) as store:
        yield store


@contextlib.contextmanager
def kept_from(server: RedisServer, *rules: str) -> Iterator[RedisSessionStore]:
    """A store of a user of the server who may not do something."""
    with server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "limited", "reset", "on", "nopass", "~*", "&*", "+@all", *rules)
        client = server.client(username="limited", password="any")
        try:
            with RedisSessionStore(client) as store:
                yield store
        finally:
            admin.acl_deluser("limited")


# -- check -----------------------------------------------------------------------------------------------------------


def test_a_check_leaves_nothing_behind(store: RedisSessionStore, admin: Any) -> None:
    store.check()
    assert admin.keys() == []


@pytest.mark.parametrize(
    "policy",
    ["allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"],
)
def test_a_policy_that_deletes_sessions_is_told(store: RedisSessionStore, admin: Any, policy: str) -> None:
    admin.config_set("maxmemory-policy", policy)
    store.check()  # without a limit it deletes nothing
    admin.config_set("maxmemory", "100mb")
    with pytest.raises(ConfigurationError, match=f"{policy}; set it to noeviction"):
        store.check()
    admin.config_set("maxmemory-policy", "noeviction")
    store.check()


def test_a_policy_is_told_where_either_command_is_forbidden(
    server: RedisServer, admin: Any, caplog: pytest.LogCaptureFixture
) -> None:
    admin.config_set("maxmemory-policy", "allkeys-lru")
    admin.config_set("maxmemory", "100mb")
    for rule in ("-config", "-info"):
        with kept_from(server, rule) as store, pytest.raises(ConfigurationError, match="allkeys-lru"):
            store.check()
    with kept_from(server, "-config", "-info") as store, caplog.at_level(logging.WARNING, "session3"):
        store.check()
    assert "does not tell its maxmemory-policy" in caplog.text


@pytest.mark.parametrize(
    "command",
    ["get", "set", "del", "eval", "evalsha", "scan", "time", "getrange", "setrange", "pexpire", "exists", "renamenx"],
)
def test_a_command_that_the_user_may_not_use_is_told(server: RedisServer, command: str) -> None:
    said = r"(?i)permission|can't run this command"
    with kept_from(server, f"-{command}") as store, pytest.raises(StoreUnavailable, match=said):
        store.check()
    with server.client() as admin:
        assert admin.keys() == [] or command == "del"  # then it goes by itself
        admin.flushall()


def test_what_may_not_be_looked_at_is_neither_absent_nor_damaged(
    server: RedisServer, store: RedisSessionStore, caplog: pytest.LogCaptureFixture
) -> None:
    session = stored(store)
    session["n"] = 1
    key, revision = session._snapshot.key, session._snapshot.revision
    record = store.read(key)
    assert record is not None
    for rules in (["-get"], ["-getrange"], ["resetkeys", "~other:*"]):
        with kept_from(server, *rules) as limited:
            acts: list[Callable[[], object]] = [
                partial(limited.replace, key, record, revision),
                partial(limited.remove, key, revision),
                partial(limited.touch, key, revision, record.accessed + 1, None),
            ]
            if rules != ["-getrange"]:
                acts = [partial(limited.load_session, session.id)]
            for act in acts:
                with pytest.raises(StoreUnavailable):
                    act()
    assert caplog.records == [] and store.load_session(session.id).user == "alice"


def test_keys_that_the_user_may_not_use_are_told(server: RedisServer) -> None:
    with kept_from(server, "resetkeys", "~other:*") as store, pytest.raises(StoreUnavailable, match=r"(?i)perm"):
        store.check()
    with kept_from(server, "resetkeys", "~session3:*") as store:
        store.check()


def test_a_replica_is_told(server: RedisServer) -> None:
    with (
        RedisServer("--replicaof", "127.0.0.1", str(server.port)) as replica,
        replica.client() as client,
        RedisSessionStore(replica.client()) as store,
    ):
        with pytest.raises(StoreUnavailable, match=r"(?i)read.?only|loading|sync|MASTERDOWN"):
            store.check()
        client.config_set("replica-read-only", "no")
        with pytest.raises(ConfigurationError, match="replica that takes writes"):
            store.check()


def test_a_server_that_takes_no_writes_is_told(store: RedisSessionStore, admin: Any) -> None:
    for refusal in refusals(admin):
        with pytest.raises(StoreUnavailable, match=refusal):
            store.check()
    store.check()


def test_a_server_that_is_gone_is_told() -> None:
    with RedisServer() as server:
        store = RedisSessionStore(server.client())
        store.check()
    with pytest.raises(StoreUnavailable, match=str(server.port)):
        store.check()


def test_each_node_of_a_cluster_is_looked_at() -> None:
    with redis_cluster() as servers, redis.RedisCluster("127.0.0.1", servers[0].port) as client:
        for prefix in ("session3:", "{one}:"):
            RedisSessionStore(client, prefix).check()
        for server in servers:
            with server.client() as admin:
                assert admin.dbsize() == 0
                admin.config_set("maxmemory", "100mb")
                admin.config_set("maxmemory-policy", "allkeys-lru")
                with pytest.raises(ConfigurationError, match="allkeys-lru"):
                    RedisSessionStore(client).check()
                admin.config_set("maxmemory-policy", "noeviction")
                admin.config_set("maxmemory", 1)
                with pytest.raises(StoreUnavailable, match="maxmemory"):
                    RedisSessionStore(client).check()
                admin.config_set("maxmemory", 0)


# -- writes that are refused -----------------------------------------------------------------------------------------


def refusals(admin: Any) -> Iterator[str]:
    """Make the server refuse writes, in one way after the other; yield a word of what it says then."""
    admin.config_set("maxmemory", 1)
    yield "maxmemory"
    admin.config_set("maxmemory", 0)
    yield from failed_snapshot(admin)
    admin.config_set("min-replicas-to-write", 1)
    yield r"(?i)NOREPLICAS|not enough good replicas"
    admin.config_set("min-replicas-to-write", 0)


def failed_snapshot(admin: Any) -> Iterator[str]:
    """Make the server refuse writes since it could not write its file."""
    good = admin.config_get("dbfilename")["dbfilename"]
    folder = admin.config_get("dir")["dir"]
    admin.config_set("save", "1000 1")
    os.mkdir(f"{folder}/{good}")  # it can't be replaced by a file
    with contextlib.suppress(redis.ResponseError):
        admin.save()
    _wait_for_failure(admin)
    yield "MISCONF"
    os.rmdir(f"{folder}/{good}")
    admin.save()
    os.unlink(f"{folder}/{good}")
    admin.config_set("save", "")


def _wait_for_failure(admin: Any) -> None:
    with contextlib.suppress(redis.ResponseError):
        admin.bgsave()
    while True:
        state = admin.info("persistence")
        if not state["rdb_bgsave_in_progress"]:
            assert state["rdb_last_bgsave_status"] == "err"
            return


def test_a_failed_snapshot_refuses_saves_and_no_strangers(store: RedisSessionStore, admin: Any) -> None:
    session, late = stored(store), stored(store)
    store.delete_session(late.id)
    late["n"] = 1
    for refusal in failed_snapshot(admin):
        manager = SessionManager(store, DictSession)
        assert store.load_session(session.id).user == "alice"
        assert store.load_session(new_id()) is None
        assert not store.has_session(new_id())
        visit = manager.begin(f"session={new_id()}")
        assert visit.session is not None and visit.session.user is None
        manager.finish(visit)
        store.delete_session(new_id())  # what is not there is no error
        with pytest.raises(SessionDeleted):
            store.save_session(late)
        session["n"] = 1
        acts = (lambda: store.save_session(session), lambda: store.delete_session(session.id), lambda: stored(store))
        for act in acts:
            with pytest.raises(StoreUnavailable, match=refusal):
                act()
    store.save_session(session)
    assert store.load_session(session.id)["n"] == 1


def test_a_primary_that_lost_its_replicas_is_not_sure_of_absence(store: RedisSessionStore, admin: Any) -> None:
    """Another one may have been chosen in its place."""
    session = stored(store)
    admin.config_set("min-replicas-to-write", 1)
    assert store.load_session(session.id).user == "alice"
    with pytest.raises(StoreUnavailable, match=r"(?i)NOREPLICAS|not enough good replicas"):
        store.load_session(new_id())
    admin.config_set("min-replicas-to-write", 0)
    assert store.load_session(new_id()) is None


# -- prefixes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", "aZ09_-.")
def test_a_prefix_whose_end_may_begin_an_id_is_refused(last: str) -> None:
    with pytest.raises(ConfigurationError, match=r"prefix must end in .*\?prefix=name:"):
        RedisSessionStore(redis.Redis(), "shop" + last)


def test_prefixes_that_begin_alike_are_two_stores(server: RedisServer, admin: Any) -> None:
    one, other = (RedisSessionStore(server.client(), prefix) for prefix in ("shop:", "shop:2:"))
    session = stored(other)
    assert not one.has_session(f"2:{session.id}")
    one.setup(overwrite=True)
    assert one.delete_old_sessions(0) == (0, 0)
    assert list(one.iter_sessions()) == [] and other.has_session(session.id)


@pytest.mark.parametrize("prefix", [b"shop:", None, 7])
def test_a_prefix_is_a_text(prefix: Any) -> None:
    with pytest.raises(ConfigurationError, match="prefix must be a text, not a"):
        RedisSessionStore(redis.Redis(), prefix)
