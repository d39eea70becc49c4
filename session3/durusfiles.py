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

import contextlib
import logging
import os
import random
import socket
import sqlite3
import time
from dataclasses import dataclass
from typing import Any, ClassVar

from . import durusformat
from .disk import exists
from .durusstorages import connect, import_durus

log = logging.getLogger("session3")

PORT = 2972  # the usual one of a Durus server
TIMEOUT = 10.0  # seconds that a server may be silent
CACHE_SIZE = 10_000  # objects that a connection keeps in memory; a session is two

_FIRST_COMERS = 100  # times to look again whether another client has made the root of a new server
_SQLITE_MAGIC = b"SQLite format 3\0"
_SQLITE_TABLE = "CREATE TABLE IF NOT EXISTS objects (id integer primary key, data blob, refs blob)"


@dataclass(frozen=True)
class DurusFile:
    """Opens a file, again and again; SQLite if `sqlite` or if that is what is there."""

    path: str
    sqlite: bool = False

    is_multiprocess_safe: ClassVar[bool] = False

    def __call__(self) -> Any:
        return open_sqlite(self.path) if self.sqlite else open_file(self.path)

    def __str__(self) -> str:
        return self.path

    def exists(self) -> bool:
        return exists(self.path) or _is_pack_interrupted(self.path)


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


def open_file(path: str | os.PathLike[str], *, cache_size: int = CACHE_SIZE) -> Any:
    """Open, or create with mode 0600, a file of Durus, mended as `repair_file` does; an SQLite file as `open_sqlite`.

    Raises OSError, too if another process has the file open, or it is no file of Durus.
    """
    import_durus()
    from durus.file_storage import FileStorage

    path = os.path.abspath(path)
    _undo_pack(path)
    file = _lock_file(path)
    try:
        if file.read(len(_SQLITE_MAGIC)) != _SQLITE_MAGIC:
            durusformat.mend(file.file)
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
    path = os.path.abspath(path)
    _undo_pack(path)
    if exists(path):
        file = _lock_file(path)
        try:
            if file.read(len(_SQLITE_MAGIC)) != _SQLITE_MAGIC:  # SQLite mends itself
                durusformat.mend(file.file)
        finally:
            file.close()


def _lock_file(path: str) -> Any:
    """Open a file, created if it must be, with Durus's own lock on it."""
    from durus.file import File

    while True:
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        file = File(path)
        try:
            _lock(file)
            if exists(path) and os.path.samestat(os.fstat(file.file.fileno()), os.stat(path)):
                return file  # else a pack has replaced it meanwhile
        except BaseException:
            file.close()
            raise
        file.close()


def _lock(file: Any) -> None:
    try:
        file.obtain_lock()
    except OSError as error:
        raise OSError(f"{file.get_name()} is in use by another process") from error


def _undo_pack(path: str) -> None:
    """Bring back the file that a pack, killed between its two renames, had moved out of the way.

    By itself Durus would start an empty one.
    """
    from durus.file import File

    if not _is_pack_interrupted(path):
        return
    with contextlib.ExitStack() as stack:
        for name in (path + ".prepack", path + ".pack"):
            file = File(name)
            stack.callback(file.close)
            _lock(file)  # a pack that is still alive holds it
        if _is_pack_interrupted(path):
            os.link(path + ".prepack", path)
            os.unlink(path + ".prepack")
            log.warning("%s: a pack was interrupted; what it had moved to %s.prepack is back", path, path)


def _is_pack_interrupted(path: str) -> bool:
    # A pack that is done leaves its .prepack, but no .pack.
    return not exists(path) and exists(path + ".prepack") and exists(path + ".pack")


def open_sqlite(path: str | os.PathLike[str], *, cache_size: int = CACHE_SIZE) -> Any:
    """Open, or create with mode 0600, an SQLite file of Durus, for any thread and this process only.

    A process that was forked from one that has the file open can't open it, not even later.
    """
    import_durus()
    from durus.sqlite_storage import SqliteStorage

    path = os.path.abspath(path)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    try:
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
            return connect(storage, cache_size)
        except BaseException:
            own.close()
            raise
    except sqlite3.Error as error:
        raise OSError(f"{path}: {error}") from error


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
