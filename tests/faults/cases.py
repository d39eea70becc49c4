"""The stores that the situations are tried on."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from session3 import open_store

from ..durus_server import DurusServer
from ..mariadb_server import MARIADBD, MariaDBServer
from ..postgres_server import INITDB, PostgresServer
from ..private_server import PrivateServer, find_program

SECRET = "what signs the payloads of these stores"


class Figures(NamedTuple):
    """What came out: the text of a cell, and whether the promise held."""

    text: str
    held: bool


class Kind(NamedTuple):
    """A store, before it is made."""

    name: str
    start: "Callable[[Kind, Path], contextlib.AbstractContextManager[Case]]"
    scheme: str = ""
    #: Several processes may use it at once.
    is_shared: bool = True
    #: It outlives its process.
    is_kept: bool = True
    is_server: bool = False
    #: Records are kept, under ids; else the session is in its cookie.
    has_records: bool = True
    #: What is missing here, if it can't be started, and how to get it.
    missing: str = ""

    @property
    def is_in_files(self) -> bool:
        """It is in files of the application's own, in the case's folder."""
        return self.has_records and self.is_kept and not self.is_server


class Case(NamedTuple):
    """A store to be opened, in this process or a child; each `open` makes another store object."""

    kind: Kind
    open: Callable[..., Any]
    folder: Path
    server: PrivateServer | None = None

    def emptied(self, **options: Any) -> Any:
        """Open it, without what an earlier situation left."""
        store = self.open(**options)
        if self.kind.is_server or self.kind.is_in_files:
            store.setup(overwrite=True)
        return store


@contextlib.contextmanager
def _at_url(kind: Kind, folder: Path) -> Iterator[Case]:
    url = f"{kind.scheme}://{folder}/sessions" if kind.is_kept and kind.has_records else f"{kind.scheme}://"
    given = {} if kind.has_records else {"secret_key": SECRET}
    yield Case(kind, lambda **options: open_store(url, **{**given, **options}), folder)


@contextlib.contextmanager
def _converted_shelf(kind: Kind, folder: Path) -> Iterator[Case]:
    """A shelf that another flavour of dbm made, with something in it that is not ours."""
    with import_module(kind.scheme).open(str(folder / "sessions"), "n") as old:
        old[b"not-ours"] = b"but kept"
    yield Case(kind, lambda **options: open_store(f"shelve://{folder}/sessions", **options), folder)


@contextlib.contextmanager
def _durus_file(kind: Kind, folder: Path) -> Iterator[Case]:
    from session3.durusfiles import DurusFile
    from session3.store.DurusSessionStore import DurusSessionStore

    source = DurusFile(str(folder / "sessions"), sqlite=kind.scheme == "sqlite")
    yield Case(kind, lambda **options: DurusSessionStore(source, **options), folder)


def _on_server(make: Callable[[], Any]) -> Callable[[Kind, Path], contextlib.AbstractContextManager[Case]]:
    @contextlib.contextmanager
    def start(kind: Kind, folder: Path) -> Iterator[Case]:
        with make() as server:
            yield Case(kind, lambda **options: open_store(server.url, **options), folder, server)

    return start


def _redis_server() -> Any:
    from ..redis_server import RedisServer

    # As a site that must not lose sessions would run it.
    return RedisServer("--appendonly", "yes", "--appendfsync", "always")


def _without(*needs: tuple[bool, str]) -> str:
    return "; ".join(how for is_there, how in needs if not is_there)


def _has(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


_durus = (_has("durus"), "needs Durus: pip install 'session3[durus]'")

KINDS = [
    Kind("Directory", _at_url, "directory"),
    Kind("Shelve", _at_url, "shelve"),
    *[
        Kind(f"Shelve from {flavour}", _converted_shelf, flavour)
        for flavour, needed in (("dbm.gnu", "_gdbm"), ("dbm.ndbm", "_dbm"), ("dbm.sqlite3", "dbm.sqlite3"))
        if _has(needed)
    ],
    Kind("SQLite", _at_url, "sqlite"),
    Kind("Volatile", _at_url, "memory", is_shared=False, is_kept=False),
    Kind("Durus file", _durus_file, "file", is_shared=False, missing=_without(_durus)),
    Kind("Durus SQLite", _durus_file, "sqlite", is_shared=False, missing=_without(_durus)),
    Kind("Durus server", _on_server(DurusServer), is_server=True, missing=_without(_durus)),
    Kind(
        "MySQL",
        _on_server(MariaDBServer),
        is_server=True,
        missing=_without(
            (_has("pymysql"), "needs PyMySQL: pip install 'session3[mysql]'"),
            (MARIADBD is not None, "needs MariaDB: apt-get install mariadb-server"),
        ),
    ),
    Kind(
        "Postgres",
        _on_server(PostgresServer),
        is_server=True,
        missing=_without(
            (_has("psycopg2"), "needs psycopg2: pip install 'session3[postgres]'"),
            (INITDB is not None, "needs PostgreSQL: apt-get install postgresql"),
        ),
    ),
    Kind(
        "Redis",
        _on_server(_redis_server),
        is_server=True,
        missing=_without(
            (_has("redis"), "needs redis-py: pip install 'session3[redis]'"),
            (find_program("redis-server") is not None, "needs redis-server: apt-get install redis-server"),
        ),
    ),
    Kind("Cookie", _at_url, "cookie", is_kept=False, has_records=False),
]


@contextlib.contextmanager
def started(kind: Kind) -> Iterator[Case]:
    """Start what a kind needs, in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="session3-faults-") as folder, kind.start(kind, Path(folder)) as case:
        yield case
