"""Sessions in a Durus database: a file of one process, or a server for many.

>>> import tempfile
>>> from session3.durusfiles import DurusFile
>>> from session3.Session import Session
>>> store = DurusSessionStore(DurusFile(tempfile.mkdtemp() + "/sessions.durus"))
>>> session = Session("example1")
>>> session.set_user("alice")
>>> store.save_session(session)
>>> store.load_session("example1").user
'alice'
>>> store.close()

Threads: safe. Processes: a server (ClientStorage) is for any number of them; FileStorage and SqliteStorage are for
one. Crash: a save that returned is there, also after kill -9 of the process or of the server; a machine that loses its
power may lose the last saves, except in an SQLite file. A save costs the same among ten sessions and a million.

`connection` is a callable without arguments that opens a `durus.connection.Connection`: DurusFile, DurusServer, or one
of your own. Each process then opens its own; a file that a killed process left is mended, and to a server that was away
it connects again. Or it is a Connection, that nothing else may use. That can't be opened again: after a fork, and once
its server or its disk failed, every call is StoreUnavailable, until the application opens another one and makes another
store. It is opened and closed by the application; session3.durusfiles has functions that do it safely.

Each write adds to the file: call `pack` now and then, at night perhaps. In the root of the database there is
`session3`, a BTree of PersistentDicts by key; each leads to another one, `touched`, for what a touch writes.

What session3 3.4.1 kept in the root under `sessions` is read as it is, and each session is rewritten at its next save;
not where a `secret_key` or `encryption_key` is set, since it bears no signature, unless `accepts` says so. A file
that was removed or replaced is noticed before each transaction.
"""

import dataclasses
import logging
from collections.abc import Hashable, Iterator
from typing import Any

from ..durusfiles import DurusFile
from ..durusstorages import identity, is_bound_to_thread, is_shared, place
from ..DurusTransactions import DurusFailure, DurusTransactions
from ..errors import ConfigurationError, StoreNotSetUp
from ..record import Record
from . import durusrecord, durussweep
from .failures import unavailable_on
from .OldDurusSessions import OldDurusSessions
from .places import file_place
from .RecordStore import RecordStore

_PAGE = 100  # records that `scan` holds at once


class DurusSessionStore(RecordStore):
    """Keeps each session as two persistent objects; see durusrecord.

    `mode` and `group`: of a file that a DurusFile creates, where it is not for its owner only.
    """

    _has_upstream = True

    def __init__(
        self, connection: Any, *, mode: int | None = None, group: str | int | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        if mode is not None or group is not None:
            if not isinstance(connection, DurusFile):
                raise ConfigurationError("mode and group are for files that a DurusFile creates")
            connection = dataclasses.replace(connection, mode=mode, group=group)
        self._source = connection
        self._transactions = DurusTransactions(connection)
        storage = self._transactions.storage
        self.is_thread_safe = not is_bound_to_thread(storage)
        self.is_multiprocess_safe = getattr(connection, "is_multiprocess_safe", is_shared(storage))

    def __repr__(self) -> str:
        return f"DurusSessionStore({place(self._transactions.storage) or str(self._source)!r})"

    @unavailable_on(DurusFailure)
    def place(self) -> Hashable | None:
        storage = self._transactions.run(lambda root, again: self._transactions.storage, creates=False)
        return file_place("durus", str(self._source)) if storage is None else identity(storage)

    def close(self) -> None:
        self._transactions.close()

    @unavailable_on(DurusFailure)
    def pack(self) -> None:
        """Make the file smaller: drop what was overwritten and deleted. Needs room for a second file meanwhile.

        Other threads and processes work on. A server packs by itself, after this has returned.
        """
        self._transactions.pack()

    @unavailable_on(DurusFailure, OSError)
    def check(self) -> None:
        was_open = self._transactions.storage is not None
        if isinstance(self._source, DurusFile):
            self._source.check()
        try:
            if self._transactions.run(lambda root, again: durusrecord.is_strange(root), creates=False):
                raise StoreNotSetUp(f"{self!r} holds something else under the name {durusrecord.NAME!r}")
        finally:
            if not was_open:
                self._transactions.close()  # another process may be the one to use it

    # -- the verbs ---------------------------------------------------------------------------------------------------

    @unavailable_on(DurusFailure)
    def read(self, key: str) -> Record | None:
        def work(root: Any, again: bool) -> Record | None:
            found = durusrecord.tree(root).get(key)
            return self._old(root).get(key) if found is None else self._unpack(key, found)

        return self._transactions.run(work, creates=False, only_reads=True)

    @unavailable_on(DurusFailure)
    def insert(self, key: str, record: Record) -> bool:
        def work(root: Any, again: bool) -> bool:
            tree = durusrecord.make_tree(root)
            found = tree.get(key)
            if found is None and self._old(root).look(key):
                return False
            if found is None:
                tree[key] = durusrecord.pack(record)
            return found is None or (again and durusrecord.revision(found) == record.revision)

        return self._transactions.run(work)

    @unavailable_on(DurusFailure)
    def replace(self, key: str, record: Record, revision: int) -> bool:
        def work(root: Any, again: bool) -> bool:
            found = durusrecord.tree(root).get(key)
            if found is None and self._rewrite(root, key, record, revision):
                return True
            if found is None or durusrecord.revision(found) != revision:
                return again and found is not None and durusrecord.revision(found) == record.revision
            found.update(record._asdict())
            return True

        return self._transactions.run(work, creates=False)

    @unavailable_on(DurusFailure)
    def remove(self, key: str, revision: int | None = None) -> bool:
        def work(root: Any, again: bool) -> bool:
            tree = durusrecord.tree(root)
            found = tree.get(key)
            if found is None and (old := self._old(root).look(key)) and revision in (None, old.revision):
                self._old(root).remove(key)
                return True
            if found is None:
                return again  # by us, then, as far as anybody can tell
            record = durusrecord.look(found)
            if record is not None and record.forward is not None:
                return False
            if revision is not None and (record is None or record.revision != revision):
                return False
            del tree[key]
            return True

        return self._transactions.run(work, creates=False)

    @unavailable_on(DurusFailure)
    def touch(self, key: str, revision: int, accessed: float, expires: float | None) -> bool:
        def work(root: Any, again: bool) -> bool:
            found = durusrecord.tree(root).get(key)
            if found is None and (old := self._old(root).get(key)):
                return self._rewrite(root, key, old.touched(accessed, expires, self.clock()), revision)
            record = None if found is None else durusrecord.look(found)
            if record is None or record.revision != revision:
                return False
            now = record.touched(accessed, expires, self.clock())
            found["touched"].update(revision=now.revision, accessed=now.accessed, expires=now.expires)
            return True

        return self._transactions.run(work, creates=False)

    @unavailable_on(DurusFailure)
    def scan(self) -> Iterator[tuple[str, Record]]:
        def work(root: Any, again: bool) -> list[tuple[str, Record | None]]:
            return [(key, self._unpack(key, found)) for key, found in durusrecord.page(root, last, _PAGE)]

        last = ""
        while page := self._transactions.run(work, creates=False):
            self._transactions.free()
            for key, record in page:
                if record is not None:
                    yield key, record
            last = page[-1][0]
        for key in self._transactions.run(lambda root, again: self._old(root).keys(), creates=False):
            record = self.read(key)
            if record is not None:
                yield key, record

    @unavailable_on(DurusFailure)
    def sweep(self, unused_for: float | None) -> tuple[int, int]:
        return durussweep.sweep(self._transactions, self._old, self.clock(), unused_for)

    @unavailable_on(DurusFailure)
    def create(self) -> None:
        self._transactions.run(lambda root, again: durusrecord.make_tree(root) and None)

    @unavailable_on(DurusFailure)
    def clear(self) -> None:
        def work(root: Any, again: bool) -> None:
            if durusrecord.make_tree(root):
                del root[durusrecord.NAME]
                durusrecord.make_tree(root)
            old = self._old(root)
            for key in old.keys():
                old.remove(key)

        self._transactions.run(work)

    def _unpack(self, key: str, found: Any) -> Record | None:
        try:
            return None if found is None else durusrecord.unpack_whole(found)
        except durusrecord.DAMAGE as error:
            durusrecord.pass_on(error)
            self._report_damage(key, repr(error))
            return None

    # -- what session3 3.4.1 left ------------------------------------------------------------------------------------

    def _old(self, root: Any) -> OldDurusSessions:
        def report(key: str, what: str) -> None:
            self._report(logging.WARNING, key, what)

        return OldDurusSessions(root, self.codec, report, self._reads_unsealed())

    def _rewrite(self, root: Any, key: str, record: Record, revision: int) -> bool:
        """Put a record in place of an old session of this revision; False if there is none."""
        old = self._old(root)
        found = old.get(key)
        if found is None or found.revision != revision:
            return False
        durusrecord.make_tree(root)[key] = durusrecord.pack(record)
        old.remove(key)
        return True
