"""What is said of bad input names what it was, and what to give instead."""

import math
from datetime import datetime, time, timedelta, tzinfo
from typing import Any

import pytest

from session3.backends import for_store
from session3.DictSession import DictSession
from session3.errors import ConfigurationError, NotSerializable, SerializationError
from session3.serializers import JSONSerializer
from session3.store.SignedCookieSessionStore import SignedCookieSessionStore
from session3.store.VolatileSessionStore import VolatileSessionStore


class Lunar(tzinfo):
    def utcoffset(self, moment: datetime | None) -> timedelta:
        return timedelta(0)

    dst = utcoffset

    def tzname(self, moment: datetime | None) -> str:
        return "Moon"


class NoRepr:
    def __repr__(self) -> str:
        raise ZeroDivisionError

    __hash__ = object.__hash__


@pytest.mark.parametrize(
    ("value", "path", "why"),
    [
        ({"cart": [datetime(2026, 1, 1, tzinfo=Lunar())]}, "cart[0]", "time zone is a tests.test_messages.Lunar; use"),
        ({"at": time(1, tzinfo=Lunar())}, "at", "time zone is a tests.test_messages.Lunar; use"),
        ({"n": 10**5000}, "n", "this int can't be held: Exceeds the limit"),
        ({10**5000: 1}, "[the key of type int, which can't be shown (ValueError)]", "Exceeds the limit"),
        ({"s": {10**5000}}, "s[the item of type int, which can't be shown (ValueError)]", "Exceeds the limit"),
        ({NoRepr(): 1}, "[the key of type NoRepr, which can't be shown (ZeroDivisionError)]", "a NoRepr is nothing"),
    ],
)
def test_json_says_why(value: Any, path: str, why: str) -> None:
    with pytest.raises(NotSerializable) as raised:
        JSONSerializer().dumps(value)
    assert raised.value.path == path and why in raised.value.why
    session = DictSession("example1")
    session.update(value)
    with pytest.raises(SerializationError) as refused:
        VolatileSessionStore(serializer=JSONSerializer()).save_session(session)
    assert why in str(refused.value)


@pytest.mark.parametrize(
    "key", [7, True, [7], ["kx7dm3qpz94vbn2w8rty", None], object(), {"kx7dm3qpz94vbn2w8rty"}, bytearray(32)]
)
def test_a_secret_key_of_another_type_is_refused_as_such(key: Any) -> None:
    makes: list[Any] = [
        lambda: VolatileSessionStore(secret_key=key),
        lambda: SignedCookieSessionStore(key),
    ]
    pytest.importorskip("cryptography")
    makes.append(lambda: VolatileSessionStore(encryption_key=key))
    for make in makes:
        with pytest.raises(ConfigurationError, match="a secret key is a str or bytes, or a list of such") as raised:
            make()
        assert "kx7dm3" not in str(raised.value)


def test_for_store_looks_at_what_it_is_given() -> None:
    assert for_store(VolatileSessionStore(), cookie_age=timedelta(minutes=5)).cookie_age == 300
    with pytest.raises(ConfigurationError, match="cookie_age is a number of seconds or a timedelta, not a str"):
        for_store(VolatileSessionStore(), cookie_age="300")
    wrong: list[Any] = [{}, None, "redis://:hunter2@host/0", VolatileSessionStore]
    for store in wrong:
        with pytest.raises(ConfigurationError, match="store") as raised:
            for_store(store)
        assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("minutes", ["60", timedelta(hours=1), None])
def test_minutes_of_another_type_are_said(minutes: Any) -> None:
    with pytest.raises(TypeError, match=f"minutes is a number, not a {type(minutes).__name__}"):
        VolatileSessionStore().delete_old_sessions(minutes)


def test_no_number_of_minutes_is_no_sweep() -> None:
    with pytest.raises(ValueError, match="nan"):
        VolatileSessionStore().delete_old_sessions(math.nan)
