"""Where a store's connections come from: a connection, a function that opens one, or a pool of the application's.

| what is given | each connection |
| --- | --- |
| a DB-API connection | is the one, for one statement at a time, and not for a forked child |
| a function that returns one | is the store's own: kept between statements, and closed |
| a pool of psycopg2 or psycopg_pool, an Engine of SQLAlchemy | is given back after each statement |
| a function that returns one of SQLAlchemy's, or a context manager (`pool.connection`) | likewise |

In a forked child an Engine begins anew; a pool of another kind that was open before the fork is refused.

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
from weakref import WeakKeyDictionary

from .connections import never_close
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
        if any(base.__module__.startswith("psycopg_pool") for base in type(source).__mro__):
            return _OfOneProcess(
                partial(_psycopg_pools, source, timeout), partial(_enter_psycopg, source, source.closed)
            )
        return _OfOneProcess(partial(_psycopg2_pools, source, timeout), partial(_enter_psycopg2, source))
    if hasattr(source, "raw_connection"):
        _refuse_async(source.raw_connection, source)
        return _OfOneProcess(partial(_from_function, source.raw_connection), partial(_enter_engine, source))
    if is_connection(conn):
        return partial(_the_one, conn, os.getpid())
    if callable(conn):
        return partial(_from_function, conn)
    raise ConfigurationError(f"a DB-API connection is needed, a function that opens one, or a pool; not {named(conn)}")


def is_connection(conn: Any) -> bool:
    return hasattr(conn, "cursor") and hasattr(conn, "commit")


def is_one_for_all(conn: Any) -> bool:
    """Tell whether a pool hands the one connection that it has to several threads at once."""
    pool = getattr(getattr(conn, "__self__", conn), "pool", None)
    return any(base.__name__ == "StaticPool" for base in type(pool).__mro__)


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
        return _of_this_process(Loan(given.driver_connection, partial(_give_to_engine, given)))
    if not is_connection(given) and hasattr(given, "__exit__"):
        connection = given.__enter__()
        return _of_this_process(Loan(connection, partial(_leave, given, connection)))
    return Loan(given)


# -- forks: of two processes on one connection, each would read the other's replies, which are other users' sessions ---


class _OfOneProcess:
    """`enter`: what is done, once, where the pool may have connections of a parent; it may raise."""

    def __init__(self, lend: Callable[[], Loan], enter: Callable[[], object]) -> None:
        self._lend, self._enter = lend, enter
        self._pid = os.getpid()

    def __call__(self) -> Loan:
        if self._pid != os.getpid():  # asked of the system each time: a fork in C calls no hook
            self._enter()
            self._pid = os.getpid()
        return self._lend()


def _enter_engine(engine: Any) -> None:
    never_close([engine.pool])  # as some drivers would, with its connections, and end the parent's
    engine.dispose(close=False)


def _enter_psycopg2(pool: Any) -> None:
    if getattr(pool, "_pool", True) or getattr(pool, "_used", True):
        raise _of_parent()


def _enter_psycopg(pool: Any, was_closed: bool) -> None:
    # Opened since: by this process, if threads work for it, since none comes along through a fork.
    if not was_closed or not any(thread.is_alive() for thread in getattr(pool, "_workers", ())):
        raise _of_parent()


_pids: WeakKeyDictionary[Any, int] = WeakKeyDictionary()  # of connections that a function got from a pool


def _of_this_process(loan: Loan) -> Loan:
    if _pids.setdefault(loan.connection, os.getpid()) == os.getpid():
        return loan
    never_close([loan.connection])
    raise _of_parent()


def _of_parent() -> StoreUnavailable:
    return StoreUnavailable(
        "this process was forked from the one that opened the pool, and its connections are the parent's: open the pool"
        " after the fork, in each process (with gunicorn in post_fork, with an Engine engine.dispose(close=False))"
    )


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
