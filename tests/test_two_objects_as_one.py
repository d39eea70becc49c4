"""Store objects on one place, of which each call takes another one, are together what the model of one store is."""

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .benches import STORES, Bench
from .stores.conftest import ServerClock
from .test_model import StoreMachine, search

EXAMPLES = {
    "directory": 40, "shelve": 40, "sqlite": 40, "sqlite, signed, ids hashed": 40, "durus server": 5,
    "postgresql": 5, "mysql": 5,
}  # fmt: skip


class Mixed:
    """Passes each call on to one of several store objects."""

    def __init__(self, stores: list[Any]) -> None:
        self._stores, self._random = stores, random.Random(7)

    def begin_again(self) -> None:
        self._random.seed(7)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._random.choice(self._stores), name)


@pytest.fixture
def clock() -> ServerClock:
    clock = ServerClock(float(int(time.time())))
    clock.age_records = lambda seconds: None
    return clock


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path, clock: ServerClock) -> Iterator[Bench]:
    bench = Bench(request, tmp_path, clock)
    with bench.stack:
        yield bench


@pytest.mark.parametrize(("name", "examples"), EXAMPLES.items())
def test_they_do_what_the_model_of_one_does(
    bench: Bench, clock: ServerClock, name: str, examples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secrets.randbits", random.Random(7).getrandbits)  # the same in each run
    mixed = Mixed(STORES[name][0](bench))

    def machine() -> StoreMachine:
        mixed.begin_again()
        return StoreMachine([mixed, mixed], clock)

    search(machine, examples)
