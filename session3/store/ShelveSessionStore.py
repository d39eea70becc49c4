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
deleted survives a power cut, too. An existing shelf of another flavour
(gdbm, ndbm, SQLite), where a lock alone can't promise that, is converted at the first write. A reader of the shelf sees
None for a session that was deleted, until the next sweep; and a second key, the id and ":touched", where a session was
read but not changed for a while. A damaged value that does not even begin as a session does is left alone, also by the
sweep: it may be yours.
"""

import contextlib
import io
import os
import pickle
from collections.abc import Hashable, Iterator
from typing import Any

from ..datafaults import raises_again
from ..record import Record
from ..shelf import open_shelf
from ..ShelfTransaction import ShelfTransaction
from .failures import unavailable_on
from .places import file_place
from .RecordStore import RecordStore

_TOUCHED = b":touched"  # no id has a colon
#: What stands for a deleted session, until a sweep takes it out: to do that, the whole index has to be written anew.
_DEAD = pickle.dumps(None, 5)
_HEAD_AT, _HEAD = 11, b"}\x94(\x8c\x07payload\x94"  # how a record goes on behind protocol and length
_BATCH = 200  # keys that a sweep looks at under one lock


class ShelveSessionStore(RecordStore):
    """Keeps each session as a dict of its record's fields, pickled by the rules of `shelve`."""

    is_multiprocess_safe = True
    is_thread_safe = True

    def __init__(self, filename: str | os.PathLike[str], *, durable: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.filename = os.path.abspath(filename)
        self._shelf = open_shelf(self.filename, durable=durable)

    def __repr__(self) -> str:
        return f"ShelveSessionStore({self.filename!r})"

    def place(self) -> Hashable | None:
        return file_place("shelf", self.filename)

    def close(self) -> None:
        self._shelf.close()

    @unavailable_on(OSError)
    def read(self, key: str) -> Record | None:
        return self._read(self._shelf, key)

    @unavailable_on(OSError)
    def insert(self, key: str, record: Record) -> bool:
        with self._shelf.writing() as shelf:
            if shelf.get(key.encode()) not in (None, _DEAD):
                return False
            shelf[key.encode()] = _pickled(record._asdict())
            return True

    @unavailable_on(OSError)
    def replace(self, key: str, record: Record, revision: int) -> bool:
        with self._changing(key) as shelf:
            current = None if shelf is None else self._read(shelf, key)
            if shelf is None or current is None or current.revision != revision:
                return False
            shelf[key.encode()] = _pickled(record._asdict())
            return True

    @unavailable_on(OSError)
    def remove(self, key: str, revision: int | None = None) -> bool:
        with self._changing(key) as shelf:
            if shelf is None or shelf.get(key.encode()) in (None, _DEAD):
                return False
            current = self._read(shelf, key)
            if current is not None and current.forward is not None:
                return False
            if revision is not None and (current is None or current.revision != revision):
                return False
            shelf[key.encode()] = _DEAD
            return True

    @unavailable_on(OSError)
    def touch(self, key: str, revision: int, accessed: float, expires: float | None) -> bool:
        with self._changing(key) as shelf:
            current = None if shelf is None else self._read(shelf, key)
            if shelf is None or current is None or current.revision != revision:
                return False
            touched = current.touched(accessed, expires, self.clock())
            shelf[key.encode() + _TOUCHED] = _pickled((touched.revision, touched.accessed, touched.expires))
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
                    if value is None or value == _DEAD:
                        continue
                    record = self._read(shelf, name.decode("latin-1"))
                    if _was_ours(value) if record is None else record.is_due(now, unused_for):
                        shelf[name] = _DEAD
                        deleted += 1
                    elif record is not None:
                        left += record.is_session(now)
        self._bury(names)
        return deleted, left

    @unavailable_on(OSError)
    def create(self) -> None:
        with self._shelf.writing():
            pass  # the files are there now

    @unavailable_on(OSError)
    def clear(self) -> None:
        with self._shelf.writing() as shelf:
            ours = [key for key in shelf.keys() if key.endswith(_TOUCHED) or self._is_ours(shelf, key)]
            shelf.remove(ours)

    # -- the shelf ---------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _changing(self, key: str) -> Iterator[ShelfTransaction | None]:
        """Lock the shelf to change what is under a key; None if nothing is, so that no file is made for that."""
        if self._shelf.get(key.encode()) is None:
            yield None
        else:
            with self._shelf.writing() as shelf:
                yield shelf

    def _bury(self, names: list[bytes]) -> None:
        """Take the dead out of the index, all in one step: it costs as much as one."""
        if any(self._shelf.get(name) == _DEAD for name in names):
            with self._shelf.writing() as shelf:
                dead = (name for name in names if shelf.get(name) == _DEAD)
                shelf.remove(each for name in dead for each in (name, name + _TOUCHED))

    def _is_ours(self, shelf: Any, key: bytes) -> bool:
        return shelf.get(key) == _DEAD or self._read(shelf, key.decode("latin-1")) is not None

    def _names(self) -> list[bytes]:
        # As the index has them in memory already.
        return [name for name in self._shelf.keys() if not name.endswith(_TOUCHED)]

    def _read(self, shelf: Any, key: str) -> Record | None:
        value = shelf.get(key.encode())
        if value is None or value == _DEAD:
            return None
        touched = shelf.get(key.encode() + _TOUCHED)
        try:
            return _record_of(value, touched)
        except Exception as error:  # garbage can make a decoder raise anything
            if not raises_again(error, _record_of, value, touched):
                raise
            self._report_damage(key, error)
            return None


def _record_of(value: bytes, touched: bytes | None) -> Record:
    record = Record(**_unpickled(value))
    if touched is not None:
        revision, accessed, expires = _unpickled(touched)
        if revision == record.revision:
            record = record._replace(accessed=accessed, expires=expires)
    return record


def _was_ours(value: bytes) -> bool:
    """Tell whether a value that is no record was one: it still begins as one, but can't be unpickled.

    What can is of another version of ours, perhaps, or somebody else's.
    """
    if not value.startswith(_HEAD, _HEAD_AT):
        return False
    try:
        _unpickled(value)
    except Exception as error:  # garbage can make a decoder raise anything
        if not raises_again(error, _unpickled, value):
            raise
        return True
    return False


class _PlainUnpickler(pickle.Unpickler):
    """Reads what needs no import, so that a planted pickle does nothing; the payload inside is checked later."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a record")


def _pickled(value: Any) -> bytes:
    return pickle.dumps(value, 5)


def _unpickled(data: bytes) -> Any:
    return _PlainUnpickler(io.BytesIO(data)).load()
