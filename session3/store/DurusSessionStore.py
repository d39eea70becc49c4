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
"""

from collections.abc import Hashable, Iterator
from typing import Any

from ..datafaults import raises_again
from ..durusstorages import identity, is_bound_to_thread, is_shared, place
from ..DurusTransactions import DurusFailure, DurusTransactions
from ..record import Record
from . import durusrecord
from .failures import unavailable_on
from .places import file_place
from .RecordStore import RecordStore

_PAGE = 100  # records that `scan` holds at once
_GONE = object()  # None may be what a damaged record is
_BATCH = 500  # records that a sweep looks at, or deletes, in one transaction


class DurusSessionStore(RecordStore):
    """Keeps each session as two persistent objects; see durusrecord."""

    def __init__(self, connection: Any, **options: Any) -> None:
        super().__init__(**options)
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

    # -- the verbs ---------------------------------------------------------------------------------------------------

    @unavailable_on(DurusFailure)
    def read(self, key: str) -> Record | None:
        def work(root: Any, again: bool) -> Record | None:
            return self._unpack(key, durusrecord.tree(root).get(key))

        return self._transactions.run(work, creates=False)

    @unavailable_on(DurusFailure)
    def insert(self, key: str, record: Record) -> bool:
        def work(root: Any, again: bool) -> bool:
            tree = durusrecord.make_tree(root)
            found = tree.get(key)
            if found is None:
                tree[key] = durusrecord.pack(record)
            return found is None or (again and durusrecord.revision(found) == record.revision)

        return self._transactions.run(work)

    @unavailable_on(DurusFailure)
    def replace(self, key: str, record: Record, revision: int) -> bool:
        def work(root: Any, again: bool) -> bool:
            found = durusrecord.tree(root).get(key)
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

    @unavailable_on(DurusFailure)
    def sweep(self, unused_for: float | None) -> tuple[int, int]:
        now = self.clock()

        def look(root: Any, again: bool) -> tuple[str, set[str], int]:
            page = durusrecord.page(root, last, _BATCH)
            due = {key for key, found in page if durusrecord.is_due(found, now, unused_for)}
            left = sum(key not in due and durusrecord.is_session(found, now) for key, found in page)
            return (page[-1][0] if page else ""), due, left

        # A transaction of its own, which meets only what is due: to have looked at a session that somebody saves would
        # be a conflict, each time.
        def delete(root: Any, again: bool) -> int:
            tree = durusrecord.tree(root)
            found = {key: tree.get(key, _GONE) for key in due}
            still = [key for key, one in found.items() if one is not _GONE and durusrecord.is_due(one, now, unused_for)]
            for key in still:
                del tree[key]
            return len(due) if again else len(still)

        last, deleted, left = "", 0, 0
        while True:
            last, due, kept = self._transactions.run(look, creates=False)
            if not last:
                return deleted, left
            if due:
                deleted += self._transactions.run(delete, creates=False)
            left += kept
            self._transactions.free()

    @unavailable_on(DurusFailure)
    def create(self) -> None:
        self._transactions.run(lambda root, again: durusrecord.make_tree(root) and None)

    @unavailable_on(DurusFailure)
    def clear(self) -> None:
        def work(root: Any, again: bool) -> None:
            if durusrecord.make_tree(root):
                del root[durusrecord.NAME]
                durusrecord.make_tree(root)

        self._transactions.run(work)

    def _unpack(self, key: str, found: Any) -> Record | None:
        try:
            return None if found is None else durusrecord.unpack_whole(found)
        except durusrecord.DAMAGE as error:
            if not raises_again(error, durusrecord.unpack_whole, found):
                raise
            self._report_damage(key, repr(error))
            return None
