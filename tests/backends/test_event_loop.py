"""The async methods leave the event loop free while the store is at work."""

import asyncio
import time
from collections.abc import Awaitable, Callable
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
            time.sleep(SLOW)

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


@pytest.fixture
def session() -> Any:
    """A session that is stored, loaded and changed, on a store that is slow from here on."""
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


@pytest.mark.parametrize("name", ["asave", "aload", "acreate", "acycle_key", "aflush", "adelete", "aclear_expired"])
def test_the_loop_goes_on_while_a_session_waits(session: Any, name: str) -> None:
    act = session.__class__(session.session_key).aget if name == "aclear_expired" else getattr(session, name)
    arguments = ["a"] if name == "aclear_expired" else []
    assert asyncio.run(longest_delay(lambda: act(*arguments))) <= MOST


def test_a_plain_save_holds_the_loop(session: Any) -> None:
    async def save() -> None:
        session.save()

    assert asyncio.run(longest_delay(save)) > MOST


def test_sessions_wait_beside_each_other(session: Any) -> None:
    async def load_four() -> None:
        others = [type(session)(session.session_key) for _ in range(4)]
        assert await asyncio.gather(*[other.aget("a") for other in others]) == [1] * 4

    async def timed() -> float:
        before = time.perf_counter()
        assert await longest_delay(load_four) <= MOST
        return time.perf_counter() - before

    assert asyncio.run(timed()) < 3 * SLOW
