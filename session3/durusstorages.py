"""What differs between the storages of Durus, which is imported here, and only when it is needed.

>>> import_durus()
"""

import contextlib
import io
import itertools
import logging
import os
import pickle
import socket
import sqlite3
import sys
import threading
from collections.abc import Hashable, Iterator
from typing import Any

from .datafaults import is_of_signal
from .disk import create_private, exists, take_over
from .drivers import missing_driver

_INSIDE = {"", "durus", "session3", "pickle", "socket", "sqlite3", "tempfile"}  # modules whose errors are the storage's
_SHRINK_EVERY = 100  # transactions; each loads a few objects

#: Connections that came over a fork. SQLite forbids to close one there, and freeing is closing.
_inherited: list[Any] = []


class Interrupted(BaseException):
    """A signal's exception came before the reply to a request; no Exception, which could pass for a damaged record."""

    def __init__(self, cause: Exception) -> None:
        super().__init__()
        self.cause = cause


def came_from_outside(error: BaseException) -> bool:
    """Tell what a signal's handler raised from what Durus did, or what it stands on: by where it was raised.

    Such a one says nothing about a record or a connection. One of the system's errors is taken for what it says, unless
    a handler that is known raised it.
    """
    if is_of_signal(error):
        return True
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = "" if trace is None else str(trace.tb_frame.f_globals.get("__name__", ""))
    return not isinstance(error, OSError) and module.partition(".")[0] not in _INSIDE


def import_durus() -> None:
    """Import Durus, or raise MissingDriver; and keep it quiet unless the application has configured its logger.

    By itself Durus writes a line on each commit to stderr, and where that is redirected takes stdout there, too.
    """
    logger = logging.getLogger("durus")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())  # Durus leaves a logger alone that has a handler
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.WARNING)
    try:
        import durus.btree
        import durus.client_storage
        import durus.connection
        import durus.file_storage
        import durus.serialize
        import durus.sqlite_storage
    except ImportError as error:
        raise missing_driver("Durus", "durus", "durus", error) from error
    _let_durus_pickle(durus.serialize)
    if logger.level == logging.INFO and not logger.propagate and len(logger.handlers) == 1:
        stream = getattr(logger.handlers[0], "stream", None)
        if stream is not None and stream in (sys.stderr, sys.__stderr__):
            logger.setLevel(logging.WARNING)  # that is how Durus itself sets it up


def _let_durus_pickle(serialize: Any) -> None:
    """Durus sets attributes of picklers, which Python 3.13.0 alone does not allow (python/cpython#125631)."""
    if serialize.Pickler is pickle.Pickler:
        try:
            pickle.Pickler(io.BytesIO()).persistent_id = id  # type: ignore[method-assign]
        except AttributeError:
            serialize.Pickler = type("Pickler", (pickle.Pickler,), {})
            serialize.Unpickler = type("Unpickler", (pickle.Unpickler,), {})


def connect(storage: Any, cache_size: int) -> Any:
    from durus.connection import Connection

    connection = Connection(storage, cache_size=cache_size)
    # To look for what can leave the cache takes as long as the cache is large, and Durus does it in each transaction.
    calls, shrink = itertools.count(1), connection.cache.shrink
    connection.shrink_cache = lambda: shrink(connection) if next(calls) % _SHRINK_EVERY == 0 else None
    return connection


def place(storage: Any) -> str:
    address = getattr(storage, "address", None)
    if address is not None:
        return str(getattr(address, "filename", address)).replace("\0", "@")
    return str(getattr(storage, "get_filename", str)())


def identity(storage: Any) -> Hashable:
    """Return what tells the database behind an open storage from others."""
    if is_shared(storage):
        with contextlib.suppress(OSError):
            return storage.s.getpeername() or place(storage)  # whatever name the server was called by
    path = place(storage)
    return ("durus", os.path.realpath(path)) if path else storage


def is_shared(storage: Any) -> bool:
    return type(storage).__name__ == "ClientStorage"


def is_bound_to_thread(storage: Any) -> bool:
    """Tell whether the storage is on an SQLite connection that only the thread may use that opened it."""
    bound = []

    def use_it() -> None:
        try:
            storage.load(bytes(8))
        except sqlite3.ProgrammingError:
            bound.append(True)

    if type(storage).__name__ == "SqliteStorage":
        thread = threading.Thread(target=use_it)
        thread.start()
        thread.join()
    return bool(bound)


def watch(storage: Any) -> None:
    """Let loads from a server raise Interrupted for what is neither Durus's nor the network's."""
    from durus.error import DurusError

    if not is_shared(storage) or "load" in vars(storage):
        return
    load = storage.load

    def load_or_tell(oid: bytes) -> Any:
        try:
            return load(oid)
        except (DurusError, OSError):
            raise
        except Exception as error:
            raise Interrupted(error) from error

    storage.load = load_or_tell


def pin(connection: Any) -> None:
    """Let a storage keep to its file, by links or not, wherever this process goes; and remember which file that is."""
    storage, connection.pinned = connection.get_storage(), None
    if hasattr(storage, "shelf"):
        file = storage.shelf.get_file()
        if not file.is_temporary():
            file.file.raw.name = os.path.realpath(file.file.name)
            connection.pinned = file.file.name, os.fstat(file.file.fileno())
    elif hasattr(storage, "filename"):
        storage.filename = os.path.realpath(storage.filename)
        connection.pinned = storage.filename, os.stat(storage.filename)


def is_in_place(connection: Any) -> bool:
    """Tell at the price of one call whether the file that was pinned still bears its name."""
    if connection.pinned is None:
        return True  # it is on a server
    name, pinned = connection.pinned
    try:
        there = os.stat(name)
    except FileNotFoundError:
        return False
    return bool(there.st_ino == pinned.st_ino and there.st_dev == pinned.st_dev)


def start_pack(storage: Any) -> Iterator[object]:
    if hasattr(storage, "shelf") and not storage.shelf.get_file().is_temporary():
        file = storage.shelf.get_file().file
        with contextlib.suppress(FileNotFoundError):
            os.unlink(file.name + ".pack")  # of a pack that was killed; whose owner may be another
        # What is packed into becomes the file.
        take_over(create_private(file.name + ".pack"), os.fstat(file.fileno()))
    steps = storage.get_packer()
    if steps is None:
        storage.pack()
    return iter(steps or ())


def end_pack(storage: Any, steps: Any, *, is_done: bool) -> None:
    """Remove what a pack leaves beside the file, the file as it was included."""
    if not is_done:
        getattr(steps, "close", bool)()
        storage.pack_extra = None  # else it takes itself to be packing for ever
    name = storage.shelf.get_file().file.name if hasattr(storage, "shelf") else ""
    if isinstance(name, str) and exists(name):  # else it was interrupted between its renames: see durusopening
        with contextlib.suppress(OSError):
            os.unlink(name + (".prepack" if is_done else ".pack"))


def break_off(storage: Any) -> None:
    """Tell a server that nothing more comes of what may be half a request: all its clients wait while it waits."""
    if hasattr(storage, "s"):
        with contextlib.suppress(OSError):
            storage.s.shutdown(socket.SHUT_RDWR)


def close(storage: Any) -> None:
    with contextlib.suppress(Exception):
        storage.close()
    if hasattr(storage, "s"):
        storage.s.close()


def free(connection: Any) -> None:
    """Turn what a connection has loaded into ghosts, which are loaded again where they are asked for."""
    cache = connection.get_cache()
    for loaded in cache.recent_objects.map.values():
        if loaded._p_is_saved():
            loaded._p_set_status_ghost()
    cache.recent_objects.map.clear()
    cache.objects.clear_dead()


def forget(connection: Any) -> None:
    """Let go of a connection that belongs to the parent process, without a word to its server or its file."""
    storage = connection.get_storage()
    if hasattr(storage, "s"):
        storage.s.close()
    elif hasattr(storage, "shelf"):
        # Closing would open the parent's lock; and what the parent was about to write must not be written twice.
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, storage.shelf.get_file().file.fileno())
        os.close(null)
    else:
        _inherited.append(connection)
