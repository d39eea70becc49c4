"""Sessions in a shelf: the two files of `dbm.dumb`, that the standard `shelve` reads.

>>> import shelve, tempfile
>>> from session3.Session import Session
>>> filename = tempfile.mkdtemp() + "/sessions"
>>> store = ShelveSessionStore(filename)
>>> session = Session("example1")
>>> session.set_user("alice")
>>> store.save_session(session)
>>> with shelve.open(filename, flag="r") as shelf:
...     sorted(shelf), sorted(shelf["example1"])[:3]
(['example1'], ['accessed', 'created', 'expires'])

Threads and processes: safe. Crash: safe at any moment, also inside compaction; with `durable` what was saved and
deleted survives a power cut, too. Each value says whose it is: one that lies in another's place, after a power cut or
in a copy whose two files are of different moments, is damage. An existing shelf of another flavour
(gdbm, ndbm, SQLite), where a lock alone can't promise that, is converted at the first write. A reader of the shelf sees
None for a session that was deleted, until the next sweep; and a second key, the id and ":touched", where a session was
read but not changed for a while. A damaged value that does not even begin as a session does is left alone, also by the
sweep: it may be yours. What session3 3.4.1 left in a shelf is read as it is, and each session is rewritten at its next
save; not where a `secret_key` or `encryption_key` is set, since it bears no signature, unless `accepts` says so.
"""

import contextlib
import logging
import os
from collections.abc import Hashable, Iterator
from typing import Any, Protocol

from ..access import access_of
from ..errors import DamagedRecord
from ..record import Record
from ..shelf import open_shelf
from ..ShelfTransaction import ShelfTransaction
from . import shelverecord
from .failures import unavailable_on
from .places import file_place
from .RecordStore import RecordStore
from .shelverecord import DEAD, TOUCHED, UNSIGNED

_BATCH = 200  # keys that a sweep looks at under one lock


class _Values(Protocol):
    """A shelf, or a transaction on one."""

    def get_each(self, *keys: bytes) -> list[bytes | None]: ...
    def earlier(self, key: bytes) -> list[bytes]: ...


class ShelveSessionStore(RecordStore):
    """Keeps each session as a dict of its record's fields, pickled by the rules of `shelve`."""

    _has_upstream = True
    is_multiprocess_safe = True
    is_thread_safe = True

    def __init__(
        self,
        filename: str | os.PathLike[str],
        *,
        durable: bool = False,
        mode: int | None = None,
        group: str | int | None = None,
        **options: Any,
    ) -> None:
        """`mode` and `group`: of the files that it creates, where they are not for their owner only."""
        super().__init__(**options)
        self.filename = os.path.abspath(filename)
        self._shelf = open_shelf(self.filename, durable=durable, access=access_of(mode, group))

    def __repr__(self) -> str:
        return f"ShelveSessionStore({self.filename!r})"

    def place(self) -> Hashable | None:
        return file_place("shelf", self.filename)

    def close(self) -> None:
        self._shelf.close()

    @unavailable_on(OSError)
    def check(self) -> None:
        self._shelf.check()

    @unavailable_on(OSError)
    def read(self, key: str) -> Record | None:
        return self._read(self._shelf, key)

    @unavailable_on(OSError)
    def insert(self, key: str, record: Record) -> bool:
        with self._shelf.writing() as shelf:
            if shelf.get(key.encode()) not in (None, DEAD):
                return False
            shelf[key.encode()] = shelverecord.pack(key, record)
            return True

    @unavailable_on(OSError)
    def replace(self, key: str, record: Record, revision: int) -> bool:
        with self._changing(key) as shelf:
            current = None if shelf is None else self._read(shelf, key)
            if shelf is None or current is None or current.revision != revision:
                return False
            shelf[key.encode()] = shelverecord.pack(key, record)
            return True

    @unavailable_on(OSError)
    def remove(self, key: str, revision: int | None = None) -> bool:
        with self._changing(key) as shelf:
            if shelf is None or shelf.get(key.encode()) in (None, DEAD):
                return False
            current = self._read(shelf, key)
            if current is not None and current.forward is not None:
                return False
            if revision is not None and (current is None or current.revision != revision):
                return False
            shelf[key.encode()] = DEAD
            return True

    @unavailable_on(OSError)
    def touch(self, key: str, revision: int, accessed: float, expires: float | None) -> bool:
        with self._changing(key) as shelf:
            current = None if shelf is None else self._read(shelf, key)
            if shelf is None or current is None or current.revision != revision:
                return False
            touched = current.touched(accessed, expires, self.clock())
            shelf[key.encode() + TOUCHED] = shelverecord.pack_note(touched)
            return True

    @unavailable_on(OSError)
    def scan(self) -> Iterator[tuple[str, Record]]:
        for name in self._names():
            key = name.decode("latin-1")
            record = self.read(key)
            if record is not None:
                yield key, record

    @unavailable_on(OSError)
    def sweep(self, unused_for: float | None) -> tuple[int, int]:
        now = self.clock()
        deleted = left = 0
        names = self._names()
        for start in range(0, len(names), _BATCH):
            with self._shelf.writing() as shelf:
                for name in names[start : start + _BATCH]:
                    value = shelf.get(name)
                    if value is None or value == DEAD:
                        continue
                    record = self._look(shelf, name.decode("latin-1"))
                    if shelverecord.was_ours(value) if record is None else record.is_due(now, unused_for):
                        shelf[name] = DEAD
                        deleted += 1
                    elif record is not None:
                        left += record.is_session(now)
                        self._set_right(shelf, name, value, record)
        self._bury(names)
        return deleted, left

    @unavailable_on(OSError)
    def create(self) -> None:
        with self._shelf.writing():
            pass  # the files are there now

    @unavailable_on(OSError)
    def clear(self) -> None:
        with self._shelf.writing() as shelf:
            ours = [key for key in shelf.keys() if key.endswith(TOUCHED) or self._is_ours(shelf, key)]
            shelf.remove(ours)

    # -- the shelf ---------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _changing(self, key: str) -> Iterator[ShelfTransaction | None]:
        """Lock the shelf to change what is under a key; None if nothing is there at all: no file is made for that."""
        if not self._shelf.is_open() and self._shelf.get(key.encode()) is None:
            yield None
        else:
            with self._shelf.writing() as shelf:
                yield shelf

    def _bury(self, names: list[bytes]) -> None:
        """Take the dead out of the index, all in one step: it costs as much as one."""
        if names:
            with self._shelf.writing() as shelf:
                shelf.sweep_litter()
                dead = (name for name in names if shelf.get(name) == DEAD)
                shelf.remove(each for name in dead for each in (name, name + TOUCHED))

    def _set_right(self, shelf: ShelfTransaction, name: bytes, value: bytes, record: Record) -> None:
        """Let a record that session3 4.0.0a1 wrote say whose it is, and one from times to come grow older."""
        key, is_ahead = name.decode("latin-1"), record.is_ahead(self.clock())
        if is_ahead or shelverecord.lacks_key(value):
            with contextlib.suppress(DamagedRecord):  # then it is one of 3.4.1, which knows its id
                whole = shelverecord.unpack(key, value)
                shelf[name] = shelverecord.pack(key, record.set_right(self.clock()) if is_ahead else whole)

    def _is_ours(self, shelf: ShelfTransaction, name: bytes) -> bool:
        value = shelf.get(name)
        if value is None or value == DEAD:
            return value == DEAD
        return shelverecord.was_ours(value) or self._look(shelf, name.decode("latin-1")) is not None

    def _names(self) -> list[bytes]:
        # As the index has them in memory already.
        return [name for name in self._shelf.keys() if not name.endswith(TOUCHED)]

    # -- records -----------------------------------------------------------------------------------------------------

    def _read(self, shelf: _Values, key: str) -> Record | None:
        return self._look(shelf, key, is_to_open=True)

    def _look(self, shelf: _Values, key: str, *, is_to_open: bool = False) -> Record | None:
        """Return the record under a key; one that no session may be opened from only to those that do not want to."""
        name = key.encode()
        value, note = shelf.get_each(name, name + TOUCHED)
        if value is None or value == DEAD:
            return None
        try:
            record = shelverecord.unpack(key, value)
        except DamagedRecord as error:
            upstream = shelverecord.unpack_upstream(key, value) if shelverecord.names_class(error) else None
            if upstream is None or (is_to_open and not self._reads_unsealed()):
                if upstream is None:
                    self._report_damage(key, error)
                else:
                    self._report(logging.WARNING, key, UNSIGNED)
                return None
            record = upstream
        if note is None:
            return record
        noted = shelverecord.with_note(record, [note])
        if noted is None:  # a power cut took it
            noted = shelverecord.with_note(record, shelf.earlier(name + TOUCHED))
        return record if noted is None else noted
