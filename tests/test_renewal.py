"""Two kinds of rotation: at a change of user the old id is nobody; a renewal leads on for a grace."""

import logging
from typing import Any

import pytest

from session3 import ids
from session3.cookies import REVOKE
from session3.DictSession import DictSession
from session3.errors import ConfigurationError, StoreUnavailable
from session3.record import Record
from session3.SessionManager import SessionManager
from session3.store.VolatileSessionStore import VolatileSessionStore

from .sessions import Clock
from .test_session_manager import begin, logged_in

HOUR = 3600


@pytest.fixture(params=[{}, {"hash_ids": True}], ids=["plain", "hashed"])
def store(request: Any, clock: Clock) -> VolatileSessionStore:
    return VolatileSessionStore(clock=clock, **request.param)


@pytest.fixture
def manager(store: VolatileSessionStore) -> SessionManager:
    return SessionManager(store, DictSession, renew_after=HOUR)


def renewed(manager: SessionManager, cookie: str) -> str:
    change = manager.finish(begin(manager, cookie)[0])
    assert change is not None and change.value not in (None, cookie)
    return change.value


def test_an_id_is_renewed_when_it_is_so_old(manager: SessionManager, clock: Clock) -> None:
    cookie = logged_in(manager, n=1)
    clock.advance(HOUR - 1)
    assert manager.finish(begin(manager, cookie)[0]) is None
    clock.advance(1)
    new = renewed(manager, cookie)
    _, session = begin(manager, new)
    assert (session.user, session["n"]) == ("alice", 1)
    assert session.get_creation_age() == HOUR  # an absolute timeout goes on counting


def test_the_new_id_is_renewed_in_its_turn(manager: SessionManager, clock: Clock) -> None:
    cookie = logged_in(manager)
    for _ in range(3):
        clock.advance(HOUR)
        cookie = renewed(manager, cookie)
        assert manager.finish(begin(manager, cookie)[0]) is None


def test_for_the_grace_the_old_id_leads_there_and_sets_the_cookie_again(
    manager: SessionManager, store: Any, clock: Clock
) -> None:
    cookie = logged_in(manager, n=1)
    clock.advance(HOUR)
    new = renewed(manager, cookie)
    clock.advance(manager.CYCLE_GRACE - 1)
    for item in ("a", "b"):
        visit, session = begin(manager, cookie)
        session[item] = 1
        change = manager.finish(visit)
        assert change is not None and change.value == new  # not renewed a second time
    clock.advance(100)
    visit, session = begin(manager, new)  # the grace counts from here on
    assert dict(session) == {"n": 1, "a": 1, "b": 1}
    manager.finish(visit)
    clock.advance(manager.CYCLE_GRACE - 1)
    assert begin(manager, cookie)[1].user == "alice"
    clock.advance(1)
    assert begin(manager, cookie)[0].loaded is None
    assert sum(1 for _ in store.iter_sessions()) == 1


def test_who_asks_for_another_id_by_the_old_one_gets_none(manager: SessionManager) -> None:
    cookie = logged_in(manager)
    visit, _ = begin(manager, cookie)
    visit.cycle_session(10)
    change = manager.finish(visit)
    visit, _ = begin(manager, cookie)
    visit.cycle_session(10)
    again = manager.finish(visit)
    assert change is not None and again is not None and again.value == change.value


def test_two_requests_of_one_page_renew_it_once(manager: SessionManager, store: Any, clock: Clock) -> None:
    cookie = logged_in(manager)
    clock.advance(HOUR)
    (one, first), (other, second) = begin(manager, cookie), begin(manager, cookie)
    first["one"], second["other"] = 1, 1
    changes = {change.value for change in (manager.finish(one), manager.finish(other)) if change is not None}
    assert len(changes) == 1
    assert sum(1 for _ in store.iter_sessions()) == 1
    assert dict(begin(manager, str(changes.pop()))[1]) == {"one": 1, "other": 1}


def test_a_logout_ends_both_ids_at_once(manager: SessionManager, clock: Clock) -> None:
    for by_old in (False, True):
        cookie = logged_in(manager)
        clock.advance(HOUR)
        new = renewed(manager, cookie)
        visit, _ = begin(manager, cookie if by_old else new)
        visit.end_session()
        assert manager.finish(visit) is REVOKE
        assert begin(manager, cookie)[0].loaded is None and begin(manager, new)[0].loaded is None


def test_a_change_of_user_ends_both_ids_at_once(manager: SessionManager, clock: Clock) -> None:
    cookie = logged_in(manager, user=None, n=1)
    clock.advance(HOUR)
    new = renewed(manager, cookie)
    visit, session = begin(manager, new)
    session.set_user("alice")
    change = manager.finish(visit)
    assert change is not None and begin(manager, change.value)[1].user == "alice"
    assert begin(manager, cookie)[0].loaded is None and begin(manager, new)[0].loaded is None


def test_a_login_when_the_id_is_due_has_no_grace(manager: SessionManager, clock: Clock) -> None:
    cookie = logged_in(manager, user=None, n=1)
    clock.advance(HOUR)
    visit, session = begin(manager, cookie)
    session.set_user("alice")
    manager.finish(visit)
    assert begin(manager, cookie)[0].loaded is None


def test_a_page_that_only_looks_goes_out_though_its_id_can_not_be_renewed(
    manager: SessionManager, store: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: Any) -> bool:
        raise StoreUnavailable("the disk is full")

    cookie = logged_in(manager, n=1)
    clock.advance(HOUR)
    (visit, _), (writing, session) = begin(manager, cookie), begin(manager, cookie)
    monkeypatch.setattr(store, "insert", fail)
    assert manager.finish(visit) is None
    assert "not renewed: the disk is full" in caplog.text
    session["n"] = 2
    with pytest.raises(StoreUnavailable):
        manager.finish(writing)
    monkeypatch.undo()
    assert begin(manager, cookie)[1]["n"] == 1


@pytest.mark.parametrize("seconds", [0, -1])
def test_zero_is_no_age(store: Any, seconds: float) -> None:
    with pytest.raises(ConfigurationError, match="renew_after"):
        SessionManager(store, renew_after=seconds)


class TestLogLines:
    """One line each, with a short hash and never the id."""

    @pytest.fixture(autouse=True)
    def from_debug_on(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, logger="session3")

    @staticmethod
    def line(caplog: pytest.LogCaptureFixture, level: int, text: str, id: str) -> None:
        [record] = [record for record in caplog.records if record.levelno >= level]
        assert (record.name, record.levelno) == ("session3", level)
        shown = record.getMessage()
        assert text in shown and "\n" not in shown
        assert id not in caplog.text
        assert any(ids.short_hash(name) in shown for name in (id, ids.hash_id(id)))

    def test_a_late_save_of_a_deleted_session(self, manager: Any, store: Any, caplog: Any) -> None:
        cookie = logged_in(manager)
        visit, session = begin(manager, cookie)
        store.delete_session(cookie)
        session["n"] = 1
        assert manager.finish(visit) is None
        self.line(caplog, logging.INFO, "was deleted while a request worked on it", cookie)

    def test_a_conflict(self, manager: Any, store: Any, caplog: Any) -> None:
        store.on_conflict = "raise"
        cookie = logged_in(manager)
        (one, first), (other, second) = begin(manager, cookie), begin(manager, cookie)
        first["n"] = second["n"] = 1
        manager.finish(one)
        with pytest.raises(Exception, match="changed meanwhile"):
            manager.finish(other)
        self.line(caplog, logging.WARNING, "was changed by two requests at once", cookie)

    def test_a_damaged_record(self, manager: Any, store: Any, caplog: Any) -> None:
        cookie = logged_in(manager)
        [(key, record)] = store.scan()
        store.replace(key, record._replace(payload=b"\0"), record.revision)
        for _ in range(3):
            assert begin(manager, cookie)[0].loaded is None
        self.line(caplog, logging.WARNING, "is damaged", cookie)

    def test_an_unknown_id(self, manager: Any, caplog: Any) -> None:
        unknown = ids.make_id()
        assert begin(manager, unknown)[0].loaded is None
        self.line(caplog, logging.DEBUG, "is unknown, or has expired", unknown)

    def test_a_rotated_id(self, manager: Any, caplog: Any) -> None:
        cookie = logged_in(manager, user=None, n=1)
        visit, session = begin(manager, cookie)
        session.set_user("alice")
        manager.finish(visit)
        caplog.clear()
        assert begin(manager, cookie)[0].loaded is None
        self.line(caplog, logging.INFO, "got another id at a login", cookie)


class Lossy(VolatileSessionStore):
    """Loses the reply to what leaves an id behind, and then reads as often as it is told nothing."""

    outages = 0

    def replace(self, key: str, record: Any, revision: int) -> bool:
        is_done = super().replace(key, record, revision)
        if record.forward is not None:
            raise StoreUnavailable("the reply was lost")
        return is_done

    def read(self, key: str) -> Any:
        if self.outages:
            self.outages -= 1
            raise StoreUnavailable("out of reach")
        return super().read(key)


@pytest.mark.parametrize("how", ["renewal", "login"])
@pytest.mark.parametrize("is_away", [False, True])
def test_a_reply_that_is_lost_costs_no_session(clock: Clock, how: str, is_away: bool) -> None:
    store = Lossy(clock=clock)
    manager = SessionManager(store, DictSession, renew_after=HOUR)
    cookie = logged_in(manager, user="alice" if how == "renewal" else None, n=1)
    clock.advance(HOUR)
    visit, session = begin(manager, cookie)
    if how == "login":
        session.set_user("alice")
    store.outages = int(is_away)
    if not is_away:
        change = manager.finish(visit)
        assert change is not None and begin(manager, change.value)[1]["n"] == 1
    elif how == "renewal":
        assert manager.finish(visit) is None  # the page goes out, and the old id leads on
        assert begin(manager, cookie)[1]["n"] == 1
    else:
        with pytest.raises(StoreUnavailable):
            manager.finish(visit)
    assert [session["n"] for _, session in store.iter_sessions()] == [1]


def test_any_number_of_renewals_may_meet_in_a_grace(manager: SessionManager, store: Any) -> None:
    first = cookie = logged_in(manager)
    late, _ = begin(manager, first)
    for _ in range(50):
        visit, _ = begin(manager, cookie)
        visit.cycle_session(10)
        change = manager.finish(visit)
        assert change is not None and change.value is not None
        cookie = change.value
    assert begin(manager, first)[1].user == "alice"
    late.end_session()
    assert manager.finish(late) is REVOKE
    assert begin(manager, cookie)[1].user is None and list(store.iter_sessions()) == []


def test_forwards_in_a_ring_lead_to_nobody(store: Any, clock: Clock) -> None:
    ids_ = ["example1", "example2"]
    for id, other in zip(ids_, reversed(ids_), strict=True):
        forward = ids.veil(other, id) if store.hash_ids else other
        store.insert(store._key(id), Record(b"", 1, clock(), clock(), clock(), forward=forward))
    assert store.load_session("example1") is None
