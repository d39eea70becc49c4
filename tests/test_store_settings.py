"""What can't work is refused when a store, or a class of Django's API, is made, in one line that says why."""

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from session3.backends import for_store
from session3.backends.signed_cookies import SessionStore as InCookies
from session3.DictSession import DictSession
from session3.errors import ConfigurationError
from session3.serializers import JSONSerializer
from session3.SessionManager import SessionManager
from session3.store.DirectorySessionStore import DirectorySessionStore
from session3.store.DurusSessionStore import DurusSessionStore
from session3.store.MySQLSessionStore import MySQLSessionStore
from session3.store.PostgresSessionStore import PostgresSessionStore
from session3.store.ShelveSessionStore import ShelveSessionStore
from session3.store.SignedCookieSessionStore import SignedCookieSessionStore
from session3.store.SQLiteSessionStore import SQLiteSessionStore
from session3.store.VolatileSessionStore import VolatileSessionStore

SECRET = "8f2c1e0d7b6a59483726150f9e8d7c6b"


def nobody() -> Any:
    raise AssertionError("a store that is made connects to nothing")


STORES: dict[str, Any] = {
    "memory": lambda path, **options: VolatileSessionStore(**options),
    "files": lambda path, **options: DirectorySessionStore(path / "files", create=True, **options),
    "shelf": lambda path, **options: ShelveSessionStore(path / "shelf", **options),
    "sqlite": lambda path, **options: SQLiteSessionStore(path / "sessions.db", **options),
    "durus": lambda path, **options: DurusSessionStore(nobody, **options),
    "mysql": lambda path, **options: MySQLSessionStore(nobody, **options),
    "postgres": lambda path, **options: PostgresSessionStore(nobody, **options),
    "cookie": lambda path, **options: SignedCookieSessionStore(SECRET, **options),
}


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize(
    "name, given, says",
    [
        ("serializer", "json", "a serializer is an object"),
        ("serializer", JSONSerializer, "got JSONSerializer: give an object of it"),
        ("serializer", 0, "a serializer is an object"),
        ("session_class", DictSession(None), "session_class is a class"),
        ("session_class", "DictSession", "session_class is a class"),
        ("session_class", dict, "no session class"),
        ("clock", 5, "clock is called"),
        ("clock", None, "clock is called"),
        ("hash_ids", "no", "hash_ids is True or False"),
    ],
)
def test_what_no_store_can_work_with(kind: str, name: str, given: Any, says: str, tmp_path: Path) -> None:
    if (kind, name) == ("cookie", "hash_ids"):
        return  # it has none
    with pytest.raises(ConfigurationError, match=says) as caught:
        STORES[kind](tmp_path, **{name: given})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("given", ["5", 0, -1, True, None, float("nan"), float("inf"), timedelta(0)])
def test_a_timeout_that_is_none(given: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="timeout must be a positive number of seconds"):
        SQLiteSessionStore(tmp_path / "sessions.db", timeout=given)


def test_a_timeout_as_a_timedelta(tmp_path: Path) -> None:
    with SQLiteSessionStore(tmp_path / "sessions.db", timeout=timedelta(milliseconds=1500)) as store:
        assert store.timeout == 1.5


@pytest.mark.parametrize(
    "name, given",
    [
        ("cookie_age", float("nan")),
        ("cookie_age", float("inf")),
        ("cookie_age", 10**400),
        ("cookie_age", timedelta.max),
        ("cookie_age", "5"),
        ("serializer", "json"),
        ("serializer", 5),
        ("expire_at_browser_close", "no"),
    ],
)
def test_what_no_class_of_djangos_api_can_work_with(name: str, given: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        for_store(VolatileSessionStore(), **{name: given})


def test_a_cookie_age_may_be_a_timedelta_wherever_it_is_said() -> None:
    class Stored(for_store(VolatileSessionStore())):  # type: ignore[misc]
        cookie_age = timedelta(days=1)

    class Cookie(InCookies):
        secret_key = SECRET
        cookie_age = timedelta(days=1)

    for made in (Stored, Cookie):
        session: Any = made()
        session["cart"] = ["tea"]
        session.save()
        found: Any = made(session.session_key)
        assert (found["cart"], found.get_expiry_age(), found.get_session_cookie_age()) == (["tea"], 86400, 86400)

    class OfASite(DictSession):
        cookie_age = timedelta(days=1)

    assert OfASite(None).get_expiry_age() == 86400
    assert OfASite(None).get_expiry_date() > datetime.now(timezone.utc)


def test_a_property_that_gives_a_timedelta_is_refused_by_name() -> None:
    class Mine(SessionManager):
        @property
        def idle_timeout(self) -> Any:  # type: ignore[override]
            return timedelta(minutes=20)

    with pytest.raises(ConfigurationError, match="idle_timeout is a property of Mine"):
        Mine(VolatileSessionStore())
