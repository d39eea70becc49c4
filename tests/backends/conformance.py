"""The conformance suite of the session back ends: what Django 5.2's sessions do, as classes to inherit.

A back end's test file gives the fixture `backend`, a Backend, and inherits what the back end claims:

    class TestMine(MappingContract, ExpiryContract, KeyContract, StoredContract):
        pass

Each behaviour is written once, as a coroutine, and is run twice: through the methods of a session and through their
async twins. It awaits each call on a Driven session; `at` is its Driver. Here is what needs no more than a session,
for every back end; in stored.py is what is kept, and in own.py where we differ from Django, or add to it.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from .driven import CHANGED, NEPAL, READ, SPOILED, UNTOUCHED, WEEKS, Backend, Driven, Driver, spoiled

Act = Callable[[Driven], Awaitable[Any]]

#: What each method does to the flags of a session that holds a=1.
FLAGS: list[tuple[str, Act, tuple[bool, bool]]] = [
    ("get", lambda s: s.get("a"), READ),
    ("get-missing", lambda s: s.get("b"), READ),
    ("set", lambda s: s.set("b", 1), CHANGED),
    ("set-the-same", lambda s: s.set("a", 1), CHANGED),
    ("pop", lambda s: s.pop("a"), CHANGED),
    ("pop-missing", lambda s: s.pop("b", None), READ),
    ("setdefault", lambda s: s.setdefault("b", 1), CHANGED),
    ("setdefault-present", lambda s: s.setdefault("a", 2), READ),
    ("update", lambda s: s.update({"b": 1}), CHANGED),
    ("update-nothing", lambda s: s.update({}), CHANGED),
    ("has_key", lambda s: s.has_key("a"), READ),
    ("keys", lambda s: s.keys(), READ),
    ("values", lambda s: s.values(), READ),
    ("items", lambda s: s.items(), READ),
    ("set_expiry", lambda s: s.set_expiry(60), CHANGED),
    ("set_expiry-zero", lambda s: s.set_expiry(0), CHANGED),
    ("set_expiry-none", lambda s: s.set_expiry(None), READ),
    ("get_expiry_age", lambda s: s.get_expiry_age(), READ),
    ("get_expiry_date", lambda s: s.get_expiry_date(), READ),
    ("get_expiry_age-given", lambda s: s.get_expiry_age(expiry=60), UNTOUCHED),
    ("get_expiry_date-given", lambda s: s.get_expiry_date(expiry=60), UNTOUCHED),
    ("get_expiry_age-given-none", lambda s: s.get_expiry_age(expiry=None), UNTOUCHED),
    ("get_expire_at_browser_close", lambda s: s.get_expire_at_browser_close(), READ),
    ("set_test_cookie", lambda s: s.set_test_cookie(), CHANGED),
    ("test_cookie_worked", lambda s: s.test_cookie_worked(), READ),
]


class MappingContract:
    """The items of a session, its flags, and that nothing is loaded before it is needed; for every back end."""

    # -- flags, and laziness -----------------------------------------------------------------------------------------

    async def test_a_new_session_is_untouched(self, at: Driver) -> None:
        session = at.new()
        assert session.flags == UNTOUCHED
        assert session.key is None
        assert session.raw.is_empty()

    @pytest.mark.parametrize(("act", "flags"), [pytest.param(*row[1:], id=row[0]) for row in FLAGS])
    async def test_each_method_sets_its_flags(self, at: Driver, act: Act, flags: tuple[bool, bool]) -> None:
        session = await at.stored(a=1)
        assert session.flags == UNTOUCHED
        await act(session)
        assert session.flags == flags

    @pytest.mark.parametrize(("act", "flags"), [pytest.param(*row[1:], id=row[0]) for row in FLAGS])
    async def test_reading_leaves_the_flag_of_a_change(self, at: Driver, act: Act, flags: tuple[bool, bool]) -> None:
        session = await at.stored(a=1)
        await session.set("c", 1)
        await act(session)
        assert session.flags == CHANGED

    @pytest.mark.parametrize(("act", "flags"), [pytest.param(*row[1:], id=row[0]) for row in FLAGS])
    async def test_only_the_first_access_loads(self, at: Driver, act: Act, flags: tuple[bool, bool]) -> None:
        session = await at.stored(a=1)
        loads = session.count_loads()
        for _ in range(2):
            await act(session)
            assert len(loads) == flags[0]
            await session.set("a", 1)
            assert len(loads) == 1
            flags = READ

    async def test_a_session_without_a_key_loads_nothing(self, at: Driver) -> None:
        session = at.new()
        loads = session.count_loads()
        assert await session.get("a") is None
        await session.set("a", 1)
        assert await session.get("a") == 1
        assert loads == []

    async def test_looking_at_a_session_loads_nothing(self, at: Driver) -> None:
        session = await at.stored(a=1)
        loads = session.count_loads()
        assert session.key
        assert not session.raw.is_empty()
        assert session.raw
        assert session.raw.get_session_cookie_age() == WEEKS
        assert not hasattr(session.raw, "_session_cache")
        assert (loads, session.flags) == ([], UNTOUCHED)

    async def test_clear_loads_nothing(self, at: Driver) -> None:
        session = await at.stored(a=1)
        loads = session.count_loads()
        session.raw.clear()
        assert session.flags == CHANGED
        assert dict(await session.items()) == {}
        assert loads == []

    # -- items -------------------------------------------------------------------------------------------------------

    async def test_get(self, at: Driver) -> None:
        session = await at.stored(a=1, none=None)
        assert await session.get("a") == 1
        assert await session.get("b") is None
        assert await session.get("b", "default") == "default"
        assert await session.get("b", default="default") == "default"
        assert await session.get("none", "default") is None

    async def test_set(self, at: Driver) -> None:
        session = await at.stored(a=1)
        await session.set("a", 2)
        await session.set("b", [3])
        assert dict(await session.items()) == {"a": 2, "b": [3]}

    async def test_pop(self, at: Driver) -> None:
        session = await at.stored(a=1, b=2)
        assert await session.pop("a") == 1
        assert await session.pop("b", "default") == 2
        assert await session.pop("a", "default") == "default"
        assert await session.pop("a", default=None) is None
        assert dict(await session.items()) == {}

    async def test_pop_of_what_is_missing(self, at: Driver) -> None:
        session = await at.stored(a=1)
        with pytest.raises(KeyError):
            await session.pop("b")
        assert session.flags == READ

    async def test_setdefault(self, at: Driver) -> None:
        session = await at.stored(a=1, none=None)
        assert await session.setdefault("a", 2) == 1
        assert await session.setdefault("none", 2) is None
        default: list[int] = []
        assert await session.setdefault("b", default) is default
        assert dict(await session.items()) == {"a": 1, "none": None, "b": []}

    async def test_update(self, at: Driver) -> None:
        session = await at.stored(a=1, b=1)
        await session.update({"a": 2, "c": 3})
        assert dict(await session.items()) == {"a": 2, "b": 1, "c": 3}
        await session.update([("d", 4)])
        assert await session.get("d") == 4

    async def test_has_key(self, at: Driver) -> None:
        session = await at.stored(a=1, none=None)
        assert await session.has_key("a")
        assert await session.has_key("none")
        assert not await session.has_key("b")

    async def test_views(self, at: Driver) -> None:
        session = await at.stored(a=1, b=2)
        assert list(await session.keys()) == ["a", "b"]
        assert list(await session.values()) == [1, 2]
        assert list(await session.items()) == [("a", 1), ("b", 2)]
        assert await session.keys() & {"a", "c"} == {"a"}
        keys = await session.keys()
        await session.set("c", 3)
        assert list(keys) == ["a", "b", "c"]

    async def test_clear(self, at: Driver) -> None:
        session = await at.stored(a=1)
        await session.set("b", 1)
        session.raw.clear()
        assert dict(await session.items()) == {}
        await session.set("c", 1)
        assert dict(await session.items()) == {"c": 1}

    async def test_is_empty_without_key_and_items_only(self, at: Driver) -> None:
        session = at.new()
        assert await session.get("a") is None
        assert session.raw.is_empty()
        await session.set("a", 1)
        assert not session.raw.is_empty()
        await session.pop("a")
        assert session.raw.is_empty()
        stored = await at.stored(a=1)
        stored.raw.clear()
        assert not stored.raw.is_empty()

    async def test_a_nested_change_sets_no_flag(self, at: Driver) -> None:
        session = await at.stored(cart=[])
        (await session.get("cart")).append("tea")
        assert session.flags == READ
        assert await session.get("cart") == ["tea"]

    # -- the operators, which have no async twins --------------------------------------------------------------------

    async def test_operators_on_items_that_are_there(self, at: Driver) -> None:
        session = await at.stored(a=1, b=2)
        await session.get("a")  # from here on nothing is loaded, and so an event loop is not in the way
        raw = session.raw
        assert raw["a"] == 1 and "a" in raw and "c" not in raw
        assert session.flags == READ
        del raw["b"]
        assert session.flags == CHANGED
        raw["c"] = 3
        assert dict(await session.items()) == {"a": 1, "c": 3}

    async def test_operators_on_items_that_are_missing(self, at: Driver) -> None:
        session = await at.stored(a=1)
        await session.get("a")
        with pytest.raises(KeyError, match="b"):
            session.raw["b"]
        with pytest.raises(KeyError, match="b"):
            del session.raw["b"]
        assert session.flags == READ

    @pytest.mark.parametrize(
        "act",
        [lambda raw: raw["a"], lambda raw: "a" in raw, lambda raw: raw.__delitem__("a")],
        ids=["get", "in", "del"],
    )
    def test_operators_load_at_the_first_access(self, backend: Backend, act: Callable[[Any], Any]) -> None:
        at = Driver(backend, is_async=False)
        session = at.new(self.key_of_a_session(at))
        loads = session.count_loads()
        act(session.raw)
        assert len(loads) == 1
        assert session.raw.accessed
        assert session.raw._session_cache == session.raw._session

    @staticmethod
    def key_of_a_session(at: Driver) -> Any:
        session = at.new()
        session.raw["a"] = 1
        session.raw.save()
        return session.key

    async def test_what_is_below(self, at: Driver) -> None:
        session = await at.stored(a=1)
        loads = session.count_loads()
        assert await session._get_session(no_load=True) == {}
        assert (loads, session.flags) == ([], READ)
        session = at.new(session.key)
        loads = session.count_loads()
        assert await session._get_session() == {"a": 1}
        assert await session._get_session(no_load=True) is session.raw._session is session.raw._session_cache
        assert (len(loads), session.flags) == (1, READ)
        session.raw._session_cache = {"b": 2}
        assert await session.get("b") == 2
        del session.raw._session_cache
        assert await session.get("a") == 1  # loaded again
        assert len(loads) == 2

    # -- subclasses --------------------------------------------------------------------------------------------------

    async def test_methods_go_through_overridden_set_and_get(self, at: Driver) -> None:
        calls: list[str] = []

        class Noisy(at.backend.session_class):  # type: ignore[misc, name-defined]
            def __setitem__(self, key: Any, value: Any) -> None:
                calls.append(f"set {key}")
                super().__setitem__(key, value)

            def get(self, key: Any, default: Any = None) -> Any:
                calls.append(f"get {key}")
                return super().get(key, default)

        class AsyncNoisy(at.backend.session_class):  # type: ignore[misc, name-defined]
            async def aset(self, key: Any, value: Any) -> None:
                calls.append(f"set {key}")
                await super().aset(key, value)

            async def aget(self, key: Any, default: Any = None) -> Any:
                calls.append(f"get {key}")
                return await super().aget(key, default)

        session = at.new(None, AsyncNoisy if at.is_async else Noisy)
        found: dict[str, list[str]] = {}

        async def note(name: str, call: Awaitable[Any]) -> None:
            calls.clear()
            await call
            found[name] = calls.copy()

        await note("setdefault", session.setdefault("a", 1))
        await note("setdefault of what is there", session.setdefault("a", 2))
        await note("update", session.update({"b": 1}))
        await note("set_expiry", session.set_expiry(5))
        await note("set_test_cookie", session.set_test_cookie())
        await note("test_cookie_worked", session.test_cookie_worked())
        await note("get_expiry_age", session.get_expiry_age())
        await note("get_expiry_date", session.get_expiry_date())
        await note("get_expiry_date of an expiry", session.get_expiry_date(expiry=5))
        await note("get_expire_at_browser_close", session.get_expire_at_browser_close())
        assert found == {
            "setdefault": ["set a"],
            "setdefault of what is there": [],
            "update": [],
            "set_expiry": ["set _session_expiry"],
            "set_test_cookie": ["set testcookie"],
            "test_cookie_worked": ["get testcookie"],
            "get_expiry_age": ["get _session_expiry"],
            "get_expiry_date": ["get _session_expiry"],
            "get_expiry_date of an expiry": [],
            "get_expire_at_browser_close": ["get _session_expiry"],
        }

    async def test_a_subclass_may_give_items_of_its_own(self, at: Driver) -> None:
        class Shop(at.backend.session_class):  # type: ignore[misc, name-defined]
            def __init__(self, session_key: Any = None) -> None:
                super().__init__(session_key)
                self.opened = True

            def load(self) -> dict[str, Any]:
                return {"theme": "light", **super().load()}

            async def aload(self) -> dict[str, Any]:
                return {"theme": "light", **await super().aload()}

        session = await at.stored(Shop, a=1)
        assert session.raw.opened
        assert dict(await session.items()) == {"theme": "light", "a": 1}


class CookieTestContract:
    """The cookie that tells whether a browser takes cookies."""

    async def test_the_test_cookie(self, at: Driver) -> None:
        session = await at.stored(a=1)
        assert not await session.test_cookie_worked()
        await session.set_test_cookie()
        assert await session.test_cookie_worked()
        assert await session.get(session.raw.TEST_COOKIE_NAME) == session.raw.TEST_COOKIE_VALUE
        await session.save()
        session = at.new(session.key)
        assert await session.test_cookie_worked()
        await session.delete_test_cookie()
        assert not await session.test_cookie_worked()
        assert dict(await session.items()) == {"a": 1}

    async def test_names(self, at: Driver) -> None:
        assert at.backend.session_class.TEST_COOKIE_NAME == "testcookie"
        assert at.backend.session_class.TEST_COOKIE_VALUE == "worked"

    async def test_a_test_cookie_that_is_missing(self, at: Driver) -> None:
        session = await at.stored(a=1)
        with pytest.raises(KeyError):
            await session.delete_test_cookie()

    def test_deleting_it_is_a_change(self, backend: Backend) -> None:
        # Of the plain method only: Django's async twin forgets the flag.
        session = backend.session_class()
        session.set_test_cookie()
        session.modified = False
        session.delete_test_cookie()
        assert session.modified


class ExpiryContract:
    """How long a session has, by its own arithmetic; for every back end."""

    async def test_by_default_it_is_the_age_of_a_cookie(self, at: Driver) -> None:
        session = await at.stored(a=1)
        assert session.raw.get_session_cookie_age() == WEEKS
        assert await session.get_expiry_age() == WEEKS
        assert await session.get_expiry_date() == at.time(WEEKS)
        assert not await session.get_expire_at_browser_close()

    async def test_seconds_count_from_each_look(self, at: Driver) -> None:
        session = await at.stored(a=1)
        await session.set_expiry(300)
        for _ in range(2):
            assert await session.get_expiry_age() == 300
            assert await session.get_expiry_date() == at.time(300)
            at.backend.advance(10)
        assert not await session.get_expire_at_browser_close()

    async def test_zero_ends_with_the_browser(self, at: Driver) -> None:
        session = await at.stored(a=1)
        await session.set_expiry(0)
        assert await session.get_expire_at_browser_close()
        assert await session.get_expiry_age() == WEEKS
        assert await session.get_expiry_date() == at.time(WEEKS)

    async def test_a_negative_number_has_passed(self, at: Driver) -> None:
        session = await at.stored(a=1)
        await session.set_expiry(-10)
        assert await session.get_expiry_age() == -10
        assert await session.get_expiry_date() == at.time(-10)
        assert not await session.get_expire_at_browser_close()

    @pytest.mark.parametrize("kind", ["timedelta", "datetime", "elsewhere"])
    async def test_a_moment_comes_nearer(self, at: Driver, kind: str) -> None:
        session = await at.stored(a=1)
        moment = at.time(300)
        given = {"timedelta": timedelta(seconds=300), "datetime": moment, "elsewhere": moment.astimezone(NEPAL)}
        await session.set_expiry(given[kind])
        assert await session.get_expiry_age() == 300
        assert await session.get_expiry_date() == moment
        at.backend.advance(10)
        assert await session.get_expiry_age() == 290
        assert await session.get_expiry_date() == moment
        at.backend.advance(300)
        assert await session.get_expiry_age() == -10
        assert await session.get_expiry_date() == moment
        assert not await session.get_expire_at_browser_close()

    @pytest.mark.parametrize("value", [timedelta(0), timedelta(seconds=-10), timedelta(days=-3)], ids=str)
    async def test_a_timedelta_that_is_over(self, at: Driver, value: timedelta) -> None:
        session = await at.stored(a=1)
        await session.set_expiry(value)
        assert await session.get_expiry_age() == value.total_seconds()
        assert await session.get_expiry_date() == at.time() + value
        assert not await session.get_expire_at_browser_close()

    async def test_an_age_is_whole_seconds_rounded_down(self, at: Driver) -> None:
        session = at.new()
        for seconds, age in ((0.5, 0), (1.999, 1), (-0.5, -1), (86400.25, 86400), (-86400.25, -86401)):
            await session.set_expiry(timedelta(seconds=seconds))
            assert await session.get_expiry_age() == age
            assert type(await session.get_expiry_age()) is int

    @pytest.mark.parametrize("value", [300, 0, -5, timedelta(seconds=300)], ids=str)
    async def test_none_is_the_default_again(self, at: Driver, value: Any) -> None:
        session = await at.stored(a=1)
        await session.set_expiry(value)
        await session.set_expiry(None)
        assert session.flags == CHANGED
        assert await session.get_expiry_age() == WEEKS
        assert not await session.get_expire_at_browser_close()
        assert dict(await session.items()) == {"a": 1}
        await session.set_expiry(None)

    async def test_it_is_an_item(self, at: Driver) -> None:
        session = await at.stored(a=1)
        await session.set_expiry(300)
        assert await session.get("_session_expiry") == 300
        moment = at.time(300)
        for value in (moment, timedelta(seconds=300)):
            await session.set_expiry(value)
            item = await session.get("_session_expiry")
            assert isinstance(item, str)
            assert datetime.fromisoformat(item) == moment
        await session.set("_session_expiry", 60)
        assert await session.get_expiry_age() == 60
        session.raw.clear()
        assert await session.get_expiry_age() == WEEKS

    @pytest.mark.parametrize("value", [300, 0, timedelta(seconds=300), None], ids=str)
    async def test_it_is_saved(self, at: Driver, value: Any) -> None:
        session = await at.stored(a=1)
        await session.set_expiry(value)
        await session.save()
        same = at.new(session.key)
        assert await same.get_expiry_age() == await session.get_expiry_age()
        assert await same.get_expiry_date() == await session.get_expiry_date()
        assert await same.get_expire_at_browser_close() == await session.get_expire_at_browser_close()
        assert await same.get("_session_expiry") == await session.get("_session_expiry")

    async def test_a_modification_that_is_given(self, at: Driver) -> None:
        session = await at.stored(a=1)
        earlier = at.time(-50)
        assert await session.get_expiry_age(modification=earlier) == WEEKS
        assert await session.get_expiry_date(modification=earlier) == at.time(WEEKS - 50)
        await session.set_expiry(300)
        assert await session.get_expiry_age(modification=earlier) == 300
        assert await session.get_expiry_date(modification=earlier) == at.time(250)
        await session.set_expiry(0)
        assert await session.get_expiry_age(modification=earlier) == WEEKS
        assert await session.get_expiry_date(modification=earlier) == at.time(WEEKS - 50)
        moment = at.time(300)
        await session.set_expiry(moment)
        assert await session.get_expiry_age(modification=earlier) == 350
        assert await session.get_expiry_date(modification=earlier) == moment

    async def test_an_expiry_that_is_given(self, at: Driver) -> None:
        session = await at.stored(a=1)
        loads = session.count_loads()
        moment = at.time(300)
        for expiry, age in ((60, 60), (0, WEEKS), (None, WEEKS), (-60, -60), (moment, 300), (moment.isoformat(), 300)):
            assert await session.get_expiry_age(expiry=expiry) == age
            assert await session.get_expiry_date(expiry=expiry) == at.time(age)
        assert (loads, session.flags) == ([], UNTOUCHED)
        await session.set_expiry(30)
        assert await session.get_expiry_age(expiry=60) == 60
        assert await session.get_expiry_age(expiry=None) == WEEKS
        assert await session.get_expiry_date(expiry=None) == at.time(WEEKS)

    async def test_both_given(self, at: Driver) -> None:
        session = at.new()
        earlier, moment = at.time(-50).astimezone(NEPAL), at.time(300)
        for expiry, age in ((60, 60), (0, WEEKS), (None, WEEKS), (moment, 350), (moment.isoformat(), 350)):
            assert await session.get_expiry_age(modification=earlier, expiry=expiry) == age
            assert await session.get_expiry_date(modification=earlier, expiry=expiry) == at.time(age - 50)
        assert session.flags == UNTOUCHED

    async def test_dates_are_aware(self, at: Driver) -> None:
        session = at.new()
        for value in (None, 300, 0, timedelta(seconds=300), at.time(300), at.time(300).astimezone(NEPAL)):
            await session.set_expiry(value)
            assert (await session.get_expiry_date()).tzinfo is not None

    async def test_settings(self, at: Driver) -> None:
        at.backend.configure(cookie_age=500, expire_at_browser_close=True)
        session = await at.stored(a=1)
        assert session.raw.get_session_cookie_age() == 500
        assert await session.get_expiry_age() == 500
        assert await session.get_expiry_age(expiry=0) == 500
        assert await session.get_expiry_date() == at.time(500)
        assert await session.get_expire_at_browser_close() is True
        await session.set_expiry(300)
        assert await session.get_expire_at_browser_close() is False
        await session.set_expiry(0)
        assert await session.get_expire_at_browser_close() is True
        assert await session.get_expiry_age() == 500

    async def test_a_subclass_may_say_how_old_a_cookie_gets(self, at: Driver) -> None:
        class Short(at.backend.session_class):  # type: ignore[misc, name-defined]
            def get_session_cookie_age(self) -> int:
                return 30

        session = at.new(None, Short)
        assert await session.get_expiry_age() == 30
        assert await session.get_expiry_date() == at.time(30)


class KeyContract:
    """Which keys a session takes; for every back end."""

    @pytest.mark.parametrize("key", [None, "", "a", "a" * 7])
    def test_what_is_too_short_is_no_key(self, backend: Backend, key: str | None) -> None:
        session = backend.session_class(key)
        assert (session.session_key, session._session_key) == (None, None)
        assert not session._validate_session_key(key)
        session._session_key = "a" * 8
        assert session.session_key == "a" * 8
        session._session_key = key
        assert (session.session_key, session._session_key) == (None, None)

    @pytest.mark.parametrize("key", ["a" * 8, "0" * 32, "a" * 40])
    def test_what_is_long_enough(self, backend: Backend, key: str) -> None:
        session = backend.session_class(session_key=key)
        assert session.session_key == session._session_key == key
        assert session._validate_session_key(key)

    def test_a_key_is_for_reading(self, backend: Backend) -> None:
        session = backend.session_class("a" * 8)
        with pytest.raises(AttributeError):
            session.session_key = "b" * 8
        assert session.session_key == "a" * 8

    def test_new_keys(self, backend: Backend) -> None:
        session = backend.session_class()
        keys = {session._get_new_session_key() for _ in range(20)}
        assert len(keys) == 20
        assert {len(key) for key in keys} == {32}
        assert set("".join(keys)) <= set(backend.valid_key_chars)
        assert session.session_key is None

    def test_the_characters_of_keys(self, backend: Backend) -> None:
        assert backend.valid_key_chars == "abcdefghijklmnopqrstuvwxyz0123456789"

    async def test_a_key_at_the_first_call(self, at: Driver) -> None:
        session = at.new()
        key = await session._get_or_create_session_key()
        assert len(key) == 32
        assert await session._get_or_create_session_key() == session.key == key
        assert session.flags == UNTOUCHED


class CodingContract:
    """Items as text, signed; for every back end."""

    @pytest.mark.parametrize(
        "items",
        [{}, {"a": 1}, {"\u00e9": ["\u65e5", None, 1.5, {"b": True}]}, {"a": "x" * 5000}, {"n": list(range(3000))}],
    )
    def test_it_comes_back(self, backend: Backend, items: dict[str, Any]) -> None:
        session = backend.session_class()
        encoded = session.encode(items)
        assert isinstance(encoded, str)
        assert session.decode(encoded) == items
        assert backend.session_class().decode(encoded) == items
        assert session.accessed is session.modified is False

    def test_what_repeats_is_compressed(self, backend: Backend) -> None:
        assert len(backend.session_class().encode({"a": "x" * 5000})) < 500

    @pytest.mark.parametrize("spoil", [*SPOILED, "empty"])
    def test_what_was_tampered_with_is_empty_and_logged(
        self, backend: Backend, caplog: pytest.LogCaptureFixture, spoil: str
    ) -> None:
        session = backend.session_class()
        encoded = session.encode({"user": "alice"})
        other = session.encode({"user": "mallory"})
        assert session.decode(spoiled(encoded, other)[spoil]) == {}
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "mallory" not in caplog.text and "alice" not in caplog.text

    def test_another_salt_is_another_signature(self, backend: Backend) -> None:
        class Other(backend.session_class):  # type: ignore[misc, name-defined]
            key_salt = "another purpose"

        encoded = backend.session_class().encode({"a": 1})
        assert Other().decode(Other().encode({"a": 1})) == {"a": 1}
        assert Other().decode(encoded) == {}
        assert backend.session_class().decode(Other().encode({"a": 1})) == {}

    def test_a_subclass_may_serialize_in_its_own_way(self, backend: Backend) -> None:
        class Reversed:
            def dumps(self, items: Any) -> bytes:
                return repr(items).encode()[::-1]

            def loads(self, data: bytes) -> Any:
                assert data[::-1] == b"{'a': (1,)}"
                return {"a": (1,)}

        session = backend.session_class()
        assert hasattr(session.serializer, "dumps") and hasattr(session.serializer, "loads")
        session.serializer = Reversed
        assert session.decode(session.encode({"a": (1,)})) == {"a": (1,)}


class SaltContract:
    def test_the_salt_names_the_class(self, backend: Backend) -> None:
        class Other(backend.session_class):  # type: ignore[misc, name-defined]
            pass

        assert isinstance(backend.session_class().key_salt, str)
        assert Other().key_salt.endswith(Other.__qualname__)
        assert Other().key_salt != backend.session_class().key_salt
