"""A machine whose clock was ahead: a sweep sets right what it left, so that sessions grow older from then on."""

from pathlib import Path
from typing import Any

import pytest

from session3.durusfiles import DurusFile
from session3.store.DurusSessionStore import DurusSessionStore
from session3.store.ShelveSessionStore import ShelveSessionStore

from ..contract import stored
from ..sessions import Clock

DAY = 86400


@pytest.fixture(params=["shelve", "durus"])
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Any:
    if request.param == "durus":
        pytest.importorskip("durus", reason="needs Durus: pip install 'session3[durus]'")
        made: Any = DurusSessionStore(DurusFile(str(tmp_path / "s")), clock=clock)
    else:
        made = ShelveSessionStore(tmp_path / "s", clock=clock)
    with made:
        yield made


def test_a_sweep_sets_right_what_is_ahead(store: Any, clock: Clock) -> None:
    present = stored(store)
    clock.advance(DAY)
    saved, touched = stored(store), store.load_session(present.id)
    touched._set_access_time(60)
    store.save_session(touched)
    clock.advance(-DAY)
    assert store.delete_old_sessions(60) == (0, 2)
    assert store.load_session(saved.id).get_access_time() <= clock()
    assert {session.user for _, session in store.iter_sessions()} == {"alice"}
    for _ in range(2):  # what was only touched meanwhile may be seen to be ahead when it would be due
        clock.advance(3601)
        store.delete_old_sessions(60)
    assert list(store.iter_sessions()) == []
