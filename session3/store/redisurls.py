"""URLs of Redis or Valkey, as redis-py, its Sentinel and hosting providers write them.

>>> from session3.urlparts import split
>>> client(split("rediss://:secret@cache.example:6380/2?ssl_cert_reqs=none")).connection_pool.connection_kwargs["port"]
6380
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from ..errors import StoreUnavailable
from ..urlparts import Address, flag, one_of, positive, seconds, text, unquoted
from .failures import words
from .redisclients import driver

_PORT, _SENTINELS_PORT = 6379, 26379
_MAX_DB = 10**6


def _number(address: Address, name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and int(value) < _MAX_DB):
        raise address.error(f"the option {name} must be a whole number")
    return int(value)


def _certificates(address: Address, name: str, value: str) -> str:
    # Some write it as Python's ssl spells it.
    return one_of("none", "optional", "required")(address, name, value.lower().removeprefix("cert_"))


Reader = Callable[[Address, str, str], Any]

#: redis-py's keywords that a URL may give.
_OPTIONS: dict[str, Reader] = {
    "db": _number, "username": text, "password": text, "client_name": text, "protocol": _number,
    "max_connections": positive, "socket_timeout": seconds, "socket_connect_timeout": seconds,
    "socket_keepalive": flag, "health_check_interval": _number,
}  # fmt: skip
_TLS_OPTIONS: dict[str, Reader] = {
    "ssl_cert_reqs": _certificates, "ssl_check_hostname": flag, "ssl_ca_certs": text, "ssl_ca_path": text,
    "ssl_certfile": text, "ssl_keyfile": text, "ssl_password": text, "ssl_ciphers": text,
}  # fmt: skip
_SENTINEL_OPTIONS: dict[str, Reader] = {"sentinel_username": text, "sentinel_password": text}


def client(address: Address) -> Any:
    """Return the client that a URL names: of one server, a cluster or Sentinel's; only a cluster is asked anything."""
    family, _, kind = address.scheme.partition("+")
    is_secure = family in ("rediss", "valkeys")
    settings = _settings(address, is_secure, kind)
    if kind == "sentinel":
        return _of_sentinel(address, settings)
    if kind in ("unix", "socket") or family == "unix":
        return _of_socket(address, settings)
    if not address.hosts or not address.hosts[0][0]:
        raise address.error(f"the host is missing: {address.scheme}://host/0")
    settings["db"] = settings.get("db", _database(address, address.path.strip("/")))
    if kind == "cluster":
        return _of_cluster(address, settings)
    host, port = address.one_host()
    address.refuse_leftovers()
    return driver().Redis(host=host, port=port or _PORT, **settings)


def _settings(address: Address, is_secure: bool, kind: str) -> dict[str, Any]:
    known = _OPTIONS | (_TLS_OPTIONS if is_secure else {}) | (_SENTINEL_OPTIONS if kind == "sentinel" else {})
    settings: dict[str, Any] = {"username": address.user, "password": address.password}
    for name, read in known.items():
        given = address.take(name, read, *(["virtual_host"] if name == "db" else []))
        if given is not None:
            settings[name] = given
    for name in _TLS_OPTIONS.keys() & address.options:
        raise address.error(f"the option {name} is for connections with TLS: rediss, not {address.scheme}")
    address.refuse_options()
    if is_secure:
        settings["ssl"] = True
        if settings.get("ssl_cert_reqs") == "none":
            settings.setdefault("ssl_check_hostname", False)  # ssl refuses one without the other
    return settings


def _database(address: Address, db: str) -> int:
    if not (db.isascii() and db.isdigit() and int(db) < _MAX_DB) and db:
        # What is there is not repeated: after a password with a '/' in it, it is the rest of that.
        raise address.error(f"what follows the host must be a number: {address.scheme}://host/0")
    return int(db or 0)


def _of_socket(address: Address, settings: dict[str, Any]) -> Any:
    path = unquote(address.path, errors="surrogateescape")
    if address.hosts or not path.strip("/") or "\0" in path:
        raise address.error(f"the path of the socket is missing, after three slashes: {address.scheme}:///path")
    address.refuse_leftovers()
    return driver().Redis(unix_socket_path=path, **settings)


def _of_sentinel(address: Address, settings: dict[str, Any]) -> Any:
    service, _, db = address.path.strip("/").partition("/")
    if not address.hosts or not all(host for host, _ in address.hosts):
        raise address.error(f"the hosts are missing: {address.scheme}://host1,host2/service")
    if not service:
        raise address.error(f"the name of the service is missing: {address.scheme}://host1,host2/service/0")
    settings["db"] = settings.get("db", _database(address, db))
    address.refuse_leftovers()
    own = {name: settings.pop(f"sentinel_{name}", None) for name in ("username", "password")}
    own |= {name: value for name, value in settings.items() if name.startswith(("ssl", "socket_"))}
    hosts = [(host, port or _SENTINELS_PORT) for host, port in address.hosts]
    manager = driver().sentinel.Sentinel(hosts, sentinel_kwargs=own)
    return manager.master_for(unquoted(service), **settings)


def _of_cluster(address: Address, settings: dict[str, Any]) -> Any:
    """Return a client of a cluster, told its layout by one of its nodes. Raises StoreUnavailable if none answers."""
    if settings.pop("db"):
        raise address.error(f"a cluster has one database: {address.scheme}://host")
    address.refuse_leftovers()
    redis = driver()
    nodes = [redis.cluster.ClusterNode(host, port or _PORT) for host, port in address.hosts]
    try:
        return redis.RedisCluster(startup_nodes=nodes, **settings)
    except (redis.RedisError, redis.exceptions.RedisClusterException, OSError) as error:
        places = ", ".join(f"{host}:{port or _PORT}" for host, port in address.hosts)
        raise StoreUnavailable(f"the Redis cluster of {places} can't be reached: {words(error)}") from error
