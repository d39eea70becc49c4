"""Sessions in an SQLite database: one file, any number of processes; the embedded default.

>>> from session3.Session import Session
>>> store = SQLiteSessionStore(":memory:")
>>> session = Session("example1")
>>> session.set_user("alice")
>>> store.save_session(session)
>>> store.load_session("example1").user
'alice'

Threads: safe, each has a connection. Processes: safe, also after a fork: all connections are closed for it, and opened
again when they are next used. A fork in C that calls no hook of Python's, such as uWSGI's, can't be known before: close
the store ahead of it, in each thread, else it raises StoreUnavailable in the child. A connection of your own to the
same file must not be open at any fork. Crash: a save that returned is there (write-ahead log, synchronous=NORMAL); with
`durable` also after a power cut (synchronous=FULL). `:memory:` is one connection under a lock, for one process, and is
gone with it.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Hashable, Sequence
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import Any

from ..access import access_of
from ..connections import Held, Shared
from ..disk import exists, why_not
from ..errors import ConfigurationError, StoreUnavailable
from ..record import AHEAD, Record, record_of
from ..storesettings import span
from . import sqlitefiles, sqliteopening
from .failures import unavailable_on
from .places import file_place
from .SQLiteConnections import SQLiteConnections, wait_at_forks
from .sqliteopening import PAUSE, TIMEOUT, NotThere, file_at
from .SQLSessionStore import SQLSessionStore

_BUSY = "database is locked"
_SWEEPS_CACHE = 12_000  # KiB of a database that are held in memory while a sweep goes on; else it is SQLite's 2,000
_TRIES = 20  # to open what another user of the group has just made

#: The last where a damaged schema is named in a message.
_FAILURES = (sqlite3.Error, OSError, UnicodeDecodeError)

_CREATE = """
    CREATE TABLE IF NOT EXISTS session3 (
        id TEXT NOT NULL PRIMARY KEY, revision INTEGER NOT NULL, created REAL NOT NULL, modified REAL NOT NULL,
        accessed REAL NOT NULL, expires REAL, user_key TEXT, forward TEXT, payload BLOB NOT NULL
    )
"""


class SQLiteSessionStore(SQLSessionStore):
    """Keeps each session in a row of the table session3. The file is made at the first save, with mode 0600.

    `timeout`: seconds to wait for another writer, then StoreUnavailable.
    `mode` and `group`: of a file that it makes, for several users who share it (0o660 and a group that all are in); its
    folder must let them make files, too.
    """

    is_thread_safe = True

    ORDER, START = "rowid", -1  # as the rows lie in the file
    BATCH = 4000  # measured: a writer waits for up to 27 ms

    def __init__(
        self,
        filename: str | os.PathLike[str],
        *,
        durable: bool = False,
        timeout: float | timedelta = TIMEOUT,
        mode: int | None = None,
        group: str | int | None = None,
        **options: Any,
    ) -> None:
        super().__init__("session3", **options)
        self.timeout = span("timeout", timeout)
        in_memory = str(filename) == ":memory:"
        if in_memory and (durable or mode is not None or group is not None):
            raise ConfigurationError("what is in memory can't be durable, and has no mode and no group")
        # An access time that is still to come gives way: its clock was wrong.
        expiry = "expires = CASE WHEN accessed <= ? OR accessed > ? THEN coalesce(?, expires) ELSE expires END"
        access = "accessed = CASE WHEN accessed > ? THEN ? ELSE max(accessed, ?) END"
        self._touch = f"UPDATE session3 SET {expiry}, {access} WHERE id = ? AND revision = ?"
        self.durable = durable
        self._access = access_of(mode, group)
        self.filename = ":memory:" if in_memory else os.path.abspath(filename)
        self.is_multiprocess_safe = not in_memory
        self._connections: SQLiteConnections | Shared[sqlite3.Connection]
        if in_memory:
            self._memory = Held(sqliteopening.connect(":memory:"))  # lives, and ends, with the store
            self._connections = Shared(self._memory.connection, repr(self))
            wait_at_forks(self._connections.lock)
        else:
            self._connections = SQLiteConnections(repr(self), self._open, partial(file_at, self.filename))

    def __repr__(self) -> str:
        return f"SQLiteSessionStore({self.filename!r})"

    def place(self) -> Hashable | None:
        return self if self.filename == ":memory:" else file_place("sqlite", self.filename)

    def close(self) -> None:
        self._connections.close()

    @unavailable_on(*_FAILURES)
    def _query(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        try:
            return self._execute(sql, parameters)[0]
        except NotThere:
            return []

    @unavailable_on(*_FAILURES)
    def _change(self, sql: str, parameters: Sequence[Any]) -> int:
        try:
            return self._execute(sql, parameters)[1]
        except NotThere:
            if not sql.startswith("INSERT"):
                return 0
        self.create()
        return self._execute(sql, parameters)[1]

    def _execute(self, sql: str, parameters: Sequence[Any]) -> tuple[list[tuple[Any, ...]], int]:
        deadline = time.monotonic() + self.timeout
        while True:
            try:
                with self._connections.guard():
                    cursor = self._connections.get().execute(sql, parameters)
                    return cursor.fetchall(), cursor.rowcount
            except sqlite3.OperationalError as error:
                if str(error).startswith("no such table"):
                    raise NotThere from error
                if str(error) != _BUSY or time.monotonic() >= deadline:
                    raise

    def _record_of(self, row: Sequence[Any], key: str) -> Record | None:
        payload, revision, created, modified, accessed, expires, *_ = row
        is_whole = type(payload) is bytes and type(revision) is int and (expires is None or type(expires) is float)
        if is_whole and type(created) is type(modified) is type(accessed) is float:
            return record_of(row)
        self._report_damage(key, "a value is of the wrong type")
        return None

    def _check_order(self, keys: Sequence[Any]) -> None:
        if not all(type(key) is str and before < key for before, key in pairwise(keys)):
            raise StoreUnavailable(f"{self!r} is damaged: its keys are in disorder")

    def _due(self, unused_for: float | None) -> tuple[str, Sequence[Any]]:
        now = self.clock()
        return ("expires <= ?", (now,)) if unused_for is None else ("max(accessed, modified) < ?", (now - unused_for,))

    def _live(self) -> tuple[str, Sequence[Any]]:
        return "forward IS NULL AND (expires IS NULL OR expires > ?)", (self.clock(),)

    def touch(self, key: str, revision: int, accessed: float, expires: float | None) -> bool:
        latest = self.clock() + AHEAD
        return self._change(self._touch, (accessed, latest, expires, latest, accessed, accessed, key, revision)) == 1

    def _set_right(self, after: Any, end: Any) -> None:
        now = self.clock()
        self._change(
            "UPDATE session3 SET accessed = min(accessed, ?), modified = min(modified, ?), revision = revision + 1"
            " WHERE rowid > ? AND rowid <= ? AND forward IS NULL AND max(accessed, modified) > ?",
            (now, now, after, end, now + AHEAD),
        )

    def sweep(self, unused_for: float | None) -> tuple[int, int]:
        # Each batch deletes all over the index: with that in memory a sweep takes a sixth less.
        before = self._query("PRAGMA cache_size", ())
        if not before:
            return 0, 0  # there is no database yet
        self._sweep_files()
        self._query(f"PRAGMA cache_size = -{_SWEEPS_CACHE}", ())
        try:
            return super().sweep(unused_for)
        finally:
            with contextlib.suppress(StoreUnavailable):
                self._query(f"PRAGMA cache_size = {before[0][0]}", ())

    @unavailable_on(OSError)
    def _sweep_files(self) -> None:
        if self.filename != ":memory:":
            sqlitefiles.sweep(self.filename, self._access)

    @unavailable_on(*_FAILURES)
    def create(self) -> None:
        if self.filename != ":memory:" and not exists(self.filename):
            try:
                sqlitefiles.create(self.filename, self._prepare, self._access, durable=self.durable)
            except FileNotFoundError as error:
                raise FileNotFoundError(error.errno, error.strerror, self.filename) from None
        self._execute(_CREATE, ())

    @unavailable_on(*_FAILURES)
    def check(self) -> None:
        if self.filename == ":memory:":
            self._query("SELECT 1", ())
            return
        self._access.check()
        path = os.path.realpath(self.filename)
        reason = why_not(path)
        if not exists(path):
            if reason:
                raise StoreUnavailable(f"{self!r} can't be made: {reason}")
            return
        connections = SQLiteConnections(repr(self), partial(sqlitefiles.connect_to_check, path), partial(file_at, path))
        try:
            with connections.guard():
                sqlitefiles.check(connections.get(), repr(self))
        except sqlite3.OperationalError as error:
            raise StoreUnavailable(": ".join(filter(None, [f"{self!r} can't be used", str(error), reason]))) from error
        finally:
            connections.close()

    def clear(self) -> None:
        self._change(f"DELETE FROM {self._table}", ())

    # -- the database ------------------------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        tries = 1 if self._access.gid is None else _TRIES
        while True:
            tries -= 1
            try:
                connection = sqliteopening.connect(sqliteopening.uri(self.filename), self.durable, self.timeout)
                break
            except sqlite3.OperationalError as error:
                # SQLite says no more than "unable to open database file".
                reason = why_not(os.path.realpath(self.filename))
                if tries == 0 or reason or str(error) == _BUSY:
                    raise sqlite3.OperationalError(": ".join(filter(None, [str(error), reason]))) from error
            time.sleep(PAUSE)  # another user is making the logs, and gives them to the group in a moment
        sqlitefiles.share_logs(self.filename, self._access)
        return connection

    def _prepare(self, temporary: str) -> None:
        # As all others: a fork at this moment would leave a child with what SQLite knows of the file.
        connect = partial(sqliteopening.connect, temporary, timeout=self.timeout)
        connections = SQLiteConnections(repr(self), connect, partial(file_at, temporary))
        try:
            with connections.guard():
                connections.get()
        finally:
            connections.close()
