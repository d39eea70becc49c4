"""Clients of Redis: opened, checked, and copied with a limit to their patience.

A store never sends through the client that it was given, but through a copy with connections of its own: redis-py
tries ten times, and without a timeout, depending on its version, before it says that a server is gone, and whose
client it is may want it so for everything else.
"""

from __future__ import annotations

import contextlib
import copy
import queue
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import ConfigurationError, MissingDriver, StoreUnavailable
from .RedisConnections import RedisConnections

if TYPE_CHECKING:
    import redis

# What pools put among the arguments of their connections, for themselves.
_INJECTED = (
    "connection_pool", "himport_registry", "maint_notifications_pool_handler",
    "oss_cluster_maint_notifications_handler", "orig_host_address", "orig_socket_timeout",
    "orig_socket_connect_timeout",
)  # fmt: skip


def driver() -> Any:
    """Return the module redis. Raises MissingDriver."""
    try:
        import redis
        import redis.sentinel
    except ImportError as error:
        raise MissingDriver("redis", "redis") from error
    return redis


def open_client(host: str, port: int, db: int, user: str | None, password: str | None, ssl: bool) -> Any:
    """Return a client; nothing is connected yet."""
    return driver().Redis(host=host, port=port, db=db, username=user, password=password, ssl=ssl)


def open_cluster(host: str, port: int, user: str | None, password: str | None, ssl: bool) -> Any:
    """Return a client of a cluster, told its layout by one of its nodes. Raises StoreUnavailable if that is gone."""
    redis = driver()
    try:
        return redis.RedisCluster(host=host, port=port, username=user, password=password, ssl=ssl)
    except (redis.RedisError, redis.exceptions.RedisClusterException, OSError) as error:
        raise StoreUnavailable(f"the Redis cluster of {host}:{port} can't be reached: {error}") from error


def check(client: Any) -> None:
    """Raise ConfigurationError if it is no client that a store can work with."""
    redis = driver()
    if not isinstance(client, (redis.Redis, redis.RedisCluster)):
        kind = f"{type(client).__module__}.{type(client).__qualname__}"
        raise ConfigurationError(f"client must be a redis.Redis or a redis.RedisCluster, not a {kind}")
    if client.get_encoder().decode_responses:
        raise ConfigurationError("the client decodes responses, and sessions are bytes: drop decode_responses=True")


def prefix_of_keys(prefix: str) -> bytes:
    """Return it as it stands before each key. Raises ConfigurationError."""
    if not prefix:
        # Without one, setup(overwrite=True) would take whatever else is in that database for sessions.
        raise ConfigurationError("prefix must not be empty")
    try:
        return prefix.encode()
    except UnicodeEncodeError:
        raise ConfigurationError("prefix must be characters that UTF-8 knows") from None


def is_cluster(client: Any) -> bool:
    return isinstance(client, driver().RedisCluster)


class Failures(NamedTuple):
    """The driver's errors, sorted by what to do about them."""

    all: tuple[type[Exception], ...]
    stale: tuple[type[Exception], ...]  # the connection may have been old: another one may do
    hopeless: type[Exception]  # though it looks like the last kind
    forgot_script: type[Exception]


def failures(client: Any) -> Failures:
    redis = driver()
    return Failures(
        all=(redis.RedisError, redis.exceptions.RedisClusterException, OSError),
        # A cluster's client has its own second try.
        stale=() if is_cluster(client) else (redis.ConnectionError, redis.exceptions.ReadOnlyError),
        hopeless=redis.sentinel.MasterNotFoundError,
        forgot_script=redis.exceptions.NoScriptError,
    )


def place(client: Any) -> str:
    """Return where a client leads to, for people: never with a password, and without asking anybody."""
    if is_cluster(client):
        return "redis cluster " + ", ".join(sorted(node.name for node in client.get_nodes()))
    pool = client.connection_pool
    if hasattr(pool, "service_name"):
        return f"redis {pool.service_name!r} of Sentinel"
    at = pool.connection_kwargs
    if "path" in at:
        return f"unix://{at['path']}?db={at.get('db') or 0}"
    scheme = "rediss" if issubclass(pool.connection_class, driver().SSLConnection) else "redis"
    return f"{scheme}://{at.get('host', 'localhost')}:{at.get('port', 6379)}/{at.get('db') or 0}"


def identity(client: Any) -> str:
    """Ask a server for what tells it from all others, by whatever name it was called; a cluster is known by its own."""
    if is_cluster(client):
        return place(client)
    try:  # in a script, since redis-py makes a dict of the reply to INFO itself
        told = client.execute_command("EVAL", "return redis.call('INFO', 'server')", 0)
    except driver().ResponseError:  # it may not ask
        return place(client)
    return (
        f"{told.decode().partition('run_id:')[2].split()[0]} {client.connection_pool.connection_kwargs.get('db') or 0}"
    )


def nodes(client: Any) -> list[redis.Redis]:
    """Return a plain client for each server that keeps a part of the keys."""
    if isinstance(client, RedisConnections) or not is_cluster(client):
        return [client]
    return [client.get_redis_connection(node) for node in client.get_primaries()]


def scan(node: Any, cursor: int, pattern: bytes, count: int, _: Any) -> tuple[int, list[bytes]]:
    """Return the next cursor of a server, 0 at the end, and the keys on the way to it."""
    if isinstance(node, RedisConnections):
        after, keys = node.execute_command("SCAN", cursor, "MATCH", pattern, "COUNT", count)
        return int(after), keys
    found: tuple[int, list[bytes]] = node.scan(cursor, pattern, count)
    return found


def disconnect(client: Any) -> None:
    """Close the idle connections of a client; one in use, closed under the hands of a thread, would fail anyhow."""
    if isinstance(client, RedisConnections):
        client.close()
    elif is_cluster(client):
        for node in client.get_nodes():
            if node.redis_connection is not None:
                _close_idle(node.redis_connection.connection_pool)
    else:
        _close_idle(client.connection_pool)


def _close_idle(pool: Any) -> None:
    if not isinstance(pool, driver().BlockingConnectionPool):
        pool.disconnect(inuse_connections=False)
        return
    # Not in each version can this one be told to leave out those in use. None stands for one that was never opened.
    idle = []
    with contextlib.suppress(queue.Empty):
        while True:
            idle.append(pool.pool.get_nowait())
    for connection in reversed(idle):
        if connection is not None:
            connection.disconnect()
        pool.pool.put_nowait(connection)


def send_together(node: Any, commands: list[tuple[Any, ...]]) -> list[Any]:
    """Send commands in one round trip, and return their results; b"" where a key has another type."""
    if isinstance(node, RedisConnections):
        results = node.send(*commands)
    else:
        with node.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            results = pipe.execute(raise_on_error=False)
    for n, result in enumerate(results):
        if isinstance(result, Exception):
            if not str(result).startswith("WRONGTYPE"):
                raise result
            results[n] = b""
    return results


def limited(client: Any, timeout: float) -> Any:
    """Return a copy of a client that says after `timeout` seconds, at the latest, that its server is gone.

    Of a plain client it is a RedisConnections.

    It tries once; a cluster is asked for its new layout and tried once more. The time is divided among the servers
    that may have to be waited for. In a cluster each gets an eighth of it at least: where more than six nodes fall
    silent at once (and do not just refuse) it takes longer.
    """
    if is_cluster(client):
        return _limited_cluster(client, timeout)
    # A connection that is made waits for its socket, and then for the first reply.
    pool = _limited_pool(client.connection_pool, timeout * 0.45)
    # Other pools have something to say about who gets a connection, and a provider of passwords about each of them.
    is_plain = type(pool) is driver().ConnectionPool and not pool.connection_kwargs.get("credential_provider")
    return RedisConnections(pool, driver().ResponseError) if is_plain else driver().Redis(connection_pool=pool)


def _limited_pool(pool: Any, patience: float) -> Any:
    redis = driver()
    arguments = _arguments(pool.connection_kwargs, patience, issubclass(pool.connection_class, redis.Connection))
    arguments["retry"] = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
    arguments.update(connection_class=pool.connection_class, max_connections=pool.max_connections)
    if isinstance(pool, redis.BlockingConnectionPool):
        waits = patience if pool.timeout is None else min(pool.timeout, patience)
        return redis.BlockingConnectionPool(timeout=waits, queue_class=pool.queue_class, **arguments)
    if not isinstance(pool, redis.sentinel.SentinelConnectionPool):
        return redis.ConnectionPool(**arguments)
    sentinel = copy.copy(pool.sentinel_manager)
    each = patience / max(1, len(sentinel.sentinels))
    sentinel.sentinels = [
        redis.Redis(connection_pool=_limited_pool(known.connection_pool, each)) for known in sentinel.sentinels
    ]
    arguments.update(is_master=pool.is_master, check_connection=pool.check_connection)
    return redis.sentinel.SentinelConnectionPool(pool.service_name, sentinel, **arguments)


def _limited_cluster(client: Any, timeout: float) -> Any:
    redis = driver()
    known, manager = client.get_nodes(), client.nodes_manager
    patience = max(timeout / 8, timeout * 0.9 / (len(known) + 1))
    arguments = _arguments(manager.connection_kwargs, patience, True)
    if issubclass(arguments.pop("connection_class", redis.Connection), redis.SSLConnection):
        arguments["ssl"] = True
    for name in ("host", "port", "db", "path"):
        arguments.pop(name, None)
    arguments["redis_connect_func"] = client.user_on_connect_func
    twin = redis.RedisCluster(
        startup_nodes=[redis.cluster.ClusterNode(node.host, node.port) for node in known],
        require_full_coverage=manager._require_full_coverage,
        dynamic_startup_nodes=manager._dynamic_startup_nodes,
        address_remap=manager.address_remap,
        **arguments,
    )
    # Set here and not above, since redis-py changed which of the two it goes by.
    twin.retry, twin.cluster_error_retry_attempts = redis.retry.Retry(redis.backoff.NoBackoff(), 1), 1
    return twin


def _arguments(given: dict[str, Any], patience: float, is_tcp: bool) -> dict[str, Any]:
    dropped = (*_INJECTED, "retry", "retry_on_error", "retry_on_timeout")
    arguments = {name: value for name, value in given.items() if name not in dropped}
    for name in ("socket_timeout", "socket_connect_timeout") if is_tcp else ("socket_timeout",):
        arguments[name] = min(patience, arguments.get(name) or patience)
    if arguments.get("maint_notifications_config") is not None:
        # They would stretch the timeouts, and end redis-py's check for connections that died in the pool.
        arguments["maint_notifications_config"] = type(arguments["maint_notifications_config"])(enabled=False)
    return arguments
