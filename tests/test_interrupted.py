"""A signal's exception at any moment of a call, as a request's time limit raises one.

After it the next call works, in this process and in others; no file stays open; a session is as it was or as it was to
be; and what the caller gets is that exception. `make faults` tries each bytecode, these tests a part of them.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import session3

from .interruptions import ACTS, AnotherProcess, Sweep, use

_POINTS = 40  # of each call, about


class Setting(NamedTuple):
    """A store under test; another one is one more row."""

    name: str
    scheme: str
    is_shared: bool = True
    options: dict[str, Any] = {}


SETTINGS = [
    Setting("directory", "directory"),
    Setting("signed directory", "directory", options={"secret_key": "0123456789abcdef0123", "hash_ids": True}),
    Setting("sqlite", "sqlite"),
    Setting("sqlite in memory", "sqlite", is_shared=False),
    Setting("volatile", "memory", is_shared=False),
]


@pytest.fixture(params=SETTINGS, ids=lambda setting: setting.name)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Any, Callable[[str], object]]]:
    setting: Setting = request.param
    url = f"{setting.scheme}://{tmp_path}/sessions" if setting.is_shared else f"{setting.scheme}://"
    store = session3.open_store(url, **setting.options)
    if not setting.is_shared:
        yield store, lambda id: use(store, id)
        return
    another = AnotherProcess(lambda: session3.open_store(url, **setting.options))
    yield store, another.use
    another.close()
    store.close()


@pytest.mark.parametrize("act", ACTS)
def test_a_call_that_is_interrupted_leaves_nothing(opened: Any, act: str) -> None:
    store, ask_another = opened
    sweep = Sweep(store, act, ask_another)
    # So far apart that every part is met, and each time the same.
    steps = Sweep(store, act, ask_another).count() // _POINTS + 1
    assert sweep.run(steps) > 1
    assert sweep.hidden == []
