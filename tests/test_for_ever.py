"""Expiries at the ends of the calendar: one answer in every time zone, on every store."""

import os
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

import session3
from session3 import expiry
from session3.backends import for_store
from session3.cookies import MAX_AGE
from session3.DictSession import DictSession
from session3.SessionManager import SessionManager

from .sessions import Clock

ZONES = ["UTC", "America/New_York", "Asia/Tokyo", "Pacific/Kiritimati", "Etc/GMT+12"]
LAST, FIRST = datetime.max.replace(tzinfo=timezone.utc), datetime.min.replace(tzinfo=timezone.utc)


@pytest.fixture(params=ZONES)
def zone(request: pytest.FixtureRequest) -> Iterator[str]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield request.param
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


EAST, WEST = timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))


@pytest.mark.parametrize("moment", [datetime.max, datetime.max.replace(tzinfo=WEST), LAST])
def test_the_last_moment_is_for_ever(zone: str, moment: datetime) -> None:
    session = DictSession(None)
    session.set_expiry(moment)
    assert LAST - session.get_expiry_date() <= timedelta(hours=14)
    assert session.get_expiry_age() > 1e11
    assert session.get_expiry_age(expiry=moment) == session.get_expiry_age()
    own = expiry.own_deadline(session[expiry.ITEM], since=0.0)
    assert own is not None and own > 2e11


@pytest.mark.parametrize("moment", [datetime.min, datetime.min.replace(tzinfo=EAST), FIRST, datetime(1, 1, 2)])
def test_the_first_moment_is_over(zone: str, moment: datetime) -> None:
    session = DictSession(None)
    session.set_expiry(moment)
    assert session.get_expiry_date() - FIRST <= timedelta(days=2)
    assert session.get_expiry_age() < 0
    own = expiry.own_deadline(session[expiry.ITEM], since=1e9)
    assert own is not None and own < 0


@pytest.mark.parametrize(
    "moment", [datetime(9999, 12, 31), datetime(9000, 1, 1), datetime(2500, 1, 1), datetime(1, 6, 1)]
)
def test_moments_near_the_ends_are_what_they_are(zone: str, moment: datetime) -> None:
    session = DictSession(None)
    session.set_expiry(moment)
    assert abs(session.get_expiry_date().replace(tzinfo=None) - moment) <= timedelta(hours=15)


@pytest.mark.parametrize(
    "value",
    [timedelta.max, float("inf"), float("nan"), 1e300, 10**400, 10**5000, timedelta.min],
    ids=lambda value: type(value).__name__,
)
def test_a_span_that_no_calendar_holds_is_refused(zone: str, value: Any) -> None:
    session = DictSession(None)
    with pytest.raises(ValueError, match="an expiry of"):
        session.set_expiry(value)
    assert dict(session) == {}


@pytest.mark.parametrize("kind", ["memory", "directory", "sqlite", "shelve", "durus"])
def test_a_session_that_is_to_live_for_ever_does(kind: str, tmp_path: Path, zone: str) -> None:
    if kind == "durus":
        pytest.importorskip("durus")
    clock = Clock(1.8e9)
    options = {"create": True} if kind == "directory" else {}
    url = "memory://" if kind == "memory" else f"{kind}://{tmp_path}/sessions"
    with session3.open_store(url, clock=clock, **options) as store:
        manager = SessionManager(store, DictSession, idle_timeout=100)
        visit = manager.begin(None)
        session: Any = visit.session
        session.set_expiry(datetime.max)
        change = manager.finish(visit)
        assert change is not None and change.max_age == MAX_AGE  # as long as browsers keep a cookie
        clock.advance(1e9)
        assert manager.begin(change.value).loaded is not None
        assert store.delete_expired_sessions() == (0, 1)
        api = for_store(store)(change.value)
        assert api.get_expiry_age() > 1e11 and api.get_expiry_date().year == 9999
        api.set_expiry(datetime.min)
        api.save()
        assert manager.begin(change.value).loaded is None


def test_a_number_of_another_class_is_kept_as_a_plain_one() -> None:
    class Seconds(int):
        pass

    class Span(float):
        pass

    session = DictSession(None)
    for given, kind in ((Seconds(300), int), (Span(0.5), float)):
        session.set_expiry(given)
        assert type(session[expiry.ITEM]) is kind and session[expiry.ITEM] == given
