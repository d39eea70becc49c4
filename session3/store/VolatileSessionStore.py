"""Sessions in this process's memory: for tests, and for a single process that may forget.

>>> from session3.Session import Session
>>> store = VolatileSessionStore()
>>> session = Session("example1")
>>> session.set_user("alice")
>>> store.save_session(session)
>>> store.load_session("example1").user
'alice'

Threads: safe. Processes: each has its own sessions; a forked child starts with a copy. Crash: all is lost.
"""

import os
import threading
from collections.abc import Iterator
from typing import Any

from ..record import Record
from .RecordStore import RecordStore


class VolatileSessionStore(RecordStore):
    """Keeps bytes and returns copies, so that an application behaves as it will on any other store."""

    is_thread_safe = True

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._records: dict[str, Record] = {}
        self._new_lock()

    def _new_lock(self) -> None:
        self._lock, self._pid = threading.Lock(), os.getpid()

    def _locked(self) -> threading.Lock:
        # A thread of the parent may have held the lock at a fork, and nobody is left to release it.
        if self._pid != os.getpid():
            self._new_lock()
        return self._lock

    def __repr__(self) -> str:
        return "VolatileSessionStore()"

    def read(self, key: str) -> Record | None:
        return self._records.get(key)

    def insert(self, key: str, record: Record) -> bool:
        with self._locked():
            return self._records.setdefault(key, record) is record

    def replace(self, key: str, record: Record, revision: int) -> bool:
        with self._locked():
            current = self._records.get(key)
            if current is None or current.revision != revision:
                return False
            self._records[key] = record
            return True

    def remove(self, key: str, revision: int | None = None) -> bool:
        with self._locked():
            current = self._records.get(key)
            if current is None or current.forward is not None or revision not in (None, current.revision):
                return False
            del self._records[key]
            return True

    def touch(self, key: str, revision: int, accessed: float, expires: float | None) -> bool:
        with self._locked():
            current = self._records.get(key)
            if current is None or current.revision != revision:
                return False
            self._records[key] = current.touched(accessed, expires, self.clock())
            return True

    def scan(self) -> Iterator[tuple[str, Record]]:
        with self._locked():
            keys = list(self._records)
        for key in keys:
            record = self._records.get(key)
            if record is not None:
                yield key, record

    def sweep(self, unused_for: float | None) -> tuple[int, int]:
        now = self.clock()
        with self._locked():
            due = [key for key, record in self._records.items() if record.is_due(now, unused_for)]
            for key in due:
                del self._records[key]
            for key, record in self._records.items():
                if record.is_ahead(now):
                    self._records[key] = record.set_right(now)
            return len(due), sum(record.is_session(now) for record in self._records.values())

    def create(self) -> None:
        """There is nothing to create."""

    def check(self) -> None:
        """There is always memory, until there is none."""

    def clear(self) -> None:
        with self._locked():
            self._records.clear()
