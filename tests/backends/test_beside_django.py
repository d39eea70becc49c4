"""Our sessions beside Django's: the same calls, in any order, and the same answers, flags and stored items."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from session3.backends import for_store
from session3.store.VolatileSessionStore import VolatileSessionStore

from ..sessions import Clock
from .test_django import configured, override, time_of_django  # noqa: F401 - fixtures

KEYS = st.sampled_from(["a", "b", "testcookie", "_session_expiry"])
VALUES = st.one_of(st.none(), st.integers(0, 3), st.text(max_size=2), st.lists(st.integers(0, 3), max_size=2))
EXPIRIES = st.one_of(
    st.none(), st.integers(0, 2).map(lambda n: n * 100), st.integers(1, 3).map(lambda n: timedelta(seconds=100 * n))
)


def call(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, tuple[Any, ...]]]:
    return st.tuples(st.just(name), st.tuples(*arguments))


ITEM_KEYS = st.sampled_from(["a", "b", "testcookie"])
CALLS = st.lists(
    st.one_of(
        call("__getitem__", KEYS), call("__setitem__", ITEM_KEYS, VALUES), call("__delitem__", KEYS),
        call("__contains__", KEYS), call("get", KEYS), call("get", KEYS, VALUES), call("pop", KEYS),
        call("pop", KEYS, VALUES), call("setdefault", ITEM_KEYS, VALUES),
        call("update", st.dictionaries(ITEM_KEYS, VALUES, max_size=2)), call("has_key", KEYS),
        call("keys"), call("values"), call("items"), call("clear"), call("is_empty"),
        call("set_expiry", EXPIRIES), call("get_expiry_age"), call("get_expiry_date"),
        call("get_expire_at_browser_close"), call("set_test_cookie"), call("test_cookie_worked"),
        call("delete_test_cookie"), call("load"), call("create"), call("save"), call("save", st.booleans()),
        call("delete"), call("flush"), call("cycle_key"), call("cycle_key"),
        call("open", st.integers(-1, 3)), call("open", st.integers(-1, 3)), call("delete_other", st.integers(0, 3)),
        call("unflag"),
    ),
    max_size=25,
)  # fmt: skip


class Pair:
    """A session of Django's and one of ours; their keys are told apart by when they came up."""

    def __init__(self, classes: list[type[Any]]) -> None:
        self.classes = classes
        self.sessions = [made() for made in classes]
        self.keys: list[list[Any]] = [["chosen" * 3, "chosen" * 3]]

    def do(self, name: str, arguments: tuple[Any, ...]) -> None:
        if not self.is_stored() and (name == "cycle_key" or arguments == (True,)):
            return  # Django would bring a deleted session back, or take a key that was cycled a moment ago
        answers = [self.answer(n, name, arguments) for n in (0, 1)]
        assert answers[0] == answers[1], name
        if answers[0] == "UpdateError":
            # What is left of the session then, Django's back ends do not agree on.
            self.sessions = [made() for made in self.classes]
        keys = [session.session_key for session in self.sessions]
        if keys not in self.keys and keys != [None, None]:
            self.keys.append(keys)
        assert self.state(0) == self.state(1)

    def is_stored(self) -> bool:
        session = self.sessions[0]
        return session.session_key is None or bool(self.classes[0]().exists(session.session_key))

    def answer(self, n: int, name: str, arguments: tuple[Any, ...]) -> Any:
        session = self.sessions[n]
        try:
            if name == "open":
                self.sessions[n] = self.classes[n](self.key(n, arguments[0]))
                return None
            if name == "delete_other":
                return self.classes[n]().delete(self.key(n, arguments[0]))
            if name == "unflag":
                session.accessed = session.modified = False
                return None
            answer = getattr(session, name)(*arguments)
        except Exception as error:
            return type(error).__name__
        return list(answer) if name in ("keys", "values", "items") else answer

    def key(self, n: int, number: int) -> Any:
        return None if number < 0 else self.keys[number % len(self.keys)][n]

    def state(self, n: int) -> Any:
        """Return what can be seen of a session and of what is stored, in words that both share."""
        session = self.sessions[n]
        mine = [keys[n] for keys in self.keys]
        key = None if session.session_key is None else mine.index(session.session_key)
        stored = [dict(self.classes[n](each).items()) if self.classes[n]().exists(each) else None for each in mine]
        return key, session.accessed, session.modified, session.is_empty(), stored


@pytest.fixture
def make_pair(clock: Clock, override: Any) -> Iterator[Callable[[], Pair]]:  # noqa: F811
    from django.contrib.sessions.backends.cache import SessionStore
    from django.core.cache import cache

    override(CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}})

    def make() -> Pair:
        cache.clear()
        return Pair([SessionStore, for_store(VolatileSessionStore(clock=clock))])

    yield make
    cache.clear()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=CALLS)
def test_any_calls_do_the_same(make_pair: Callable[[], Pair], calls: list[tuple[str, tuple[Any, ...]]]) -> None:
    pair = make_pair()
    for name, arguments in calls:
        pair.do(name, arguments)
