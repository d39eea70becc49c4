"""Connections to an SQLite database: opened, and made ready for many writers.

>>> with contextlib.closing(connect(":memory:")) as connection:
...     connection.execute("PRAGMA synchronous").fetchone()
(1,)
"""

import contextlib
import os
import pathlib
import sqlite3
import sys
import time

TIMEOUT = 10.0  # seconds to wait for another writer
PAUSE = 0.01  # seconds between two tries of what does not wait by itself

#: ms, after which SQLite is asked anew: it looks for the other's end after 1, 3, 8, 18 ms and so on, then each 100 ms.
#: Measured: among eight who save without a pause nobody waits for 36 ms any more, where some waited for 330.
_LOOK_AGAIN = 15
#: Without the GIL, to close another thread's connection only notes that its statements are to go, and a child of a fork
#: would finish that under a lock that is not its own.
_CACHED_STATEMENTS = 128 if getattr(sys, "_is_gil_enabled", lambda: True)() else 0


class NotThere(Exception):
    """The database, or the table in it, was not made yet."""


def file_at(name: str) -> tuple[int, int]:
    """Tell which file bears the name now: what goes into one that was removed or replaced would be lost."""
    try:
        stat = os.stat(name)
    except FileNotFoundError:
        raise NotThere from None
    return stat.st_dev, stat.st_ino


def uri(filename: str) -> str:
    """Return the name by which SQLite opens a database, and makes none."""
    return f"{pathlib.Path(filename).as_uri()}?mode=rw"


def connect(name: str, durable: bool = False, timeout: float = TIMEOUT) -> sqlite3.Connection:
    # Other threads use it only to close it, or under the lock of an in-memory database.
    connection = sqlite3.connect(
        name, uri=name.startswith("file:"), timeout=timeout, isolation_level=None, check_same_thread=False,
        cached_statements=_CACHED_STATEMENTS,
    )  # fmt: skip
    try:
        _switch_to_wal(connection, timeout)
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        connection.execute(f"PRAGMA busy_timeout = {_LOOK_AGAIN}")
    except BaseException:
        connection.close()
        raise
    return connection


def _switch_to_wal(connection: sqlite3.Connection, timeout: float) -> None:
    # Somebody else's database may be in another mode, and SQLite does not wait for those who are reading it now.
    for _ in range(int(timeout / PAUSE)):
        if connection.execute("PRAGMA journal_mode").fetchone()[0] in ("wal", "memory"):
            return
        with contextlib.suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
            continue
        time.sleep(PAUSE)
    connection.execute("PRAGMA journal_mode = WAL").fetchone()
