"""The SQL of all SQL stores, once; a dialect says how to run a statement, and how it spells what differs."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from ..record import Record, record_of
from .RecordStore import RecordStore

TIMES = ("created", "modified", "accessed", "expires")
COLUMNS = ("payload", "revision", *TIMES, "user_key", "forward")
_PAGE = 200  # records that `scan` holds at once


class SQLSessionStore(RecordStore):
    """Base of the SQL stores: one row a record, one statement a verb, each of them a transaction of its own."""

    # -- the dialect -------------------------------------------------------------------------------------------------

    #: How a parameter is written, and how one that is a time, given by `_parameter`.
    PARAMETER = "?"
    TIME_PARAMETER = "?"
    #: What is read of a record, for `_record_of`.
    RECORD = ", ".join(COLUMNS)
    #: The larger of two values, of which none is NULL.
    GREATEST = "max"
    #: The end of an INSERT that does nothing where the key is taken.
    UNLESS_TAKEN = " ON CONFLICT DO NOTHING"
    #: The column in whose order a sweep goes through the table, and a value before all that it can have.
    ORDER = "id"
    START: Any = ""
    #: Rows that a sweep looks at in one transaction: a writer waits for the end of it at most.
    BATCH = 1000

    @abstractmethod
    def _query(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows."""

    @abstractmethod
    def _change(self, sql: str, parameters: Sequence[Any]) -> int:
        """Run a statement, commit it, and return how many rows it found to change."""

    def _parameters(self, record: Record) -> Sequence[Any]:
        return record

    def _record_of(self, row: Sequence[Any], key: str) -> Record | None:
        """Return the record of a row of RECORD; None if the row could not be told whole, and is gone by now."""
        return record_of(row)

    def _check_order(self, keys: Sequence[Any]) -> None:
        """Raise StoreUnavailable where keys that don't grow mean damage, which a scan might meet for ever."""

    @abstractmethod
    def _due(self, unused_for: float | None) -> tuple[str, Sequence[Any]]:
        """Return the condition for what a sweep takes (Record.is_due), and its parameters."""

    @abstractmethod
    def _live(self) -> tuple[str, Sequence[Any]]:
        """Return the condition for a session that has not expired, and its parameters."""

    def _set_right(self, after: Any, end: Any) -> None:
        """Do what Record.set_right does with the rows of a batch, where times are by this machine's clock."""

    # -- the statements ----------------------------------------------------------------------------------------------

    def __init__(self, table: str, **options: Any) -> None:
        super().__init__(**options)
        self._table = table
        one, time = self.PARAMETER, self.TIME_PARAMETER
        values = [time if column in TIMES else one for column in COLUMNS]
        assignments = ", ".join(f"{column} = {value}" for column, value in zip(COLUMNS, values, strict=True))
        self._select = f"SELECT {self.RECORD} FROM {table} WHERE id = {one}"
        self._insert = f"INSERT INTO {table} ({', '.join(COLUMNS)}, id) VALUES ({', '.join(values)}, {one})"
        self._insert += self.UNLESS_TAKEN
        self._update = f"UPDATE {table} SET {assignments} WHERE id = {one} AND revision = {one}"
        self._delete = f"DELETE FROM {table} WHERE id = {one} AND forward IS NULL"
        self._delete_revision = f"{self._delete} AND revision = {one}"
        # The expiry first: MySQL works from left to right, on what it has just set.
        expiry = f"expires = CASE WHEN accessed <= {time} THEN coalesce({time}, expires) ELSE expires END"
        access = f"accessed = {self.GREATEST}(accessed, {time})"
        self._touch = f"UPDATE {table} SET {expiry}, {access} WHERE id = {one} AND revision = {one}"
        self._page = f"SELECT {self.RECORD}, id FROM {table} WHERE id > {one} ORDER BY id LIMIT {_PAGE}"

    # -- the verbs ---------------------------------------------------------------------------------------------------

    def read(self, key: str) -> Record | None:
        rows = self._query(self._select, (key,))
        return self._record_of(rows[0], key) if rows else None

    def insert(self, key: str, record: Record) -> bool:
        return self._change(self._insert, (*self._parameters(record), key)) == 1

    def replace(self, key: str, record: Record, revision: int) -> bool:
        return self._change(self._update, (*self._parameters(record), key, revision)) == 1

    def remove(self, key: str, revision: int | None = None) -> bool:
        if revision is None:
            return self._change(self._delete, (key,)) == 1
        return self._change(self._delete_revision, (key, revision)) == 1

    def touch(self, key: str, revision: int, accessed: float, expires: float | None) -> bool:
        return self._change(self._touch, (accessed, expires, accessed, key, revision)) == 1

    def scan(self) -> Iterator[tuple[str, Record]]:
        last = ""
        # Pages by key, each fetched whole: a half-read cursor would stand in the way of writers.
        while rows := self._query(self._page, (last,)):
            self._check_order([last, *(row[-1] for row in rows)])
            for *columns, key in rows:
                record = self._record_of(columns, key)
                if record is not None:
                    yield key, record
            last = rows[-1][-1]

    def sweep(self, unused_for: float | None) -> tuple[int, int]:
        # In batches through the whole table, once a night perhaps: an index on times that change with each save would
        # cost more at each save.
        order, one = self.ORDER, self.PARAMETER
        (due, ages), (live, now) = self._due(unused_for), self._live()
        rows = (
            f"SELECT {order} AS place, CASE WHEN {due} THEN 0 WHEN {live} THEN 1 ELSE 0 END AS kept"
            f" FROM {self._table} WHERE {order} > {one} ORDER BY {order} LIMIT {self.BATCH}"
        )
        delete = f"DELETE FROM {self._table} WHERE {order} > {one} AND {order} <= {one} AND {due}"
        deleted, left, last = 0, 0, self.START
        while found := self._query(f"SELECT max(place), sum(kept) FROM ({rows}) AS batch", (*ages, *now, last)):
            end, kept = found[0]
            if end is None:
                break
            deleted += self._change(delete, (last, end, *ages))
            self._set_right(last, end)
            left, last = left + int(kept), end
        return deleted, left
