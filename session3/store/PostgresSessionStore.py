"""Sessions in a table of PostgreSQL, over psycopg2 or psycopg 3.

    store = PostgresSessionStore(lambda: psycopg2.connect("dbname=shop"))   # or a pool of the application's
    store.setup()  # once, in an install script

Threads: safe. Processes: safe, with a function that opens connections also after a fork. Machines: safe, whatever their
clocks say. Crash: what the server promises for a commit. A load, a save (its compare-and-swap included), a touch and a
delete are one round trip each.
"""

import contextlib
import hashlib
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from ..errors import ConfigurationError, StoreNotSetUp, StoreUnavailable
from ..record import Record
from .ServerSQLSessionStore import ServerSQLSessionStore

_NO_TABLE, _NO_COLUMN = "42P01", "42703"
_EXISTS = ("42P07", "42710", "23505")  # of two that create a table at the same moment, one gets any of these
_PREPARED = "42P05"
_FORGOTTEN = ("26000", "0A000")  # no such prepared statement; one whose result has another type since an ALTER TABLE
_MAX_PREPARES = 2
_PAGES = 1000  # of the table, that a sweep looks at in one transaction; nobody waits for what it deletes
_MAX_RIVALS = 10
_READ_ONLY = "25006"  # it became a replica; who is asked for a connection may know its successor
_GAVE_WAY = ("40P01", "40001")  # a deadlock; a serialization failure, where transactions are stricter by default
_IDLE = 0  # psycopg2.extensions.TRANSACTION_STATUS_IDLE, and libpq's


class PostgresSessionStore(ServerSQLSessionStore):
    """`conn`: psycopg2's or psycopg's, as ServerSQLSessionStore says. `table`: session3 by default."""

    DRIVERS = "psycopg2 or psycopg"

    TIME_PARAMETER = "now() + %s * interval '1 second'"
    ROW = "payload, concat_ws('|', {head})"
    TIME = "(date_part('epoch', {}) * 1000000)::bigint"  # whole, since a setting may round floats
    HEX = "encode(convert_to({}, 'UTF8'), 'hex')"
    MARKED = "{} || {}"
    # Room in each page for another version of a row, so that a save touches no index.
    DDL = (
        "CREATE TABLE IF NOT EXISTS {table} (id text PRIMARY KEY, payload bytea NOT NULL, revision bigint NOT NULL,"
        " created timestamptz NOT NULL, modified timestamptz NOT NULL, accessed timestamptz NOT NULL,"
        " expires timestamptz, user_key text, forward text) WITH (fillfactor = 85)",
        # A name of 63 characters at most, and with a space: no table of ours is called so.
        'CREATE INDEX IF NOT EXISTS "{name:.54} user_key" ON {table} (user_key) WHERE user_key IS NOT NULL',
    )

    def __init__(self, conn: Any, table: str | None = None, **options: Any) -> None:
        self._prepared: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()  # of psycopg2's connections
        self._met: WeakSet[Any] = WeakSet()  # connections of psycopg 3 that were looked at once
        self._primary: WeakSet[Any] = WeakSet()  # those whose server had to be asked for its role
        super().__init__(conn, table, **options)
        statements = (self._select, self._insert, self._update, self._delete, self._delete_revision, self._touch)
        self._names = {sql: "session3_" + hashlib.sha256(sql.encode()).hexdigest()[:16] for sql in statements}
        self._calls = {
            sql: f"EXECUTE {name} ({', '.join([self.PARAMETER] * sql.count(self.PARAMETER))})"
            for sql, name in self._names.items()
        }

    def _is_drivers(self, connection: Any) -> bool:
        return _is_psycopg2(connection) or (
            hasattr(getattr(connection, "info", None), "backend_pid") and not hasattr(connection, "__aenter__")
        )

    def _set_up_connection(self, connection: Any) -> None:
        self._adapt(connection)
        if _is_psycopg2(connection):
            connection.set_client_encoding("UTF8")
        else:
            connection.execute("SELECT set_config('client_encoding', 'UTF8', false)")

    def _borrow(self, connection: Any) -> Callable[[], object]:
        # The encoding stays as it is: all texts of ours are ASCII, and the others are bytes.
        makers = ("cursor_factory",) if _is_psycopg2(connection) else ("cursor_factory", "row_factory")
        before = {name: getattr(connection, name) for name in (*makers, "autocommit")}

        def undo() -> None:
            for name, value in before.items():
                setattr(connection, name, value)

        self._adapt(connection)
        return undo

    def _adapt(self, connection: Any) -> None:
        """Without a word to the server, but once with psycopg 3."""
        if connection.info.transaction_status != _IDLE:
            raise ConfigurationError("a transaction is open on the connection; give sessions a connection of their own")
        if not connection.autocommit:
            connection.autocommit = True
        if _is_psycopg2(connection):
            connection.cursor_factory = sys.modules["psycopg2.extensions"].cursor  # it fetches tuples
            self._prepared.setdefault(connection, set())
        else:
            connection.row_factory = sys.modules["psycopg.rows"].tuple_row
            _unraw(connection)
            if connection not in self._met:
                self._met.add(connection)
                if connection.execute("SELECT pg_backend_pid()").fetchone()[0] != connection.info.backend_pid:
                    # A pooler is between: what was prepared on one server process would be asked of another, where the
                    # name is that of another statement.
                    connection.prepare_threshold = None

    def _check_role(self, connection: Any) -> None:
        # PostgreSQL 14 and later say so by themselves, but to who is silent not when it changes; a pooler may keep it
        # to itself.
        if _parameter_status(connection, "in_hot_standby") == "off" or connection in self._primary:
            return
        if super()._execute(connection, "SELECT pg_is_in_recovery()", ())[0][0][0]:
            raise self._standby()
        self._primary.add(connection)

    def _record_of(self, row: Sequence[Any], key: str) -> Record:
        return self._record_from(bytes(row[0]), row[1])

    def _seconds(self, time: str) -> float:
        return int(time) / 1_000_000

    def _location(self, connection: Any) -> str:
        info = connection.info
        return f"{info.host}:{info.port}/{info.dbname}"

    def _whereabouts(self) -> tuple[str, Sequence[Any]]:
        server = "pg_postmaster_start_time()::text, current_setting('port')"
        return f"SELECT {server}, current_database(), to_regclass(%s)::oid::text", (self._table,)

    def sweep(self, unused_for: float | None) -> tuple[int, int]:
        # As the rows lie in the table: in the order of the keys each is on another page. What is moved from one part to
        # another meanwhile was just written, and is for the next sweep.
        pages = self._query(f"SELECT pg_relation_size('{self._table}') / current_setting('block_size')::int", ())[0][0]
        (due, ages), (live, now) = self._due(unused_for), self._live()
        delete = f"DELETE FROM {self._table} WHERE ctid >= %s::tid AND ctid < %s::tid AND {due}"
        deleted = 0
        for start in range(0, pages + 1, _PAGES):
            deleted += self._change(delete, (f"({start},0)", f"({start + _PAGES},0)", *ages))
        return deleted, self._query(f"SELECT count(*) FROM {self._table} WHERE {live}", now)[0][0]

    def _execute(self, connection: Any, sql: str, parameters: Sequence[Any]) -> tuple[list[tuple[Any, ...]], int]:
        # psycopg 3 prepares by itself; with psycopg2 a prepared statement saves up to a third of a round trip's time.
        prepared = self._prepared.get(connection)
        if prepared is None or sql not in self._names:
            try:
                return super()._execute(connection, sql, parameters)
            except connection.Error as error:
                if prepared is not None or _sqlstate(error) not in _FORGOTTEN:
                    raise
            connection.prepare_threshold = None  # or psycopg 3 asks for what the server forgot again and again
            return super()._execute(connection, sql, parameters)
        for _ in range(_MAX_PREPARES):
            if sql not in prepared:
                self._prepare(connection, sql)
                prepared.add(sql)
            try:
                return super()._execute(connection, self._calls[sql], parameters)
            except connection.Error as error:
                if _sqlstate(error) not in _FORGOTTEN:
                    raise
                prepared.discard(sql)
        # Behind a pooler each statement may meet another server process: there, nothing stays prepared.
        return super()._execute(connection, sql, parameters)

    def _prepare(self, connection: Any, sql: str) -> None:
        numbers = iter(range(1, sql.count(self.PARAMETER) + 1))
        statement = re.sub(self.PARAMETER, lambda _: f"${next(numbers)}", sql)
        try:
            super()._execute(connection, f"PREPARE {self._names[sql]} AS {statement}", ())
        except connection.Error as error:
            if (
                _sqlstate(error) != _PREPARED
            ):  # somebody before us on the same server process: the name is the SQL's hash
                raise

    def _is_lost(self, connection: Any, error: Exception) -> bool:
        if connection.closed or _sqlstate(error) == _READ_ONLY:
            return True
        # In autocommit it is idle after each error, unless it is in the middle of another statement's reply.
        return bool(connection.info.transaction_status != _IDLE)

    def _is_deadlock(self, error: Exception) -> bool:
        return _sqlstate(error) in _GAVE_WAY

    def _translate(self, error: Exception, parameters: Sequence[Any]) -> Exception:
        code = _sqlstate(error)
        if code == _NO_TABLE:
            return self._not_set_up()
        if code == _NO_COLUMN:
            self._has_table()  # raises, and says which
        return self._unavailable(error)

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        # Of a row that it refuses the server shows all that is in it, beside what is wrong: the id, too.
        primary = getattr(getattr(error, "diag", None), "message_primary", None)
        return super()._unavailable(error if primary is None else Exception(primary))

    def create(self) -> None:
        for _ in range(_MAX_RIVALS):
            with contextlib.suppress(StoreNotSetUp):  # somebody else overwrites it, and it is gone before its index
                return super().create()
        return super().create()

    def _create(self, statement: str) -> None:
        for _ in range(_MAX_RIVALS):
            try:
                return super()._create(statement)
            except StoreUnavailable as error:
                if error.__cause__ is None or _sqlstate(error.__cause__) not in _EXISTS:
                    raise
        return super()._create(statement)


def _is_psycopg2(connection: Any) -> bool:
    # Subclasses of its connection too; whoever hands one in has imported the driver.
    extensions = sys.modules.get("psycopg2.extensions")
    return extensions is not None and isinstance(connection, extensions.connection)


def _unraw(connection: Any) -> None:
    """Have a connection of psycopg 3 take our parameters, where its cursors are raw ones, which know no %s."""
    psycopg = sys.modules["psycopg"]
    raw = getattr(psycopg, "RawCursor", None)  # of 3.2
    if raw is not None and issubclass(connection.cursor_factory, raw):
        connection.cursor_factory = psycopg.Cursor


def _parameter_status(connection: Any, name: str) -> str | None:
    """Return a setting that the server reports by itself; None if it does not."""
    answer: str | None = connection.info.parameter_status(name)
    return answer


def _sqlstate(error: BaseException) -> str | None:
    # psycopg2 calls it pgcode, psycopg 3 sqlstate.
    return getattr(error, "pgcode", None) or getattr(error, "sqlstate", None)
