"""The mapping, the flags and the expiry of Django's own sessions: any calls, in any order, beside ours."""

import asyncio
import copy
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session3.backends import for_store
from session3.backends.signed_cookies import SessionStore as OurCookie
from session3.store.VolatileSessionStore import VolatileSessionStore

from .test_django import configured as configured

pytest.importorskip("django", reason="needs Django: pip install django")

SECRET = "8f2c1e0d7b6a59483726150f9e8d7c6b"

KEYS = st.sampled_from(["a", "b", "_d", ""])
VALUES = st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.lists(st.integers(0, 3), max_size=2))
EXPIRIES = st.sampled_from([None, 0, 300, 1.5, datetime(2100, 1, 1, tzinfo=timezone.utc)])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), KEYS, VALUES),
        st.tuples(st.sampled_from(["delitem", "getitem", "in"]), KEYS),
        st.tuples(st.sampled_from(["get", "pop", "has_key"]), KEYS),
        st.tuples(st.sampled_from(["get", "pop", "setdefault"]), KEYS, VALUES),
        st.tuples(st.just("update"), st.dictionaries(KEYS, VALUES, max_size=3)),
        st.tuples(st.just("set_expiry"), EXPIRIES),
        st.tuples(st.sampled_from(["keys", "values", "items", "clear", "is_empty", "reload", "flags off"])),
        st.tuples(st.sampled_from(["save", "flush", "cycle_key", "create", "load"])),
        st.tuples(st.sampled_from(["get_expiry_age", "get_expiry_date", "get_expire_at_browser_close"])),
        st.tuples(st.sampled_from(["set_test_cookie", "test_cookie_worked", "delete_test_cookie"])),
    ),
    max_size=12,
)
PLAIN: dict[str, Callable[..., Any]] = {
    "set": lambda session, key, value: session.__setitem__(key, value),
    "delitem": lambda session, key: session.__delitem__(key),
    "getitem": lambda session, key: session[key],
    "in": lambda session, key: key in session,
    "clear": lambda session: session.clear(),
    "is_empty": lambda session: session.is_empty(),
    "flags off": lambda session: session.__dict__.update(modified=False, accessed=False),
}


def outcome(session: Any, name: str, arguments: Any, asynchronous: bool) -> Any:
    arguments = copy.deepcopy(arguments)
    try:
        if name in PLAIN and not (asynchronous and name == "set"):
            return PLAIN[name](session, *arguments)
        called = getattr(session, f"a{name}" if asynchronous else name)(*arguments)
        result = asyncio.run(called) if asynchronous else called
    except Exception as error:
        return type(error).__name__
    if name in ("keys", "values", "items"):
        return list(result)
    if name == "get_expiry_date":
        result = result.timestamp()
    # What is counted from now is the same to within the seconds that a slow machine takes.
    return round(result / 60) if name in ("get_expiry_age", "get_expiry_date") else result


def pair(kind: str) -> tuple[Any, Any]:
    if kind == "cookie":
        from django.contrib.sessions.backends.signed_cookies import SessionStore as Theirs

        return Theirs, type("InCookie", (OurCookie,), {"secret_key": SECRET})
    from django.contrib.sessions.backends.cache import SessionStore as InCache

    return InCache, for_store(VolatileSessionStore())


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize("kind", ["store", "cookie"])
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_ours_is_what_djangos_is(kind: str, asynchronous: bool) -> None:
    their_class, our_class = pair(kind)

    @settings(max_examples=60 if asynchronous else 200, deadline=None)
    @given(STEPS)
    def compare(steps: Any) -> None:
        theirs, ours = their_class(), our_class()
        for name, *arguments in steps:
            if name == "reload":
                theirs, ours = their_class(theirs.session_key), our_class(ours.session_key)
                continue
            answers = [outcome(session, name, arguments, asynchronous) for session in (theirs, ours)]
            assert answers[0] == answers[1], name
            assert (ours.modified, ours.accessed) == (theirs.modified, theirs.accessed), name

    compare()
