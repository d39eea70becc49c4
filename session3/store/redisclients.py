"""Clients of Redis: opened, checked, and asked what each kind of them has its own way to tell."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import ids
from ..drivers import import_driver
from ..errors import ConfigurationError
from .RedisConnections import RedisConnections
from .Turns import Exhausted

if TYPE_CHECKING:
    import redis

Talk = Callable[[Callable[[Any], Any]], Any]

_SCAN = 1000  # keys of a server that one SCAN looks at
_BATCH = 100  # values that are fetched at once


def driver() -> Any:
    """Return the module redis. Raises MissingDriver."""
    redis = import_driver({"redis": "redis"}, "redis")
    import_driver({"redis.sentinel": "redis"}, "redis")
    return redis


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
    if not isinstance(prefix, str):
        raise ConfigurationError(f"prefix must be a text, not a {type(prefix).__name__}")
    if not prefix:
        # Without one, setup(overwrite=True) would take whatever else is in that database for sessions.
        raise ConfigurationError("prefix must not be empty")
    if ids.is_id("x" + prefix[-1]):
        # "2" and an id of the prefix "shop2" would be an id of the prefix "shop".
        raise ConfigurationError(
            "prefix must end in a character that no id has, such as ':', or other prefixes that begin alike share its"
            " sessions: in a URL ?prefix=name:"
        )
    try:
        return prefix.encode()
    except UnicodeEncodeError:
        raise ConfigurationError("prefix must be characters that UTF-8 knows") from None


def pattern_of(prefix: bytes) -> bytes:
    """Return what SCAN is to look for."""
    return re.sub(rb"([*?\[\]\\])", rb"\\\1", prefix) + b"*"


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
        all=(redis.RedisError, redis.exceptions.RedisClusterException, OSError, Exhausted),
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


def batches(talk: Talk, prefix: bytes) -> Iterator[tuple[Any, list[str]]]:
    """Yield batches of the keys under a prefix, each with the server that has them. `talk`: RedisSessionStore._talk."""
    pattern = pattern_of(prefix)
    for node in talk(nodes):
        cursor, before = 0, set[bytes]()
        while True:
            cursor, found = talk(partial(scan, node, cursor, pattern, _SCAN))
            # While Redis shrinks its table, keys come again, soon after the first time.
            new, before = set(found) - before, set(found)
            keys = [name[len(prefix) :].decode("ascii", "replace") for name in new]
            ours = [key for key in keys if ids.is_id(key)]
            for start in range(0, len(ours), _BATCH):
                yield node, ours[start : start + _BATCH]
            if cursor == 0:
                break


def info(node: Any) -> dict[str, str]:
    """Return what a server tells of itself, as it spells it."""
    if not isinstance(node, RedisConnections):
        return {str(name): str(value) for name, value in node.info().items()}
    lines = node.execute_command("INFO").decode("utf-8", "replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def setting(node: Any, name: str) -> str:
    """Return one of a server's settings."""
    found = node.execute_command("CONFIG", "GET", name) if isinstance(node, RedisConnections) else node.config_get(name)
    value = next(iter(found.values())) if isinstance(found, dict) else found[1]
    return value.decode() if isinstance(value, bytes) else str(value)


def disconnect(client: Any) -> None:
    """Close the idle connections of a client; one in use, closed under the hands of a thread, would fail anyhow."""
    if isinstance(client, RedisConnections):
        client.close_idle()
    elif is_cluster(client):
        for node in client.get_nodes():
            if node.redis_connection is not None:
                node.redis_connection.connection_pool.disconnect(inuse_connections=False)
    else:
        client.connection_pool.disconnect(inuse_connections=False)


def close(client: Any) -> None:
    """Let go of a client."""
    client.close() if isinstance(client, RedisConnections) else disconnect(client)


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
