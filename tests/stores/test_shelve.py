from pathlib import Path
from typing import Any

import pytest

from session3.store.ShelveSessionStore import ShelveSessionStore

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
    return lambda **options: ShelveSessionStore(tmp_path / "sessions", clock=clock, **options)


@pytest.fixture
def store(make_store: Any) -> Any:
    with make_store() as store:
        yield store


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    return f"shelve://{tmp_path}/sessions"


class TestShelveSessionStore(
    RecordContract, IterationContract, SweepContract, SetupContract, ThreadContract, ProcessContract, CrashContract
):
    pass


class TestSealedShelveSessionStore(SealContract):
    pass
