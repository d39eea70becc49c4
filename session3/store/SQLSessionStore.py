"""The SQL of all SQL stores, once; a dialect says how to run a statement, and how it spells what differs."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from ..record import Record
from .RecordStore import RecordStore

_COLUMNS = ("payload", "revision", "created", "modified", "accessed", "expires", "user_key", "forward")
_PAGE = 200  # records that `scan` holds at once


class SQLSessionStore(RecordStore):
    """Base of the SQL stores: one row a record, one statement a verb, each of them a transaction of its own."""

    table = "session3"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        columns = ", ".join(_COLUMNS)
        table = self.table
        self._select = f"SELECT {columns} FROM {table} WHERE id = ?"
        self._insert = f"INSERT INTO {table} ({columns}, id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
        assignments = ", ".join(f"{column} = ?" for column in _COLUMNS)
        self._update = f"UPDATE {table} SET {assignments} WHERE id = ? AND revision = ?"
        self._delete = f"DELETE FROM {table} WHERE id = ?"
        self._touch = f"UPDATE {table} SET accessed = max(accessed, ?), expires = coalesce(?, expires) WHERE id = ?"
        self._page = f"SELECT id, {columns} FROM {table} WHERE id > ? ORDER BY id LIMIT {_PAGE}"

    # -- the dialect -------------------------------------------------------------------------------------------------

    @abstractmethod
    def _query(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows."""

    @abstractmethod
    def _change(self, sql: str, parameters: Sequence[Any]) -> int:
        """Run a statement, commit it, and return how many rows it changed."""

    # -- the verbs ---------------------------------------------------------------------------------------------------

    def read(self, key: str) -> Record | None:
        rows = self._query(self._select, (key,))
        return Record._make(rows[0]) if rows else None

    def insert(self, key: str, record: Record) -> bool:
        return self._change(self._insert, (*record, key)) == 1

    def replace(self, key: str, record: Record, revision: int) -> bool:
        return self._change(self._update, (*record, key, revision)) == 1

    def remove(self, key: str, revision: int | None = None) -> bool:
        if revision is None:
            return self._change(self._delete, (key,)) == 1
        return self._change(self._delete + " AND revision = ?", (key, revision)) == 1

    def touch(self, key: str, accessed: float, expires: float | None) -> bool:
        return self._change(self._touch, (accessed, expires, key)) == 1

    def scan(self) -> Iterator[tuple[str, Record]]:
        last = ""
        # Pages by key, each fetched whole: a half-read cursor would stand in the way of writers.
        while rows := self._query(self._page, (last,)):
            for key, *columns in rows:
                yield key, Record._make(columns)
            last = rows[-1][0]
