"""What a manager is told: by keywords, by its class; and what is no setting is refused when it is made."""

import dataclasses
from collections import OrderedDict, deque
from datetime import timedelta
from typing import Any, ClassVar, Protocol

import pytest

from session3.cookies import CookieOptions
from session3.DictSession import DictSession
from session3.errors import ConfigurationError
from session3.Session import Session
from session3.SessionManager import SessionManager
from session3.store.VolatileSessionStore import VolatileSessionStore

from .sessions import Clock

GIVEN: dict[str, Any] = {
    "idle_timeout": 900,
    "absolute_timeout": 3600.5,
    "renew_after": 60,
    "rotate_on_login": False,
    "on_unavailable": "anonymous",
    "trust_forwarded_proto": True,
    "cookie": CookieOptions(name="shop"),
    "session_class": DictSession,
}


def settings_of(manager: SessionManager) -> dict[str, Any]:
    return {name: getattr(manager, name) for name in GIVEN}


class TestDefaults:
    def test_a_subclass_gives_them_as_attributes(self) -> None:
        strict = type("Strict", (SessionManager,), GIVEN)
        assert settings_of(strict(VolatileSessionStore())) == GIVEN

    def test_along_a_chain_of_classes_the_nearest_counts(self) -> None:
        class Strict(SessionManager):
            idle_timeout: float | None = 900
            renew_after: float | None = 60

        class Mixed:
            absolute_timeout: float | None = 3600
            renew_after: float | None = None

        class Stricter(Mixed, Strict):
            idle_timeout = 300

        manager = Stricter(VolatileSessionStore())
        assert (manager.idle_timeout, manager.absolute_timeout, manager.renew_after) == (300, 3600, None)

    @pytest.mark.parametrize(
        ("name", "value"),
        [("idle_timeout", None), ("rotate_on_login", True), ("on_unavailable", "raise"), ("renew_after", 5)],
    )
    def test_a_keyword_goes_before_them(self, name: str, value: Any) -> None:
        strict = type("Strict", (SessionManager,), GIVEN)
        assert settings_of(strict(VolatileSessionStore(), **{name: value})) == {**GIVEN, name: value}

    def test_a_session_class_is_given_by_place_too(self) -> None:
        class Shop(SessionManager):
            session_class = DictSession

        assert Shop(VolatileSessionStore(), Session).session_class is Session
        assert Shop(VolatileSessionStore()).begin(None).session is not None

    def test_a_timeout_of_the_class_ends_sessions(self) -> None:
        class Strict(SessionManager):
            idle_timeout = timedelta(minutes=15)  # type: ignore[assignment]
            session_class = DictSession

        clock = Clock(1e9)
        manager = Strict(VolatileSessionStore(clock=clock))
        visit = manager.begin(None)
        visit.session.set_user("alice")  # type: ignore[union-attr]
        change = manager.finish(visit)
        assert change is not None and change.max_age == 900
        clock.advance(901)
        assert manager.begin(change.value).loaded is None

    def test_what_a_constructor_sets_afterwards_is_settled_too(self) -> None:
        class Mine(SessionManager):
            def __init__(self, store: Any, minutes: Any) -> None:
                super().__init__(store)
                self.idle_timeout = minutes

        assert Mine(VolatileSessionStore(), timedelta(minutes=1)).idle_timeout == 60
        with pytest.raises(ConfigurationError, match="idle_timeout"):
            Mine(VolatileSessionStore(), "1")

    def test_a_property_may_say_it(self) -> None:
        class Mine(SessionManager):
            @property
            def idle_timeout(self) -> float:  # type: ignore[override]
                return 77

        assert Mine(VolatileSessionStore()).idle_timeout == 77


class TestTimes:
    @pytest.mark.parametrize("name", ["idle_timeout", "absolute_timeout", "renew_after"])
    @pytest.mark.parametrize("value", [1, 0.5, timedelta(days=14), timedelta(milliseconds=1)])
    def test_seconds_or_a_timedelta(self, name: str, value: Any) -> None:
        manager = SessionManager(VolatileSessionStore(), **{name: value})
        seconds = value.total_seconds() if isinstance(value, timedelta) else value
        assert getattr(manager, name) == seconds and not isinstance(getattr(manager, name), timedelta)

    @pytest.mark.parametrize("name", ["idle_timeout", "absolute_timeout", "renew_after"])
    @pytest.mark.parametrize(
        "value", ["900", True, [900], 0, -1, float("nan"), float("inf"), 1e12, timedelta(0), timedelta(days=-1), 1j]
    )
    @pytest.mark.parametrize("where", ["keyword", "class"])
    def test_anything_else_is_refused_by_name(self, name: str, value: Any, where: str) -> None:
        with pytest.raises(ConfigurationError, match=f"^{name} is a number of seconds"):
            if where == "keyword":
                SessionManager(VolatileSessionStore(), **{name: value})
            else:
                type("Mine", (SessionManager,), {name: value})(VolatileSessionStore())

    def test_an_access_time_may_never_move(self) -> None:
        class Mine(SessionManager):
            ACCESS_TIME_RESOLUTION = float("inf")

        assert Mine(VolatileSessionStore()).begin(None).session is not None

    @pytest.mark.parametrize("name", ["ACCESS_TIME_RESOLUTION", "CYCLE_GRACE"])
    def test_the_spans_of_the_class_are_looked_at_too(self, name: str) -> None:
        mine = type("Mine", (SessionManager,), {name: timedelta(seconds=5)})
        assert getattr(mine(VolatileSessionStore()), name) == 5
        assert getattr(type("Mine", (SessionManager,), {name: 0})(VolatileSessionStore()), name) == 0
        for value in ("5", None, -1, float("nan")):
            with pytest.raises(ConfigurationError, match=f"^{name} is a number of seconds"):
                type("Mine", (SessionManager,), {name: value})(VolatileSessionStore())


class TestOthers:
    @pytest.mark.parametrize(
        ("name", "value", "says"),
        [
            ("cookie", {"path": "/"}, "cookie is a session3.cookies.CookieOptions"),
            ("cookie", "shop", "cookie is a session3.cookies.CookieOptions"),
            ("on_unavailable", "anonym", "on_unavailable is"),
            ("on_unavailable", None, "on_unavailable is"),
            ("rotate_on_login", "no", "rotate_on_login is True or False"),
            ("trust_forwarded_proto", None, "trust_forwarded_proto is True or False"),
            ("session_class", DictSession(None), "session_class is a class"),
            ("session_class", "DictSession", "session_class is a class"),
            ("session_class", dict, "dict is no session class: derive it"),
            ("session_class", None, "session_class is a class"),
        ],
    )
    @pytest.mark.parametrize("where", ["keyword", "class"])
    def test_each_is_refused_with_what_it_should_be(self, name: str, value: Any, says: str, where: str) -> None:
        with pytest.raises(ConfigurationError, match=says):
            if where == "keyword":
                SessionManager(VolatileSessionStore(), **{name: value})
            else:
                type("Mine", (SessionManager,), {name: value})(VolatileSessionStore())

    def test_quixotes_own_session_is_none_of_ours(self) -> None:
        pytest.importorskip("quixote")
        from quixote.session import Session as Quixotes

        with pytest.raises(ConfigurationError, match=r"quixote\.session\.Session is no session class"):
            SessionManager(VolatileSessionStore(), Quixotes)

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            ((DictSession, VolatileSessionStore()), "first the store, then the session class"),
            ((VolatileSessionStore, DictSession), "give an object of the class"),
            (("postgresql://shop:hunter2@db/shop", DictSession), r"session3\.open_store\(url\)"),
            (({}, DictSession), "a dict is no store"),
            ((DictSession(None), DictSession), "a DictSession is no store"),
            ((None,), "a NoneType is no store"),
        ],
    )
    def test_the_store_is_looked_at(self, arguments: tuple[Any, ...], says: str) -> None:
        with pytest.raises(ConfigurationError, match=says) as raised:
            SessionManager(*arguments)
        assert "hunter2" not in str(raised.value)

    def test_a_subclass_has_to_call_the_constructor(self) -> None:
        class Forgot(SessionManager):
            def __init__(self, store: Any) -> None:
                self.my_store = store

        with pytest.raises(ConfigurationError, match=r"Forgot.__init__ has to call super\(\).__init__\(store\)"):
            Forgot(VolatileSessionStore())

    def test_whatever_else_it_derives_from_it_is_checked_when_it_is_made(self) -> None:
        class Greeter(Protocol):
            greeting: str

        class Strict:
            def __init__(self, store: Any) -> None:
                super().__init__(store)  # type: ignore[call-arg]
                vars(self)["idle_timeout"] = -1.0

        class Site(Strict, SessionManager, Greeter):
            greeting = "hello"

        class Part(Site):
            def __init__(self, store: Any) -> None:
                super().__init__(store)
                self.idle_timeout = 60.0

        assert Part(VolatileSessionStore()).idle_timeout == 60
        with pytest.raises(ConfigurationError, match="idle_timeout"):
            Site(VolatileSessionStore())

    def test_one_that_sets_the_store_itself_works(self) -> None:
        class Mine(SessionManager):
            def __init__(self) -> None:
                self.store = VolatileSessionStore()

        manager = Mine()
        visit = manager.begin(None)
        visit.session.set_user("alice")  # type: ignore[union-attr]
        change = manager.finish(visit)
        assert change is not None and manager.begin(change.value).session.user == "alice"  # type: ignore[union-attr]


class WithInit(DictSession):
    COLORS: ClassVar[list[str]] = ["red"]
    CONTAINERS = {**DictSession.CONTAINERS, "cart": list}
    currencies: ClassVar[list[str]] = ["EUR"]
    theme = "light"
    sizes = ("s", "m")

    def __init__(self, id: str | None) -> None:
        super().__init__(id)
        self.cart: list[str] = []


class TestSessionClasses:
    def test_defaults_that_nobody_can_change_and_constants_are_fine(self) -> None:
        assert SessionManager(VolatileSessionStore(), WithInit).begin(None).session is not None

    @pytest.mark.parametrize("value", [[], {}, set(), deque(), bytearray(), OrderedDict(), DictSession(None)])
    @pytest.mark.parametrize("name", ["cart", "_cart", "data"])
    def test_what_all_visitors_would_share_is_refused(self, name: str, value: Any) -> None:
        shop = type("Shop", (DictSession,), {name: value})
        for session_class in (
            shop,
            type("Mine", (shop,), {}),
            type("Mixed", (type("Mixin", (), {name: value}), DictSession), {}),
        ):
            with pytest.raises(ConfigurationError, match=rf"\.{name} is a \w+ of the class, so that all visitors"):
                SessionManager(VolatileSessionStore(), session_class)

    @pytest.mark.parametrize("slots", ["cart", ("cart",), ["cart"]])
    def test_what_would_not_be_kept_is_refused(self, slots: Any) -> None:
        shop = type("Shop", (Session,), {"__slots__": slots})
        with pytest.raises(ConfigurationError, match=r"has __slots__ \(cart\), and what is in slots is not kept"):
            SessionManager(VolatileSessionStore(), shop)
        SessionManager(VolatileSessionStore(), type("Shop", (Session,), {"__slots__": ()}))

    def test_a_dataclass_whose_constructor_takes_its_fields_is_refused(self) -> None:
        @dataclasses.dataclass
        class Shop(DictSession):
            theme: str = "light"

        for session_class in (Shop, type("Mine", (Shop,), {})):
            with pytest.raises(ConfigurationError, match=r"@dataclass\(init=False\)"):
                SessionManager(VolatileSessionStore(), session_class)

    def test_a_dataclass_without_one_works(self) -> None:
        manager = SessionManager(VolatileSessionStore(), WithFields)
        visit = manager.begin(None)
        session: Any = visit.session
        assert session.theme == "light" and manager.finish(visit) is None
        visit = manager.begin(None)
        session = visit.session
        session.theme = "dark"
        change = manager.finish(visit)
        assert change is not None and manager.begin(change.value).session.theme == "dark"  # type: ignore[union-attr]

    def test_a_dataclass_that_the_manager_makes_itself_works(self) -> None:
        class Mine(SessionManager):
            session_class = WithItsOwnInit

            def new_session(self, id: str | None) -> Session:
                session = WithItsOwnInit("dark")
                session.id = id
                return session

        manager = Mine(VolatileSessionStore())
        assert manager.finish(manager.begin(None)) is None
        visit = manager.begin(None)
        session: Any = visit.session
        session["a"] = 1
        session.create_form_token()
        change = manager.finish(visit)
        assert change is not None
        session = manager.begin(change.value).session
        assert (session.theme, session["a"], session.get_creation_age() < 60) == ("dark", 1, True)

    def test_a_constructor_that_does_not_call_ours_works(self) -> None:
        manager = SessionManager(VolatileSessionStore(), CallsNobody)
        visit = manager.begin(None)
        session: Any = visit.session
        session["a"] = 1
        session.set_user("alice")
        change = manager.finish(visit)
        assert change is not None and manager.begin(change.value).session["a"] == 1  # type: ignore[index]


@dataclasses.dataclass(init=False, eq=False)
class WithFields(DictSession):
    theme: str = "light"


@dataclasses.dataclass(eq=False)
class WithItsOwnInit(DictSession):
    theme: str = "light"


class CallsNobody(DictSession):
    def __init__(self, id: str | None) -> None:
        self.id = id
