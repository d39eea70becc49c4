"""The files of an SQLite database: made whole, for whom they are, and swept where a killed process left some.

SQLite itself would make a database readable by everyone (its log files take over its mode), and switching one that
others are opening to a write-ahead log fails at random: so it is prepared under another name, and put in place.
"""

import contextlib
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator

from ..access import MODE, Access
from ..disk import NO_LINKS, is_taken, sync_folder
from ..errors import StoreNotSetUp, StoreUnavailable
from ..LockedFile import LockedFile
from .sqliteopening import uri
from .SQLSessionStore import COLUMNS

#: What SQLite keeps beside a database.
LOGS = ("-wal", "-shm", "-journal")

_NEW, _LOCK = ".new", ".new.lock"
_MAGIC, _PAGE = b"SQLite format 3\0", 4096


def create(path: str, prepare: Callable[[str], None], access: Access, *, durable: bool) -> None:
    """Put an empty database in place, which `prepare` makes of an empty file, unless there is one."""
    path = os.path.realpath(path)  # a link may lead to what is not there yet
    # Who creates is alone: what nobody uses is told by its name only.
    with _alone(path):
        if not is_taken(path):
            _make(path, path + _NEW, prepare, access)
    if durable:
        sync_folder(path)


def sweep(path: str, access: Access) -> None:
    """Remove what a process left that was killed, or whose disk failed, as it made the database."""
    path = os.path.realpath(path)
    if is_taken(path + _NEW) or is_taken(path + _LOCK):
        with _alone(path):
            if _is_left(path, path + _NEW, access):
                _remove(path + _NEW, *LOGS, "")


def connect_to_check(path: str) -> sqlite3.Connection:
    """Open a database without switching it to another mode, or making one."""
    return sqlite3.connect(uri(path), uri=True, isolation_level=None, check_same_thread=False)


def check(connection: sqlite3.Connection, name: str) -> None:
    """Raise sqlite3.Error if the database can't be read and written, StoreNotSetUp if its table is not ours."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("ROLLBACK")
    found = {row[1] for row in connection.execute("PRAGMA table_info(session3)")}
    if found and not found.issuperset(("id", *COLUMNS)):
        raise StoreNotSetUp(f"{name}: its table session3 is of another shape, and not of this release's making")


def share_logs(path: str, access: Access) -> None:
    """Give the logs to the group, too: SQLite gives them the database's mode, but a group only as the folder says."""
    if access.gid is None:
        return
    for end in LOGS[:2]:
        with contextlib.suppress(FileNotFoundError):
            found = os.stat(path + end)
            if found.st_gid != access.gid and found.st_uid == os.geteuid():
                os.chown(path + end, -1, access.gid)


@contextlib.contextmanager
def _alone(path: str) -> Iterator[None]:
    with LockedFile(path + _LOCK, os.O_CREAT) as lock:
        assert lock is not None
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # Windows removes no file that is open
                if os.fstat(lock.fd).st_size == 0:
                    os.unlink(lock.path)


def _make(path: str, temporary: str, prepare: Callable[[str], None], access: Access) -> None:
    if is_taken(temporary) and not _is_left(path, temporary, access):
        raise StoreUnavailable(f"{path} can't be made: {temporary} is there, and not of our making")
    _remove(temporary, "", *LOGS)
    try:
        with LockedFile(temporary, os.O_CREAT | os.O_EXCL, access.mode) as file:
            assert file is not None
            access.give(file.fd, os.path.dirname(path))
        prepare(temporary)
        _remove(path, *LOGS)  # of a database that was removed: SQLite would write what is in them to this one
        _put_in_place(path, temporary)
    finally:
        with contextlib.suppress(OSError):  # a sweep tries again
            _remove(temporary, *LOGS, "")


def _put_in_place(path: str, temporary: str) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if not is_taken(path):
            os.rename(temporary, path)


def _is_left(path: str, temporary: str, access: Access) -> bool:
    """Tell whether a database under the temporary name is ours: a second name of the real one, or without tables."""
    try:
        there = os.lstat(temporary)
        if is_taken(path) and os.path.samestat(there, os.stat(path)):
            return True  # and is not opened here: to close it would free SQLite's locks
        is_possible = stat.S_ISREG(there.st_mode) and stat.S_IMODE(there.st_mode) in (MODE, access.mode)
        if not is_possible or there.st_size not in (0, _PAGE):
            return False
        with open(temporary, "rb") as file:
            return file.read(len(_MAGIC)) in (b"", _MAGIC)
    except FileNotFoundError:
        return False


def _remove(path: str, *ends: str) -> None:
    for end in ends:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path + end)
