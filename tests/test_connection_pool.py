"""How connections are lent, bounded, replaced and left behind."""

import gc
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from session3.ConnectionPool import MAX_AGE, MAX_IDLE, ConnectionPool
from session3.errors import StoreUnavailable
from session3.poolplaces import Loan

from .processes import ROOT, is_true_in_a_fork, is_true_in_a_fork_of_c
from .sessions import Clock


class Connection:
    """Counts those that are open."""

    opened = closed = 0

    def __init__(self) -> None:
        type(self).opened += 1
        self.is_closed = False

    def close(self) -> None:
        type(self).closed += not self.is_closed
        self.is_closed = True

    def __del__(self) -> None:
        self.close()  # as drivers do


@pytest.fixture
def kind() -> type[Connection]:
    return type("Kind", (Connection,), {"opened": 0, "closed": 0})


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def pool(kind: type[Connection], clock: Clock) -> ConnectionPool:
    return ConnectionPool("a store", lambda: Loan(kind()), 3, 0.0, clock)


def use(pool: ConnectionPool) -> Any:
    place = pool.take()
    connection = place.connection
    pool.give_back(place)
    return connection


def test_the_last_used_is_lent_again(pool: ConnectionPool) -> None:
    places = [pool.take() for _ in range(3)]
    connections = [place.connection for place in places]
    for place in places:
        pool.give_back(place)
    assert use(pool) is use(pool) is connections[-1]


def test_no_more_than_the_limit_and_the_message_names_it(pool: ConnectionPool, kind: type[Connection]) -> None:
    places = [pool.take() for _ in range(3)]
    with pytest.raises(StoreUnavailable, match=r"a store: all 3 connections .* 0 seconds.* max_connections"):
        pool.take()
    pool.give_back(places.pop())
    assert use(pool) is not None
    assert kind.opened == 3


@pytest.mark.parametrize("end", ["give_back", "discard"])
def test_who_waits_gets_what_comes_back(kind: type[Connection], end: str) -> None:
    pool = ConnectionPool("a store", lambda: Loan(kind()), 1, 60.0)
    place, got = pool.take(), []
    thread = threading.Thread(target=lambda: got.append(use(pool)))
    thread.start()
    while not pool._here.waiting:
        pass
    getattr(pool, end)(place)
    thread.join()
    assert kind.opened == (1 if end == "give_back" else 2)
    assert got and use(pool) is got[0]


def test_a_crowd_is_served_by_a_few_connections(kind: type[Connection]) -> None:
    pool = ConnectionPool("a store", lambda: Loan(kind()), 3, 60.0)
    inside, most, errors = [], [], []

    def work() -> None:
        try:
            for _ in range(200):
                place = pool.take()
                inside.append(place)
                most.append(len(inside))
                assert not place.connection.is_closed
                inside.remove(place)
                pool.discard(place) if len(most) % 50 == 0 else pool.give_back(place)
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=work) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and max(most) <= 3
    assert len(pool._here.idle) + len(pool._here.room) == 3
    assert kind.opened - kind.closed == len(pool._here.idle)


def test_what_can_not_be_opened_costs_no_place(clock: Clock) -> None:
    def fail() -> Loan:
        raise StoreUnavailable("no server")

    pool = ConnectionPool("a store", fail, 2, 0.0, clock)
    for _ in range(5):
        with pytest.raises(StoreUnavailable, match="no server"):
            pool.take()


def test_where_the_server_allows_no_more_the_next_that_comes_back_will_do(kind: type[Connection]) -> None:
    """As with as many processes that together want more than the server has."""

    def open() -> Loan:
        if kind.opened - kind.closed >= 2:
            raise StoreUnavailable("too many clients")
        return Loan(kind())

    pool, errors = ConnectionPool("a store", open, 10, 60.0), []

    def work() -> None:
        for _ in range(20):
            try:
                place = pool.take()
            except StoreUnavailable as error:
                errors.append(error)
            else:
                pool.give_back(place)

    held = [pool.take(), pool.take()]
    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for place in held:
        pool.give_back(place)
    for thread in threads:
        thread.join()
    assert errors == [] and kind.opened == 2
    assert len(pool._here.idle) + len(pool._here.room) == 10


def test_who_lost_one_that_the_server_still_counts_gets_the_next_that_comes_back(kind: type[Connection]) -> None:
    def open() -> Loan:
        if kind.opened == 2:
            raise StoreUnavailable("too many clients")
        return Loan(kind())

    pool, got = ConnectionPool("a store", open, 10, 60.0), []
    dead, other = pool.take(), pool.take()
    connection = other.connection
    thread = threading.Thread(target=lambda: got.append(pool.replace(dead)))
    thread.start()
    while not pool._here.waiting and thread.is_alive():
        pass
    pool.give_back(other)
    thread.join()
    assert [place.connection for place in got] == [connection]
    pool.give_back(got.pop())
    assert len(pool._here.idle) + len(pool._here.room) == 10


def test_a_close_while_one_is_opened_is_meant_for_that_one_too(kind: type[Connection]) -> None:
    def open() -> Loan:
        pools[0].close()
        return Loan(kind())

    pools = [ConnectionPool("a store", open, 3, 0.0)]
    assert use(pools[0]).is_closed


def test_a_server_that_went_away_is_told_at_once(kind: type[Connection]) -> None:
    """Whoever waits for one that was at work meanwhile is told, too."""

    def open() -> Loan:
        if kind.opened:
            raise StoreUnavailable("no server")
        return Loan(kind())

    pool, told = ConnectionPool("a store", open, 4, 60.0), []
    at_work = pool.take()

    def work() -> None:
        try:
            pool.take()
        except StoreUnavailable as error:
            told.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    while len(pool._here.waiting) < 8:
        pass
    pool.discard(at_work)
    for thread in threads:
        thread.join(30)
    assert told == ["no server"] * 8
    assert len(pool._here.room) == 4


def test_idle_ones_are_closed_after_a_while(pool: ConnectionPool, kind: type[Connection], clock: Clock) -> None:
    for place in [pool.take() for _ in range(3)]:
        pool.give_back(place)
    for _ in range(10):
        clock.advance(MAX_IDLE / 4)
        last = use(pool)
    assert (kind.opened, kind.closed, last.is_closed) == (3, 2, False)
    clock.advance(MAX_IDLE + 1)
    assert use(pool) is not last and last.is_closed  # nobody trusts what was idle for as long


def test_an_old_one_is_replaced(pool: ConnectionPool, kind: type[Connection], clock: Clock) -> None:
    first = use(pool)
    for _ in range(int(MAX_AGE / 60) + 2):
        clock.advance(60)
        use(pool)
    assert first.is_closed and kind.opened == 2


def test_one_that_died_is_replaced_and_its_idle_siblings_with_it(pool: ConnectionPool, kind: type[Connection]) -> None:
    places = [pool.take() for _ in range(3)]
    dead = places[0].connection
    for place in places[1:]:
        pool.give_back(place)
    fresh = pool.replace(places[0])
    assert fresh.connection is not dead and kind.closed == 3 and kind.opened == 4


def test_close_closes_what_is_idle_now_and_what_is_at_work_later(pool: ConnectionPool, kind: type[Connection]) -> None:
    busy, idle = pool.take(), pool.take()
    pool.give_back(idle)
    pool.close()
    assert kind.closed == 1 and not busy.connection.is_closed
    pool.give_back(busy)
    assert kind.closed == 2
    assert not use(pool).is_closed


def test_a_pool_that_nobody_has_any_more_closes_its_connections(kind: type[Connection]) -> None:
    pool = ConnectionPool("a store", lambda: Loan(kind()), 3, 0.0)
    use(pool)
    del pool
    gc.collect()
    assert kind.closed == 1


def test_one_of_somebody_elses_goes_back_after_each_use(clock: Clock, kind: type[Connection]) -> None:
    back: list[bool] = []
    theirs = kind()
    pool = ConnectionPool("a store", lambda: Loan(theirs, back.append), 1, 0.0, clock)
    use(pool)
    pool.discard(pool.take())
    assert back == [False, True] and kind.closed == 0


def test_an_exception_at_any_line_loses_no_place_and_no_connection(kind: type[Connection]) -> None:
    """As a signal's handler may raise it: between taking and using, in the middle of giving back, anywhere."""

    class Interrupted(BaseException):
        pass

    def at_line(number: int) -> Callable[..., Any]:
        left = number

        def trace(frame: Any, event: str, _: Any) -> Any:
            nonlocal left
            if frame.f_code.co_filename.endswith(("ConnectionPool.py", "places.py")) and event == "line":
                left -= 1
                if left == 0:
                    raise Interrupted
            return trace

        return trace

    pool = ConnectionPool("a store", lambda: Loan(kind()), 2, 0.0)
    number, was_interrupted = 0, True
    while was_interrupted:
        number += 1
        was_interrupted = False
        held = pool.take()  # so that one place is all that there is, and the pool is full in between
        gc.disable()  # or it may finalize the places of other tests' pools in the middle
        sys.settrace(at_line(number))
        try:
            pool.give_back(pool.take())
            pool.discard(pool.take())
            place = pool.take()
            place = pool.replace(place)
            pool.give_back(place)
            pool.close()
        except Interrupted:
            was_interrupted = True
        finally:
            sys.settrace(None)
            gc.enable()
        place = None  # type: ignore[assignment]
        pool.give_back(held)
        assert len(pool._here.idle) + len(pool._here.room) == 2, number
        for one in [pool.take() for _ in range(2)]:
            assert not one.connection.is_closed, number
            pool.give_back(one)
    assert number > 40
    pool.close()
    assert kind.opened == kind.closed


# -- forks and exits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asks", [is_true_in_a_fork, is_true_in_a_fork_of_c])
def test_a_forked_child_opens_its_own_and_closes_none(
    pool: ConnectionPool, kind: type[Connection], asks: Callable[[Callable[[], bool]], bool]
) -> None:
    """Also one that was forked in C, as by uWSGI, where none of Python's hooks is called."""
    parents, at_work = use(pool), [pool.take() for _ in range(3)]
    pool.give_back(at_work.pop())

    def is_another() -> bool:
        own, before = [pool.take().connection for _ in range(3)], kind.closed
        for place in at_work:
            pool.give_back(place)  # of a greenlet that came along
        at_work.clear()
        gc.collect()
        return parents not in own and kind.closed == before

    assert asks(is_another)
    assert use(pool) is not None and kind.closed == 0


_CHILD_ENDS = """
import os
from session3.ConnectionPool import ConnectionPool
from session3.poolplaces import Loan

pool = ConnectionPool("a store", lambda: Loan(open(1, "wb", closefd=False)))
places = [pool.take(), pool.take()]
for place in places:
    place.connection.write(b"closed")  # is told when it is closed, and not before
pool.give_back(places.pop())
if os.fork():
    os.wait()
    os._exit(0)
"""


def test_a_forked_child_closes_none_as_it_ends() -> None:
    """As Python usually ends, which lets go of all that there is."""
    run = subprocess.run([sys.executable, "-W", "error", "-c", _CHILD_ENDS], cwd=ROOT, capture_output=True, check=True)
    assert (run.stdout, run.stderr) == (b"", b"")


def test_the_end_of_a_process_closes_what_is_idle() -> None:
    code = _CHILD_ENDS.partition("if os.fork")[0]
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert run.stdout.startswith(b"closed") and run.stderr == b""


def test_a_signals_exception_while_waiting_leaves_nobody_in_the_queue(kind: type[Connection]) -> None:
    pool = ConnectionPool("a store", lambda: Loan(kind()), 1, 60.0)

    def interrupt(*_: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        place = pool.take()
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(TimeoutError):
            pool.take()
    finally:
        signal.signal(signal.SIGALRM, before)
    pool.give_back(place)
    assert use(pool) is use(pool) and kind.opened == 1
