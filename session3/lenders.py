"""Where a store's connections come from: a connection, a function that opens one, or a pool of the application's.

| what is given | each connection |
| --- | --- |
| a DB-API connection | is the one, for one statement at a time, and not for a forked child |
| a function that returns one | is the store's own: kept between statements, and closed |
| a pool of psycopg2 or psycopg_pool, an Engine of SQLAlchemy | is given back after each statement |
| a function that returns one of SQLAlchemy's, or a context manager (`pool.connection`) | likewise |

>>> lender("postgresql://shop:hunter2@db/shop", 10.0)
Traceback (most recent call last):
    ...
session3.errors.ConfigurationError: a DB-API connection is needed, a function that opens one, or a pool; not an \
object of type str
"""

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from .errors import ConfigurationError, StoreUnavailable
from .poolplaces import Loan, nap

_COROUTINE = 0x80  # inspect.CO_COROUTINE, without the 6 ms that it takes to import inspect
_PAUSE = 0.01  # seconds between two looks for a free connection in a pool that does not wait


def lender(conn: Any, timeout: float) -> Callable[[], Loan]:
    """Return a function that lends a connection; it raises what the driver or the pool raises.

    Raises ConfigurationError where there is no way to one.
    """
    source = getattr(conn, "__self__", conn)  # of pool.getconn, engine.raw_connection
    if hasattr(source, "getconn") and hasattr(source, "putconn"):
        _refuse_async(source.getconn, source)
        is_waiting = any(base.__module__.startswith("psycopg_pool") for base in type(source).__mro__)
        return partial(_psycopg_pools if is_waiting else _psycopg2_pools, source, timeout)
    if hasattr(source, "raw_connection"):
        _refuse_async(source.raw_connection, source)
        return partial(_from_function, source.raw_connection)
    if is_connection(conn):
        return partial(_the_one, conn, os.getpid())
    if callable(conn):
        return partial(_from_function, conn)
    raise ConfigurationError(f"a DB-API connection is needed, a function that opens one, or a pool; not {named(conn)}")


def is_connection(conn: Any) -> bool:
    return hasattr(conn, "cursor") and hasattr(conn, "commit")


def named(given: object) -> str:
    """Say what was given without repeating it: it may hold a password."""
    return "None" if given is None else f"an object of type {type(given).__name__}"


def _refuse_async(method: Any, source: object) -> None:
    code = getattr(method, "__code__", None)
    if code is not None and code.co_flags & _COROUTINE:
        raise ConfigurationError(f"{named(source)} is for an event loop; give its counterpart without one")


def _the_one(connection: Any, pid: int) -> Loan:
    if pid != os.getpid():
        raise StoreUnavailable("a connection can't be used in a forked process")
    return Loan(connection, _keep)


def _keep(is_broken: bool) -> None:
    """The connection belongs to who handed it in."""


def _from_function(open: Callable[[], Any]) -> Loan:
    given = open()
    if hasattr(given, "driver_connection"):
        return Loan(given.driver_connection, partial(_give_to_engine, given))
    if not is_connection(given) and hasattr(given, "__exit__"):
        connection = given.__enter__()
        return Loan(connection, partial(_leave, given, connection))
    return Loan(given)


def _give_to_engine(proxy: Any, is_broken: bool) -> None:
    if is_broken:
        proxy.invalidate()
    proxy.close()


def _leave(context: Any, connection: Any, is_broken: bool) -> None:
    if is_broken:
        connection.close()
    context.__exit__(None, None, None)


def _psycopg_pools(pool: Any, timeout: float) -> Loan:
    connection = pool.getconn(timeout)
    return Loan(connection, partial(_put_back, pool, connection))


def _put_back(pool: Any, connection: Any, is_broken: bool) -> None:
    if is_broken:
        connection.close()  # the pool opens another one in its place
    pool.putconn(connection)


def _psycopg2_pools(pool: Any, timeout: float) -> Loan:
    full: type[Exception] = sys.modules["psycopg2.pool"].PoolError
    deadline = time.monotonic() + timeout
    while True:
        try:
            connection = pool.getconn()
        except full:  # it does not wait
            if pool.closed or time.monotonic() >= deadline:
                raise
            nap(_PAUSE)
        else:
            return Loan(connection, partial(_put_or_close, pool, connection))


def _put_or_close(pool: Any, connection: Any, is_broken: bool) -> None:
    pool.putconn(connection, close=is_broken)
