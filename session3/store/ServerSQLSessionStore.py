"""What the stores on database servers share: connections that die, the table of `setup`, and the server's clock."""

import contextlib
import re
from abc import abstractmethod
from collections.abc import Callable, Hashable, Sequence
from typing import Any, ClassVar, TypeVar

from ..connections import PerThread, Shared
from ..errors import ConfigurationError, PayloadTooLarge, StoreExists, StoreNotSetUp, StoreUnavailable
from .ServerTimes import ServerTimes
from .SQLSessionStore import COLUMNS

T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}(\.[A-Za-z_][A-Za-z0-9_]{0,62})?").fullmatch
_MAX_TRIES = 20  # each time a deadlock is broken somebody goes on, so that more in a row mean a broken server


class ServerSQLSessionStore(ServerTimes):
    """Base of the SQL stores on a server.

    `conn` is a DB-API connection of its own, with no transaction open on it; it is put in autocommit and UTF-8, with
    plain cursors, and serves one request at a time. One that is cut off in the middle of a statement is closed, since
    the rest of a reply is on its way. Or a function without arguments that opens one: then each thread and each process
    has its own, one that died is replaced, and the call tried once more.
    """

    is_multiprocess_safe = True
    is_thread_safe = True

    PARAMETER = "%s"
    GREATEST = "greatest"

    # -- the dialect -------------------------------------------------------------------------------------------------

    #: How the dialect quotes a name.
    QUOTE = '"'
    #: CREATE TABLE and CREATE INDEX statements, for {table} and for {name}, the table's name without schema or quotes.
    DDL: ClassVar[Sequence[str]]

    @abstractmethod
    def _set_up_connection(self, connection: Any) -> None:
        """Put a connection in the state that our statements need, whatever its opener or the server's settings say.

        Raises ConfigurationError, before anything was changed, if a transaction is open on it.
        """

    @abstractmethod
    def _location(self, connection: Any) -> str:
        """Return where the server is, for messages: host, port and database, and never the password."""

    @abstractmethod
    def _whereabouts(self) -> tuple[str, Sequence[Any]]:
        """Return a query, and its parameters, whose one row tells our table from all others, on any server."""

    @abstractmethod
    def _is_lost(self, connection: Any, error: Exception) -> bool:
        """Tell whether an error means that the connection is of no more use, and another one may be."""

    @abstractmethod
    def _is_deadlock(self, error: Exception) -> bool:
        """Tell whether the server gave the statement up, undone, to let another one go on: a sweep beside a writer."""

    @abstractmethod
    def _translate(self, error: Exception, parameters: Sequence[Any]) -> Exception:
        """Return our error for a driver's."""

    # -- connections -------------------------------------------------------------------------------------------------

    def __init__(self, conn: Any, table: str | None = None, **options: Any) -> None:
        name = "session3" if table is None else table
        if not _NAME(name):
            raise ConfigurationError(
                f"a table's name is letters, digits and '_', with a schema or without; not {name!r}"
            )
        quoted = ".".join(f"{self.QUOTE}{part}{self.QUOTE}" for part in name.split("."))
        super().__init__(quoted, **options)
        self._name = name
        self._where: str | None = getattr(conn, "location", None)
        self._connections: PerThread[Any] | Shared[Any]
        if hasattr(conn, "cursor"):
            self._set_up(conn)
            self._connections = Shared(conn, repr(self))
        elif callable(conn):
            self._opener: Callable[[], Any] = conn
            self._connections = PerThread(self._open)
        else:
            raise ConfigurationError(f"a DB-API connection is needed, or a function that opens one; not {conn!r}")

    def __repr__(self) -> str:
        where = "not connected yet" if self._where is None else self._where
        return f"<{type(self).__name__} {where}, table {self._name}>"

    def place(self) -> Hashable | None:
        [row] = self._query(*self._whereabouts())
        return self.QUOTE, *(part.decode() if isinstance(part, bytes) else str(part) for part in row)

    def close(self) -> None:
        self._connections.close()

    def _open(self) -> Any:
        try:
            connection = self._opener()
            self._set_up(connection)
        except ConfigurationError:
            raise
        except Exception as error:  # whatever the opener raises, there is no connection
            raise StoreUnavailable(f"{self!r} can't be reached: {_one_line(error)}") from error
        return connection

    def _set_up(self, connection: Any) -> None:
        try:
            self._set_up_connection(connection)
            self._where = self._location(connection)
        except ConfigurationError:  # nothing was changed
            raise
        except BaseException:
            _close(connection)
            raise

    def _give_up(self, connection: Any) -> None:
        """Let nobody use a connection again that may be in the middle of a reply: it would be taken for the next."""
        _close(connection)  # of one that was handed in, too: from now on each statement fails on it
        self._connections.drop()

    # -- statements --------------------------------------------------------------------------------------------------

    def _query(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._run(self._execute, sql, parameters)[0]

    def _change(self, sql: str, parameters: Sequence[Any]) -> int:
        return self._run(self._execute, sql, parameters)[1]

    def _run(self, execute: Callable[[Any, str, Sequence[Any]], T], sql: str, parameters: Sequence[Any]) -> T:
        """Run a statement: once more on another connection if this one died, and again where it was the victim of a
        deadlock. All our statements can be repeated.
        """
        may_reopen, tries = self._connections.can_reopen, _MAX_TRIES
        while True:
            tries -= 1
            with self._connections.guard():
                connection = self._connections.get()
                try:
                    return execute(connection, sql, parameters)
                except connection.Error as error:
                    if self._is_lost(connection, error):
                        self._connections.drop()
                        is_to_repeat, may_reopen = may_reopen, False
                    else:
                        is_to_repeat = tries > 0 and self._is_deadlock(error)
                    if not is_to_repeat:
                        raise self._translate(error, parameters) from error
                except (PayloadTooLarge, UnicodeEncodeError):  # before anything was sent
                    raise
                except BaseException:  # such as the timeout of a request, or Ctrl-C
                    self._give_up(connection)
                    raise

    def _execute(self, connection: Any, sql: str, parameters: Sequence[Any]) -> tuple[list[tuple[Any, ...]], int]:
        cursor = connection.cursor()
        cursor.execute(sql, parameters)
        result = (list(cursor.fetchall()) if cursor.description else []), cursor.rowcount
        cursor.close()  # not after an exception, which an error of closing would hide
        return result

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        return StoreUnavailable(f"{self!r} can't be used: {_one_line(error)}")

    def _not_set_up(self) -> StoreNotSetUp:
        return StoreNotSetUp(f"{self!r} was never set up; run `session3 setup URL`, or call store.setup()")

    # -- setup and sweep ---------------------------------------------------------------------------------------------

    def setup(self, *, overwrite: bool = False) -> None:
        if not overwrite and self._has_table():
            live, parameters = self._live()
            if self._query(f"SELECT 1 FROM {self._table} WHERE {live} LIMIT 1", parameters):
                raise StoreExists(f"{self!r} holds sessions; setup(overwrite=True) deletes them")
            return
        if overwrite:
            self._change(f"DROP TABLE IF EXISTS {self._table}", ())
        self.create()

    def create(self) -> None:
        for statement in self.DDL:
            self._create(statement.format(table=self._table, name=self._name.split(".")[-1]))

    def clear(self) -> None:
        self._change(f"DELETE FROM {self._table}", ())

    def _due(self, unused_for: float | None) -> tuple[str, Sequence[Any]]:
        if unused_for is None:
            return f"expires <= {self.NOW}", ()
        past = self.TIME_PARAMETER
        return f"accessed < {past} AND modified < {past}", (self._age(-unused_for),) * 2

    def _live(self) -> tuple[str, Sequence[Any]]:
        return f"forward IS NULL AND (expires IS NULL OR expires > {self.NOW})", ()

    def _has_table(self) -> bool:
        """Tell whether our table is there. Raises StoreNotSetUp, naming the columns, if it is of another shape."""
        try:
            found = self._run(_column_names, f"SELECT * FROM {self._table} WHERE 1 = 0", ())
        except StoreNotSetUp:
            return False
        differing = found.symmetric_difference({"id", *COLUMNS})
        if differing:
            names = ", ".join(sorted(differing))
            raise StoreNotSetUp(f"{self!r} is a table of another shape, it differs in: {names}; choose another table")
        return True

    def _create(self, statement: str) -> None:
        self._change(statement, ())


def _column_names(connection: Any, sql: str, parameters: Sequence[Any]) -> set[str]:
    cursor = connection.cursor()
    cursor.execute(sql, parameters)
    return {column[0] for column in cursor.description}


def _close(connection: Any) -> None:
    with contextlib.suppress(Exception):  # one that is broken may fail to close, which is as good
        connection.close()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
