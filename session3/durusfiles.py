"""Durus storages, opened safely: what a kill left behind is mended first, and nothing that was committed is lost.

>>> import tempfile
>>> connection = open_file(tempfile.mkdtemp() + "/sessions.durus")
>>> connection.get_root()["colour"] = "red"
>>> connection.commit()
>>> connection.get_storage().close()

`open_file`, `open_sqlite` and `open_server` return a `durus.connection.Connection`, and raise OSError if they can't.
DurusFile and DurusServer are the same as callables, to be given to DurusSessionStore. Run `repair_file` on the file of
a Durus server before the server is started again: by itself it refuses a file that a killed server left.

Processes: a file belongs to the process that opened it, and is locked; a second one gets an error at once. A server is
for many. Crash: kill -9 is safe. Durus does not sync to the disk, except in an SQLite file: without power, or the
operating system, the last commits may be missing. Who can write to the file, or reach the server's port (it knows no
password), can run code in its clients: Durus keeps pickles.
"""

import os
import random
import socket
import sqlite3
import time
from dataclasses import dataclass
from typing import Any, ClassVar

from . import durusformat
from .access import Access, access_of
from .disk import check_writable, exists, why_not
from .durusopening import create_file, is_pack_interrupted, lock_file, sweep_pack, try_to_lock, undo_pack
from .durusstorages import connect, import_durus

PORT = 2972  # the usual one of a Durus server
TIMEOUT = 10.0  # seconds that a server may be silent
CACHE_SIZE = 10_000  # objects that a connection keeps in memory; a session is two

_FIRST_COMERS = 100  # times to look again whether another client has made the root of a new server
_OWNER_ONLY = Access()
_SQLITE_MAGIC = b"SQLite format 3\0"
_SQLITE_TABLE = "CREATE TABLE IF NOT EXISTS objects (id integer primary key, data blob, refs blob)"


@dataclass(frozen=True)
class DurusFile:
    """Opens a file, again and again; SQLite if `sqlite` or if that is what is there.

    A relative path is one from the folder of this moment. `mode` and `group`: of a file that it creates, where it is
    not for its owner only.
    """

    path: str
    sqlite: bool = False
    mode: int | None = None
    group: str | int | None = None

    is_multiprocess_safe: ClassVar[bool] = False

    def __post_init__(self) -> None:
        access_of(self.mode, self.group)
        object.__setattr__(self, "path", os.path.abspath(self.path))

    def __call__(self) -> Any:
        return (open_sqlite if self.sqlite else open_file)(self.path, access=access_of(self.mode, self.group))

    def __str__(self) -> str:
        return self.path

    def exists(self) -> bool:
        path = os.path.realpath(self.path)
        return exists(path) or is_pack_interrupted(path)

    def check(self) -> None:
        """Raise OSError if the file, or one that is not there yet, can't be written; makes nothing."""
        check_writable(os.path.realpath(self.path))


@dataclass(frozen=True)
class DurusServer:
    """Opens a connection to a server, again and again."""

    host: str
    port: int = PORT
    timeout: float = TIMEOUT

    is_multiprocess_safe: ClassVar[bool] = True

    def __call__(self) -> Any:
        return open_server(self.host, self.port, timeout=self.timeout)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


# -- files -----------------------------------------------------------------------------------------------------------


def open_file(path: str | os.PathLike[str], *, cache_size: int = CACHE_SIZE, access: Access = _OWNER_ONLY) -> Any:
    """Open, or create with mode 0600, a file of Durus, mended as `repair_file` does; an SQLite file as `open_sqlite`.

    Raises OSError, too if the file is open already, or it is no file of Durus.
    """
    import_durus()
    from durus.file_storage import FileStorage

    path = os.path.realpath(path)  # a pack would replace a link, not what it leads to
    undo_pack(path)
    file = lock_file(path, access)
    try:
        if file.read(len(_SQLITE_MAGIC)) != _SQLITE_MAGIC:
            durusformat.mend(file.file)
            sweep_pack(path)
            return connect(FileStorage(file), cache_size)
        file.close()
    except BaseException:
        file.close()
        raise
    return open_sqlite(path, cache_size=cache_size)


def repair_file(path: str | os.PathLike[str]) -> None:
    """Mend a file that a killed process or server left; one that is whole, or not there, is left as it is.

    An interrupted pack is undone. What follows the last whole transaction is cut off: it was never committed. A copy
    of it stays beside the file, with `.torn.` in its name. Raises OSError, too if a process has the file open.

    >>> repair_file("no-such-file")
    """
    import_durus()
    path = os.path.realpath(path)
    undo_pack(path)
    if exists(path):
        file = lock_file(path)
        try:
            if file.read(len(_SQLITE_MAGIC)) != _SQLITE_MAGIC:  # SQLite mends itself
                durusformat.mend(file.file)
                sweep_pack(path)
        finally:
            file.close()


def open_sqlite(path: str | os.PathLike[str], *, cache_size: int = CACHE_SIZE, access: Access = _OWNER_ONLY) -> Any:
    """Open, or create with mode 0600, an SQLite file of Durus, for any thread and this process only.

    A process that was forked from one that has the file open can't open it, not even later.
    """
    import_durus()
    path = os.path.realpath(path)
    create_file(path, access)
    try:
        return connect(try_to_lock(path, lambda: _sqlite_storage(path), busy=_Busy, opened=0), cache_size)
    except sqlite3.Error as error:
        raise OSError(f"{path}: {why_not(path) or error}") from error


class _Busy(Exception):
    """Somebody has an SQLite file open."""


def _sqlite_storage(path: str) -> Any:
    from durus.sqlite_storage import SqliteStorage

    own = sqlite3.connect(path, timeout=1, check_same_thread=False)
    try:
        own.execute(_SQLITE_TABLE)
        storage = SqliteStorage(path)
        storage._conn.close()  # it is bound to its thread
        storage._conn = own
        own.text_factory = bytes
        # Kept until it is closed: a second process would give the numbers of our objects to its own.
        own.execute("PRAGMA locking_mode = EXCLUSIVE").fetchone()
        own.executescript("BEGIN EXCLUSIVE; COMMIT")
        last = storage._get_last_oid()
        storage._last_oid = 0 if last is None else last + 1  # by itself it would give its last number again
        return storage
    except sqlite3.OperationalError as error:
        own.close()
        raise (_Busy(str(error)) if "locked" in str(error) else error) from error
    except BaseException:
        own.close()
        raise


# -- servers ---------------------------------------------------------------------------------------------------------


def open_server(host: str, port: int = PORT, *, timeout: float = TIMEOUT, cache_size: int = CACHE_SIZE) -> Any:
    """Connect to a Durus server. Raises OSError; so does later a server that is silent for `timeout` seconds."""
    import_durus()
    from durus.client_storage import ClientStorage
    from durus.error import DurusError
    from durus.storage_server import HostPortAddress

    for _ in range(_FIRST_COMERS):
        # Durus's own knows no timeout, and no host by a name of IPv6.
        connected = socket.create_connection((host, port), timeout)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        address = HostPortAddress(host, port)
        address.get_connected_socket = lambda connected=connected: connected
        try:
            return connect(ClientStorage(address=address), cache_size)
        except (AssertionError, DurusError) as error:
            # Durus's way to say that another client is about to make the root of a new store.
            connected.close()
            cause = error
            time.sleep(random.uniform(0, 0.02))
        except BaseException:
            connected.close()
            raise
    raise OSError(f"no Durus server, or one that is not ready: {type(cause).__name__} {cause}") from cause
