"""Cookies under Quixote: several of one name, mounted applications, caches, forwarded requests, and after the end."""

from collections.abc import Iterator
from typing import Any

import pytest

from session3.cookies import CookieOptions
from session3.DictSession import DictSession
from session3.errors import ConfigurationError, VisitFinished
from session3.SessionManager import SessionManager
from session3.store.SignedCookieSessionStore import SignedCookieSessionStore
from session3.store.VolatileSessionStore import VolatileSessionStore

from .sessions import Clock

quixote = pytest.importorskip("quixote", reason="needs Quixote: pip install 'session3[quixote]'")

from quixote.errors import TraversalError  # noqa: E402  (only where there is a Quixote)
from quixote.http_response import Stream  # noqa: E402
from quixote.publish import Publisher  # noqa: E402

from .test_quixote import Response, Site, log_in, session  # noqa: E402

UNKNOWN = "abcdefghijklmnopqrstuvwxyz234567"
KEY = "a key of at least sixteen characters"


@pytest.fixture(params=["records", "cookie"])
def store(request: Any, clock: Clock) -> Any:
    if request.param == "cookie":
        return SignedCookieSessionStore(KEY, clock=clock)
    return VolatileSessionStore(clock=clock)


@pytest.fixture
def make_site(store: Any) -> Iterator[Any]:
    def make(manager: SessionManager | None = None, *, config: Any = {}, **options: Any) -> Site:  # noqa: B006
        quixote.cleanup()
        return Site(manager or SessionManager(store, DictSession, **options), **config)

    yield make
    quixote.cleanup()


@pytest.fixture
def site(make_site: Any) -> Any:
    return make_site()


def user() -> str:
    return str(session().user)


def manager() -> Any:
    return quixote.get_session_manager()


def ask(site: Site, page: Any, *cookies: str, **environ: Any) -> Response:
    """Make a request with this Cookie header: values of our name, or whole pairs."""
    pairs = [cookie if "=" in cookie.rstrip("=") else f'QX_session="{cookie}"' for cookie in cookies]
    return site.get(page, HTTP_COOKIE="; ".join(pairs), **environ)


class TestSeveral:
    def test_of_two_cookies_the_one_of_the_longer_path_counts(self, site: Site) -> None:
        mine = site.get(log_in(), SCRIPT_NAME="/shop").session_id
        assert ask(site, user, mine, UNKNOWN, SCRIPT_NAME="/shop").body == "alice"

    def test_one_that_leads_nowhere_is_passed_over_wherever_it_stands(self, site: Site) -> None:
        mine = site.get(log_in()).session_id
        for cookies in ([UNKNOWN, mine], ["", mine], ["../../etc/passwd", mine], [UNKNOWN, mine, UNKNOWN]):
            response = ask(site, user, *cookies)
            assert (response.body, response.cookies) == ("alice", [])

    def test_of_two_live_ones_the_first_counts(self, site: Site) -> None:
        alice, bob = site.get(log_in("alice")).session_id, site.get(log_in("bob")).session_id
        assert ask(site, user, alice, bob).body == "alice"
        assert ask(site, user, bob, alice).body == "bob"

    def test_a_cookie_in_another_ones_quotes_is_as_browsers_see_it(self, site: Site) -> None:
        mine = site.get(log_in()).session_id
        assert ask(site, user, 'theme="a', f"QX_session={mine}", 'lang=b"').body == "alice"
        assert ask(site, user, f"note=a, QX_session={mine}").body == "None"  # a value with a comma, not a cookie

    def test_a_name_that_ours_ends_or_begins_with_is_another(self, site: Site) -> None:
        mine = site.get(log_in()).session_id
        for name in ("XQX_session", "QX_session2", "qx_session", "$QX_session"):
            assert ask(site, user, f"{name}={mine}").body == "None"

    def test_a_manager_tells_whether_one_of_them_lives(self, site: Site) -> None:
        mine = site.get(log_in()).session_id
        look = lambda: f"{manager().has_session_cookie()} {manager().has_session_cookie(must_exist=True)}"  # noqa: E731
        assert ask(site, look, UNKNOWN, mine).body == "True True"
        assert ask(site, look, UNKNOWN, UNKNOWN[::-1]).body == "True False"
        assert ask(site, look, "").body == "False False"

    def test_to_save_sets_nothing_anew_and_keeps_one_session(self, site: Site, store: Any) -> None:
        mine = site.get(log_in()).session_id
        response = ask(site, lambda: session().update(n=1), UNKNOWN, mine)
        if store.is_in_cookie:
            mine = response.session_id
        else:
            assert response.cookies == [] and len(list(store.iter_sessions())) == 1
        assert ask(site, lambda: f"{session()['n']}", UNKNOWN, mine).body == "1"

    def test_a_stranger_behind_a_foreign_cookie_gets_one_session(self, site: Site, store: Any) -> None:
        mine = ask(site, lambda: session().update(n=1), UNKNOWN).session_id
        for _ in range(3):
            assert ask(site, lambda: f"{session()['n']}", UNKNOWN, mine).body == "1"
        if not store.is_in_cookie:
            assert len(list(store.iter_sessions())) == 1

    def test_a_logout_ends_and_hides_them_all(self, site: Site, store: Any) -> None:
        before, now = site.get(log_in()).session_id, site.get(log_in()).session_id  # the path was changed between

        def page() -> str:
            manager().expire_session()
            assert not manager().has_session_cookie() and quixote.get_cookie("QX_session") is None
            return "out"

        assert "max-age=0" in ask(site, page, UNKNOWN, now, before).cookie
        if not store.is_in_cookie:
            assert not store.has_session(now) and not store.has_session(before)

    def test_few_are_looked_up(self, make_site: Any, count_verbs: Any) -> None:
        store = VolatileSessionStore()
        site = make_site(SessionManager(store, DictSession))
        mine = site.get(log_in()).session_id
        counts = count_verbs(store)
        many = [f"{number:032}" for number in range(100)]
        assert ask(site, user, *many, mine).body == "None"
        assert counts["read"] == 5
        assert ask(site, user, *many[:4], *many[:4], "not an id", mine).body == "alice"
        counts.clear()
        assert ask(site, user, mine, *many).body == "alice"
        assert counts["read"] == 1

    def test_what_an_application_does_to_quixotes_dict_counts(self, site: Site) -> None:
        mine, bobs = site.get(log_in()).session_id, site.get(log_in("bob")).session_id

        class Mine(Publisher):  # type: ignore[misc]
            given: str | None = None

            def start_request(self) -> None:
                cookies = self.get_request().cookies
                cookies.pop("QX_session", None)
                if self.given is not None:
                    cookies["QX_session"] = self.given
                super().start_request()

        site.app.publisher.__class__ = Mine
        assert ask(site, user, mine).body == "None"
        Mine.given = bobs
        assert ask(site, user, mine).body == "bob"
        assert ask(site, user).body == "bob"


class TestMountedApplications:
    @pytest.mark.parametrize(
        ("root", "path"),
        [
            ("", "/"),
            ("/", "/"),
            ("/shop", "/shop/"),
            ("/shop/", "/shop/"),
            ("shop", "/shop/"),
            ("/my shop", "/my%20shop/"),
            ("/b\xc3\xa9", "/b%C3%A9/"),
            ("/a;domain=example.com", "/a%3Bdomain=example.com/"),
            ("/a\r\nSet-Cookie: x=y", "/a%0D%0ASet-Cookie:%20x=y/"),
            ("/100%", "/100%25/"),
            ("/a?b#c", "/a%3Fb%23c/"),
            ("/b\u20ac", "/b%E2%82%AC/"),
            ("/~a/(b)+c,d&e@f!$'*", "/~a/(b)+c,d&e@f!$'*/"),
        ],
    )
    def test_the_path_is_as_a_browser_sends_it(self, site: Site, root: str, path: str) -> None:
        cookie = site.get(log_in(), SCRIPT_NAME=root).cookie
        assert cookie.split("; ")[1:] == [f"path={path}", "httponly", "samesite=Lax"]

    @pytest.mark.parametrize(
        ("setting", "value"),
        [
            ("domain", "localhost:8080"),
            ("domain", "https://example.com"),
            ("domain", "*.example.com"),
            ("domain", "a;b"),
            ("path", "shop"),
            ("path", "/a;domain=example.com"),
            ("name", "a b"),
        ],
    )
    def test_a_setting_of_quixotes_that_no_browser_keeps_is_said(
        self, make_site: Any, setting: str, value: str, capsys: Any
    ) -> None:
        response = make_site(config={f"session_cookie_{setting}": value}).get(log_in())
        assert (response.status, response.cookies) == (500, [])
        assert f"session_cookie_{setting} = '{value}'" in capsys.readouterr().err

    @pytest.mark.parametrize(
        "attributes", [{"path": "/;x"}, {"path": "shop"}, {"domain": "a b"}, {"domain": "example.com:80"}]
    )
    def test_attributes_that_an_application_gives_are_checked(self, site: Site, attributes: Any) -> None:
        def page() -> str:
            with pytest.raises(ConfigurationError, match="cookie"):
                manager().set_session_cookie("chosen-by-hand", **attributes)
            with pytest.raises(ConfigurationError, match="cookie"):
                manager().set_session_cookie("chosen; domain=example.com")
            return "fine"

        response = site.get(page)
        assert (response.body, response.cookies) == ("fine", [])

    @pytest.mark.parametrize("name", ["__Http-sid", "__Host-Http-sid"])
    def test_a_name_of_quixotes_may_ask_for_flags(self, make_site: Any, name: str) -> None:
        options = CookieOptions(http_only=False)
        cookie = make_site(config={"session_cookie_name": name}, cookie=options).get(log_in()).cookie
        assert {"secure", "httponly", "path=/"} <= set(cookie.split("; "))


def headers_that_go_out(site: Site, page: Any) -> dict[str, str]:
    answer = ask(site, page)
    return {name.lower(): value for name, value in answer.headers.items()}


class TestCaching:
    @pytest.mark.parametrize(
        ("headers", "varies"),
        [
            ({"Cache-Control": "public, max-age=600"}, True),
            ({"Cache-Control": "max-age=600"}, True),
            ({"Cache-Control": "no-store"}, False),
            ({"Cache-Control": "NO-STORE, max-age=0"}, False),
            ({"Cache-Control": "no-store, must-understand"}, True),
            ({"Cache-Control": 'no-cache="Set-Cookie"'}, True),
            ({"Cache-Control": "no-cache"}, True),
            ({"Content-Language": "en"}, False),
            ({"Cache-Control": "no-cache", "ETag": '"1"'}, True),
            ({"Cache-Control": "no-cache", "Last-Modified": "Thu, 01 Dec 2033 16:00:00 GMT"}, True),
            ({"Expires": "Thu, 01 Dec 2033 16:00:00 GMT"}, True),
            ({"ETag": '"1"'}, True),
            ({"Cache-Control": "no-store", "CDN-Cache-Control": "max-age=600"}, True),
            ({"Cache-Control": "no-store", "Surrogate-Control": "max-age=600"}, True),
            ({"Cache-Control": "no-store", "Cloudflare-CDN-Cache-Control": "max-age=600"}, True),
            ({"Cache-Control": "no-store", "X-Accel-Expires": "600"}, True),
            ({"Cache-Control": "no-store", "CDN-Cache-Control": "no-store", "X-Accel-Expires": "0"}, False),
            ({}, False),
        ],
    )
    def test_a_strangers_page_that_a_cache_may_reuse_varies(
        self, site: Site, headers: dict[str, str], varies: bool
    ) -> None:
        def page() -> str:
            for name, value in headers.items():
                quixote.get_response().set_header(name, value)
            return f"hello {session().user or 'stranger'}"

        assert ("Vary" in site.get(page).headers) is varies

    def test_what_was_written_past_quixote_is_seen(self, site: Site) -> None:
        def page() -> None:
            quixote.get_response().headers["Cache-Control"] = "public, max-age=600"
            quixote.get_response().headers["VARY"] = "Accept"

        assert site.get(page).headers["Vary"] == "Accept, Cookie"

        def login() -> None:
            page()
            log_in()()

        assert site.get(login).headers["Cache-Control"] == "max-age=600, private"

    @pytest.mark.parametrize(
        "targeted",
        ["CDN-Cache-Control", "Surrogate-Control", "Cloudflare-CDN-Cache-Control", "Vercel-CDN-Cache-Control",
         "Edge-Control", "X-Accel-Expires"],
    )  # fmt: skip
    @pytest.mark.parametrize("action", ["login", "logout"])
    def test_no_shared_cache_stores_a_response_with_the_cookie(self, site: Site, targeted: str, action: str) -> None:
        def page() -> None:
            log_in()() if action == "login" else manager().expire_session()
            quixote.get_response().set_header(targeted, "600" if targeted[0] == "X" else "public, max-age=600")

        headers = ask(site, page, UNKNOWN).headers
        assert headers[targeted.title()] == ("0" if targeted[0] == "X" else "no-store")
        assert "private" in headers["Cache-Control"] and headers["Vary"] == "Cookie"

    @pytest.mark.parametrize("said", ["public, max-age=600", "s-maxage=600"])
    def test_what_a_layout_says_of_caches_is_looked_at(
        self, site: Site, said: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def filter_output(self: Any, request: Any, output: Any) -> Any:
            request.response.set_header("Cache-Control", said)
            return output

        layout = type("Layout", (type(quixote.get_publisher()),), {"filter_output": filter_output})
        monkeypatch.setattr(quixote.get_publisher(), "__class__", layout)
        stranger = headers_that_go_out(site, lambda: "hello")
        assert stranger["vary"] == "Cookie" and stranger["cache-control"] == said
        login = headers_that_go_out(site, log_in())
        assert login["vary"] == "Cookie" and "set-cookie" in login
        assert "private" in login["cache-control"] and "public" not in login["cache-control"]
        assert "s-maxage" not in login["cache-control"]


class TestForwarded:
    @pytest.mark.parametrize(
        ("forwarded", "is_secure"),
        [
            ("proto=https", True),
            ("for=192.0.2.43;Proto=HTTPS;by=203.0.113.60", True),
            ('for="[2001:db8:cafe::17]:4711" ; proto="https" , for=10.0.0.1;proto=http', True),
            ("for=192.0.2.43, for=198.51.100.17;proto=https", False),
            ("proto=http, proto=https", False),
            ('for="a;proto=https"', False),
            ('for="a,proto=https', False),
            ("", False),
            (",;=,", False),
            ("proto", False),
        ],
    )
    def test_the_standard_header_counts_where_it_is_trusted(
        self, make_site: Any, forwarded: str, is_secure: bool
    ) -> None:
        for trusted in (False, True):
            cookie = make_site(trust_forwarded_proto=trusted).get(log_in(), HTTP_FORWARDED=forwarded).cookie
            assert ("secure" in cookie.split("; ")) is (is_secure and trusted)

    def test_either_header_will_do(self, make_site: Any) -> None:
        site = make_site(trust_forwarded_proto=True)
        for forwarded, old in (("proto=http", "https"), ("proto=https", "http"), ("for=_a", "https")):
            cookie = site.get(log_in(), HTTP_FORWARDED=forwarded, HTTP_X_FORWARDED_PROTO=old).cookie
            assert "secure" in cookie.split("; ")

    def test_a_secure_cookie_on_a_plain_request_is_said_once(self, make_site: Any, caplog: Any) -> None:
        from session3 import QuixoteCookies

        QuixoteCookies._warn_of_http.cache_clear()
        site = make_site(cookie=CookieOptions(secure=True), trust_forwarded_proto=True)
        site.get(log_in(), HTTP_X_FORWARDED_PROTO="https")
        site.get(log_in(), HTTPS="on")
        assert caplog.text == ""
        for _ in range(3):
            site.get(log_in())
        assert caplog.text.count("browsers drop it") == 1


class Layout(Publisher):  # type: ignore[misc]
    """Does something around each page."""

    around: Any = None

    def filter_output(self, request: Any, output: Any) -> Any:
        return output if Layout.around is None else Layout.around() or output


class TestAfterTheEnd:
    @pytest.fixture(autouse=True)
    def around(self, site: Site) -> Iterator[None]:
        site.app.publisher.__class__ = Layout
        yield
        Layout.around = None

    @pytest.mark.parametrize("call", ["expire_session", "clear_session", "cycle_session"])
    def test_what_had_to_be_decided_before_is_an_error(self, site: Site, store: Any, call: str) -> None:
        cookie = site.get(log_in()).session_id

        def late() -> str:
            with pytest.raises(VisitFinished, match="ended"):
                getattr(manager(), call)()
            return f"still {user()}"

        Layout.around = late
        for page in (None, raise_404):
            response = site.get(page, cookie)
            assert response.body == "still alice" and response.cookies == []
        Layout.around = None
        assert site.get(user, cookie).body == "alice"

    def test_a_revocation_and_a_cookie_of_ones_own_are_in_time(self, site: Site) -> None:
        Layout.around = lambda: manager().revoke_session_cookie()
        for page in (None, log_in()):
            response = site.get(page)
            assert "max-age=0" in response.cookie
            assert "private" in response.headers["Cache-Control"] and response.headers["Vary"] == "Cookie"

    @pytest.mark.parametrize(
        "change",
        [
            lambda: session().create_form_token(),
            lambda: session().get_csrf_token(),
            lambda: session().set_user("bob"),
            lambda: session().__setitem__("n", 2),
            lambda: session().update(n=2),
            lambda: session().pop("n"),
            lambda: session().clear(),
            lambda: session().setdefault("m", 1) and None,
            lambda: session().set_expiry(5),
        ],
    )
    def test_a_late_change_is_warned_of_once(self, site: Site, change: Any, caplog: Any) -> None:
        cookie = site.get(log_in(n=1)).session_id

        def late() -> None:
            change()
            session()["again"] = 1

        Layout.around = late
        site.get(None, cookie)
        assert caplog.text.count("after its request had ended") == 1
        assert cookie not in caplog.text

    def test_to_look_is_no_change(self, site: Site, caplog: Any) -> None:
        def page() -> str:
            session().set_user("alice")
            session()["flash"] = "hello"
            return str(session().pop("flash") + session().get_csrf_token())

        cookie = site.get(page).session_id

        def late() -> str:
            session().pop("flash", None)
            assert not session().has_form_token("none") and session().get("n") is None
            return f"{session().get_csrf_token() is not None} {user()} {len(session())}"

        Layout.around = late
        assert site.get(page, cookie).body == "True alice 0"
        assert caplog.text == ""

    def test_a_logout_in_a_stream_is_an_error(self, site: Site) -> None:
        cookie = site.get(log_in()).session_id
        said = []

        def stream() -> Iterator[str]:
            for call in (manager().expire_session, manager().clear_session, manager().revoke_session_cookie):
                with pytest.raises(VisitFinished):
                    call()
                said.append("an error")
            yield "streamed"

        assert site.get(lambda: Stream(stream()), cookie).body == "streamed"
        assert said == ["an error"] * 3
        assert site.get(user, cookie).body == "alice"

    def test_the_session_of_the_next_request_is_open(self, site: Site, caplog: Any) -> None:
        cookie = site.get(log_in()).session_id
        site.get(lambda: session().update(n=1), cookie)
        assert caplog.text == ""


def raise_404() -> None:
    raise TraversalError("no such page")


class TestTokensOfScripts:
    @pytest.fixture
    def site(self, make_site: Any) -> Any:
        return make_site(config={"allowed_methods": None})

    @pytest.mark.parametrize("header", ["HTTP_X_CSRF_TOKEN", "HTTP_X_CSRFTOKEN"])
    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
    def test_a_header_is_as_good_as_a_field(self, site: Site, header: str, method: str) -> None:
        response = site.get(lambda: session().get_csrf_token())
        valid = lambda: str(session().valid_csrf_token())  # noqa: E731
        for token, expected in ((response.body, "True"), ("", "False"), ("wrong", "False"), ("\xe9", "False")):
            answer = site.get(valid, response.session_id, REQUEST_METHOD=method, **{header: token})
            assert answer.body == expected

    @pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE"])
    def test_what_changes_nothing_proves_nothing(self, site: Site, method: str) -> None:
        response = site.get(lambda: session().get_csrf_token())
        said: list[bool] = []
        page = lambda: said.append(session().valid_csrf_token())  # noqa: E731
        site.get(page, response.session_id, REQUEST_METHOD=method, HTTP_X_CSRF_TOKEN=response.body)
        assert said == [False]

    def test_a_field_in_a_url_is_no_header(self, site: Site) -> None:
        response = site.get(lambda: session().get_csrf_token())
        page = lambda: str(session().valid_csrf_token())  # noqa: E731
        query = f"csrf_token={response.body}"
        assert site.get(page, response.session_id, REQUEST_METHOD="DELETE", QUERY_STRING=query).body == "False"

    def test_any_framework_may_ask(self) -> None:
        a_session = DictSession(None)
        assert not a_session.is_csrf_token("") and not a_session.is_csrf_token(None)
        token = a_session.get_csrf_token()
        assert a_session.is_csrf_token(token)
        for wrong in (token[:-1], token + "a", token.upper() + "A", b"" + token.encode(), ["x"], "\ud800", None, 7):
            assert not a_session.is_csrf_token(wrong)
