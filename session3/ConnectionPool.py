"""Connections to a database server: a bounded number for each process, lent for one statement at a time.

>>> import sqlite3
>>> pool = ConnectionPool("a store", lambda: Loan(sqlite3.connect(":memory:")), max_connections=2)
>>> place = pool.take()
>>> place.connection.execute("SELECT 1").fetchone()
(1,)
>>> pool.give_back(place)
>>> pool.close()

Threads and greenlets: safe, also where gevent patches the process after this was made, or not at all. Processes: a
forked child never uses, and never closes, a connection of its parent, since closing would end the parent's session with
the server. At the end of a process idle connections are closed; what a daemon thread has in use is left to the system,
since closing it would wait for a thread that never runs again.
"""

import contextlib
import os
import time
import weakref
from collections.abc import Callable

from .connections import never_close
from .errors import StoreUnavailable
from .poolplaces import Loan, Place, Places, Waiter

#: Seconds after which a connection that nobody needed is closed: no server and no firewall drops one as early.
MAX_IDLE = 240.0
#: Seconds after which a connection is replaced, idle or not: a name may lead to another server by then.
MAX_AGE = 3600.0

_LOOK_AGAIN = 1.0  # seconds; who waits looks by himself, should an exception have cut off who meant to wake him


class ConnectionPool:
    """`lend` opens a connection, ready for use; `owner` is whom messages name.

    `max_connections`: of each process, at most. `timeout`: seconds to wait until one of them is free.
    """

    def __init__(
        self,
        owner: object,
        lend: Callable[[], Loan],
        max_connections: int = 10,
        timeout: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._owner = owner
        self._lend = lend
        self._size = max_connections
        self._timeout = timeout
        self._clock = clock
        self._generation = 0
        self._look_at = clock() + MAX_IDLE / 2  # for what is idle for too long
        self._start_here()

    def _start_here(self) -> Places:
        here = self._here = Places(self, self._size)
        # As the pool goes, or the process: not a method, which would keep the pool.
        self._closer = weakref.finalize(self, here.close)
        return here

    # -- one statement -----------------------------------------------------------------------------------------------

    def take(self) -> Place:
        """Return a place with a connection, that nobody else has until it is given back, replaced or discarded.

        Raises StoreUnavailable if none is free in time.
        """
        here = self._here
        if here.pid != os.getpid():  # asked of the system each time: a fork in C, as uWSGI's, calls no hook
            here = self._leave_parent(here)
        try:
            place = here.idle.pop()
        except IndexError:
            place = here.free() or self._wait(here, time.monotonic() + self._timeout)
        if place.connection is None:
            return self._fill_or_wait(here, place)
        if self._clock() - place.used > MAX_IDLE:  # a firewall may have dropped it, and tells nobody
            return self.replace(place)
        return place

    def give_back(self, place: Place) -> None:
        """Take back a connection that is as good as before."""
        now = self._clock()
        if place.give_back is not None or place.generation != self._generation or now - place.opened > MAX_AGE:
            self.discard(place, is_broken=False)
        else:
            place.used = now
            place.here.put(place)
        if now >= self._look_at:
            self._close_idle(now)

    def discard(self, place: Place, is_broken: bool = True) -> None:
        """Let nobody use the connection again: it is broken, or in the middle of a reply."""
        place.empty(is_broken)
        place.here.put(place)

    def replace(self, place: Place) -> Place:
        """Return a place with another connection for one that died; those that are idle will have died of the same."""
        self._here.close()
        place.empty(is_broken=True)
        return self._fill_or_wait(place.here, place)

    def close(self) -> None:
        """Close the idle connections; one that is at work is closed when it comes back. The next call opens another."""
        self._generation += 1
        self._here.close()

    # ----------------------------------------------------------------------------------------------------------------

    def _fill_or_wait(self, here: Places, place: Place) -> Place:
        """Open a connection; or take the next that comes back, where the server may have no room for another."""
        deadline = time.monotonic() + self._timeout
        kept: list[Place] = []  # empty, until the end: else they would be what is free
        try:
            while place.connection is None:
                kept.append(place)
                generation = self._generation  # of before: a close meanwhile is meant for this one, too
                try:
                    place.fill(self._lend(), generation, self._clock())
                except StoreUnavailable:
                    if not here.filled:  # none of ours to wait for
                        raise
                    place = self._wait(here, deadline)
                else:
                    kept.pop()
            return place
        finally:
            for one in kept:
                self.discard(one)

    def _wait(self, here: Places, deadline: float) -> Place:
        waiter = Waiter()
        try:
            left = deadline - time.monotonic()
            while left > 0 or not waiter.was_queued:
                waiter.queue(here)
                here.match()
                if waiter.wait(min(left, _LOOK_AGAIN)):
                    return waiter.places.pop()
                left = deadline - time.monotonic()
        finally:
            waiter.is_gone = True
            if waiter.places:
                with contextlib.suppress(IndexError):
                    here.put(waiter.places.pop())
        raise StoreUnavailable(
            f"{self._owner}: all {self._size} connections were in use, or being opened, for {self._timeout:g} seconds;"
            " a larger max_connections lets more requests in at once, a larger timeout lets them wait longer"
        )

    def _close_idle(self, now: float) -> None:
        self._look_at = now + MAX_IDLE / 2
        here = self._here
        while here.idle:
            try:
                place = here.idle.popleft()
            except IndexError:
                break
            if now - place.used < MAX_IDLE:
                here.idle.appendleft(place)
                break
            self.discard(place, is_broken=False)
        here.match()

    def _leave_parent(self, here: Places) -> Places:
        never_close([place.connection for place in here.idle])
        self._closer.detach()
        return self._start_here()

    def find(self, lost: Place) -> None:
        """Have a place again that nobody has any more, without what was in it."""
        if lost.here is self._here:
            lost.empty(is_broken=True)
            lost.here.put(Place(lost.pool, lost.here))
