"""`open_store(url)`: a store from one line of configuration.

| URL | store |
| --- | --- |
| `directory:///path` | DirectorySessionStore |
| `shelve:///path` | ShelveSessionStore |
| `sqlite:///path`, `sqlite://` (in memory) | SQLiteSessionStore |
| `durus:///path`, `durus://host:port` (a server) | DurusSessionStore |
| `redis://[user:password@]host[:port][/db][?prefix=…]`, `rediss://…` (TLS), `redis+cluster://…` | RedisSessionStore |
| `memory://` | VolatileSessionStore |
| `cookie://`, with the option `secret_key` or the variable SESSION3_SECRET_KEY | SignedCookieSessionStore |
| `postgresql://user:password@host:port/database?table=name&connect_timeout=10` | PostgresSessionStore |
| `mysql://user:password@host:port/database?table=name&connect_timeout=10&read_timeout=60` | MySQLSessionStore |

>>> open_store("memory://")
VolatileSessionStore()
>>> open_store("mongo://host")
Traceback (most recent call last):
    ...
session3.errors.ConfigurationError: unknown scheme 'mongo'; known are: cookie, directory, ...
"""

import contextlib
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from .errors import ConfigurationError, MissingDriver
from .store.SessionStore import SessionStore


def open_store(url: str, **options: Any) -> SessionStore:
    """Return the store that a URL names; `options` are the store's keywords.

    A path is absolute after three slashes (`sqlite:////var/lib/app/sessions.db` and `sqlite:///var/lib/app/sessions.db`
    are the same), and relative with a dot (`sqlite:///./sessions.db`). Raises ConfigurationError, which says what of
    the URL is wrong; StoreUnavailable and the like come from the store.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        # The error's own words can hold the password.
        raise ConfigurationError("this is no URL: its host, or a character in it, is malformed") from None
    if parts.scheme not in _SCHEMES:
        known = ", ".join(sorted(_SCHEMES))
        raise ConfigurationError(f"unknown scheme {parts.scheme!r}; known are: {known}")
    _check_host(parts)
    scheme = _SCHEMES[parts.scheme]
    store = getattr(import_module(f"session3.store.{scheme.store}"), scheme.store)
    opened: SessionStore = store(*scheme.arguments(parts), **options)
    return opened


def _check_host(parts: SplitResult) -> None:
    """Refuse a host that no resolver can be asked for, as `a..b`: the first request would tell, and not so plainly."""
    with contextlib.suppress(UnicodeError):
        (parts.hostname or "").encode("idna")
        return
    raise ConfigurationError(f"{parts.scheme}: the host is no name of one; is a character of the password not quoted?")


def _path(parts: SplitResult) -> tuple[str]:
    path = unquote(parts.path)
    if parts.netloc or not (path.startswith("/") or path == ""):
        raise ConfigurationError(f"{parts.scheme}: three slashes before the path: {parts.scheme}:///path")
    if not path.strip("/") or "\0" in path:
        raise ConfigurationError(f"{parts.scheme}: the path is missing or no path: {parts.scheme}:///path")
    _refuse_query(parts)
    relative = path[1:].split("/")[0] in (".", "..")
    return (path[1:] if relative else "/" + path.lstrip("/"),)


def _path_or_memory(parts: SplitResult) -> tuple[str]:
    if parts.path or parts.netloc:
        return _path(parts)
    _refuse_query(parts)
    return (":memory:",)


#: How long a server is waited for, by the drivers' names; the URL may say otherwise. libpq has no limit for a reply: it
#: notices when the machine is gone (tcp_user_timeout is in ms, the others in seconds).
_POSTGRES_LIMITS = {
    "connect_timeout": 10,
    "tcp_user_timeout": 30_000,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
#: Seconds. No statement of ours takes as long, also where it waits for a lock (innodb_lock_wait_timeout, 50).
_MYSQL_LIMITS = {"connect_timeout": 10, "read_timeout": 60, "write_timeout": 60}


def _postgres(parts: SplitResult) -> tuple[Any, str | None]:
    settings, table = _server(parts, "dbname", _POSTGRES_LIMITS)
    return Opener("psycopg2", "postgres", **settings), table


def _mysql(parts: SplitResult) -> tuple[Any, str | None]:
    settings, table = _server(parts, "database", _MYSQL_LIMITS)
    return Opener("pymysql", "mysql", charset="utf8mb4", **settings), table


def _server(parts: SplitResult, database: str, limits: dict[str, int]) -> tuple[dict[str, Any], str | None]:
    """Return the connection settings that a URL gives, and the table."""
    name = unquote(parts.path[1:])
    if not parts.hostname or not name or "/" in name:
        raise ConfigurationError(f"{parts.scheme}: host and database are needed: {parts.scheme}://host/database")
    options = _query(parts, "table", *limits)
    table = options.pop("table", None)
    settings = {"host": parts.hostname, "port": _port(parts), database: name, **limits}
    settings |= {name: _positive(parts, name, value) for name, value in options.items()}
    settings |= {
        "user": parts.username and unquote(parts.username),
        "password": parts.password and unquote(parts.password),
    }
    return {key: value for key, value in settings.items() if value is not None}, table


class Opener:
    """Opens a driver's connections; `location` is what messages say of the server."""

    def __init__(self, driver: str, extra: str, **settings: Any) -> None:
        try:
            self._driver: Any = import_module(driver)
        except ImportError as error:
            raise MissingDriver(driver, extra) from error
        self._settings = settings
        database = settings.get("dbname") or settings.get("database")
        self.location = f"{settings['host']}:{settings.get('port', 'default port')}/{database}"

    def __call__(self) -> Any:
        return self._driver.connect(**self._settings)


def _durus_file_or_server(parts: SplitResult) -> tuple[Any]:
    from .durusfiles import PORT, DurusFile, DurusServer

    if not parts.netloc:
        return (DurusFile(*_path(parts)),)
    host, port = _host_and_port(parts)
    return (DurusServer(host, PORT if port is None else port),)


def _host_and_port(parts: SplitResult) -> tuple[str, int | None]:
    if "@" in parts.netloc:
        raise ConfigurationError(f"{parts.scheme}: a server of this kind knows no user and no password")
    if parts.path not in ("", "/"):
        raise ConfigurationError(f"{parts.scheme}: the path after host and port means nothing here")
    _refuse_query(parts)
    port = _port(parts)
    if not parts.hostname:
        raise ConfigurationError(f"{parts.scheme}: the host is missing: {parts.scheme}://host:port")
    return parts.hostname, port


def _nothing(parts: SplitResult) -> tuple[()]:
    if parts.netloc or parts.path not in ("", "/"):
        raise ConfigurationError(f"{parts.scheme}:// takes no host and no path")
    _refuse_query(parts)
    return ()


def _redis(parts: SplitResult) -> tuple[Any, ...]:
    from .store.redisclients import open_client, open_cluster

    if not parts.hostname:
        raise ConfigurationError(f"{parts.scheme}: the host is missing: {parts.scheme}://host/0")
    db = parts.path.strip("/") or "0"
    if not (db.isascii() and db.isdigit()):
        # What is there is not repeated: after a password with a '/' in it, it is the rest of that.
        raise ConfigurationError(f"{parts.scheme}: what follows the host must be a number: {parts.scheme}://host/0")
    options = _query(parts, "prefix")
    user, password = (unquote(given) if given else None for given in (parts.username, parts.password))
    host, port, ssl = parts.hostname, _port(parts) or 6379, parts.scheme == "rediss"
    if parts.scheme == "redis+cluster":
        if db != "0":
            raise ConfigurationError(f"{parts.scheme}: a cluster has one database: {parts.scheme}://host")
        return (open_cluster(host, port, user, password, ssl), *options.values())
    return (open_client(host, port, int(db), user, password, ssl), *options.values())


def _port(parts: SplitResult) -> int | None:
    # Not the error's own words, nor the error: a password with a '/' or '#' in it is taken for a port.
    with contextlib.suppress(ValueError):
        if parts.port != 0:
            return parts.port
    raise ConfigurationError(
        f"{parts.scheme}: the port is no number from 1 to 65535; is a character of the password not quoted?"
    )


def _positive(parts: SplitResult, name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and int(value) > 0):
        raise ConfigurationError(f"{parts.scheme}: the option {name} must be a whole number, 1 or more")
    return int(value)


def _query(parts: SplitResult, *known: str) -> dict[str, str]:
    """Return what follows the '?', by name."""
    if parts.fragment:
        raise ConfigurationError(f"{parts.scheme}: what follows '#' means nothing here; is it part of a password?")
    options: dict[str, str] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in known or name in options:
            shown = "after '?'" if "@" in parts.query else repr(name)  # it may be a part of a password
            problem = "is there twice" if name in options else f"is unknown; known are: {', '.join(known)}"
            raise ConfigurationError(f"{parts.scheme}: the option {shown} {problem}")
        options[name] = value
    return options


def _refuse_query(parts: SplitResult) -> None:
    if parts.query or parts.fragment:
        raise ConfigurationError(f"{parts.scheme}: what follows the path ('?' or '#') means nothing here")


class _Scheme(NamedTuple):
    store: str
    arguments: Callable[[SplitResult], tuple[Any, ...]]


_SCHEMES = {
    "cookie": _Scheme("SignedCookieSessionStore", _nothing),
    "directory": _Scheme("DirectorySessionStore", _path),
    "durus": _Scheme("DurusSessionStore", _durus_file_or_server),
    "memory": _Scheme("VolatileSessionStore", _nothing),
    "mysql": _Scheme("MySQLSessionStore", _mysql),
    "postgresql": _Scheme("PostgresSessionStore", _postgres),
    "redis": _Scheme("RedisSessionStore", _redis),
    "redis+cluster": _Scheme("RedisSessionStore", _redis),
    "rediss": _Scheme("RedisSessionStore", _redis),
    "shelve": _Scheme("ShelveSessionStore", _path),
    "sqlite": _Scheme("SQLiteSessionStore", _path_or_memory),
}
