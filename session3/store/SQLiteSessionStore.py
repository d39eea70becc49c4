"""Sessions in an SQLite database: one file, any number of processes; the embedded default.

>>> from session3.Session import Session
>>> store = SQLiteSessionStore(":memory:")
>>> session = Session("example1")
>>> session.set_user("alice")
>>> store.save_session(session)
>>> store.load_session("example1").user
'alice'

Threads: safe, each has a connection. Processes: safe, also after a fork. Crash: a save that returned is there
(write-ahead log, synchronous=NORMAL). `:memory:` is one connection under a lock, for one process, and is gone with it.
"""

import contextlib
import os
import pathlib
import sqlite3
import threading
import weakref
from collections.abc import Sequence
from typing import Any

from ..errors import StoreUnavailable
from .failures import unavailable_on
from .SQLSessionStore import SQLSessionStore

_BUSY_TIMEOUT = 10.0  # seconds to wait for another writer
_BATCH = 1000  # rows that a sweep looks at in one transaction: a writer waits a few milliseconds at most

_COLUMNS = """
    id TEXT NOT NULL PRIMARY KEY, revision INTEGER NOT NULL, created REAL NOT NULL, modified REAL NOT NULL,
    accessed REAL NOT NULL, expires REAL, user_key TEXT, forward TEXT, payload BLOB NOT NULL
"""

#: Connections that came over a fork. Closing one would disturb the parent's locks, and so would freeing it.
_inherited: list[sqlite3.Connection] = []


class SQLiteSessionStore(SQLSessionStore):
    """Keeps each session in a row of the table session3. The file is made at the first save, with mode 0600."""

    is_thread_safe = True

    def __init__(self, filename: str | os.PathLike[str], **options: Any) -> None:
        super().__init__(**options)
        in_memory = str(filename) == ":memory:"
        self.filename = ":memory:" if in_memory else os.path.abspath(filename)
        self.is_multiprocess_safe = not in_memory
        self._connections: _PerThread | _Shared = _Shared() if in_memory else _PerThread(self.filename)

    def __repr__(self) -> str:
        return f"SQLiteSessionStore({self.filename!r})"

    def close(self) -> None:
        self._connections.close()

    @unavailable_on(sqlite3.Error, OSError)
    def _query(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        try:
            with self._connections as connection:
                return connection.execute(sql, parameters).fetchall()
        except sqlite3.OperationalError:
            if self._has_table():
                raise
            return []

    @unavailable_on(sqlite3.Error, OSError)
    def _change(self, sql: str, parameters: Sequence[Any]) -> int:
        try:
            with self._connections as connection:
                return connection.execute(sql, parameters).rowcount
        except sqlite3.OperationalError:
            if self._has_table():
                raise
            if not sql.startswith("INSERT"):
                return 0
            self._create_table()
            with self._connections as connection:
                return connection.execute(sql, parameters).rowcount

    @unavailable_on(sqlite3.Error, OSError)
    def sweep(self, unused_for: float | None) -> tuple[int, int]:
        now = self.clock()
        due, limit = ("expires <= ?", now) if unused_for is None else ("max(accessed, modified) < ?", now - unused_for)
        bounds = f"SELECT max(n) FROM (SELECT rowid AS n FROM {self.table} WHERE rowid > ? ORDER BY n LIMIT {_BATCH})"
        delete = f"DELETE FROM {self.table} WHERE rowid > ? AND rowid <= ? AND {due}"
        deleted, last = 0, -1
        while (rows := self._query(bounds, (last,))) and (end := rows[0][0]) is not None:
            deleted += self._change(delete, (last, end, limit))
            last = end
        live = f"SELECT count(*) FROM {self.table} WHERE forward IS NULL AND (expires IS NULL OR expires > ?)"
        left = self._query(live, (now,))
        return deleted, left[0][0] if left else 0

    @unavailable_on(sqlite3.Error, OSError)
    def clear(self) -> None:
        self._create_table()
        self._change(f"DELETE FROM {self.table}", ())

    def _has_table(self) -> bool:
        if not self._connections.exist():
            return False
        with self._connections as connection:
            found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (self.table,)).fetchone()
        return found is not None

    def _create_table(self) -> None:
        self._connections.make()
        with self._connections as connection:
            connection.execute(f"CREATE TABLE IF NOT EXISTS {self.table} ({_COLUMNS})")


class _Shared:
    """The one connection of an in-memory database, under a lock."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._held = _Held(":memory:")

    def exist(self) -> bool:
        return True

    def make(self) -> None:
        pass

    def __enter__(self) -> sqlite3.Connection:
        self._lock.acquire()
        if self._held.is_foreign():
            self._lock.release()
            raise StoreUnavailable("SQLiteSessionStore(':memory:') can't be used in a forked process")
        return self._held.connection

    def __exit__(self, *exception: object) -> None:
        self._lock.release()

    def close(self) -> None:
        """An in-memory database lives as long as its store."""


class _PerThread:
    """A connection to a file for each thread of each process."""

    def __init__(self, filename: str) -> None:
        self._filename = filename
        self._local = threading.local()
        self._all: weakref.WeakSet[_Held] = weakref.WeakSet()

    def exist(self) -> bool:
        return os.path.exists(self._filename)

    def make(self) -> None:
        # SQLite would make the file readable by everyone; its log files take over the mode of this one. Made under
        # another name and linked, since closing a descriptor of a database drops this process's locks on it.
        temporary = f"{self._filename}.{os.getpid()}.{threading.get_ident()}.new"
        os.close(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            with contextlib.suppress(FileExistsError):
                os.link(temporary, self._filename)
        finally:
            os.unlink(temporary)

    def __enter__(self) -> sqlite3.Connection:
        held: _Held | None = getattr(self._local, "held", None)
        if held is None or held.is_foreign():
            held = self._local.held = _Held(self._filename)
            self._all.add(held)
        return held.connection

    def __exit__(self, *exception: object) -> None:
        pass

    def close(self) -> None:
        for held in list(self._all):
            held.close()
        self._local = threading.local()


class _Held:
    """A connection, and the process that opened it."""

    def __init__(self, filename: str) -> None:
        self._pid = os.getpid()
        uri = filename if filename == ":memory:" else f"{pathlib.Path(filename).as_uri()}?mode=rw"
        # Other threads use it only to close it, or under the lock of an in-memory database.
        self.connection = sqlite3.connect(
            uri, uri=uri != filename, timeout=_BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
        )
        self.connection.execute("PRAGMA journal_mode = WAL").fetchone()
        self.connection.execute("PRAGMA synchronous = NORMAL")

    def is_foreign(self) -> bool:
        return self._pid != os.getpid()

    def close(self) -> None:
        if self.is_foreign():
            _inherited.append(self.connection)
        else:
            self.connection.close()

    def __del__(self) -> None:
        if hasattr(self, "connection"):
            self.close()

