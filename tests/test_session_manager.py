"""The policy of a request, without a framework."""

import logging
import math
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from session3 import ids
from session3.cookies import REVOKE, CookieChange
from session3.DictSession import DictSession
from session3.errors import ConfigurationError, FormTokenUsed, SerializationError, StoreUnavailable
from session3.Session import Session
from session3.SessionManager import SessionManager
from session3.store.SessionStore import SessionStore
from session3.store.VolatileSessionStore import VolatileSessionStore
from session3.Visit import Visit

from .contract import HOSTILE
from .sessions import Clock, Shop


@pytest.fixture
def store(clock: Clock) -> VolatileSessionStore:
    return VolatileSessionStore(clock=clock)


@pytest.fixture
def manager(store: VolatileSessionStore) -> SessionManager:
    return SessionManager(store, DictSession)


def logged_in(manager: SessionManager, user: Any = "alice", **items: Any) -> str:
    """Return the cookie of a session that a request stored."""
    visit = manager.begin(None, "10.0.0.1")
    visit.session.user = user  # type: ignore[union-attr]
    visit.session.data.update(items)  # type: ignore[union-attr]
    change = manager.finish(visit)
    assert change is not None and change.value is not None
    return change.value


def begin(manager: SessionManager, cookie: str | None) -> tuple[Visit, Any]:
    visit = manager.begin(cookie, "10.0.0.2")
    return visit, visit.session


class TestBegin:
    def test_without_a_cookie_a_fresh_session_is_not_stored(self, manager: SessionManager, store: Any) -> None:
        visit, session = begin(manager, None)
        assert session.id is None and session.get_remote_address() == "10.0.0.2"
        assert manager.finish(visit) is None
        assert list(store.iter_sessions()) == []

    def test_a_cookie_leads_to_its_session(self, manager: SessionManager) -> None:
        cookie = logged_in(manager, cart=["tea"])
        _, session = begin(manager, cookie)
        assert (session.user, session["cart"], session.get_remote_address()) == ("alice", ["tea"], "10.0.0.1")

    @pytest.mark.parametrize("cookie", [*HOSTILE, "short", "x.y.z.0.1.2.3", "*del*"], ids=lambda c: ascii(c[:20]))
    def test_a_hostile_cookie_is_a_fresh_session(
        self, manager: SessionManager, store: Any, cookie: str, count_verbs: Any
    ) -> None:
        counts = count_verbs(store)
        visit, session = begin(manager, cookie)
        assert session.id is None
        assert manager.finish(visit) is None
        assert counts == {}  # the store was not even asked

    def test_an_id_that_we_did_not_issue_is_never_adopted(self, manager: SessionManager, store: Any) -> None:
        planted = ids.make_id()
        visit, session = begin(manager, planted)
        session.user = "alice"
        change = manager.finish(visit)
        assert change is not None and change.value not in (None, planted)
        assert not store.has_session(planted)

    def test_a_stored_key_is_no_cookie(self, clock: Clock) -> None:
        manager = SessionManager(VolatileSessionStore(hash_ids=True, clock=clock), DictSession)
        cookie = logged_in(manager)
        _, session = begin(manager, str(ids.hash_id(cookie)))
        assert session.id is None

    def test_ids_are_made_of_160_random_bits(self, manager: SessionManager) -> None:
        made = {logged_in(manager) for _ in range(50)}
        assert len(made) == 50
        assert all(len(id) == 32 and set(id) <= set("abcdefghijklmnopqrstuvwxyz234567") for id in made)


class TestFinish:
    def test_a_new_session_sets_the_cookie_once(self, manager: SessionManager) -> None:
        cookie = logged_in(manager)
        visit, session = begin(manager, cookie)
        session["n"] = 1
        assert manager.finish(visit) is None

    def test_a_request_that_reads_costs_one_read(self, manager: SessionManager, store: Any, count_verbs: Any) -> None:
        cookie = logged_in(manager, words={"a", "b"})
        counts = count_verbs(store)
        visit, session = begin(manager, cookie)
        assert session["words"] == {"a", "b"}
        manager.finish(visit)
        assert counts == {"read": 1}

    def test_the_access_time_is_written_at_most_once_a_resolution(
        self, manager: SessionManager, store: Any, clock: Clock, count_verbs: Any
    ) -> None:
        cookie = logged_in(manager)
        counts = count_verbs(store)
        for _ in range(10):
            clock.advance(13)
            manager.finish(begin(manager, cookie)[0])
        assert counts == {"read": 10, "touch": 2}  # in 130 seconds

    def test_finish_is_done_once(self, manager: SessionManager) -> None:
        visit, session = begin(manager, None)
        session.user = "alice"
        assert manager.finish(visit) is not None
        assert manager.finish(visit) is None

    def test_a_session_that_became_empty_is_deleted_and_its_cookie_revoked(
        self, manager: SessionManager, store: Any
    ) -> None:
        cookie = logged_in(manager)
        visit, session = begin(manager, cookie)
        session.user = None
        assert manager.finish(visit) == REVOKE
        assert not store.has_session(cookie)

    def test_a_session_that_became_empty_stays_if_another_request_filled_it(
        self, manager: SessionManager, store: Any
    ) -> None:
        cookie = logged_in(manager, n=1)
        (one, session), (other, filled) = begin(manager, cookie), begin(manager, cookie)
        session.user = None
        del session["n"]
        filled["cart"] = ["tea"]
        manager.finish(other)
        change = manager.finish(one)
        assert change is not None and change.value is not None  # logged out, and so under a new id
        assert dict(store.load_session(change.value)) == {"cart": ["tea"]}

    def test_an_empty_session_that_was_stored_and_not_changed_stays(self, manager: SessionManager, store: Any) -> None:
        empty = DictSession(ids.make_id())
        store.save_session(empty)
        assert manager.finish(begin(manager, empty.id)[0]) is None
        assert store.has_session(empty.id)

    def test_a_failed_request_keeps_nothing(self, manager: SessionManager, store: Any) -> None:
        cookie = logged_in(manager, n=1)
        visit, session = begin(manager, cookie)
        session["n"] = 2
        visit.end_session()
        manager.abort(visit)
        assert store.load_session(cookie)["n"] == 1

    def test_what_cannot_be_saved_is_an_error_and_the_old_session_stays(
        self, manager: SessionManager, store: Any
    ) -> None:
        cookie = logged_in(manager, n=1)
        visit, session = begin(manager, cookie)
        session["f"] = lambda: None
        with pytest.raises(SerializationError, match="'f'"):
            manager.finish(visit)
        assert dict(store.load_session(cookie)) == {"n": 1}

    @pytest.mark.parametrize("first", ["changes", "empties", "logs in"])
    def test_the_second_of_two_equal_posts_is_an_error(self, manager: SessionManager, first: str) -> None:
        visit, session = begin(manager, None)
        token = session.create_form_token()
        cookie = manager.finish(visit).value  # type: ignore[union-attr]
        requests = [begin(manager, cookie) for _ in range(2)]
        for n, (_, session) in enumerate(requests):
            assert session.has_form_token(token)
            session.remove_form_token(token)
            if first == "changes":
                session["order"] = n
            elif first == "logs in":
                session.user = "alice"
        manager.finish(requests[0][0])
        with pytest.raises(FormTokenUsed):
            manager.finish(requests[1][0])


class TestLogout:
    def test_deletes_and_revokes(self, manager: SessionManager, store: Any) -> None:
        cookie = logged_in(manager)
        visit, _ = begin(manager, cookie)
        visit.end_session()
        assert store.has_session(cookie)  # not before the request has succeeded
        assert manager.finish(visit) == REVOKE
        assert not store.has_session(cookie)

    def test_a_request_in_flight_writes_nothing_and_leaves_the_cookie_alone(
        self, manager: SessionManager, store: Any
    ) -> None:
        cookie = logged_in(manager)
        late, session = begin(manager, cookie)
        reading, _ = begin(manager, cookie)
        emptying, emptied = begin(manager, cookie)
        rotating, rotated = begin(manager, cookie)
        logout, _ = begin(manager, cookie)
        logout.end_session()
        manager.finish(logout)
        session["n"] = 1
        emptied.user = None
        rotated.user = "bob"
        for visit in (late, reading, emptying, rotating):
            assert manager.finish(visit) is None
        assert list(store.iter_sessions()) == []

    def test_beats_a_change_in_between(self, manager: SessionManager, store: Any) -> None:
        cookie = logged_in(manager)
        logout, _ = begin(manager, cookie)
        other, session = begin(manager, cookie)
        session["n"] = 1
        manager.finish(other)
        logout.end_session()
        assert manager.finish(logout) == REVOKE
        assert list(store.iter_sessions()) == []

    def test_then_login_in_one_request_sets_one_cookie(self, manager: SessionManager, store: Any) -> None:
        cookie = logged_in(manager)
        visit, _ = begin(manager, cookie)
        visit.end_session()
        visit.session = manager.new_session(None)
        visit.session.set_user("bob")
        change = manager.finish(visit)
        assert change is not None and change.value not in (None, cookie)
        assert store.load_session(change.value).user == "bob"
        assert not store.has_session(cookie)

    def test_then_a_login_that_cannot_be_saved_logs_nobody_out(self, manager: SessionManager, store: Any) -> None:
        cookie = logged_in(manager)
        visit, _ = begin(manager, cookie)
        visit.end_session()
        visit.session = manager.new_session(None)
        visit.session.user = lambda: None
        with pytest.raises(SerializationError, match="'user'"):
            manager.finish(visit)
        assert store.has_session(cookie)


class TestRotation:
    def test_login_gives_a_new_id_with_the_data_in_it(self, manager: SessionManager, store: Any) -> None:
        old = logged_in(manager, user=None, cart=["tea"])
        visit, session = begin(manager, old)
        session.set_user("alice")
        change = manager.finish(visit)
        assert change is not None and change.value not in (None, old)
        loaded = store.load_session(change.value)
        assert (loaded.user, loaded["cart"]) == ("alice", ["tea"])
        assert begin(manager, old)[1].id is None  # the old id is nobody

    @pytest.mark.parametrize("user", ["bob", None, 7, {"name": "bob"}])
    def test_any_change_of_user_rotates(self, manager: SessionManager, user: Any) -> None:
        cookie = logged_in(manager, n=1)
        visit, session = begin(manager, cookie)
        session.user = user
        change = manager.finish(visit)
        assert change is not None and change.value != cookie

    def test_the_same_user_again_does_not_rotate(self, manager: SessionManager) -> None:
        class User:
            id = 7

        user = User()
        User.__qualname__ = "Account"
        globals()["Account"] = User
        cookie = logged_in(manager, user=user)
        visit, session = begin(manager, cookie)
        session.user = User()
        session.user.seen = 3
        assert manager.finish(visit) is None

    def test_it_can_be_switched_off(self, store: Any) -> None:
        manager = SessionManager(store, DictSession, rotate_on_login=False)
        cookie = logged_in(manager, user=None, n=1)
        visit, session = begin(manager, cookie)
        session.set_user("alice")
        assert manager.finish(visit) is None

    def test_a_parallel_request_with_the_old_id_does_not_log_the_browser_out(
        self, manager: SessionManager, store: Any
    ) -> None:
        old = logged_in(manager, user=None, cart=["tea"])
        login, session = begin(manager, old)
        in_flight, late = begin(manager, old)
        session.set_user("alice")
        manager.finish(login)
        late["n"] = 1
        assert manager.finish(in_flight) is None
        after, fresh = begin(manager, old)
        fresh["counter"] = 1
        assert manager.finish(after) is None
        assert len(list(store.iter_sessions())) == 1

    def test_with_the_old_id_one_may_log_in_oneself(self, manager: SessionManager) -> None:
        old = logged_in(manager, user=None, n=1)
        login, session = begin(manager, old)
        session.set_user("alice")
        manager.finish(login)
        again, fresh = begin(manager, old)
        fresh.set_user("alice")
        change = manager.finish(again)
        assert change is not None and change.value is not None

    def test_tokens_from_before_the_login_are_worthless_after_it(self, manager: SessionManager, store: Any) -> None:
        visit, session = begin(manager, None)
        known = [session.create_form_token(), session.get_csrf_token()]
        old = manager.finish(visit).value  # type: ignore[union-attr]
        visit, session = begin(manager, old)
        session.user = "alice"
        fresh = session.create_form_token()
        loaded = store.load_session(manager.finish(visit).value)  # type: ignore[union-attr]
        assert loaded.has_form_token(fresh) and not loaded.has_form_token(known[0])
        assert loaded.get_csrf_token() != known[1]

    @pytest.mark.parametrize("end", ["log in", "log out", "renew"])
    def test_a_late_reader_with_a_renewed_id_does_not_take_a_newer_cookie_away(
        self, manager: SessionManager, end: str
    ) -> None:
        old = logged_in(manager, user=None, n=1)
        visit, _ = begin(manager, old)
        visit.cycle_session(grace=10)
        cookie = manager.finish(visit).value  # type: ignore[union-attr]
        late, _ = begin(manager, old)
        visit, session = begin(manager, cookie)
        if end == "log in":
            session.user = "alice"
        elif end == "log out":
            visit.end_session()
        else:
            visit.cycle_session(grace=10)
        assert manager.finish(visit) is not None
        assert manager.finish(late) is None

    def test_a_renewal_keeps_parallel_requests_going(self, manager: SessionManager, clock: Clock) -> None:
        old = logged_in(manager, n=1)
        renewal, _ = begin(manager, old)
        in_flight, late = begin(manager, old)
        renewal.cycle_session(grace=10)
        new = manager.finish(renewal).value  # type: ignore[union-attr]
        late["late"] = 1
        assert manager.finish(in_flight) == CookieChange(new)
        after, session = begin(manager, old)
        assert (session.user, session["late"]) == ("alice", 1)
        assert manager.finish(after) == CookieChange(new)
        manager.finish(begin(manager, new)[0])
        clock.advance(11)
        assert begin(manager, old)[1].id is None
        assert begin(manager, new)[1].user == "alice"


class TestExpiry:
    def test_an_idle_session_ends_and_a_used_one_goes_on(self, store: Any, clock: Clock, count_verbs: Any) -> None:
        manager = SessionManager(store, DictSession, idle_timeout=100)
        visit, session = begin(manager, None)
        session.user = "alice"
        change = manager.finish(visit)
        assert change is not None and change.max_age == 100
        cookie = change.value
        counts = count_verbs(store)
        ages = []
        for _ in range(12):
            clock.advance(30)
            visit, session = begin(manager, cookie)
            assert session.user == "alice"
            change = manager.finish(visit)
            ages.append(change and change.max_age)
        assert ages == [100] * 12  # the browser's cookie lives on, too
        assert counts["touch"] == 12 and "replace" not in counts
        clock.advance(101)
        assert begin(manager, cookie)[1].id is None

    def test_the_resolution_is_a_twentieth_of_the_idle_timeout(
        self, store: Any, clock: Clock, count_verbs: Any
    ) -> None:
        manager = SessionManager(store, DictSession, idle_timeout=100)
        cookie = logged_in(manager)
        counts = count_verbs(store)
        cookies = []
        for _ in range(11):
            clock.advance(1)
            cookies.append(manager.finish(begin(manager, cookie)[0]))
        assert counts["touch"] == 1  # after more than 5 seconds
        assert [c for c in cookies if c is not None] == [CookieChange(cookie, 100)]

    def test_the_absolute_timeout_is_not_moved_by_use(self, store: Any, clock: Clock) -> None:
        manager = SessionManager(store, DictSession, idle_timeout=100, absolute_timeout=250)
        cookie = logged_in(manager)
        ages = []
        for _ in range(3):
            clock.advance(80)
            visit, session = begin(manager, cookie)
            assert session.user == "alice"
            change = manager.finish(visit)
            ages.append(change and change.max_age)
        assert ages == [100, 90, None]  # at last the cookie needs no new lifetime
        clock.advance(11)
        assert begin(manager, cookie)[1].id is None

    def test_a_login_does_not_prolong_the_absolute_timeout(self, store: Any, clock: Clock) -> None:
        manager = SessionManager(store, DictSession, absolute_timeout=250)
        cookie = logged_in(manager, user=None, n=1)
        clock.advance(200)
        visit, session = begin(manager, cookie)
        session.set_user("alice")
        change = manager.finish(visit)
        assert change is not None and change.max_age == 50

    def test_a_stricter_timeout_holds_for_sessions_that_are_stored(self, store: Any, clock: Clock) -> None:
        cookie = logged_in(SessionManager(store, DictSession))
        clock.advance(200)
        assert begin(SessionManager(store, DictSession, idle_timeout=100), cookie)[1].id is None
        assert begin(SessionManager(store, DictSession, absolute_timeout=100), cookie)[1].id is None
        assert begin(SessionManager(store, DictSession, absolute_timeout=300), cookie)[1].user == "alice"

    @pytest.mark.parametrize(
        "timeouts",
        [{"idle_timeout": 0}, {"absolute_timeout": -1}, {"idle_timeout": math.inf}, {"absolute_timeout": 1e12}],
    )
    def test_a_timeout_that_makes_no_sense_is_refused(self, store: Any, timeouts: Any) -> None:
        with pytest.raises(ConfigurationError, match="timeout"):
            SessionManager(store, **timeouts)

    @pytest.mark.parametrize("end", ["login", "logout", "cycle"])
    def test_a_reader_that_ends_late_does_not_touch_the_cookie(self, store: Any, clock: Clock, end: str) -> None:
        manager = SessionManager(store, DictSession, idle_timeout=100)
        cookie = logged_in(manager, user=None if end == "login" else "alice", n=1)
        clock.advance(30)
        reader, _ = begin(manager, cookie)
        other, session = begin(manager, cookie)
        if end == "login":
            session.set_user("alice")
        elif end == "logout":
            other.end_session()
        else:
            other.cycle_session(grace=10)
        assert manager.finish(other) is not None
        assert manager.finish(reader) is None

    def test_a_slow_request_does_not_end_the_session_early(self, store: Any, clock: Clock) -> None:
        manager = SessionManager(store, DictSession, idle_timeout=100)
        cookie = logged_in(manager)
        clock.advance(10)
        slow, session = begin(manager, cookie)
        session["n"] = 1
        clock.advance(85)
        manager.finish(begin(manager, cookie)[0])
        manager.finish(slow)
        clock.advance(90)
        assert begin(manager, cookie)[1].user == "alice"


def test_who_logs_in_on_a_session_that_the_request_deleted_is_logged_in(manager: SessionManager, store: Any) -> None:
    cookie = logged_in(manager, user=None, n=1)
    visit, session = begin(manager, cookie)
    store.delete_session(session)
    session.set_user("alice")
    change = manager.finish(visit)
    assert change is not None and begin(manager, change.value)[1].user == "alice"


def test_what_the_request_deleted_is_not_renewed(store: Any, clock: Clock) -> None:
    manager = SessionManager(store, DictSession, renew_after=100)
    cookie = logged_in(manager)
    clock.advance(200)
    visit, session = begin(manager, cookie)
    store.delete_session(session)
    assert manager.finish(visit) is None and list(store.iter_sessions()) == []


class ObjectStore(SessionStore):
    """Three methods that keep the objects themselves."""

    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}

    def load_session(self, id: str, default: Any = None) -> Any:
        return self.sessions.get(id, default)

    def save_session(self, session: Session) -> None:
        self.sessions[session.id or ""] = session

    def delete_session(self, session: Session | str) -> None:
        id = session if isinstance(session, str) else session.id
        assert id is not None
        self.sessions.pop(id, None)


class TestAStoreOfThreeMethods:
    def test_a_planted_id_does_not_share_the_login(self) -> None:
        manager = SessionManager(ObjectStore(), DictSession)
        planted = logged_in(manager, user=None, n=1)
        attack, attackers = begin(manager, planted)
        login, victims = begin(manager, planted)
        victims.set_user("alice")
        cookie = manager.finish(login)
        assert attackers.user is None
        assert manager.finish(attack) is None
        assert cookie is not None and begin(manager, cookie.value)[1].user == "alice"

    def test_a_failed_request_keeps_nothing(self) -> None:
        manager = SessionManager(ObjectStore(), DictSession)
        cookie = logged_in(manager, cart=["tea"])
        visit, session = begin(manager, cookie)
        session["cart"].append("milk")
        manager.abort(visit)
        assert begin(manager, cookie)[1]["cart"] == ["tea"]

    def test_a_logout_is_final(self) -> None:
        store = ObjectStore()
        manager = SessionManager(store, DictSession)
        cookie = logged_in(manager)
        late, session = begin(manager, cookie)
        logout, _ = begin(manager, cookie)
        logout.end_session()
        manager.finish(logout)
        session["n"] = 1
        assert manager.finish(late) is None
        assert store.sessions == {}

    @pytest.mark.parametrize("end", ["renew", "cycle", "log in", "log out"])
    def test_a_request_that_would_move_or_end_it_leaves_a_logout_alone(
        self, monkeypatch: pytest.MonkeyPatch, end: str
    ) -> None:
        store, clock = ObjectStore(), Clock(1e9)
        monkeypatch.setattr(store, "clock", clock)
        manager = SessionManager(store, DictSession, renew_after=100 if end == "renew" else None)
        cookie = logged_in(manager)
        clock.advance(200)
        late, session = begin(manager, cookie)
        logout, _ = begin(manager, cookie)
        logout.end_session()
        manager.finish(logout)
        if end == "cycle":
            late.cycle_session(10)
        elif end != "renew":
            session.set_user("bob" if end == "log in" else None)
        assert manager.finish(late) is None  # the browser may hold a newer cookie
        assert store.sessions == {}

    def test_a_failed_request_keeps_nothing_beside_what_can_t_be_copied(self) -> None:
        manager = SessionManager(ObjectStore(), DictSession)
        cookie = logged_in(manager, lock=threading.Lock(), cart=["tea"])
        visit, session = begin(manager, cookie)
        session["cart"].append("milk")
        session["n"] = 1
        manager.abort(visit)
        assert set(begin(manager, cookie)[1]) == {"lock", "cart"} and begin(manager, cookie)[1]["cart"] == ["tea"]

    def test_a_session_that_was_never_stored_can_log_out(self) -> None:
        manager = SessionManager(ObjectStore(), DictSession)
        visit, _ = begin(manager, None)
        visit.end_session()
        assert manager.finish(visit) == REVOKE

    def test_its_cookie_is_renewed_at_most_once_a_resolution(self, monkeypatch: pytest.MonkeyPatch) -> None:
        store = ObjectStore()
        clock = Clock(1e9)
        monkeypatch.setattr(store, "clock", clock)
        manager = SessionManager(store, DictSession, idle_timeout=100)
        cookie = logged_in(manager)
        changes = []
        for _ in range(11):
            clock.advance(1)
            changes.append(manager.finish(begin(manager, cookie)[0]))
        assert [change for change in changes if change] == [CookieChange(cookie, 100)]
        clock.advance(94)
        assert begin(manager, cookie)[1].user == "alice"
        clock.advance(101)
        assert begin(manager, cookie)[1].id is None


class TestOverrides:
    def test_a_request_that_an_override_ends_at_its_start_leaves_no_transaction(self, store: Any) -> None:
        class Broken(DictSession):
            def get_user_key(self) -> Any:
                raise ZeroDivisionError

        class Watched(SessionManager):
            def get_session(self) -> Session:
                session = self.store.load_session(cookie)
                session.__class__ = Broken
                return session  # type: ignore[no-any-return]

            def abort_changes(self, session: Any) -> None:
                aborted.append(session)

        aborted: list[Any] = []
        cookie = logged_in(SessionManager(store, DictSession))
        with pytest.raises(ZeroDivisionError):
            Watched(store, DictSession).begin(cookie)
        assert aborted == [None]

    def test_create_session_may_give_an_id(self, store: Any) -> None:
        class Mine(SessionManager):
            def _create_session(self) -> Session:
                return self.new_session(self._make_session_id())

        manager = Mine(store, DictSession)
        assert manager.finish(manager.begin(None)) is None
        cookie = logged_in(manager)
        assert begin(manager, cookie)[1].user == "alice"

    def test_maintain_session_may_end_one_that_was_not_changed(self, manager: SessionManager, store: Any) -> None:
        class Strict(SessionManager):
            def maintain_session(self, session: Session) -> bool:
                return False

        cookie = logged_in(manager)
        strict = Strict(store, DictSession)
        assert strict.finish(strict.begin(cookie)) == REVOKE
        assert not store.has_session(cookie)

    def test_an_id_that_no_cookie_brings_back_is_refused(self, store: Any) -> None:
        class Mine(SessionManager):
            def _make_session_id(self) -> str:
                return "short"

        with pytest.raises(ConfigurationError, match="_make_session_id"):
            logged_in(Mine(store, DictSession))

    def test_every_override_is_honoured(self, store: Any) -> None:
        asked: list[str] = []

        class Mine(SessionManager):
            def get_session(self) -> Session:
                asked.append("get_session")
                return super().get_session()

            def get(self, session_id: str | None, default: Any = None) -> Any:
                asked.append("get")
                return super().get(session_id, default)

            def _create_session(self) -> Session:
                asked.append("_create_session")
                return super()._create_session()

            def new_session(self, id: str | None) -> Session:
                asked.append("new_session")
                return super().new_session(id)

            def _make_session_id(self) -> str:
                asked.append("_make_session_id")
                return "mine-" + super()._make_session_id()

            def maintain_session(self, session: Session) -> bool:
                asked.append("maintain_session")
                return super().maintain_session(session)

            def commit_changes(self, session: Session | None) -> None:
                asked.append("commit_changes")
                super().commit_changes(session)

            def abort_changes(self, session: Session | None) -> None:
                asked.append("abort_changes")
                super().abort_changes(session)

        manager = Mine(store, DictSession)
        cookie = logged_in(manager)
        assert cookie.startswith("mine-")
        assert asked == [
            "get_session", "_create_session", "new_session", "maintain_session", "_make_session_id", "commit_changes",
        ]  # fmt: skip
        asked.clear()
        manager.abort(begin(manager, cookie)[0])
        assert asked == ["get_session", "get", "abort_changes"]

    @pytest.mark.parametrize(("answer", "kept"), [(True, True), (False, False), (None, False)])
    def test_maintain_session_decides(self, store: Any, answer: Any, kept: bool) -> None:
        class Mine(SessionManager):
            def maintain_session(self, session: Session) -> bool:
                super().maintain_session(session)
                return answer  # type: ignore[no-any-return]

        visit = Mine(store).begin(None)
        assert (Mine(store).finish(visit) is not None) == kept

    def test_a_session_that_an_override_made_knows_what_the_manager_knows(self, store: Any, clock: Clock) -> None:
        class Mine(SessionManager):
            def get_session(self) -> Session:
                return self.new_session(None)

        session: Any = Mine(store).begin(None, "192.0.2.1").session
        clock.advance(7)
        assert (session.get_remote_address(), session.get_creation_age()) == ("192.0.2.1", 7)

    def test_a_broken_source_of_ids_ends(self, store: Any) -> None:
        class Mine(SessionManager):
            def _make_session_id(self) -> str:
                return "always-the-same"

        logged_in(Mine(store, DictSession))
        with pytest.raises(Exception, match="10 new ids were all taken"):
            logged_in(Mine(store, DictSession))

    def test_a_store_may_take_part_in_transactions(self, clock: Clock) -> None:
        asked: list[Any] = []

        class Store(VolatileSessionStore):
            def transaction_start(self) -> None:
                asked.append("start")

            def transaction_commit(self, session: Any) -> None:
                asked.append(("commit", session))

            def transaction_abort(self, session: Any) -> None:
                asked.append(("abort", session))

        manager = SessionManager(Store(clock=clock), Shop)
        one, other = manager.begin(None), manager.begin(None)
        manager.finish(one)
        manager.abort(other)
        assert asked == ["start", "start", ("commit", one.session), ("abort", other.session)]


class TestMapping:
    def test_the_view_is_of_the_store(self, manager: SessionManager, store: Any) -> None:
        cookie = logged_in(manager, n=1)
        session = DictSession("another-one")
        session["n"] = 2
        manager["another-one"] = session
        assert cookie in manager and "nobody-here" not in manager and None not in manager
        assert manager[cookie]["n"] == 1  # type: ignore[index]
        assert manager.sorted_keys() == sorted(manager.keys()) == sorted([cookie, "another-one"])
        assert {s.id for s in manager} == {s.id for s in manager.values()} == {id for id, _ in manager.items()}
        assert manager.get("nobody-here", 3) == 3
        del manager["another-one"]
        assert not manager.has_session("another-one")

    def test_what_is_wrong_is_refused(self, manager: SessionManager) -> None:
        with pytest.raises(KeyError):
            manager["nobody-here"]
        with pytest.raises(KeyError):
            del manager["nobody-here"]
        with pytest.raises(TypeError, match="DictSession"):
            manager["another-one"] = Shop("another-one")
        with pytest.raises(ValueError, match="own id"):
            manager["another-one"] = DictSession("yet-another")


def test_no_id_is_logged(manager: SessionManager, store: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        cookie = logged_in(manager)
        late, session = begin(manager, cookie)
        store.delete_session(cookie)
        session["n"] = 1
        manager.finish(late)
    assert ids.short_hash(cookie) in caplog.text
    assert cookie not in caplog.text


def test_an_unreachable_store_never_looks_like_a_logged_out_user() -> None:
    class Broken(VolatileSessionStore):
        def read(self, key: str) -> Iterator[Any]:  # type: ignore[override]
            raise StoreUnavailable("out of reach")

    with pytest.raises(StoreUnavailable):
        SessionManager(Broken()).begin(ids.make_id())
