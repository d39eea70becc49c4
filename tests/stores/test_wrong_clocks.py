"""Sessions of a time when this machine's clock was ahead: no time that is still to come switches a timeout off."""

from pathlib import Path
from typing import Any

import pytest

import session3
from session3.DictSession import DictSession
from session3.errors import SessionDeleted

from ..contract import new_id
from ..sessions import Clock

DAY = 86400.0
SCHEMES = ["directory", "sqlite", "memory", "shelve", "durus"]


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Any:
    scheme: str = request.param
    if scheme == "durus":
        pytest.importorskip("durus", reason="needs Durus: pip install 'session3[durus]'")
    url = "memory://" if scheme == "memory" else f"{scheme}://{tmp_path}/sessions"
    with session3.open_store(url, clock=clock) as store:
        yield store


def stored(store: Any) -> Any:
    """Return a session that was made, and used, at this moment of the store's clock."""
    session = DictSession(new_id())
    session._creation_time = session._access_time = store.clock()
    store.save_session(session)
    return session


@pytest.mark.parametrize("store", SCHEMES, indirect=True)
def test_a_touch_sets_an_access_time_right(store: Any, clock: Clock) -> None:
    clock.advance(DAY)
    id = stored(store).id
    clock.advance(-DAY)
    for later in (0, 100):
        clock.advance(later)
        revision = store.read(id).revision
        assert store.touch(id, revision, clock(), clock() + 600)
        record = store.read(id)
        assert (record.accessed, record.expires, record.revision) == (clock(), clock() + 600, revision)
    assert store.touch(id, revision, clock() - 50, clock() + 100)  # from a request that came before, as ever
    assert store.read(id).accessed == clock() and store.read(id).expires == clock() + 600


@pytest.mark.parametrize("store", SCHEMES, indirect=True)
def test_a_clock_that_is_a_little_ahead_is_another_machines(store: Any, clock: Clock) -> None:
    clock.advance(50)
    id = stored(store).id
    ahead = clock()
    clock.advance(-50)
    assert store.touch(id, store.read(id).revision, clock(), None)
    store.delete_old_sessions(10)
    assert store.read(id).accessed == ahead


@pytest.mark.parametrize("store", ["directory", "sqlite", "memory"], indirect=True)
def test_who_is_never_seen_again_is_swept_in_time(store: Any, clock: Clock) -> None:
    clock.advance(DAY)
    stored(store)
    with store.locked("example1", lease=100):
        clock.advance(-DAY)
        assert store.delete_old_sessions(10) == (0, 1)
        clock.advance(500)
        late = store.load_session(next(iter(dict(store.iter_sessions()))))
        clock.advance(200)
        assert store.delete_old_sessions(10) == (1, 0)
        late["n"] = 1
        with pytest.raises(SessionDeleted):
            store.save_session(late)


@pytest.mark.parametrize("store", ["directory", "sqlite", "memory"], indirect=True)
def test_a_save_beside_the_sweep_is_not_lost(store: Any, clock: Clock) -> None:
    clock.advance(DAY)
    session = stored(store)
    clock.advance(-DAY)
    store.delete_expired_sessions()
    session["n"] = 1
    store.save_session(session)
    assert store.load_session(session.id)["n"] == 1
