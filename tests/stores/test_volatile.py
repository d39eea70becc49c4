from typing import Any

import pytest

from session3.record import Record
from session3.store.VolatileSessionStore import VolatileSessionStore

from ..contract import IterationContract, RecordContract, SealContract, SetupContract, SweepContract, ThreadContract
from ..sessions import Clock


@pytest.fixture
def make_store(clock: Clock) -> Any:
    records: dict[str, Record] = {}

    def make(**options: Any) -> VolatileSessionStore:
        store = VolatileSessionStore(clock=clock, **options)
        store._records = records  # the same memory, opened again
        return store

    return make


@pytest.fixture
def store(make_store: Any) -> Any:
    with make_store() as store:
        yield store


class TestVolatileSessionStore(RecordContract, IterationContract, SweepContract, SetupContract, ThreadContract):
    pass


class TestSealedVolatileSessionStore(SealContract):
    pass
