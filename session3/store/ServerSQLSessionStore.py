"""What the stores on database servers share: connections that die, and errors that are ours."""

from abc import abstractmethod
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from math import isfinite
from typing import Any, TypeVar

from ..ConnectionPool import ConnectionPool
from ..datafaults import from_signal, pass_signals, suppress
from ..errors import ConfigurationError, PayloadTooLarge, SessionError, StoreUnavailable
from ..lenders import is_connection, is_one_for_all, lender, named
from ..poolplaces import Loan
from .ServerTable import ServerTable

T = TypeVar("T")

_MAX_TRIES = 20  # each time a deadlock is broken somebody goes on, so that more in a row mean a broken server
_MAX_DEAD = 20  # connections of an application's pool that may turn out to be dead in a row


class ServerSQLSessionStore(ServerTable):
    """Base of the SQL stores on a server.

    `conn` is one of:

    - a function without arguments that opens a DB-API connection. The store keeps up to `max_connections` of them in
      each process, and lends each for one statement; a request that finds none free waits for up to `timeout` seconds.
      One that died is replaced, and the call tried once more; what is idle for minutes is closed.
    - a pool of the application's: psycopg2's ThreadedConnectionPool, psycopg_pool's ConnectionPool, SQLAlchemy's
      Engine. Each connection goes back after each statement as it was, with nothing open on it.
    - a DB-API connection of its own, with no transaction open on it; it is put in autocommit and UTF-8, with plain
      cursors, and serves one request at a time. One that is cut off in the middle of a statement is closed, since the
      rest of a reply is on its way.
    """

    is_multiprocess_safe = True
    is_thread_safe = True

    PARAMETER = "%s"
    GREATEST = "greatest"

    # -- the dialect -------------------------------------------------------------------------------------------------

    #: The drivers that the dialect is spoken by, for messages.
    DRIVERS: str

    @abstractmethod
    def _is_drivers(self, connection: Any) -> bool:
        """Tell whether a connection is one of the DRIVERS'."""

    @abstractmethod
    def _set_up_connection(self, connection: Any) -> None:
        """Put a connection in the state that our statements need, whatever its opener or the server's settings say.

        Raises ConfigurationError, before anything was changed, if a transaction is open on it.
        """

    @abstractmethod
    def _borrow(self, connection: Any) -> Callable[[], object]:
        """Make a connection of somebody else's fit for one statement; return what makes it as it was."""

    @abstractmethod
    def _check_role(self, connection: Any) -> None:
        """Raise StoreUnavailable where the server is a standby: what it says may be of yesterday."""

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

    def __init__(
        self, conn: Any, table: str | None = None, *, max_connections: int = 10, timeout: float = 10.0, **options: Any
    ) -> None:
        if type(max_connections) is not int or max_connections < 1:
            raise ConfigurationError("max_connections is a whole number, 1 or more")
        if type(timeout) not in (int, float) or not (isfinite(timeout) and timeout >= 0):
            raise ConfigurationError("timeout is a number of seconds, 0 or more")
        super().__init__(table, **options)
        self._where: str | None = getattr(conn, "location", None)
        self._opener = conn
        self._lender = lender(conn, timeout)
        self._is_given = is_connection(conn)
        if self._is_given:
            max_connections = 1
            self._check_driver(conn)
            self._set_up(conn)
            with suppress(StoreUnavailable):  # a standby may be a primary when it is used
                self._check_role(conn)
        self._pool = ConnectionPool(self, self._lend, 1 if is_one_for_all(conn) else max_connections, timeout)

    def __repr__(self) -> str:
        where = "not connected yet" if self._where is None else self._where
        return f"<{type(self).__name__} {where}, table {self._name}>"

    def place(self) -> Hashable | None:
        [row] = self._query(*self._whereabouts())
        return self.QUOTE, *(part.decode() if isinstance(part, bytes) else str(part) for part in row)

    def close(self) -> None:
        self._pool.close()

    def _lend(self) -> Loan:
        for _ in range(_MAX_DEAD):
            try:
                loan = self._lender()
            except SessionError:
                raise
            except Exception as error:  # whatever the opener raises, there is no connection
                pass_signals(error)
                raise self._out_of_reach(error) from error
            try:
                return self._made_fit(loan)
            except SessionError:
                _end(loan, is_broken=False)
                raise
            except BaseException as error:
                if not isinstance(error, loan.connection.Error):  # in the middle of a reply, perhaps
                    _close(loan.connection)
                _end(loan, is_broken=True)
                if not isinstance(error, Exception):
                    raise
                pass_signals(error)
                if loan.give_back is None or self._is_given:
                    raise self._out_of_reach(error) from error
                last = error  # it lay in the application's pool, dead
        raise self._out_of_reach(last) from last

    def _out_of_reach(self, error: Exception) -> StoreUnavailable:
        return StoreUnavailable(f"{self!r} can't be reached: {_why(error)}")

    def _made_fit(self, loan: Loan) -> Loan:
        connection, give_back = loan
        if self._is_given:
            self._check_role(connection)
            return loan
        self._check_driver(connection)
        if give_back is None:
            self._set_up(connection)
            self._check_role(connection)
            return loan
        undo = self._borrow(connection)
        try:
            self._where = self._location(connection)
            self._check_role(connection)
        except SessionError:
            undo()
            raise
        return Loan(connection, partial(_return, undo, give_back))

    def _check_driver(self, connection: Any) -> None:
        if not self._is_drivers(connection):
            raise ConfigurationError(f"{self!r} needs a connection of {self.DRIVERS}; it was given {named(connection)}")

    def _set_up(self, connection: Any) -> None:
        try:
            self._set_up_connection(connection)
            self._where = self._location(connection)
        except ConfigurationError:  # nothing was changed
            raise
        except BaseException:
            _close(connection)
            raise

    # -- statements --------------------------------------------------------------------------------------------------

    def _query(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._run(self._execute, sql, parameters)[0]

    def _change(self, sql: str, parameters: Sequence[Any]) -> int:
        return self._run(self._execute, sql, parameters)[1]

    def _run(self, execute: Callable[[Any, str, Sequence[Any]], T], sql: str, parameters: Sequence[Any]) -> T:
        """Run a statement: once more on another connection if this one died, and again where it was the victim of a
        deadlock. All our statements can be repeated.
        """
        pool, tries, dead = self._pool, 0, 0
        place = pool.take()
        while True:
            connection = place.connection
            try:
                result = execute(connection, sql, parameters)
            except connection.Error as error:
                if from_signal(error) is not None:  # as below, though the driver calls it a loss
                    _close(connection)
                    pool.discard(place)
                    pass_signals(error)
                tries += 1
                if self._is_lost(connection, error):
                    dead += 1
                    if dead <= self._others(place):
                        place = pool.replace(place)
                        continue
                    pool.discard(place)
                elif tries < _MAX_TRIES and self._is_deadlock(error):
                    continue
                else:
                    pool.give_back(place)
                raise self._translate(error, parameters) from error
            except (PayloadTooLarge, UnicodeEncodeError):  # before anything was sent
                pool.give_back(place)
                raise
            except BaseException:  # such as the timeout of a request, or Ctrl-C
                # Nobody may use it again, whoever it belongs to: the rest of a reply would be taken for the next.
                _close(connection)
                pool.discard(place)
                raise
            pool.give_back(place)
            return result

    def _others(self, place: Any) -> int:
        """Return how many other connections may be tried where one died: a pool of somebody's may hold many such."""
        return 0 if self._is_given else 1 if place.give_back is None else _MAX_DEAD

    def _execute(self, connection: Any, sql: str, parameters: Sequence[Any]) -> tuple[list[tuple[Any, ...]], int]:
        cursor = connection.cursor()
        cursor.execute(sql, parameters)
        result = (list(cursor.fetchall()) if cursor.description else []), cursor.rowcount
        cursor.close()  # not after an exception, which an error of closing would hide
        return result

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        return StoreUnavailable(f"{self!r} can't be used: {_why(error)}")

    def _standby(self) -> StoreUnavailable:
        return StoreUnavailable(
            f"{self!r} is a standby, or read-only: what it says may be of yesterday; lead the connection to the primary"
        )


def _end(loan: Loan, is_broken: bool) -> None:
    with suppress(Exception):  # one that is broken may fail to close, which is as good
        loan.connection.close() if loan.give_back is None else loan.give_back(is_broken)


def _return(undo: Callable[[], object], give_back: Callable[[bool], None], is_broken: bool) -> None:
    if not is_broken:
        try:
            undo()
        except Exception as error:  # it died meanwhile
            give_back(True)
            return pass_signals(error)
    give_back(is_broken)


def _close(connection: Any) -> None:
    with suppress(Exception):  # one that is broken may fail to close, which is as good
        connection.close()


def _why(error: Exception) -> str:
    """Return an error's text in one line; some drivers' have none."""
    return " ".join(str(error).split()) or type(error).__name__
