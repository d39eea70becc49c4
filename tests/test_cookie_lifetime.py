"""A browser that obeys keeps its cookie as long as the session lives, however often that is written."""

from typing import Any

import pytest

from session3.cookies import CookieChange
from session3.DictSession import DictSession
from session3.SessionManager import SessionManager
from session3.store.SignedCookieSessionStore import SignedCookieSessionStore
from session3.store.VolatileSessionStore import VolatileSessionStore

from .sessions import Clock
from .test_session_manager import ObjectStore, begin


@pytest.fixture(params=["records", "cookie", "objects"])
def store(request: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Any:
    if request.param == "records":
        return VolatileSessionStore(clock=clock)
    if request.param == "cookie":
        return SignedCookieSessionStore("a key of at least sixteen characters", clock=clock)
    store = ObjectStore()
    monkeypatch.setattr(store, "clock", clock)
    return store


class Fleeting(DictSession):
    expire_at_browser_close = True


class Browser:
    """Drops its cookie when it is told to."""

    def __init__(self, manager: SessionManager, clock: Clock) -> None:
        self.manager, self.clock = manager, clock
        self.value: str | None = None
        self.drop_at: float | None = None

    def visit(self, **items: Any) -> CookieChange | None:
        """Make a request that sets these items; `expiry` calls set_expiry."""
        if self.drop_at is not None and self.clock() >= self.drop_at:
            self.value = None
        visit, session = begin(self.manager, self.value)
        if "expiry" in items:
            session.set_expiry(items.pop("expiry"))
        if items:
            session.update(items)
        change = self.manager.finish(visit)
        if change is not None:
            self.value = change.value
            self.drop_at = None if change.max_age is None else self.clock() + change.max_age
        return change

    @property
    def session(self) -> Any:
        return begin(self.manager, self.value)[1]


@pytest.mark.parametrize("pause", [1, 20, 29, 31, 100, 560])
@pytest.mark.parametrize("is_written", [True, False])
def test_an_idle_timeout_lets_a_session_in_use_live(store: Any, clock: Clock, pause: int, is_written: bool) -> None:
    browser = Browser(SessionManager(store, DictSession, idle_timeout=600), clock)
    browser.visit(n=0)
    for n in range(3000 // pause):
        clock.advance(pause)
        browser.visit(**({"n": n} if is_written else {}))
        assert "n" in browser.session
    clock.advance(560)  # a twentieth of the timeout may be missing
    browser.visit()
    assert "n" in browser.session
    clock.advance(601)
    browser.visit()
    assert "n" not in browser.session


@pytest.mark.parametrize(("expiry", "pause"), [(300, 50), (30, 20), (90, 50), (2, 1)])
def test_a_session_s_own_expiry_counts_from_its_last_change(store: Any, clock: Clock, expiry: int, pause: int) -> None:
    browser = Browser(SessionManager(store, DictSession), clock)
    browser.visit(n=0, expiry=expiry)
    for n in range(20):
        clock.advance(pause)
        browser.visit(n=n)
        assert browser.session.get("n") == n
    clock.advance(expiry + 1)
    browser.visit()
    assert "n" not in browser.session


def test_to_say_the_same_expiry_again_is_to_begin_anew(store: Any, clock: Clock) -> None:
    browser = Browser(SessionManager(store, DictSession), clock)
    browser.visit(n=0, expiry=300)
    for _ in range(5):
        clock.advance(200)
        browser.visit(expiry=300)
        assert browser.session["n"] == 0
    clock.advance(301)
    browser.visit()
    assert "n" not in browser.session


@pytest.mark.parametrize(("before", "after"), [(40, 95), (95, 40), (300, 310), (300, 290), (40, None)])
def test_another_expiry_is_told_at_once(store: Any, clock: Clock, before: int, after: int | None) -> None:
    browser = Browser(SessionManager(store, DictSession, idle_timeout=600), clock)
    browser.visit(n=0, expiry=before)
    clock.advance(20)
    change = browser.visit(expiry=after)
    assert change is not None and change.max_age == (after or 600)


def test_looks_write_at_most_once_a_twentieth_whatever_was_written_between(clock: Clock, count_verbs: Any) -> None:
    store = VolatileSessionStore(clock=clock)
    browser = Browser(SessionManager(store, DictSession, idle_timeout=600), clock)
    browser.visit(n=0)
    counts = count_verbs(store)
    for second in range(600):
        clock.advance(1)
        browser.visit(**({"n": second} if second in (7, 208, 409) else {}))
    assert counts["touch"] <= 600 / 30 and counts["replace"] == 3


@pytest.mark.parametrize("expiry", [None, 0])
def test_a_class_may_let_browsers_forget_it_as_they_close(clock: Clock, expiry: int | None) -> None:
    browser = Browser(SessionManager(VolatileSessionStore(clock=clock), Fleeting, idle_timeout=600), clock)
    change = browser.visit(n=0, expiry=expiry)
    assert change is not None and change.max_age is None
    change = browser.visit(expiry=60)
    assert change is not None and change.max_age == 60


def test_a_session_that_a_slow_request_made_lives_from_its_next_one(store: Any, clock: Clock) -> None:
    manager = SessionManager(store, DictSession, idle_timeout=100)
    visit, session = begin(manager, None)
    clock.advance(40)
    session["n"] = 1
    change = manager.finish(visit)
    assert change is not None and change.max_age == 60
    change = manager.finish(begin(manager, change.value)[0])
    assert change is not None and change.max_age == 100


@pytest.mark.parametrize("timeout", [0.5, 1, 5])
@pytest.mark.parametrize("is_own", [True, False])
def test_a_short_life_is_as_long_as_a_use_is_near(store: Any, clock: Clock, timeout: float, is_own: bool) -> None:
    manager = SessionManager(store, DictSession, idle_timeout=None if is_own else timeout)
    browser = Browser(manager, clock)
    browser.visit(n=0, **({"expiry": timeout} if is_own else {}))
    for n in range(100):
        clock.advance(0.3)
        browser.visit(n=n)
        assert browser.session.get("n") == n


def test_an_expiry_counts_from_where_it_is_said(store: Any, clock: Clock) -> None:
    manager = SessionManager(store, DictSession)
    visit, session = begin(manager, None)
    clock.advance(8)
    session.set_expiry(5)
    change = manager.finish(visit)
    assert change is not None and change.max_age == 5
    cookie = change.value
    visit, session = begin(manager, cookie)
    session.set_expiry(300)
    change = manager.finish(visit)
    assert change is not None and change.max_age == 300
    clock.advance(50)
    visit, session = begin(manager, change.value)
    session.set_expiry(30)
    change = manager.finish(visit)
    assert change is not None and change.max_age == 30
