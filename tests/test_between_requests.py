"""What one request decides beside another one: who keeps, loses or gets a cookie."""

from typing import Any

import pytest

from session3.backends import for_store
from session3.backends.base import UpdateError
from session3.cookies import REVOKE, CookieChange
from session3.DictSession import DictSession
from session3.errors import FormTokenUsed, StoreUnavailable
from session3.SessionManager import SessionManager
from session3.store.SessionStore import ON_THEIR_WAY
from session3.store.VolatileSessionStore import VolatileSessionStore

from .sessions import Clock
from .test_session_manager import ObjectStore, begin, logged_in

HOUR = 3600


@pytest.fixture(params=[{}, {"hash_ids": True}], ids=["plain", "hashed"])
def store(request: Any, clock: Clock) -> VolatileSessionStore:
    return VolatileSessionStore(clock=clock, **request.param)


@pytest.fixture
def manager(store: VolatileSessionStore) -> SessionManager:
    return SessionManager(store, DictSession, renew_after=HOUR)


def value_of(change: CookieChange | None) -> str:
    assert change is not None and change.value is not None
    return change.value


def cycled(manager: SessionManager, cookie: str) -> str:
    visit, _ = begin(manager, cookie)
    visit.cycle_session(10)
    return value_of(manager.finish(visit))


def log_in(manager: SessionManager, cookie: str, user: str = "alice") -> str:
    visit, session = begin(manager, cookie)
    session.set_user(user)
    return value_of(manager.finish(visit))


class TestARequestThatOutlivesTheGraceOfARenewal:
    @pytest.fixture
    def late(self, manager: SessionManager, clock: Clock) -> Any:
        cookie = logged_in(manager, n=1)
        visit, session = begin(manager, cookie)
        self.token = session.create_form_token()
        self.new = cycled(manager, cookie)
        manager.finish(begin(manager, self.new)[0])
        clock.advance(30)
        return visit, session

    def test_logs_out(self, manager: SessionManager, late: Any) -> None:
        late[0].end_session()
        assert manager.finish(late[0]) is REVOKE
        assert begin(manager, self.new)[0].loaded is None

    def test_keeps_its_change(self, manager: SessionManager, late: Any) -> None:
        visit, session = late
        session["late"] = 1
        assert manager.finish(visit) == CookieChange(self.new)
        assert dict(begin(manager, self.new)[1]) == {"n": 1, "late": 1}

    def test_logs_in_as_another(self, manager: SessionManager, late: Any) -> None:
        visit, session = late
        session.set_user("bob")
        assert begin(manager, value_of(manager.finish(visit)))[1].user == "bob"
        assert begin(manager, self.new)[0].loaded is None


class TestAStranger:
    """A request whose id became nobody's, with something to keep."""

    def keeps(self, manager: SessionManager, cookie: str) -> CookieChange | None:
        visit, session = begin(manager, cookie)
        session["n"] = 2
        return manager.finish(visit)

    def test_who_comes_late_gets_a_cookie(self, manager: SessionManager, clock: Clock) -> None:
        """As one does whose login's answer was lost: each form that he posts would be refused."""
        cookie = logged_in(manager, user=None, n=1)
        log_in(manager, cookie)
        assert self.keeps(manager, cookie) is None  # sent before the answer came
        clock.advance(ON_THEIR_WAY)
        assert self.keeps(manager, cookie) is not None

    def test_who_came_before_does_not(self, manager: SessionManager, clock: Clock) -> None:
        cookie = logged_in(manager, user=None, n=1)
        visit, _ = begin(manager, cookie)
        log_in(manager, cookie)
        clock.advance(30)
        fresh = manager.new_session(None)
        visit.session, fresh.user = fresh, None
        fresh["n"] = 2  # type: ignore[index]
        assert manager.finish(visit) is None

    def test_with_an_id_from_before_a_renewal_does_not_replace_a_login(self, manager: SessionManager) -> None:
        first = logged_in(manager, user=None, n=1)
        log_in(manager, cycled(manager, first))
        assert self.keeps(manager, first) is None

    def test_just_after_the_grace_does_not_replace_the_renewed_cookie(
        self, manager: SessionManager, clock: Clock
    ) -> None:
        cookie = logged_in(manager, n=1)
        new = cycled(manager, cookie)
        manager.finish(begin(manager, new)[0])
        clock.advance(manager.CYCLE_GRACE + 1)
        assert self.keeps(manager, cookie) is None
        clock.advance(ON_THEIR_WAY)
        assert self.keeps(manager, cookie) is not None


class TestARenewal:
    def test_that_meets_another_one_hands_out_no_id_that_a_login_ended(
        self, manager: SessionManager, store: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cookie = logged_in(manager, n=1)
        visit, _ = begin(manager, cookie)
        visit.cycle_session(10)
        new = cycled(manager, cookie)
        remove = store.remove

        def log_in_first(*given: Any) -> Any:  # it was read what the other renewal left, and is to be taken over
            monkeypatch.setattr(store, "remove", remove)
            log_in(manager, new, "bob")
            return remove(*given)

        monkeypatch.setattr(store, "remove", log_in_first)
        assert manager.finish(visit) is None

    def test_whose_answer_is_lost_logs_nobody_out(self, manager: SessionManager, clock: Clock) -> None:
        cookie = logged_in(manager, n=1)
        clock.advance(HOUR)
        new = value_of(manager.finish(begin(manager, cookie)[0]))  # and it never arrives
        clock.advance(HOUR / 2)
        visit, session = begin(manager, cookie)
        assert session.user == "alice" and value_of(manager.finish(visit)) == new

    def test_whose_reply_is_lost_in_an_outage_logs_nobody_out(
        self, manager: SessionManager, store: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(*given: Any) -> Any:
            raise StoreUnavailable("away")

        def replaced_and_gone(*given: Any) -> Any:
            replace(*given)
            for verb in ("read", "insert", "replace", "remove"):
                outage.setattr(store, verb, away)
            away()

        cookie, replace = logged_in(manager, n=1), store.replace
        clock.advance(HOUR)
        visit, _ = begin(manager, cookie)
        with monkeypatch.context() as outage:
            outage.setattr(store, "replace", replaced_and_gone)
            assert manager.finish(visit) is None
        clock.advance(15)
        assert begin(manager, cookie)[1]["n"] == 1

    def test_costs_one_write_more_when_its_id_arrives(
        self, manager: SessionManager, store: Any, clock: Clock, count_verbs: Any
    ) -> None:
        new = cycled(manager, logged_in(manager, n=1))
        counts = count_verbs(store)
        for _ in range(4):
            manager.finish(begin(manager, new)[0])
        assert counts == {"read": 4, "replace": 1}

    def test_an_arrival_that_can_not_be_written_is_written_later(
        self, manager: SessionManager, store: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(*given: Any) -> Any:
            raise StoreUnavailable("away")

        cookie = logged_in(manager, n=1)
        new = cycled(manager, cookie)
        with monkeypatch.context() as outage:
            outage.setattr(store, "replace", away)
            assert manager.finish(begin(manager, new)[0]) is None
        clock.advance(30)
        assert begin(manager, cookie)[1].user == "alice"
        manager.finish(begin(manager, new)[0])
        clock.advance(30)
        assert begin(manager, cookie)[0].loaded is None


class TestWhatTheApplicationAsks:
    """revoke_session_cookie: before a refresh or a renewal, not before a login; nothing where another one decided."""

    def asked(self, manager: SessionManager, cookie: str) -> tuple[Any, Any]:
        visit, session = begin(manager, cookie)
        visit.asked = REVOKE
        return visit, session

    @pytest.mark.parametrize("pause", [30, 120, HOUR])
    def test_to_revoke_goes_before_a_refresh_and_a_renewal(self, store: Any, clock: Clock, pause: float) -> None:
        manager = SessionManager(store, DictSession, idle_timeout=2 * HOUR, renew_after=HOUR)
        cookie = logged_in(manager)
        clock.advance(pause)
        visit, _ = self.asked(manager, cookie)
        visit.cycle_session(10)
        assert manager.finish(visit) is REVOKE
        assert store.has_session(cookie)  # which is all that was asked

    def test_to_revoke_goes_not_before_a_login(self, manager: SessionManager) -> None:
        visit, session = self.asked(manager, logged_in(manager, user=None, n=1))
        session.set_user("alice")
        assert value_of(manager.finish(visit))

    @pytest.mark.parametrize("asked", [REVOKE, CookieChange("a-value-of-its-own")])
    @pytest.mark.parametrize("end", ["log out", "log in"])
    def test_is_not_done_where_another_request_ended_the_session(
        self, manager: SessionManager, end: str, asked: CookieChange
    ) -> None:
        cookie = logged_in(manager, user=None, n=1)
        visit, session = begin(manager, cookie)
        session["n"], visit.asked = 2, asked
        if end == "log in":
            log_in(manager, cookie)
        else:
            manager.store.delete_session(cookie)
        assert manager.finish(visit) is None

    def test_is_done_where_there_is_nothing_else(self, manager: SessionManager) -> None:
        assert manager.finish(self.asked(manager, logged_in(manager))[0]) is REVOKE


class TestAnIdThatTheApplicationTookOff:
    @pytest.mark.parametrize("wanted", [None, "an-id-of-its-own"])
    @pytest.mark.parametrize("make_store", [VolatileSessionStore, ObjectStore])
    def test_ends_with_its_user(self, make_store: Any, wanted: str | None) -> None:
        manager = SessionManager(make_store(), DictSession)
        cookie = logged_in(manager, n=1)
        visit, session = begin(manager, cookie)
        session.id = wanted
        new = value_of(manager.finish(visit))
        assert new != cookie and wanted in (None, new)
        assert begin(manager, cookie)[0].loaded is None
        assert (begin(manager, new)[1].user, begin(manager, new)[1]["n"]) == ("alice", 1)

    def test_is_what_a_logout_ends(self, manager: SessionManager) -> None:
        cookie = logged_in(manager)
        visit, session = begin(manager, cookie)
        session.id = None
        visit.end_session()
        assert manager.finish(visit) is REVOKE
        assert begin(manager, cookie)[0].loaded is None

    def test_of_another_s_session_is_not_taken(self, manager: SessionManager) -> None:
        mine, others = logged_in(manager), logged_in(manager, user="bob")
        visit, session = begin(manager, mine)
        session.id = others
        assert value_of(manager.finish(visit)) not in (mine, others)
        assert begin(manager, others)[1].user == "bob"


class TestEmptying:
    def test_is_no_logout(self, manager: SessionManager) -> None:
        cookie = logged_in(manager, user=None, n=1)
        (emptying, emptied), (adding, added) = begin(manager, cookie), begin(manager, cookie)
        emptied.clear()
        added["m"] = 2
        assert manager.finish(emptying) is REVOKE
        assert manager.finish(adding) == CookieChange(cookie)  # which the browser has just dropped
        assert dict(begin(manager, cookie)[1]) == {"m": 2}

    def test_leaves_a_logout_final(self, manager: SessionManager, store: Any) -> None:
        cookie = logged_in(manager, user=None, n=1)
        (emptying, emptied), (adding, added) = begin(manager, cookie), begin(manager, cookie)
        logout, _ = begin(manager, cookie)
        emptied.clear()
        added["m"] = 2
        logout.end_session()
        for visit, answer in ((emptying, REVOKE), (logout, REVOKE), (adding, None)):
            assert manager.finish(visit) is answer
        assert list(store.iter_sessions()) == [] and begin(manager, cookie)[0].loaded is None

    @pytest.mark.parametrize("end", ["log out", "empty"])
    def test_and_a_logout_make_no_form_a_used_one(self, manager: SessionManager, end: str) -> None:
        visit, session = begin(manager, None)
        token, other = session.create_form_token(), session.create_form_token()
        cookie = value_of(manager.finish(visit))
        (first, one), (second, two) = begin(manager, cookie), begin(manager, cookie)
        if end == "log out":
            first.end_session()
        else:
            one.remove_form_token(other)
        two.remove_form_token(token)
        manager.finish(first)
        manager.finish(second)  # and is not refused

    def test_by_the_same_form_is_seen(self, manager: SessionManager) -> None:
        visit, session = begin(manager, None)
        token = session.create_form_token()
        cookie = value_of(manager.finish(visit))
        (first, one), (second, two) = begin(manager, cookie), begin(manager, cookie)
        for session in (one, two):
            session.remove_form_token(token)
        assert manager.finish(first) is REVOKE
        with pytest.raises(FormTokenUsed):
            manager.finish(second)


class TestDjangosApi:
    def test_of_two_logins_at_once_both_stand(self, store: Any) -> None:
        sessions: Any = for_store(store)
        first = sessions()
        first["cart"] = 1
        first.save()
        logins = [sessions(first.session_key) for _ in range(2)]
        for number, login in enumerate(logins):
            login["_auth_user_id"] = number
        for login in logins:
            login.cycle_key()
        found = [sessions(login.session_key) for login in logins]
        assert [(each["_auth_user_id"], each["cart"]) for each in found] == [(0, 1), (1, 1)]
        assert not store.has_session(first.session_key)

    def test_a_login_after_a_logout_is_none(self, store: Any) -> None:
        sessions: Any = for_store(store)
        first = sessions()
        first["cart"] = 1
        first.save()
        login = sessions(first.session_key)
        login["_auth_user_id"] = 1
        sessions(first.session_key).flush()
        with pytest.raises(UpdateError):
            login.cycle_key()

    def test_a_stranger_beside_a_login_takes_no_cookie_away(self, store: Any, clock: Clock) -> None:
        sessions: Any = for_store(store)
        first = sessions()
        first["cart"] = 1
        first.save()
        old = first.session_key
        login = sessions(old)
        login["_auth_user_id"] = 1
        login.cycle_key()
        late = sessions(old)
        late["n"] = 1
        with pytest.raises(UpdateError):
            late.save()
        clock.advance(ON_THEIR_WAY)
        late = sessions(old)
        late["n"] = 1
        late.save()
        assert late.session_key not in (None, old)

    def test_the_first_arrival_of_a_new_key_counts(self, store: Any, clock: Clock) -> None:
        sessions: Any = for_store(store)
        first = sessions()
        first["cart"] = 1
        first.save()
        old = first.session_key
        first.cycle_key(10)
        clock.advance(60)
        assert sessions(old).get("cart") == 1
        assert sessions(first.session_key).get("cart") == 1
        clock.advance(11)
        assert not store.has_session(old)
