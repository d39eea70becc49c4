"""A session's own expiry under the manager: `set_expiry` goes before the timeouts."""

import random
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from session3.cookies import REVOKE, CookieChange
from session3.DictSession import DictSession
from session3.expiry import own_deadline, to_keep
from session3.SessionManager import SessionManager
from session3.store.SignedCookieSessionStore import SignedCookieSessionStore
from session3.store.VolatileSessionStore import VolatileSessionStore

from .sessions import Clock
from .test_session_manager import begin

Store = VolatileSessionStore | SignedCookieSessionStore


@pytest.fixture(params=["server", "cookie"])
def store(request: Any, clock: Clock) -> Store:
    if request.param == "server":
        return VolatileSessionStore(clock=clock)
    return SignedCookieSessionStore("a key of at least sixteen characters", clock=clock)


@pytest.fixture
def manager(store: Store) -> SessionManager:
    return SessionManager(store, DictSession, idle_timeout=3600)


def changed(manager: SessionManager, cookie: str | None, expiry: Any, **items: Any) -> CookieChange | None:
    visit, session = begin(manager, cookie)
    session.set_expiry(expiry)
    session.update(items)
    return manager.finish(visit)


def value_of(change: CookieChange | None) -> str:
    assert change is not None and change.value is not None
    return change.value


def is_live(manager: SessionManager, cookie: str) -> bool:
    return begin(manager, cookie)[0].loaded is not None


@pytest.mark.parametrize("expiry", [300, timedelta(minutes=5)])
def test_it_decides_how_long_cookie_and_record_live(manager: SessionManager, clock: Clock, expiry: Any) -> None:
    change = changed(manager, None, expiry, n=1)
    assert change is not None and change.max_age == 300
    cookie = value_of(change)
    clock.advance(299)
    assert is_live(manager, cookie)
    clock.advance(1)
    assert not is_live(manager, cookie)


def test_it_may_be_longer_than_the_idle_timeout(manager: SessionManager, clock: Clock) -> None:
    cookie = value_of(changed(manager, None, 7200, n=1))
    clock.advance(7100)
    assert is_live(manager, cookie)


def test_seconds_count_from_the_last_change_not_from_the_last_look(manager: SessionManager, clock: Clock) -> None:
    cookie = value_of(changed(manager, None, 1000, n=1))
    clock.advance(900)
    visit, session = begin(manager, cookie)
    assert session["n"] == 1
    assert manager.finish(visit) is None  # no longer life for a look, and no cookie
    visit, session = begin(manager, cookie)
    session["n"] = 2
    change = manager.finish(visit)
    assert change is not None and change.max_age == 1000
    cookie = value_of(change)
    clock.advance(900)
    assert is_live(manager, cookie)
    clock.advance(100)
    assert not is_live(manager, cookie)


def test_zero_lets_the_browser_forget_the_cookie_and_the_timeout_the_record(
    manager: SessionManager, clock: Clock
) -> None:
    change = changed(manager, None, 0, n=1)
    assert change is not None and change.max_age is None
    assert begin(manager, value_of(change))[1].get_expire_at_browser_close()
    clock.advance(3600)
    assert not is_live(manager, value_of(change))


def test_a_change_of_lifetime_alone_sets_the_cookie_anew(manager: SessionManager) -> None:
    cookie = value_of(changed(manager, None, 300, n=1))
    change = changed(manager, cookie, 0)
    assert change is not None and change.max_age is None
    change = changed(manager, value_of(change), 600)
    assert change is not None and change.max_age == 600


def test_none_gives_the_session_back_to_the_policy(manager: SessionManager, clock: Clock) -> None:
    cookie = value_of(changed(manager, None, 300, n=1))
    change = changed(manager, cookie, None)
    assert change is not None and change.max_age == 3600
    clock.advance(3599)
    assert is_live(manager, value_of(change))


@pytest.mark.parametrize("own", [None, 0], ids=["none", "browser"])
def test_a_record_keeps_its_expiry_where_nobody_has_another(
    manager: SessionManager, store: Store, clock: Clock, own: Any
) -> None:
    """The timeout was taken off since."""
    cookie = value_of(changed(manager, None, own, n=1))
    without = SessionManager(store, DictSession)
    visit, session = begin(without, cookie)
    session["n"] = 2
    change = without.finish(visit)
    cookie = cookie if change is None else value_of(change)
    clock.advance(3500)
    assert is_live(without, cookie)
    clock.advance(200)
    assert not is_live(without, cookie)


def test_none_without_any_timeout_is_no_expiry(store: Store, clock: Clock) -> None:
    manager = SessionManager(store, DictSession)
    cookie = value_of(changed(manager, None, 300, n=1))
    change = changed(manager, cookie, None)
    assert change is not None and change.max_age is None
    clock.advance(10**9)
    assert is_live(manager, value_of(change))


@pytest.mark.parametrize("expiry", [-1, timedelta(0), datetime(2001, 1, 1), datetime(2001, 1, 1, tzinfo=timezone.utc)])
def test_what_is_past_expires_at_once(manager: SessionManager, store: Store, expiry: Any) -> None:
    assert changed(manager, None, expiry, n=1) is None  # not even stored
    cookie = value_of(changed(manager, None, None, n=1))
    assert changed(manager, cookie, expiry) is REVOKE
    if not store.is_in_cookie:
        assert not is_live(manager, cookie)


def test_now_is_never_a_millionth_ahead() -> None:
    choose = random.Random(7)
    for _ in range(10_000):
        now = choose.uniform(1.7e9, 1.9e9)
        deadline = own_deadline(to_keep(timedelta(0), now), now)
        assert deadline is not None and now - 1.1e-6 <= deadline <= now


@pytest.mark.parametrize("garbage", ["tomorrow", "", object, float("nan"), float("inf"), [1]])
def test_an_item_that_is_no_expiry_never_lives_for_ever(clock: Clock, garbage: Any) -> None:
    manager = SessionManager(VolatileSessionStore(clock=clock), DictSession, idle_timeout=3600)
    visit, session = begin(manager, None)
    session["_session_expiry"] = garbage
    assert manager.finish(visit) is None


def test_of_two_requests_one_may_set_the_expiry(clock: Clock) -> None:
    manager = SessionManager(VolatileSessionStore(clock=clock), DictSession, idle_timeout=3600)
    cookie = value_of(changed(manager, None, None, n=1))
    visit, session = begin(manager, cookie)
    changed(manager, cookie, 7200)
    session["n"] = 2
    manager.finish(visit)
    clock.advance(7000)
    visit, session = begin(manager, cookie)
    assert session["n"] == 2
    assert session._expires == pytest.approx(clock() + 200)
