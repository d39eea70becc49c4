"""The table of a store on a database server: made, emptied and looked over."""

import re
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from ..errors import ConfigurationError, SessionError, StoreExists, StoreNotSetUp, StoreUnavailable
from ..record import Record
from .ServerTimes import ServerTimes
from .SQLSessionStore import COLUMNS

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}(\.[A-Za-z_][A-Za-z0-9_]{0,62})?").fullmatch
_OF_3_4_1 = {"id", "pickle", "modify_time"}  # columns
_NOBODY = ""  # a key that no record has


class ServerTable(ServerTimes):
    """What `setup` and `check` are on a database server."""

    #: How the dialect quotes a name.
    QUOTE = '"'
    #: CREATE TABLE and CREATE INDEX statements, for {table} and for {name}, the table's name without schema or quotes.
    DDL: ClassVar[Sequence[str]]

    def __init__(self, table: str | None, **options: Any) -> None:
        self._name = "session3" if table is None else table
        if not _is_name(self._name):  # nor is it repeated: it may be an argument that swapped places with a password
            raise ConfigurationError(
                "a table's name is letters, digits and '_', 63 at most, with a schema or without; the given one is not"
            )
        super().__init__(".".join(f"{self.QUOTE}{part}{self.QUOTE}" for part in self._name.split(".")), **options)

    @abstractmethod
    def _run(self, execute: Callable[[Any, str, Sequence[Any]], Any], sql: str, parameters: Sequence[Any]) -> Any:
        """Run a statement on a connection, by a function that takes both."""

    def setup(self, *, overwrite: bool = False) -> None:
        if self._has_table(may_differ=overwrite):
            if overwrite:
                self._truncate()  # dropped, it would lose what others may do with it, its partitions and its settings
            elif self._holds_sessions():
                raise StoreExists(f"{self!r} holds sessions; setup(overwrite=True) deletes them")
            return
        if overwrite:
            self._change(f"DROP TABLE IF EXISTS {self._table}", ())
        self.create()

    def create(self) -> None:
        for statement in self.DDL:
            self._create(statement.format(table=self._table, name=self._name.split(".")[-1]))

    def clear(self) -> None:
        self._change(f"DELETE FROM {self._table} WHERE id >= ''", ())  # all of them; MySQL may want a key to be named

    def check(self) -> None:
        """Raise what a request would meet, without changing anything: the server is out of reach or a standby
        (StoreUnavailable), the table is missing or of another shape (StoreNotSetUp), a verb is not permitted.
        """
        if not self._has_table():
            raise self._not_set_up()
        now = self.clock()
        record = Record(b"", 0, now, now, now)
        names = ", ".join((*COLUMNS, "id"))
        copy = f"INSERT INTO {self._table} ({names}) SELECT {names} FROM {self._table} WHERE 1 = 0"
        # The permission is asked for before a row is looked for, and each finds none.
        tries: dict[str, Callable[[], object]] = {
            "read": lambda: self.read(_NOBODY),
            "insert": lambda: self._change(copy, ()),
            "update": lambda: self.replace(_NOBODY, record, 0),
            "delete": lambda: self.remove(_NOBODY),
        }
        for verb, act in tries.items():
            try:
                act()
            except StoreUnavailable as error:
                raise type(error)(f"sessions could not be {verb}{'d' if verb[-1] == 'e' else 'ed'}: {error}") from error

    def _not_set_up(self) -> StoreNotSetUp:
        return StoreNotSetUp(f"{self!r} was never set up; run `session3 setup URL`, or call store.setup()")

    def _truncate(self) -> None:
        try:
            self._change(f"TRUNCATE TABLE {self._table}", ())
        except SessionError:  # it may need another permission, and does nothing where a foreign key leads to the table
            self.clear()

    def _holds_sessions(self) -> bool:
        live, parameters = self._live()
        return bool(self._query(f"SELECT 1 FROM {self._table} WHERE {live} LIMIT 1", parameters))

    def _due(self, unused_for: float | None) -> tuple[str, Sequence[Any]]:
        if unused_for is None:
            return f"expires <= {self.NOW}", ()
        past = self.TIME_PARAMETER
        return f"accessed < {past} AND modified < {past}", (self._age(-unused_for),) * 2

    def _live(self) -> tuple[str, Sequence[Any]]:
        return f"forward IS NULL AND (expires IS NULL OR expires > {self.NOW})", ()

    def _has_table(self, may_differ: bool = False) -> bool:
        """Tell whether our table is there. Raises StoreNotSetUp, naming the columns, if it is of another shape."""
        try:
            found = self._run(_column_names, f"SELECT * FROM {self._table} WHERE 1 = 0", ())
        except StoreNotSetUp:
            return False
        differing = found.symmetric_difference({"id", *COLUMNS})
        if differing and not may_differ:
            raise StoreNotSetUp(f"{self!r} is a table of another shape{_difference(found, differing)}")
        return not differing

    def _create(self, statement: str) -> None:
        self._change(statement, ())


def _is_name(table: object) -> bool:
    return isinstance(table, str) and _NAME(table) is not None


def _column_names(connection: Any, sql: str, parameters: Sequence[Any]) -> set[str]:
    cursor = connection.cursor()
    cursor.execute(sql, parameters)
    return {column[0] for column in cursor.description}


def _difference(found: set[str], differing: set[str]) -> str:
    if found == _OF_3_4_1:
        return (
            ", that of session3 3.4.1, which kept none that could be read safely; choose another table with table=, and"
            " drop this one, or let setup(overwrite=True) do it"
        )
    return f", it differs in: {', '.join(sorted(differing))}; choose another table"
