"""A session that gets another id, beside conflicts, older ways of storing, several cookies and outages."""

from pathlib import Path
from typing import Any

import pytest

from session3.Accepted import Accepted
from session3.DictSession import DictSession
from session3.errors import SessionConflict, StoreUnavailable
from session3.ids import make_id
from session3.SessionManager import SessionManager
from session3.store.DirectorySessionStore import DirectorySessionStore
from session3.store.VolatileSessionStore import VolatileSessionStore

from .sessions import Clock
from .stores.test_upstream import ID, VALUES
from .test_between_requests import cycled
from .test_session_manager import begin, logged_in

OLD, NEW = "the old key, long enough", "the new key, long enough"


class Static(DictSession):
    """Says how it merges in a static method."""

    @staticmethod
    def merge(base: Any, mine: Any, theirs: Any) -> Any:
        return DictSession.merge(base, mine, theirs)


def manager_of(clock: Clock, **options: Any) -> SessionManager:
    return SessionManager(VolatileSessionStore(clock=clock, **options), DictSession)


def test_a_merge_may_be_a_static_method() -> None:
    store = VolatileSessionStore()
    id = make_id()
    store.save_session(Static(id))
    mine, theirs = store.load_session(id), store.load_session(id)
    for number, each in enumerate((theirs, mine)):
        each[f"n{number}"] = 1
        store.save_session(each)
    assert dict(store.load_session(id)) == {"n0": 1, "n1": 1}


class TestAStoreThatRaisesConflicts:
    @pytest.fixture
    def manager(self, clock: Clock) -> SessionManager:
        return manager_of(clock, on_conflict="raise")

    def test_takes_a_new_id_for_none(self, manager: SessionManager) -> None:
        cookie = logged_in(manager)
        visit, session = begin(manager, cookie)
        new = cycled(manager, cookie)
        session["n"] = 1
        manager.finish(visit)
        assert begin(manager, new)[1]["n"] == 1

    def test_takes_its_first_arrival_for_none(self, manager: SessionManager) -> None:
        new = cycled(manager, logged_in(manager))
        visit, session = begin(manager, new)
        manager.finish(begin(manager, new)[0])
        session["n"] = 1
        manager.finish(visit)
        assert begin(manager, new)[1]["n"] == 1

    def test_still_takes_a_change_under_a_new_id_for_one(self, manager: SessionManager) -> None:
        cookie = logged_in(manager)
        visit, session = begin(manager, cookie)
        changing, changed = begin(manager, cookie)
        changing.cycle_session(10)
        changed["n"] = 2
        manager.finish(changing)
        session["n"] = 1
        with pytest.raises(SessionConflict):
            manager.finish(visit)


@pytest.mark.parametrize("on_conflict", ["merge", "last", "raise"])
def test_who_only_gets_a_new_id_takes_back_nothing_and_meets_no_conflict(clock: Clock, on_conflict: str) -> None:
    manager = manager_of(clock, on_conflict=on_conflict)
    cookie = logged_in(manager)
    visit, _ = begin(manager, cookie)
    changing, changed = begin(manager, cookie)
    changed["n"] = 1
    manager.finish(changing)
    visit.cycle_session(10)
    change = manager.finish(visit)
    assert change is not None and begin(manager, change.value)[1]["n"] == 1


def test_what_was_emptied_gets_no_new_id_where_nothing_was_added(clock: Clock) -> None:
    manager = manager_of(clock)
    cookie = logged_in(manager)
    (renewing, _), (emptying, emptied) = begin(manager, cookie), begin(manager, cookie)
    renewing.cycle_session(10)
    emptied.user = None
    manager.finish(emptying)
    assert manager.finish(renewing) is None
    assert list(manager.store.iter_sessions()) == []


class TestAnOldId:
    @pytest.mark.parametrize("on_conflict", ["merge", "last", "raise"])
    def test_leads_on_where_a_request_in_flight_changed_the_session(self, clock: Clock, on_conflict: str) -> None:
        manager = manager_of(clock, on_conflict=on_conflict)
        cookie = logged_in(manager)
        visit, session = begin(manager, cookie)
        cycled(manager, cookie)  # whose answer is lost
        session["n"] = 1
        manager.finish(visit)
        clock.advance(30)
        assert begin(manager, cookie)[1].user == "alice"

    @pytest.mark.parametrize("on_conflict", ["merge", "last"])
    def test_leads_on_though_it_first_came_beside_the_next_renewal(self, clock: Clock, on_conflict: str) -> None:
        manager = manager_of(clock, on_conflict=on_conflict)
        cookie = cycled(manager, logged_in(manager))
        visit, session = begin(manager, cookie)
        new = cycled(manager, cookie)  # whose answer is lost, as that of the other one
        session["n"] = 1
        manager.finish(visit)
        assert manager.store.load_session(new)._id_unseen
        clock.advance(30)
        assert begin(manager, cookie)[1].user == "alice"

    def test_leads_on_for_its_grace_once_the_new_one_came_in_a_second_cookie(self, clock: Clock) -> None:
        manager = manager_of(clock)
        cookie = logged_in(manager)
        new = cycled(manager, cookie)
        manager.finish(manager.begin([cookie, new]))
        clock.advance(30)
        visit = manager.begin([cookie, new])
        assert visit.cookie_value == new and manager.finish(visit) is None

    def test_that_is_plain_leads_on_for_its_grace_over_a_second_renewal(self, clock: Clock) -> None:
        plain = VolatileSessionStore(clock=clock)
        cookie = logged_in(SessionManager(plain, DictSession))
        manager = manager_of(clock, hash_ids=True, accepts=[Accepted(hash_ids=False)])
        manager.store._records = plain._records  # type: ignore[attr-defined]
        self._has_ended_over_a_second_renewal(manager, cookie, clock)

    def test_of_3_4_1_leads_on_for_its_grace_over_a_second_renewal(self, clock: Clock, tmp_path: Path) -> None:
        (tmp_path / ID).write_bytes(VALUES[0])
        manager = SessionManager(DirectorySessionStore(tmp_path, clock=clock, hash_ids=True), DictSession)
        self._has_ended_over_a_second_renewal(manager, ID, clock)

    def _has_ended_over_a_second_renewal(self, manager: SessionManager, cookie: str, clock: Clock) -> None:
        clock.advance(100)
        new = cycled(manager, cookie)
        manager.finish(begin(manager, new)[0])
        clock.advance(30)
        cycled(manager, new)
        assert begin(manager, new)[1].user == "alice"
        assert begin(manager, cookie)[1].user is None


class TestAnOutage:
    def test_takes_nobody_else_s_session_whose_id_was_wanted(
        self, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        manager = manager_of(clock)
        store, cookie, taken = manager.store, logged_in(manager), logged_in(manager, "bob")
        session = store.load_session(cookie)
        monkeypatch.setattr(store, "_is_there", _away)
        with pytest.raises(StoreUnavailable):
            store.move_session(session, taken)
        assert store.load_session(taken).user == "bob"

    def test_in_a_logout_and_login_leaves_no_session_that_nobody_has_the_id_of(
        self, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        manager = manager_of(clock)
        cookie = logged_in(manager)
        visit, _ = begin(manager, cookie)
        visit.end_session()
        visit.session = DictSession(None)
        visit.session.set_user("bob")
        delete, calls = manager.store.delete_session, iter([_away])
        monkeypatch.setattr(manager.store, "delete_session", lambda session: next(calls, delete)(session))
        with pytest.raises(StoreUnavailable):
            manager.finish(visit)
        assert [session.user for _, session in manager.store.iter_sessions()] == ["alice"]


def _away(*_: Any) -> Any:
    raise StoreUnavailable("away")


def test_a_second_store_object_knows_that_a_seal_is_old(clock: Clock, tmp_path: Path) -> None:
    session: Any = DictSession(make_id())
    DirectorySessionStore(tmp_path, clock=clock, secret_key=OLD).save_session(session)
    one, other = (DirectorySessionStore(tmp_path, clock=clock, secret_key=[NEW, OLD]) for _ in range(2))
    session = one.load_session(session.id)
    clock.advance(100)
    session._access_time = clock()
    other.save_session(session)
    assert other.reseal(look_only=True) == (0, 0)
