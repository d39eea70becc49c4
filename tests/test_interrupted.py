"""A signal's exception at any moment of a call, as a request's time limit raises one.

After it the next call works, in this process and in others; no file stays open; a session is as it was or as it was to
be; and what the caller gets is that exception. `make faults` tries more points, these tests a part of them.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import session3
from session3.durusfiles import DurusFile
from session3.store.DurusSessionStore import DurusSessionStore

from .interruptions import ACTS, AnotherProcess, Sweep, acts_of, busy, use

_POINTS = 6  # of each call, about


class Setting(NamedTuple):
    """A store under test; another one is one more row."""

    name: str
    open: Callable[[Path], Any]
    is_shared: bool = True


def _url(start: str, **options: Any) -> Callable[[Path], Any]:
    return lambda folder: busy(session3.open_store(f"{start}{folder}/sessions", **options))


SETTINGS = [
    Setting("directory", _url("directory://")),
    Setting("signed directory", _url("directory://", secret_key="0123456789abcdef0123", hash_ids=True)),
    Setting("sqlite", _url("sqlite://")),
    Setting("sqlite in memory", lambda folder: session3.open_store("sqlite://"), False),
    Setting("volatile", lambda folder: session3.open_store("memory://"), False),
    Setting("shelve", _url("shelve://")),
    Setting("durus", lambda folder: DurusSessionStore(DurusFile(f"{folder}/sessions")), False),
    Setting("durus sqlite", lambda folder: DurusSessionStore(DurusFile(f"{folder}/sessions", sqlite=True)), False),
]


@pytest.fixture(params=SETTINGS, ids=lambda setting: setting.name)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Any, Callable[[str], object]]]:
    setting: Setting = request.param
    if setting.name.startswith("durus"):
        pytest.importorskip("durus", reason="needs Durus: pip install 'session3[durus]'")
    store = setting.open(tmp_path)
    if not setting.is_shared:
        yield store, lambda id: use(store, id)
        store.close()
        return
    another = AnotherProcess(lambda: setting.open(tmp_path))
    yield store, another.use
    another.close()
    store.close()


@pytest.mark.parametrize("act", ACTS)
def test_a_call_that_is_interrupted_leaves_nothing(opened: Any, act: str) -> None:
    store, ask_another = opened
    if act not in acts_of(store):
        return
    sweep = Sweep(store, act, ask_another)
    assert sweep.run(_POINTS) > 1
    assert sweep.hidden == []
