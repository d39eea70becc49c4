"""`open_store(url)`: a store from one line of configuration.

| URL | store |
| --- | --- |
| `directory:///path` | DirectorySessionStore |
| `shelve:///path` | ShelveSessionStore |
| `sqlite:///path`, `sqlite://` (in memory) | SQLiteSessionStore |
| `durus:///path`, `durus://host:port` (a server) | DurusSessionStore |
| `memory://` | VolatileSessionStore |

>>> open_store("memory://")
VolatileSessionStore()
>>> open_store("mongo://host")
Traceback (most recent call last):
    ...
session3.errors.ConfigurationError: unknown scheme 'mongo'; known are: directory, durus, memory, shelve, sqlite
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from .errors import ConfigurationError
from .store.SessionStore import SessionStore


def open_store(url: str, **options: Any) -> SessionStore:
    """Return the store that a URL names; `options` are the store's keywords.

    A path is absolute after three slashes (`sqlite:////var/lib/app/sessions.db` and `sqlite:///var/lib/app/sessions.db`
    are the same), and relative with a dot (`sqlite:///./sessions.db`). Raises ConfigurationError, which says what of
    the URL is wrong; StoreUnavailable and the like come from the store.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigurationError(f"this is no URL: {error}") from error
    if parts.scheme not in _SCHEMES:
        known = ", ".join(sorted(_SCHEMES))
        raise ConfigurationError(f"unknown scheme {parts.scheme!r}; known are: {known}")
    scheme = _SCHEMES[parts.scheme]
    store = getattr(import_module(f"session3.store.{scheme.store}"), scheme.store)
    opened: SessionStore = store(*scheme.arguments(parts), **options)
    return opened


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
    try:
        port = parts.port
    except ValueError as error:
        raise ConfigurationError(f"{parts.scheme}: the port is no number from 1 to 65535") from error
    if not parts.hostname:
        raise ConfigurationError(f"{parts.scheme}: the host is missing: {parts.scheme}://host:port")
    if port == 0:
        raise ConfigurationError(f"{parts.scheme}: the port is no number from 1 to 65535")
    return parts.hostname, port


def _nothing(parts: SplitResult) -> tuple[()]:
    if parts.netloc or parts.path not in ("", "/"):
        raise ConfigurationError(f"{parts.scheme}:// takes no host and no path")
    _refuse_query(parts)
    return ()


def _refuse_query(parts: SplitResult) -> None:
    if parts.query or parts.fragment:
        raise ConfigurationError(f"{parts.scheme}: what follows the path ('?' or '#') means nothing here")


class _Scheme(NamedTuple):
    store: str
    arguments: Callable[[SplitResult], tuple[Any, ...]]


_SCHEMES = {
    "directory": _Scheme("DirectorySessionStore", _path),
    "durus": _Scheme("DurusSessionStore", _durus_file_or_server),
    "memory": _Scheme("VolatileSessionStore", _nothing),
    "shelve": _Scheme("ShelveSessionStore", _path),
    "sqlite": _Scheme("SQLiteSessionStore", _path_or_memory),
}
