"""A machine whose clock was ahead has left times from the future: they count as now, and switch no timeout off."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import session3
from session3.backends import for_store
from session3.DictSession import DictSession
from session3.errors import StoreUnavailable
from session3.SessionManager import SessionManager
from session3.store.DirectorySessionStore import DirectorySessionStore
from session3.store.RecordStore import RecordStore
from session3.store.SessionStore import SessionStore
from session3.store.ShelveSessionStore import ShelveSessionStore
from session3.store.SQLiteSessionStore import SQLiteSessionStore
from session3.store.VolatileSessionStore import VolatileSessionStore

from .sessions import Clock
from .test_older_stores import KeepsObjects, Pickles

DAY = 86400.0


def durus(path: Path, clock: Clock) -> RecordStore:
    pytest.importorskip("durus")
    store = session3.open_store(f"durus://{path}/durus", clock=clock)
    assert isinstance(store, RecordStore)
    return store


STORES: dict[str, Callable[[Path, Clock], SessionStore]] = {
    "memory": lambda path, clock: VolatileSessionStore(clock=clock),
    "files": lambda path, clock: DirectorySessionStore(str(path / "files"), create=True, clock=clock),
    "files, signed, hashed": lambda path, clock: DirectorySessionStore(
        str(path / "files"), create=True, clock=clock, secret_key="kx7dm3qpz94vbn2w8rty", hash_ids=True
    ),
    "shelf": lambda path, clock: ShelveSessionStore(str(path / "shelf"), clock=clock),
    "sqlite": lambda path, clock: SQLiteSessionStore(str(path / "sessions.db"), clock=clock),
    "durus": durus,
    "pickles": lambda path, clock: Pickles(clock),
    "objects": lambda path, clock: KeepsObjects(clock),
}


@pytest.fixture
def clock() -> Clock:
    return Clock(1_800_000_000.0)


@pytest.fixture(params=list(STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[SessionStore]:
    with STORES[request.param](tmp_path, clock) as store:
        yield store


def logged_in(manager: SessionManager) -> str:
    visit = manager.begin(None)
    session: Any = visit.session
    session.set_user("alice")
    change = manager.finish(visit)
    assert change is not None and change.value is not None
    return change.value


def user_of(manager: SessionManager, cookie: str) -> Any:
    visit = manager.begin(cookie)
    session: Any = visit.session
    manager.finish(visit)
    return session.user


def ahead(store: SessionStore, clock: Clock, **policy: Any) -> tuple[SessionManager, str]:
    """Return a manager, and the cookie of a session that was made a day from now."""
    manager = SessionManager(store, DictSession, **policy)
    clock.advance(DAY)
    cookie = logged_in(manager)
    clock.advance(60)
    assert user_of(manager, cookie) == "alice"
    clock.advance(-DAY - 60)
    return manager, cookie


def test_an_idle_timeout_counts_from_the_first_request_after_it(store: SessionStore, clock: Clock) -> None:
    manager, cookie = ahead(store, clock, idle_timeout=600)
    assert user_of(manager, cookie) == "alice"
    clock.advance(500)
    assert user_of(manager, cookie) == "alice"
    clock.advance(601)
    assert user_of(manager, cookie) is None


def test_an_absolute_timeout_counts_from_the_first_request_after_it(store: SessionStore, clock: Clock) -> None:
    manager, cookie = ahead(store, clock, absolute_timeout=3600)
    for _ in range(6):
        assert user_of(manager, cookie) == "alice"
        clock.advance(600)
    clock.advance(1)
    assert user_of(manager, cookie) is None


def test_an_expiry_of_its_own_counts_from_the_first_request_after_it(store: SessionStore, clock: Clock) -> None:
    manager = SessionManager(store, DictSession)
    clock.advance(DAY)
    visit = manager.begin(None)
    session: Any = visit.session
    session.set_user("alice")
    session.set_expiry(300)
    change = manager.finish(visit)
    assert change is not None and change.value is not None
    clock.advance(-DAY)
    visit = manager.begin(change.value)
    session = visit.session
    assert session.user == "alice" and session.get_access_age() == 0
    session["a"] = 1
    manager.finish(visit)
    clock.advance(301)
    assert user_of(manager, change.value) is None


def test_ages_are_none_rather_than_negative(store: SessionStore, clock: Clock) -> None:
    _, cookie = ahead(store, clock)
    session = store.load_session(cookie)
    assert 0 <= session.get_access_age(clock()) < 1 and 0 <= session.get_creation_age(clock()) < 1
    assert 0 <= session._get_id_age() < DAY / 2


def test_an_id_is_renewed_in_time(clock: Clock) -> None:
    manager, cookie = ahead(VolatileSessionStore(clock=clock), clock, renew_after=900)
    assert user_of(manager, cookie) == "alice"
    clock.advance(901)
    change = manager.finish(manager.begin(cookie))
    assert change is not None and change.value not in (None, cookie)


def test_an_id_that_was_renewed_ahead_is_renewed_in_time(clock: Clock) -> None:
    manager = SessionManager(VolatileSessionStore(clock=clock), DictSession, renew_after=900)
    clock.advance(DAY)
    cookie = logged_in(manager)
    clock.advance(1000)
    change = manager.finish(manager.begin(cookie))
    assert change is not None and change.value not in (None, cookie)
    cookie = str(change.value)
    clock.advance(-DAY)
    assert manager.finish(manager.begin(cookie)) is None
    clock.advance(901)
    change = manager.finish(manager.begin(cookie))
    assert change is not None and change.value not in (None, cookie)


@pytest.mark.parametrize("name", ["memory", "sqlite", "files"])
def test_a_reader_sets_them_right_once(name: str, tmp_path: Path, clock: Clock) -> None:
    store: Any = STORES[name](tmp_path, clock)
    manager, cookie = ahead(store, clock)
    assert user_of(manager, cookie) == "alice"
    [(_, record)] = store.scan()
    assert max(record.created, record.modified, record.accessed) <= clock()
    revision = record.revision
    assert user_of(manager, cookie) == "alice"
    [(_, record)] = store.scan()
    assert record.revision == revision


@pytest.mark.parametrize("on_conflict", ["merge", "last", "raise"])
def test_two_readers_at_once_set_them_right_and_neither_fails(clock: Clock, on_conflict: Any) -> None:
    store = VolatileSessionStore(clock=clock, on_conflict=on_conflict)
    manager, cookie = ahead(store, clock, idle_timeout=600)
    visits = [manager.begin(cookie) for _ in range(2)]
    for visit in visits:
        manager.finish(visit)
    [(_, record)] = store.scan()
    assert record.accessed <= clock() and record.expires == clock() + 600


def test_a_store_that_can_not_be_written_is_read_all_the_same(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    store = VolatileSessionStore(clock=clock)
    manager, cookie = ahead(store, clock)

    def fail(*args: Any) -> Any:
        raise StoreUnavailable("read-only")

    for verb in ("replace", "touch", "insert", "remove"):
        monkeypatch.setattr(store, verb, fail)
    for _ in range(2):
        assert user_of(manager, cookie) == "alice"


def test_a_session_that_was_deleted_meanwhile_stays_deleted(clock: Clock) -> None:
    store = VolatileSessionStore(clock=clock)
    manager, cookie = ahead(store, clock)
    visit = manager.begin(cookie)
    store.delete_session(cookie)
    assert manager.finish(visit) is None
    assert list(store) == []


def test_clocks_that_differ_by_less_than_a_minute_change_nothing(clock: Clock) -> None:
    store = VolatileSessionStore(clock=clock)
    manager = SessionManager(store, DictSession, idle_timeout=600)
    clock.advance(59)
    cookie = logged_in(manager)
    [(_, before)] = store.scan()
    clock.advance(-59)
    assert user_of(manager, cookie) == "alice"
    assert [record for _, record in store.scan()] == [before]


def test_djangos_api_saves_what_was_set_right(store: SessionStore, clock: Clock) -> None:
    sessions = for_store(store, cookie_age=600)
    clock.advance(DAY)
    session = sessions()
    session["a"] = 1
    session.save()
    clock.advance(-DAY)
    again = sessions(session.session_key)
    assert again["a"] == 1
    again.save()
    clock.advance(601)
    assert sessions(session.session_key).get("a") is None
