"""Copies of clients of Redis, with a limit to their patience.

A store never sends through the client that it was given, but through a copy with connections of its own: redis-py
tries ten times, and without a timeout, depending on its version, before it says that a server is gone, and whose
client it is may want it so for everything else.
"""

import copy
from typing import Any

from .redisclients import driver, is_cluster
from .RedisConnections import RedisConnections
from .Turns import Turns, object_of_its_own

# What pools put among the arguments of their connections, for themselves.
_INJECTED = (
    "connection_pool", "himport_registry", "maint_notifications_pool_handler",
    "oss_cluster_maint_notifications_handler", "orig_host_address", "orig_socket_timeout",
    "orig_socket_connect_timeout",
)  # fmt: skip

_NO_LIMIT = 2**31


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
    if not _is_plain(client):
        return driver().Redis(connection_pool=pool)
    return RedisConnections(pool, driver().ResponseError, *_limit(client, timeout))


def turns(client: Any, timeout: float) -> Turns[Any] | None:
    """Return who may use the copy of a client, up to its limit of connections; None if the copy sees to that."""
    return None if _is_plain(client) else Turns(object_of_its_own, *_limit(client, timeout))


def _limit(client: Any, timeout: float) -> tuple[int, float]:
    """Return how many connections a client may have, and how long its requests may wait for one."""
    if is_cluster(client):
        # What one node takes, for all of them together: then none has to refuse.
        known = client.nodes_manager.connection_kwargs.get("max_connections")
        pools = [node.redis_connection.connection_pool for node in client.get_nodes() if node.redis_connection]
        return known or min((pool.max_connections for pool in pools), default=_NO_LIMIT), timeout
    pool = client.connection_pool
    own = getattr(pool, "timeout", None) if isinstance(pool, driver().BlockingConnectionPool) else None
    return pool.max_connections, timeout if own is None else min(own, timeout)


def _is_plain(client: Any) -> bool:
    """Tell whether its connections may be lent by us.

    Pools of other kinds have something to say about who gets one, and a provider of passwords about each of them.
    """
    redis = driver()
    if is_cluster(client) or client.connection_pool.connection_kwargs.get("credential_provider"):
        return False
    return type(client.connection_pool) in (redis.ConnectionPool, redis.BlockingConnectionPool)


def _limited_pool(pool: Any, patience: float) -> Any:
    redis = driver()
    arguments = _arguments(pool.connection_kwargs, patience, issubclass(pool.connection_class, redis.Connection))
    arguments["retry"] = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
    # The limit is that of turns; what redis-py counts is connections made, the closed ones too.
    arguments.update(connection_class=pool.connection_class, max_connections=_NO_LIMIT)
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
    arguments.update(redis_connect_func=client.user_on_connect_func, max_connections=_NO_LIMIT)
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
