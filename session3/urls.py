"""`open_store(url)`: a store from one line of configuration.

| URL | store |
| --- | --- |
| `directory:///path` | DirectorySessionStore |
| `shelve:///path` | ShelveSessionStore |
| `sqlite:///path`, `sqlite://` (in memory) | SQLiteSessionStore |
| `durus:///path`, `durus://host:port` (a server) | DurusSessionStore |
| `redis://[user:password@]host[:port][/db][?prefix=…]`, `rediss://…` (TLS), `unix:///socket` | RedisSessionStore |
| `redis+cluster://host1,host2`, `redis+sentinel://host1,host2/service[/db]`, `rediss+…`, `valkey…` | the same |
| `memory://` | VolatileSessionStore |
| `cookie://`, with the option `secret_key` or the variable SESSION3_SECRET_KEY | SignedCookieSessionStore |
| `postgresql://user:password@host:port/database?table=name&sslmode=require`, `postgres` | PostgresSessionStore |
| `mysql://user:password@host:port/database?table=name&ssl_mode=REQUIRED`, `mariadb` | MySQLSessionStore |

After the '?' stand the store's own keywords that a text can give (such as `timeout=5`, `mode=0660`, `hash_ids=true`),
and what the server's client library takes: each keyword of libpq, TLS and timeouts of the MySQL drivers and of
redis-py. A driver can be named: `postgresql+psycopg`, `postgresql+psycopg2`, `mysql+pymysql`, `mysql+mysqldb`.

>>> open_store("memory://")
VolatileSessionStore()
>>> open_store("mongo://host")
Traceback (most recent call last):
    ...
session3.errors.ConfigurationError: unknown scheme 'mongo'; known are: cookie, directory, ...
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple
from urllib.parse import unquote

from . import urlparts
from .errors import ConfigurationError
from .store.SessionStore import SessionStore
from .urlparts import Address


def open_store(url: str, **options: Any) -> SessionStore:
    """Return the store that a URL names; `options` are the store's keywords, and go before the URL's.

    A path is absolute after three slashes (`sqlite:////var/lib/app/sessions.db` and `sqlite:///var/lib/app/sessions.db`
    are the same), and relative with a dot (`sqlite:///./sessions.db`). Raises ConfigurationError, which says what of
    the URL is wrong; StoreUnavailable and the like come from the store.
    """
    address = urlparts.split(url)
    if address.scheme not in _SCHEMES:
        known = ", ".join(sorted(_SCHEMES))
        raise ConfigurationError(f"unknown scheme {address.scheme!r}; known are: {known}")
    scheme = _SCHEMES[address.scheme]
    store = getattr(import_module(f"session3.store.{scheme.store}"), scheme.store)
    own = _store_options(store, address)
    opened: SessionStore = store(*scheme.arguments(address), **{**own, **options})
    return opened


#: The keywords of stores that a URL may give; a store that does not take one does not know it in its URL, either.
_STORE_OPTIONS: dict[str, Callable[[Address, str, str], Any]] = {
    "prefix": urlparts.text,
    "table": urlparts.text,
    "timeout": urlparts.seconds,
    "max_connections": urlparts.positive,
    "default_ttl": urlparts.seconds,
    "mode": urlparts.mode,
    "group": urlparts.text,
    "durable": urlparts.flag,
    "hash_ids": urlparts.flag,
    "on_conflict": urlparts.text,
}


def _store_options(store: type[SessionStore], address: Address) -> dict[str, Any]:
    """Take the options of a URL that are the store's."""
    if not address.options:
        return {}
    first, *others = [vars(base)["__init__"].__code__ for base in store.__mro__[:-1] if "__init__" in vars(base)]
    keywords = set(first.co_varnames[: first.co_argcount + first.co_kwonlyargcount])
    for code in others:  # what a base takes by its place, the store itself gives
        keywords.update(code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount])
    found = {name: address.take(name, read) for name, read in _STORE_OPTIONS.items() if name in keywords}
    return {name: value for name, value in found.items() if value is not None}


def _path(address: Address) -> tuple[str]:
    path = unquote(address.path, errors="surrogateescape")  # as Python spells names that are not UTF-8
    if address.hosts or address.user or not (path.startswith("/") or path == ""):
        raise ConfigurationError(f"{address.scheme}: three slashes before the path: {address.scheme}:///path")
    if not path.strip("/") or "\0" in path:
        raise ConfigurationError(f"{address.scheme}: the path is missing or no path: {address.scheme}:///path")
    _refuse_options(address)
    relative = path[1:].split("/")[0] in (".", "..")
    return (path[1:] if relative else "/" + path.lstrip("/"),)


def _path_or_memory(address: Address) -> tuple[str]:
    if address.path or address.hosts:
        return _path(address)
    _refuse_options(address)
    return (":memory:",)


def _refuse_options(address: Address) -> None:
    address.refuse_options("what follows the path means nothing here: ")


def _postgres(address: Address) -> tuple[Any]:
    from .sqlurls import postgres

    return (postgres(address),)


def _mysql(address: Address) -> tuple[Any]:
    from .sqlurls import mysql

    return (mysql(address),)


def _redis(address: Address) -> tuple[Any]:
    from .store.redisurls import client

    return (client(address),)


def _durus_file_or_server(address: Address) -> tuple[Any]:
    from .durusfiles import PORT, DurusFile, DurusServer

    if not address.hosts and not address.user:
        return (DurusFile(*_path(address)),)
    if address.user or address.password:
        raise address.error("a server of this kind knows no user and no password")
    if address.path not in ("", "/"):
        raise address.error("the path after host and port means nothing here")
    _refuse_options(address)
    host, port = address.one_host()
    return (DurusServer(host, PORT if port is None else port),)


def _nothing(address: Address) -> tuple[()]:
    if address.hosts or address.user or address.path not in ("", "/"):
        raise ConfigurationError(f"{address.scheme}:// takes no host and no path")
    _refuse_options(address)
    return ()


class _Scheme(NamedTuple):
    store: str
    arguments: Callable[[Address], tuple[Any, ...]]


_SCHEMES = {
    "cookie": _Scheme("SignedCookieSessionStore", _nothing),
    "directory": _Scheme("DirectorySessionStore", _path),
    "durus": _Scheme("DurusSessionStore", _durus_file_or_server),
    "memory": _Scheme("VolatileSessionStore", _nothing),
    "shelve": _Scheme("ShelveSessionStore", _path),
    "sqlite": _Scheme("SQLiteSessionStore", _path_or_memory),
    "unix": _Scheme("RedisSessionStore", _redis),
}
for _name in ("postgresql", "postgres"):
    for _driver in ("", "+psycopg2", "+psycopg"):
        _SCHEMES[_name + _driver] = _Scheme("PostgresSessionStore", _postgres)
for _name in ("mysql", "mariadb"):
    for _driver in ("", "+pymysql", "+mysqldb"):
        _SCHEMES[_name + _driver] = _Scheme("MySQLSessionStore", _mysql)
for _name in ("redis", "valkey"):
    for _kind in ("", "+unix", "+socket", "+cluster", "+sentinel", "s", "s+cluster", "s+sentinel"):
        _SCHEMES[_name + _kind] = _Scheme("RedisSessionStore", _redis)
