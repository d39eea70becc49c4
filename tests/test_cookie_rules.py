"""What a cookie may look like, how one is read, and how long it lives: without a framework."""

import random
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from http.cookies import SimpleCookie
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from session3.cookierules import path_of
from session3.cookies import MAX_AGE, MAX_COOKIE, CookieChange, CookieOptions, overhead, values_of
from session3.DictSession import DictSession
from session3.errors import ConfigurationError, CookieTooLarge, VisitFinished
from session3.SessionManager import SessionManager
from session3.store.SignedCookieSessionStore import SignedCookieSessionStore
from session3.store.VolatileSessionStore import VolatileSessionStore

from .sessions import Clock
from .test_cookie_lifetime import Browser
from .test_session_manager import ObjectStore, begin

DAY = 86400
KEY = "a key of at least sixteen characters"
UNKNOWN = "abcdefghijklmnopqrstuvwxyz234567"
HEADERS = st.text(st.sampled_from('s;=" \t,\\$ab\x00\x85\xa0\xe9\n'), max_size=40)


class TestOptions:
    @pytest.mark.parametrize(
        "domain",
        ["example.com", ".example.com", "xn--mnchen-3ya.example", "my_host.example.com", "localhost", "intranet",
         "127.0.0.1", "EXAMPLE.com", "a-b.c1", "1.example", "x" * 63 + ".com"],
    )  # fmt: skip
    def test_what_is_a_domain_is_taken(self, domain: str) -> None:
        assert CookieOptions(domain=domain).domain == domain

    @pytest.mark.parametrize(
        "domain",
        ["localhost:8080", "https://example.com", "//example.com", "*.example.com", "a b.c", "", ".", "..example.com",
         "example.com.", "example..com", "-a.com", "a-.com", "example.com/", "user@example.com", "münchen.example",
         "[::1]", "::1", "1.2.3", "256.1.1.1", ".127.0.0.1", "x" * 64 + ".com", ".".join(["abc"] * 70), " example.com",
         "example.com\n", "example,com", "a\u20acb", "a;b", 7, True, b"example.com", ["example.com"]],
    )  # fmt: skip
    def test_what_is_none_is_not(self, domain: Any) -> None:
        with pytest.raises(ConfigurationError, match="domain"):
            CookieOptions(domain=domain)

    @pytest.mark.parametrize("path", ["/", "/app", "/app/", "/b%C3%A9", "/a,b:c@d!$&'()*+=~.-_[]", "//x"])
    def test_what_is_a_path_is_taken(self, path: str) -> None:
        assert CookieOptions(path=path).path == path

    @pytest.mark.parametrize(
        "path",
        ["", "app", "./app", "https://example.com/", "/my shop", "/bé", "/b€", "/a?b", "/a#b", "/a;b", "/a|b", "/a^b",
         "/a\tb", '/"', "/" * 1025, "*", " /", 7, False, b"/", ("/",)],
    )  # fmt: skip
    def test_what_no_browser_sends_back_is_not(self, path: Any) -> None:
        with pytest.raises(ConfigurationError, match="path"):
            CookieOptions(path=path)

    def test_a_path_is_told_as_it_has_to_be(self) -> None:
        with pytest.raises(ConfigurationError, match="'/my%20shop'"):
            CookieOptions(path="/my shop")

    @pytest.mark.parametrize("name", [7, b"session", "", "x" * 2000, ["a"], True])
    def test_a_name_is_a_token(self, name: Any) -> None:
        with pytest.raises(ConfigurationError, match="name"):
            CookieOptions(name=name)

    @pytest.mark.parametrize(
        "options",
        [{"secure": "yes"}, {"secure": 1}, {"secure": 0}, {"http_only": 1}, {"http_only": None}, {"http_only": "no"},
         {"secure": []}, {"same_site": ["Lax"]}, {"same_site": b"Lax"}, {"same_site": False}],
    )  # fmt: skip
    def test_flags_are_flags(self, options: Any) -> None:
        with pytest.raises(ConfigurationError, match=next(iter(options))):
            CookieOptions(**options)

    @pytest.mark.parametrize(
        "options",
        [{"name": "__Http-s"}, {"name": "__Http-s", "secure": True, "http_only": False},
         {"name": "__Host-Http-s", "secure": True, "http_only": False},
         {"name": "__Host-Http-s", "secure": True, "domain": "example.com"},
         {"name": "__host-s", "secure": True, "path": "/a"}],
    )  # fmt: skip
    def test_what_contradicts_the_name_is_refused(self, options: Any) -> None:
        with pytest.raises(ConfigurationError, match="cookie"):
            CookieOptions(**options)

    @given(st.binary(max_size=30))
    def test_any_root_gives_a_path_that_may_be_given_as_an_option(self, root: bytes) -> None:
        path = path_of(root.decode("latin-1"))
        assert CookieOptions(path=path).path == path
        assert path.endswith("/") and ";" not in path and path.isascii()


def as_in_the_rfc(header: str, name: str) -> list[str]:
    """RFC 6265, section 4.2.1, read as browsers wrote it: pairs between semicolons, quotes are part of a value."""
    values = []
    for pair in header.split(";"):
        if "=" in pair:
            key, value = pair.split("=", 1)
            value = value.strip(" \t")
            if len(value) > 1 and value[0] == value[-1] == '"':
                value = value[1:-1]
            if key.strip(" \t") == name and value:
                values.append(value)
    return values


class TestReading:
    @given(HEADERS)
    @example('s="a;s=b"')
    @example("s=;s;=s=s")
    def test_any_header_is_read_by_the_rule(self, header: str) -> None:
        if "\\" not in header:
            assert values_of(header, "s") == as_in_the_rfc(header, "s")
        values_of(header, "s")

    @given(st.lists(st.from_regex(r"[a-zA-Z0-9_-]{1,20}", fullmatch=True), max_size=5), st.booleans())
    def test_what_we_set_is_what_every_parser_reads(self, values: list[str], is_quoted: bool) -> None:
        header = "; ".join(f's="{value}"' if is_quoted else f"s={value}" for value in values)
        assert values_of(header, "s") == values
        if values:
            assert SimpleCookie(header)["s"].value == values[-1]

    @given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20))
    def test_no_other_cookie_s_value_becomes_one_of_ours(self, value: str) -> None:
        value = value.replace(";", "")
        assert values_of(f"other={value}; s=mine", "s") == ["mine"]

    @pytest.mark.parametrize(
        ("header", "values"),
        [
            ("", []),
            ("s", []),
            ("s=", []),
            ('s=""', []),
            ("=s", []),
            ("s=a", ["a"]),
            ('s="a"', ["a"]),
            (' s = "a" ;s=b;s= c', ["a", "b", "c"]),
            ("S=a; ss=b; s=c", ["c"]),
            ("s=a=b", ["a=b"]),
            ('s="a', ['"a']),
            ('s="', ['"']),
            (r's="a\"b\\c"', ['a"b\\c']),
            ("s=a, s=b", ["a, s=b"]),
            ("x=a, s=b", []),
            ("$Version=1; s=a; $Path=/", ["a"]),
            ("\xa0s=a", []),
            ("a" * 100_000 + ";s=b", ["b"]),
        ],
    )
    def test_examples(self, header: str, values: list[str]) -> None:
        assert values_of(header, "s") == values


@pytest.fixture(params=["records", "cookie", "objects"])
def store(request: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Any:
    if request.param == "records":
        return VolatileSessionStore(clock=clock)
    if request.param == "cookie":
        return SignedCookieSessionStore(KEY, clock=clock)
    store = ObjectStore()
    monkeypatch.setattr(store, "clock", clock)
    return store


def logged_in(manager: SessionManager, user: str = "alice") -> str:
    visit, session = begin(manager, None)
    session.set_user(user)
    change = manager.finish(visit)
    assert change is not None and change.value is not None
    return change.value


class TestSeveralValues:
    @pytest.mark.parametrize("before", [[], [UNKNOWN], ["", "no id"], [UNKNOWN, UNKNOWN[::-1]]])
    def test_the_first_that_leads_to_a_session_counts(self, store: Any, before: list[str]) -> None:
        manager = SessionManager(store, DictSession)
        mine, other = logged_in(manager), logged_in(manager, "bob")
        for values in ([*before, mine, other], (*before, mine), iter([*before, mine, UNKNOWN])):
            visit = manager.begin(values)  # type: ignore[arg-type]
            assert visit.session is not None and visit.session.user == "alice" and visit.cookie_value == mine
            assert manager.finish(visit) is None

    @pytest.mark.parametrize("values", [[], [""], [None], ["no id"], (), [UNKNOWN]])
    def test_none_that_leads_there_is_a_stranger(self, store: Any, values: Any) -> None:
        manager = SessionManager(store, DictSession)
        visit = manager.begin(values)
        assert visit.session is not None and visit.session.id is None and manager.finish(visit) is None

    def test_a_login_elsewhere_is_known_by_any_of_them(self, clock: Clock) -> None:
        manager = SessionManager(VolatileSessionStore(clock=clock), DictSession)
        visit, session = begin(manager, None)
        session["cart"] = ["tea"]
        first = manager.finish(visit)
        assert first is not None and first.value is not None
        late = manager.begin([UNKNOWN, first.value])
        visit, session = begin(manager, first.value)
        session.set_user("alice")
        assert manager.finish(visit) is not None
        assert manager.finish(late) is None
        late = manager.begin([UNKNOWN, first.value])
        assert late.session is not None
        late.session["seen"] = True  # type: ignore[index]
        assert manager.finish(late) is None  # the browser is about to hold the cookie of the login

    def test_a_login_ends_with_the_new_cookie_in_front(self, store: Any) -> None:
        manager = SessionManager(store, DictSession)
        stranger = manager.begin([UNKNOWN])
        assert stranger.session is not None
        stranger.session.set_user("alice")
        change = manager.finish(stranger)
        assert change is not None and change.value is not None
        visit = manager.begin([UNKNOWN, change.value])
        assert visit.session is not None and visit.session.user == "alice" and manager.finish(visit) is None

    def test_what_is_kept_in_cookies_goes_on_from_its_latest_state(self, clock: Clock) -> None:
        manager = SessionManager(SignedCookieSessionStore(KEY, clock=clock), DictSession)
        states = [logged_in(manager)]
        for n in range(3):
            clock.advance(1)
            visit = manager.begin([states[0], *states[:0:-1]])  # the first one, of a longer path, can't be replaced
            assert visit.session is not None and visit.cookie_value == states[-1]
            visit.session["n"] = visit.session.get("n", 0) + 1  # type: ignore[index, attr-defined]
            change = manager.finish(visit)
            assert change is not None and change.value is not None
            states.append(change.value)
            for values in ([states[-1], *states], [*states, UNKNOWN * 2], states[:0:-1]):
                visit = manager.begin(values)
                assert visit.session["n"] == n + 1 and manager.finish(visit) is None  # type: ignore[index]
        clock.advance(1)
        other = logged_in(manager, "bob")
        assert manager.begin([*states, other]).session.user == "alice"  # type: ignore[union-attr]


class TestAfterTheEnd:
    @pytest.mark.parametrize("end", ["finish", "abort"])
    def test_what_had_to_be_decided_before_is_an_error(self, store: Any, end: str) -> None:
        manager = SessionManager(store, DictSession)
        cookie = logged_in(manager)
        visit, session = begin(manager, cookie)
        getattr(manager, end)(visit)
        with pytest.raises(VisitFinished, match="nobody was logged out"):
            visit.end_session()
        with pytest.raises(VisitFinished, match="keeps its id"):
            visit.cycle_session(10)
        assert visit.session is session and begin(manager, cookie)[1].user == "alice"

    def test_a_late_change_is_warned_of(self, store: Any, caplog: Any) -> None:
        manager = SessionManager(store, DictSession)
        visit, session = begin(manager, logged_in(manager))
        manager.finish(visit)
        assert caplog.text == ""
        session["n"] = 1
        assert "after its request had ended" in caplog.text
        visit, session = begin(manager, logged_in(manager))
        manager.abort(visit)
        session["n"] = 1
        assert caplog.text.count("ended") == 1  # a request that failed keeps nothing in any case


class Forgetful(Browser):
    """Keeps no cookie for longer than browsers do."""

    def visit(self, **items: Any) -> CookieChange | None:
        change = super().visit(**items)
        if change is not None and change.max_age is not None:
            self.drop_at = self.clock() + min(change.max_age, 400 * DAY)
        return change


class TestLongLives:
    def test_a_session_that_is_used_lives_with_any_timeout(self, store: Any, clock: Clock) -> None:
        browser = Forgetful(SessionManager(store, DictSession, idle_timeout=1000 * DAY), clock)
        browser.visit(n=0)
        for _ in range(20):
            clock.advance(390 * DAY)
            browser.visit()
            assert "n" in browser.session

    @pytest.mark.parametrize("pause", [0.9, 7.5, 90, 399])
    @pytest.mark.parametrize("is_own", [True, False])
    def test_a_session_outlives_any_cookie(self, store: Any, clock: Clock, pause: float, is_own: bool) -> None:
        timeouts = {} if is_own else {"absolute_timeout": 2000 * DAY}
        browser = Forgetful(SessionManager(store, DictSession, **timeouts), clock)  # type: ignore[arg-type]
        if is_own:
            browser.visit(n=0, expiry=datetime.fromtimestamp(clock(), timezone.utc) + timedelta(days=2000))
        else:
            browser.visit(n=0)
        visits = int(1990 / pause)
        for _ in range(visits):
            clock.advance(pause * DAY)
            change = browser.visit()
            assert "n" in browser.session
            assert change is None or (change.max_age is not None and change.max_age <= MAX_AGE)
        clock.advance((2001 - visits * pause) * DAY)
        browser.visit()
        assert "n" not in browser.session

    def test_the_cookie_is_set_again_once_a_day_at_most(self, store: Any, clock: Clock) -> None:
        browser = Browser(SessionManager(store, DictSession, absolute_timeout=1000 * DAY), clock)
        browser.visit(n=0)
        changes = 0
        for _ in range(10 * 24):
            clock.advance(3600)
            changes += browser.visit() is not None
        assert changes == 10

    def test_shorter_lives_are_told_once(self, store: Any, clock: Clock) -> None:
        browser = Browser(SessionManager(store, DictSession, absolute_timeout=399 * DAY), clock)
        browser.visit(n=0)
        for _ in range(390):
            clock.advance(DAY)
            assert browser.visit() is None


class TestSizes:
    @pytest.mark.parametrize(
        "options", [CookieOptions(), CookieOptions(domain="shop.example.org", path="/a/rather/long/path", name="s")]
    )
    def test_a_cookie_that_any_framework_sets_is_not_too_large(self, options: CookieOptions) -> None:
        manager = SessionManager(SignedCookieSessionStore(KEY), DictSession, cookie=options, idle_timeout=100)
        noise = random.Random(7).randbytes(4000).hex()
        sizes = []
        for size in range(4000, 6000, 7):
            visit, session = begin(manager, None)
            session["noise"] = noise[:size]
            try:
                change = manager.finish(visit)
            except CookieTooLarge:
                break
            assert change is not None and change.value is not None
            sizes.append(len(change.value))
        attributes = {
            "max-age": 34560000, "expires": "Thu, 01 Jan 1970 00:00:00 GMT", "path": options.path or "/",
            "secure": True, "httponly": True, "samesite": "Lax", "domain": options.domain,
        }  # fmt: skip
        around = overhead(options.name or "a_framework_s_own_session_name", attributes)
        assert MAX_COOKIE - 100 < sizes[-1] + around <= MAX_COOKIE


def test_the_header_of_a_request_is_read_without_quixote() -> None:
    code = (
        "import sys; from session3.cookies import values_of; values_of('s=a', 's'); assert 'quixote' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_hook_that_is_asked_as_the_request_ends_may_log_out() -> None:
    class Strict(SessionManager):
        def maintain_session(self, session: Any) -> bool:
            if session.get("over"):
                visits[-1].end_session()
            return super().maintain_session(session)

    manager, visits = Strict(VolatileSessionStore(), DictSession), []
    cookie = logged_in(manager)
    visits.append(manager.begin(cookie))
    visits[-1].session["over"] = True  # type: ignore[index]
    manager.finish(visits[-1])
    assert not manager.has_session(cookie)


class Whole(DictSession):
    """Says itself what of it is kept: all."""

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__.copy()


def test_a_session_whose_object_is_kept_is_open_in_the_next_request(caplog: Any) -> None:
    manager = SessionManager(ObjectStore(), Whole)
    cookie = logged_in(manager)
    for n in range(3):
        visit, session = begin(manager, cookie)
        session["n"] = n
        manager.finish(visit)
    assert caplog.text == ""
