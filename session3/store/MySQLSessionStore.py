"""Sessions in a table of MySQL or MariaDB, over PyMySQL or mysqlclient.

    store = MySQLSessionStore(lambda: pymysql.connect(host="db", user="shop", password="...", database="shop"))
    store.setup()  # once, in an install script

Threads: safe. Processes: safe, with a function that opens connections also after a fork. Machines: safe, whatever their
clocks say. Crash: what the server promises for a commit. A load, a save (its compare-and-swap included), a touch and a
delete are one round trip each.
"""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from importlib import import_module
from typing import Any
from weakref import WeakSet

from ..errors import ConfigurationError, PayloadTooLarge
from ..record import Record
from .ServerSQLSessionStore import ServerSQLSessionStore
from .ServerTimes import FUTURE, PAST, nearest

_TAKEN = 1062  # ER_DUP_ENTRY
_NO_TABLE, _NO_COLUMN, _TOO_LONG, _PACKET_TOO_LARGE = 1146, 1054, 1406, 1153
# 0: PyMySQL's InterfaceError, for ever after it lost its server; 2014: in the middle of another statement's reply.
_LOST = (0, 2006, 2013, 2014, 2055, 4031)
#: It became a replica, or fell out of its cluster; who is asked for a connection may know its successor.
_READ_ONLY = (1290, 1836, 1047)
_OFF = ("0", "OFF")  # what @@read_only is where it is not set
_CONFIRM_EVERY = (
    1.0  # seconds, in which a server that became a replica may say of what it does not have that it is not there
)
_DEADLOCK = 1213  # ER_LOCK_DEADLOCK
_IN_TRANSACTION = 1568  # ER_CANT_CHANGE_TX_CHARACTERISTICS
_EPOCH = datetime(1970, 1, 1)
#: Cuts nothing. Others give other results: MariaDB's ORACLE and EMPTY_STRING_IS_NULL take a tombstone for a session.
_SQL_MODE = "STRICT_ALL_TABLES"
#: Of a connection that is not ours. The rest changes what no statement of ours has.
_STRICT_MODES, _ODD_MODES = {"STRICT_ALL_TABLES", "STRICT_TRANS_TABLES"}, {"ORACLE", "EMPTY_STRING_IS_NULL"}
_ASCII_SAFE = ("utf8mb4", "utf8mb3", "utf8", "latin1", "ascii", "binary")
_STATEMENT = 4096  # bytes around a payload in a packet, and more


class MySQLSessionStore(ServerSQLSessionStore):
    """`conn`: PyMySQL's or mysqlclient's, as ServerSQLSessionStore says. `table`: session3 by default."""

    DRIVERS = "PyMySQL or mysqlclient"

    QUOTE = "`"
    NOW = "utc_timestamp(6)"
    # Whole numbers, since the server takes 2 µs longer for each number with a point.
    TIME_PARAMETER = "utc_timestamp(6) + INTERVAL %s MICROSECOND"
    # One column is all that PyMySQL has to unpack. Its server may have become a replica a moment ago.
    ROW = "concat_ws('|', @@global.read_only, {head}, 'p', payload)"
    TIME = "{}"
    HEX = "hex({})"
    MARKED = "concat({}, {})"
    # INSERT IGNORE would cut what is too long, without a word: a key that is taken is told by its error.
    UNLESS_TAKEN = ""
    # A BLOB would end at 65,535 bytes.
    DDL = (
        "CREATE TABLE IF NOT EXISTS {table} (id varchar(128) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY,"
        " payload longblob NOT NULL, revision bigint NOT NULL, created datetime(6) NOT NULL,"
        " modified datetime(6) NOT NULL, accessed datetime(6) NOT NULL, expires datetime(6),"
        " user_key varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,"
        " forward varchar(512) CHARACTER SET ascii COLLATE ascii_bin,"
        # For the smallest pages; a server's own format of rows may keep more in a page than goes in.
        " INDEX (user_key(191))) ENGINE = InnoDB ROW_FORMAT = DYNAMIC",
    )
    BATCH = 2500

    _max_packet = 2**24  # bytes; the server's is asked for with the first connection

    def __init__(self, conn: Any, table: str | None = None, **options: Any) -> None:
        self._met: WeakSet[Any] = WeakSet()  # connections of somebody else's that are as we need them
        self._primary: WeakSet[Any] = WeakSet()  # those whose server was asked for its role
        self._confirmed = 0.0  # when it last was, by the steady clock
        super().__init__(conn, table, **options)

    def _is_drivers(self, connection: Any) -> bool:
        return hasattr(connection, "set_character_set") and hasattr(connection, "get_host_info")

    def _set_up_connection(self, connection: Any) -> None:
        if _is_in_transaction(connection):
            raise ConfigurationError("a transaction is open on the connection; give sessions a connection of their own")
        connection.autocommit(True)
        # As gbk, half a character in the data would quote what ends it; as others, most names could not be sent.
        connection.set_character_set("utf8mb4")
        connection.cursorclass = _plain_cursor(connection)
        cursor = connection.cursor()
        cursor.execute(f"SET SESSION sql_mode = '{_SQL_MODE}'")
        cursor.close()

    def _borrow(self, connection: Any) -> Callable[[], object]:
        before = connection.cursorclass
        connection.cursorclass = _plain_cursor(connection)
        try:
            if connection not in self._met:
                self._meet(connection)
        except BaseException:
            connection.cursorclass = before
            raise
        return lambda: setattr(connection, "cursorclass", before)

    def _meet(self, connection: Any) -> None:
        """Refuse a connection whose settings would change what we mean: they are somebody else's, and stay."""
        if _is_in_transaction(connection):
            raise ConfigurationError("a transaction is open on the connection; its pool has to end it")
        [[mode, charset]] = _rows(connection, "SELECT @@sql_mode, @@character_set_client")
        modes = set(mode.split(","))
        if charset not in _ASCII_SAFE or modes & _ODD_MODES or not modes & _STRICT_MODES:
            raise ConfigurationError(
                f"{self!r}: the pool's connections have sql_mode = '{mode}' and the character set {charset}; sessions"
                " need a strict mode, none of ORACLE and EMPTY_STRING_IS_NULL, and utf8mb4: open them so, or give a"
                " function that opens connections for sessions alone"
            )
        self._met.add(connection)

    def _check_role(self, connection: Any) -> None:
        if connection in self._primary:
            return
        [[self._max_packet, read_only]] = _rows(connection, "SELECT @@max_allowed_packet, @@global.read_only")
        if str(read_only) not in _OFF:
            raise self._standby()
        self._primary.add(connection)
        self._confirmed = time.monotonic()

    def read(self, key: str) -> Record | None:
        rows = self._query(self._select, (key,))
        if rows:
            return self._record_of(rows[0], key)
        # A row tells whether its server may still answer, no row does not.
        if time.monotonic() - self._confirmed > _CONFIRM_EVERY:
            [[read_only]] = self._query("SELECT @@global.read_only", ())
            if str(read_only) not in _OFF:
                return self._read_of_successor(key)
            self._confirmed = time.monotonic()
        return None

    def _read_of_successor(self, key: str) -> Record | None:
        """Ask whoever the way leads to by now; StoreUnavailable if that is a standby, too."""
        self._primary.clear()
        self._pool.close()
        return self.read(key)

    def _record_of(self, row: Sequence[Any], key: str) -> Record | None:
        if row[0] is not None:
            head, _, payload = row[0].partition(b"|p|")
            read_only, _, head = head.decode().partition("|")
            return self._record_from(payload, head) if read_only in _OFF else self._read_of_successor(key)
        # A function of strings gives NULL for what is longer than max_allowed_packet, which may have been larger once.
        rows = self._query(f"SELECT payload, concat_ws('|', {self._head()}) FROM {self._table} WHERE id = %s", (key,))
        return self._record_from(*rows[0]) if rows else None

    def _age(self, seconds: float) -> float:
        return round((seconds if PAST < seconds < FUTURE else nearest(seconds)) * 1_000_000)

    def _seconds(self, time: str) -> float:
        return (datetime.fromisoformat(time) - _EPOCH).total_seconds()

    def _whereabouts(self) -> tuple[str, Sequence[Any]]:
        database, _, table = self._name.rpartition(".")
        return "SELECT @@hostname, @@port, @@datadir, coalesce(%s, database()), %s", (database or None, table)

    def _location(self, connection: Any) -> str:
        if hasattr(connection, "get_host_info") and hasattr(connection, "host"):
            database = connection.db.decode() if isinstance(connection.db, bytes) else connection.db
            return f"{connection.host}:{connection.port}/{database or ''}"
        return str(connection.get_host_info())  # mysqlclient

    def insert(self, key: str, record: Record) -> bool:
        try:
            return super().insert(key, record)
        except _Taken:
            return False

    def touch(self, key: str, revision: int, accessed: float, expires: float | None) -> bool:
        # A row that is as it should be already counts as not found, unless the client was told otherwise.
        if super().touch(key, revision, accessed, expires):
            return True
        record = self.read(key)
        return record is not None and record.revision == revision

    def _execute(self, connection: Any, sql: str, parameters: Sequence[Any]) -> tuple[list[tuple[Any, ...]], int]:
        # Over the limit the server hangs up without a word, as if it had died.
        if _size(parameters) + _STATEMENT > self._max_packet:
            raise self._too_large(parameters)
        result = super()._execute(connection, sql, parameters)
        if not connection.get_autocommit():  # of an application's pool
            connection.commit()
        return result

    def _is_lost(self, connection: Any, error: Exception) -> bool:
        return not getattr(connection, "open", True) or _number(error) in _LOST + _READ_ONLY

    def _is_deadlock(self, error: Exception) -> bool:
        return bool(_number(error) == _DEADLOCK)

    def _translate(self, error: Exception, parameters: Sequence[Any]) -> Exception:
        number = _number(error)
        if number == _TAKEN:
            return _Taken()
        if number == _NO_TABLE:
            return self._not_set_up()
        if number == _NO_COLUMN:
            self._has_table()  # raises, and says which
        if number in (_TOO_LONG, _PACKET_TOO_LARGE) or (number in _LOST and self._may_be_too_large(parameters)):
            return self._too_large(parameters)
        return self._unavailable(error)

    def _may_be_too_large(self, parameters: Sequence[Any]) -> bool:
        return 2 * _size(parameters) + _STATEMENT > self._max_packet  # a byte is sent as two where it needs escaping

    def _too_large(self, parameters: Sequence[Any]) -> PayloadTooLarge:
        return PayloadTooLarge(
            f"{self!r}: a session of {_size(parameters):,} bytes, of which some are sent as two, does not go through"
            f" max_allowed_packet = {self._max_packet:,} bytes"
        )


class _Taken(Exception):
    """The key has a row."""


def _number(error: BaseException) -> Any:
    return error.args[0] if error.args else None


def _size(parameters: Sequence[Any]) -> int:
    return sum(len(parameter) for parameter in parameters if isinstance(parameter, bytes))


def _rows(connection: Any, sql: str) -> Sequence[Any]:
    cursor = connection.cursor()
    cursor.execute(sql)
    rows: Sequence[Any] = cursor.fetchall()
    cursor.close()
    return rows


def _is_in_transaction(connection: Any) -> bool:
    # MySQL and MariaDB refuse this there, whatever the driver; elsewhere it asks for what is the default.
    cursor = connection.cursor()
    try:
        cursor.execute("SET TRANSACTION READ WRITE")
    except connection.Error as error:
        if _number(error) != _IN_TRANSACTION:
            raise
        return True
    cursor.close()
    return False


def _plain_cursor(connection: Any) -> Any:
    """Return the driver's class of cursors that fetch tuples, all at once."""
    for base in type(connection).__mro__:
        if base.__module__ in ("pymysql.connections", "MySQLdb.connections"):
            return import_module(base.__module__.replace("connections", "cursors")).Cursor
    return connection.cursorclass
