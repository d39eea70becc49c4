"""The async methods leave the event loop free while the store is at work."""

import asyncio
import functools
import gc
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from session3.backends import for_store
from session3.store.VolatileSessionStore import VolatileSessionStore

INTERVAL = 0.005  # seconds between two beats
MOST = 0.05  # seconds that a beat may come late
SLOW = 0.3  # seconds that a verb of the store takes


class SlowStore(VolatileSessionStore):
    """Blocks its thread in each of the verbs that a session asks for, once it `is_slow`."""

    is_slow = False

    def _work(self) -> None:
        if self.is_slow:
            time.sleep(SLOW)  # what is tested: a driver that waits, and lets nothing else run on its thread

    def read(self, *args: Any) -> Any:
        self._work()
        return super().read(*args)

    def insert(self, *args: Any) -> Any:
        self._work()
        return super().insert(*args)

    def replace(self, *args: Any) -> Any:
        self._work()
        return super().replace(*args)

    def remove(self, *args: Any) -> Any:
        self._work()
        return super().remove(*args)


@pytest.fixture(autouse=True)
def no_collection() -> Iterator[None]:
    """Keep the garbage collector from holding the loop: it has much to look at where many tests were collected."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def make_session() -> Any:
    """Return a session that is stored, loaded and changed, on a store that is slow from here on."""
    store = SlowStore()
    session_class = for_store(store)
    session = session_class()
    session["a"] = 1
    session.save()
    session = session_class(session.session_key)
    session["a"] = 2
    store.is_slow = True
    return session


async def longest_delay(act: Callable[[], Awaitable[Any]]) -> float:
    """Return by how many seconds the heart beat too late, at most, while `act` ran."""
    delays: list[float] = []

    async def beat() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(INTERVAL)
            delays.append(time.perf_counter() - before - INTERVAL)

    heart = asyncio.create_task(beat())
    await asyncio.sleep(INTERVAL)
    before = time.perf_counter()
    await act()
    assert time.perf_counter() - before >= SLOW  # else the store was not asked
    await asyncio.sleep(INTERVAL)
    heart.cancel()
    return max(delays)


def shortest(act: Callable[[Any], Awaitable[Any]]) -> float:
    """Return the longest delay of the best of three runs: the machine may stall in one, a store would in each."""
    delays = []
    for _ in range(3):
        delays.append(asyncio.run(longest_delay(functools.partial(act, make_session()))))
        if delays[-1] <= MOST:
            break
    return min(delays)


@pytest.mark.parametrize("name", ["asave", "aload", "acreate", "acycle_key", "aflush", "adelete"])
def test_the_loop_goes_on_while_a_session_waits(name: str) -> None:
    assert shortest(lambda session: getattr(session, name)()) <= MOST


def test_the_loop_goes_on_while_items_are_loaded() -> None:
    async def read(session: Any) -> None:
        assert await type(session)(session.session_key).aget("a") == 1

    assert shortest(read) <= MOST


def test_a_plain_save_holds_the_loop() -> None:
    async def save(session: Any) -> None:
        session.save()

    assert shortest(save) > MOST


def test_sessions_wait_beside_each_other() -> None:
    took: list[float] = []

    async def load_four(session: Any) -> None:
        before = time.perf_counter()
        others = [type(session)(session.session_key) for _ in range(4)]
        assert await asyncio.gather(*[other.aget("a") for other in others]) == [1] * 4
        took.append(time.perf_counter() - before)

    assert shortest(load_four) <= MOST
    assert min(took) < 3 * SLOW
