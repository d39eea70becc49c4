"""A store that can't be reached: an error, or by choice an anonymous session; never "no session"."""

from typing import Any

import pytest

from session3.cookies import REVOKE, CookieChange
from session3.DictSession import DictSession
from session3.errors import ConfigurationError, StoreUnavailable
from session3.SessionManager import SessionManager
from session3.store.VolatileSessionStore import VolatileSessionStore

from .sessions import Clock
from .test_session_manager import begin, logged_in


class Outage(VolatileSessionStore):
    """A store that can be cut off."""

    is_cut_off = False

    def _check(self) -> None:
        if self.is_cut_off:
            raise StoreUnavailable("out of reach")

    def read(self, key: str) -> Any:
        self._check()
        return super().read(key)

    def insert(self, key: str, record: Any) -> bool:
        self._check()
        return super().insert(key, record)


@pytest.fixture
def store(clock: Clock) -> Outage:
    return Outage(clock=clock)


@pytest.fixture
def manager(store: Outage) -> SessionManager:
    return SessionManager(store, DictSession, on_unavailable="anonymous")


def test_by_default_it_raises(store: Outage) -> None:
    manager = SessionManager(store, DictSession)
    cookie = logged_in(manager)
    store.is_cut_off = True
    with pytest.raises(StoreUnavailable):
        manager.begin(cookie)


def test_an_anonymous_session_is_not_saved_and_sets_no_cookie(
    manager: SessionManager, store: Outage, caplog: pytest.LogCaptureFixture
) -> None:
    cookie = logged_in(manager, n=1)
    store.is_cut_off = True
    visit, session = begin(manager, cookie)
    assert (session.user, dict(session), session.id) == (None, {}, None)
    assert "goes on without its session" in caplog.text and cookie not in caplog.text
    session["n"] = 2
    store.is_cut_off = False  # even where it is back when the request ends
    assert manager.finish(visit) is None
    assert begin(manager, cookie)[1]["n"] == 1
    assert len(list(store.iter_sessions())) == 1


def test_a_login_in_the_dark_logs_nobody_in(manager: SessionManager, store: Outage) -> None:
    cookie = logged_in(manager, user=None, n=1)
    store.is_cut_off = True
    visit, session = begin(manager, cookie)
    session.set_user("mallory")
    assert manager.finish(visit) is None
    store.is_cut_off = False
    assert begin(manager, cookie)[1].user is None


def test_a_logout_in_the_dark_is_an_error(manager: SessionManager, store: Outage) -> None:
    """It was not done, so nobody may be told that it was."""
    cookie = logged_in(manager)
    store.is_cut_off = True
    visit, _ = begin(manager, cookie)
    visit.end_session()
    with pytest.raises(StoreUnavailable, match="nobody was logged out"):
        manager.finish(visit)
    store.is_cut_off = False
    assert begin(manager, cookie)[1].user == "alice"


def test_what_can_not_be_saved_is_an_error_all_the_same(manager: SessionManager, store: Outage) -> None:
    visit, session = begin(manager, None)
    session["n"] = 1
    store.is_cut_off = True
    with pytest.raises(StoreUnavailable):
        manager.finish(visit)


def test_other_errors_are_no_outage(manager: SessionManager, store: Outage, monkeypatch: pytest.MonkeyPatch) -> None:
    cookie = logged_in(manager)
    monkeypatch.setattr(store, "read", lambda key: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        manager.begin(cookie)


def test_no_other_policy_is_known(store: Outage) -> None:
    with pytest.raises(ConfigurationError, match="anonymous"):
        SessionManager(store, on_unavailable="ignore")  # type: ignore[arg-type]


def test_a_request_that_reads_needs_no_access_time(
    store: Outage, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def touch(*given: Any) -> bool:
        raise StoreUnavailable("out of reach")

    manager = SessionManager(store, DictSession)
    cookie = logged_in(manager, n=1)
    clock.advance(1000)
    monkeypatch.setattr(store, "touch", touch)
    visit, session = begin(manager, cookie)
    assert session["n"] == 1
    assert manager.finish(visit) is None
    assert "an access time was not written" in caplog.text and cookie not in caplog.text


def test_a_cookie_that_is_to_go_goes_without_a_store(store: Outage, manager: SessionManager) -> None:
    cookie = logged_in(manager)
    store.is_cut_off = True
    visit, _ = begin(manager, cookie)
    visit.asked = REVOKE
    assert manager.finish(visit) == REVOKE
    visit, _ = begin(manager, cookie)
    visit.asked = CookieChange("abcdefghijkl")
    assert manager.finish(visit) is None
