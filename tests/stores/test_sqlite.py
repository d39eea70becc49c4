from pathlib import Path
from typing import Any

import pytest

from session3.store.SQLiteSessionStore import SQLiteSessionStore

from ..contract import (
    CrashContract,
    IterationContract,
    ProcessContract,
    RecordContract,
    SealContract,
    SetupContract,
    SweepContract,
    ThreadContract,
)
from ..sessions import Clock


@pytest.fixture
def make_store(tmp_path: Path, clock: Clock) -> Any:
    return lambda **options: SQLiteSessionStore(tmp_path / "sessions", clock=clock, **options)


@pytest.fixture
def store(make_store: Any) -> Any:
    with make_store() as store:
        yield store


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    return f"sqlite://{tmp_path}/sessions"


class TestSQLiteSessionStore(
    RecordContract, IterationContract, SweepContract, SetupContract, ThreadContract, ProcessContract, CrashContract
):
    pass


class TestSealedSQLiteSessionStore(SealContract):
    pass


class TestInMemory(RecordContract, IterationContract, SweepContract, SetupContract, ThreadContract):
    @pytest.fixture
    def store(self, clock: Clock) -> Any:
        with SQLiteSessionStore(":memory:", clock=clock) as store:
            assert not store.is_multiprocess_safe
            yield store
