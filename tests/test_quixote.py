"""The manager under Quixote itself: its publisher, its errors, its cookies, its demo."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from session3 import ids
from session3.cookies import CookieOptions
from session3.DictSession import DictSession
from session3.errors import StoreUnavailable
from session3.SessionManager import SessionManager
from session3.store.VolatileSessionStore import VolatileSessionStore

from .contract import HOSTILE
from .sessions import Clock

quixote = pytest.importorskip("quixote", reason="needs Quixote: pip install 'session3[quixote]'")

from quixote.directory import Directory  # noqa: E402  (only where there is a Quixote)
from quixote.errors import PublishError, TraversalError  # noqa: E402
from quixote.publish import Publisher  # noqa: E402
from quixote.wsgi import QWIP  # noqa: E402


class Response:
    def __init__(self, status: str, headers: list[tuple[str, str]], body: str) -> None:
        self.status = int(status[:3])
        self.headers = dict(headers)
        self.cookies = [value for name, value in headers if name == "Set-Cookie"]
        self.body = body

    @property
    def cookie(self) -> str:
        [cookie] = self.cookies
        return cookie

    @property
    def session_id(self) -> str:
        return self.cookie.split(";")[0].split("=", 1)[1].strip('"')


class Site:
    """A Quixote application with one page, `/`, that calls what a test gives it."""

    def __init__(self, manager: SessionManager, **config: Any) -> None:
        self.manager = manager
        self.page: Callable[[], Any] = lambda: "page"
        site = self

        class Root(Directory):  # type: ignore[misc]
            _q_exports = [""]

            def _q_index(self) -> Any:
                return site.page() or "page"

        self.app = QWIP(Publisher(Root(), session_manager=manager, **config))

    def get(self, page: Callable[[], Any] | None = None, cookie: str | None = None, **environ: Any) -> Response:
        self.page = page or (lambda: "page")
        body = environ.pop("body", b"")
        environ = {
            "REQUEST_METHOD": "POST" if body else "GET", "SCRIPT_NAME": "", "PATH_INFO": "/", "QUERY_STRING": "",
            "SERVER_NAME": "localhost", "SERVER_PORT": "80", "REMOTE_ADDR": "10.0.0.1",
            "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": "application/x-www-form-urlencoded" if body else "", **environ,
        }  # fmt: skip
        if cookie is not None:
            environ["HTTP_COOKIE"] = f'QX_session="{cookie}"'
        answer: list[Any] = []
        chunks = self.app(environ, lambda status, headers: answer.extend([status, headers]))
        return Response(answer[0], answer[1], b"".join(chunks).decode())


@pytest.fixture
def store(clock: Clock) -> VolatileSessionStore:
    return VolatileSessionStore(clock=clock)


@pytest.fixture
def make_site(store: VolatileSessionStore) -> Iterator[Any]:
    def make(manager: SessionManager | None = None, *, config: Any = {}, **options: Any) -> Site:  # noqa: B006
        quixote.cleanup()
        return Site(manager or SessionManager(store, DictSession, **options), **config)

    yield make
    quixote.cleanup()


@pytest.fixture
def site(make_site: Any) -> Any:
    return make_site()


def session() -> Any:
    return quixote.get_session()


def log_in(user: str = "alice", **items: Any) -> Callable[[], None]:
    def page() -> None:
        session().set_user(user)
        session().data.update(items)

    return page


class TestRequests:
    def test_a_session_goes_from_request_to_request(self, site: Site) -> None:
        cookie = site.get(log_in(cart=["tea"])).session_id
        response = site.get(lambda: f"{session().user} {session()['cart']}", cookie)
        assert response.body == "alice ['tea']"
        assert response.cookies == []

    def test_the_user_is_told_to_the_rest_of_the_application(self, site: Site) -> None:
        cookie = site.get(log_in()).session_id
        assert site.get(lambda: quixote.get_request().get_environ("REMOTE_USER"), cookie).body == "alice"

    def test_the_remote_address_is_that_of_the_first_request(self, site: Site) -> None:
        cookie = site.get(log_in(), REMOTE_ADDR="192.0.2.7").session_id
        assert site.get(lambda: session().get_remote_address(), cookie).body == "192.0.2.7"

    @pytest.mark.parametrize("cookie", HOSTILE, ids=lambda c: ascii(c[:20]))
    def test_a_hostile_cookie_is_a_fresh_session(self, site: Site, store: Any, cookie: str) -> None:
        response = site.get(lambda: str(session().id), cookie)
        assert (response.status, response.body, response.cookies) == (200, "None", [])
        assert list(store.iter_sessions()) == []

    def test_a_failed_request_saves_nothing_and_logs_nobody_out(self, site: Site, store: Any) -> None:
        cookie = site.get(log_in(n=1)).session_id

        def page() -> None:
            session()["n"] = 2
            quixote.get_session_manager().expire_session()
            raise RuntimeError("broken page")

        response = site.get(page, cookie)
        assert (response.status, response.cookies) == (500, [])
        assert store.load_session(cookie)["n"] == 1

    def test_a_request_that_cannot_be_parsed_expires_nothing(self, site: Site, store: Any) -> None:
        cookie = site.get(log_in()).session_id
        response = site.get(None, cookie, body=b"\xff=%zz", CONTENT_TYPE="multipart/form-data")
        assert (response.status, response.cookies) == (400, [])
        assert store.has_session(cookie)


class TestInterruptedRequests:
    @pytest.mark.parametrize("error", [TraversalError, PublishError])
    def test_a_publish_error_loses_no_cookie(self, site: Site, store: Any, error: Any) -> None:
        def page() -> None:
            session().set_user("alice")
            raise error("no such page")

        response = site.get(page)
        assert response.status == error.status_code
        assert store.load_session(response.session_id).user == "alice"

    def test_a_publish_error_loses_no_logout(self, site: Site, store: Any) -> None:
        cookie = site.get(log_in()).session_id

        def page() -> None:
            quixote.get_session_manager().expire_session()
            raise TraversalError("no such page")

        response = site.get(page, cookie)
        assert response.status == 404 and "max-age=0" in response.cookie
        assert not store.has_session(cookie)

    def test_what_cannot_be_saved_then_is_logged_and_answered(
        self, site: Site, store: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        cookie = site.get(log_in(n=1)).session_id

        def page() -> None:
            session()["f"] = lambda: None
            raise TraversalError("no such page")

        assert site.get(page, cookie).status == 500
        assert "was not saved" in caplog.text
        assert site.get(lambda: str(dict(session())), cookie).body == "{'n': 1}"  # and the next request goes on


class TestLogout:
    def test_expire_session(self, site: Site, store: Any) -> None:
        cookie = site.get(log_in()).session_id

        def page() -> str:
            manager = quixote.get_session_manager()
            assert manager.has_session_cookie(must_exist=True)
            manager.expire_session()
            assert not manager.has_session_cookie()
            return f"{session()} {quixote.get_user()}"

        response = site.get(page, cookie)
        assert response.body == "None None"
        assert response.cookie.startswith('QX_session=""; path=/;')
        assert "max-age=0" in response.cookie and "expires=Thu, 01 Jan 1970" in response.cookie
        assert not store.has_session(cookie)

    def test_clear_session_goes_on_with_a_fresh_one(self, site: Site, store: Any) -> None:
        cookie = site.get(log_in(n=1)).session_id

        def page() -> None:
            fresh = quixote.get_session_manager().clear_session()
            assert fresh is session() and fresh.user is None
            fresh.set_user("bob")

        new = site.get(page, cookie).session_id
        assert new != cookie and "max-age" not in site.get(page, new).cookie
        assert not store.has_session(cookie)

    def test_a_request_without_a_session_can_log_out(self, site: Site) -> None:
        response = site.get(lambda: quixote.get_session_manager().expire_session())
        assert (response.status, len(response.cookies)) == (200, 1)


class TestRotation:
    def test_a_login_over_http_changes_the_id(self, site: Site) -> None:
        old = site.get(lambda: session().update(cart=["tea"])).session_id
        new = site.get(log_in(), old).session_id
        assert new != old
        assert site.get(lambda: f"{session().user} {session()['cart']}", new).body == "alice ['tea']"
        assert site.get(lambda: str(session().user), old).body == "None"

    def test_cycle_session(self, site: Site) -> None:
        old = site.get(log_in()).session_id
        new = site.get(lambda: quixote.get_session_manager().cycle_session(), old).session_id
        assert new != old
        assert site.get(lambda: session().user, new).body == "alice"


class TestCookie:
    def test_it_is_safe_by_default(self, site: Site) -> None:
        cookie = site.get(log_in()).cookie
        assert cookie.split("; ", 1)[1] == "path=/; httponly; samesite=Lax"

    def test_it_is_secure_over_https(self, site: Site) -> None:
        assert "secure" in site.get(log_in(), HTTPS="on").cookie.split("; ")
        # What a WSGI server says (PEP 3333), and all that most of them do.
        assert "secure" in site.get(log_in(), **{"wsgi.url_scheme": "https"}).cookie.split("; ")

    def test_its_name_may_ask_for_secure(self, make_site: Any) -> None:
        for prefix in ("__Secure-", "__Host-"):
            cookie = make_site(config={"session_cookie_name": prefix + "sid"}).get(log_in()).cookie
            assert "secure" in cookie.split("; ")

    def test_of_several_proxies_the_first_one_counts(self, make_site: Any) -> None:
        site = make_site(trust_forwarded_proto=True)
        for header, is_secure in (("https, http", True), ("http, https", False)):
            cookie = site.get(log_in(), HTTP_X_FORWARDED_PROTO=header).cookie
            assert ("secure" in cookie.split("; ")) is is_secure

    def test_a_forwarded_protocol_counts_only_where_it_is_trusted(self, make_site: Any) -> None:
        for trusted in (False, True):
            response = make_site(trust_forwarded_proto=trusted).get(log_in(), HTTP_X_FORWARDED_PROTO="https")
            assert ("secure" in response.cookie.split("; ")) is trusted

    def test_quixotes_settings_switch_on_and_the_managers_off(self, make_site: Any) -> None:
        config = {"session_cookie_secure": True, "session_cookie_httponly": True, "session_cookie_name": "sid",
                  "session_cookie_path": "/shop", "session_cookie_domain": "example.org"}  # fmt: skip
        cookie = make_site(config=config).get(log_in()).cookie
        assert cookie.startswith("sid=")
        assert {"secure", "httponly", "path=/shop", "domain=example.org"} <= set(cookie.split("; "))
        off = CookieOptions(secure=False, http_only=False, same_site=None, path="/", domain="example.com")
        cookie = make_site(config=config, cookie=off).get(log_in(), HTTPS="on").cookie
        assert cookie.split("; ", 1)[1] == "path=/; domain=example.com"

    def test_the_path_is_the_applications_root(self, site: Site) -> None:
        assert "path=/app/;" in site.get(log_in(), SCRIPT_NAME="/app").cookie

    def test_what_an_application_set_by_hand_leaves_no_trace(self, site: Site) -> None:
        def page() -> None:
            quixote.get_response().set_cookie("QX_session", "by-hand", max_age=0, domain="example.org")
            session().set_user("alice")

        assert site.get(page).cookie.split("; ", 1)[1] == "path=/; httponly; samesite=Lax"

    def test_its_lifetime_is_what_is_left(self, make_site: Any) -> None:
        assert "max-age=100" in make_site(idle_timeout=100).get(log_in()).cookie.split("; ")

    def test_an_application_may_ask_for_it_itself(self, site: Site) -> None:
        def page() -> None:
            quixote.get_session_manager().set_session_cookie("chosen-by-hand", max_age=7)
            raise TraversalError("no such page")

        response = site.get(page)
        assert response.session_id == "chosen-by-hand" and "max-age=7" in response.cookie
        response = site.get(lambda: quixote.get_session_manager().revoke_session_cookie(), ids.make_id())
        assert "max-age=0" in response.cookie

    def test_overrides_are_asked(self, store: Any, make_site: Any) -> None:
        asked: list[Any] = []

        class Mine(SessionManager):
            def set_session_cookie(self, session_id: str, **attributes: Any) -> str:
                asked.append("set")
                return super().set_session_cookie(session_id, **attributes)

            def revoke_session_cookie(self) -> None:
                asked.append("revoke")
                super().revoke_session_cookie()

            def _set_cookie(self, value: str, **attributes: Any) -> None:
                asked.append("_set_cookie")
                super()._set_cookie(value, **attributes)

            def _get_session_id(self, config: Any) -> str | None:
                return super()._get_session_id(config) or quixote.get_request().get_header("X-Session")

        site = make_site(Mine(store, DictSession))
        cookie = site.get(log_in()).session_id
        assert asked == ["set", "_set_cookie"]
        assert site.get(lambda: session().user, HTTP_X_SESSION=cookie).body == "alice"
        site.get(lambda: quixote.get_session_manager().expire_session(), cookie)
        assert "revoke" in asked

    def test_a_host_prefix_in_quixotes_settings_is_kept(self, make_site: Any) -> None:
        config = {"session_cookie_name": "__Host-sid", "session_cookie_domain": "example.org"}
        cookie = make_site(config=config).get(log_in()).cookie
        assert cookie.split("; ", 1)[1] == "path=/; secure; httponly; samesite=Lax"

    def test_a_hostile_cookie_does_not_reach_the_store(self, site: Site, store: Any, count_verbs: Any) -> None:
        counts = count_verbs(store)
        page = lambda: str(quixote.get_session_manager().has_session_cookie(must_exist=True))  # noqa: E731
        assert site.get(page, "../../etc/passwd").body == "False"
        assert counts == {}


class TestCaching:
    def test_a_response_with_the_cookie_is_private_and_varies(self, site: Site) -> None:
        def page() -> None:
            log_in()()
            quixote.get_response().set_header("Cache-Control", "public, max-age=3600")
            quixote.get_response().set_header("Vary", "Accept")

        headers = site.get(page).headers
        assert headers["Cache-Control"] == "max-age=3600, private"
        assert headers["Vary"] == "Accept, Cookie"

    @pytest.mark.parametrize(
        ("cache", "expected"), [(None, "private"), (0, "max-age=0, no-cache, private"), (60, "max-age=60, private")]
    )
    def test_whatever_quixote_would_say(self, site: Site, cache: int | None, expected: str) -> None:
        def page() -> None:
            log_in()()
            quixote.get_response().cache = cache

        assert site.get(page).headers["Cache-Control"] == expected

    def test_a_request_without_a_session_is_left_alone(self, site: Site) -> None:
        headers = site.get().headers
        assert "Vary" not in headers and headers["Cache-Control"] == "max-age=0, no-cache"

    @pytest.mark.parametrize("cache", [300, None])
    def test_a_page_that_may_be_cached_varies(self, site: Site, cache: int | None) -> None:
        def page() -> str:
            quixote.get_response().cache = cache
            return f"hello {session().user or 'stranger'}"

        assert site.get(page).headers["Vary"] == "Cookie"  # else a cache shows it to alice, too

    def test_a_page_for_a_session_varies(self, site: Site) -> None:
        cookie = site.get(log_in()).session_id
        assert site.get(None, cookie).headers["Vary"] == "Cookie"


class TestForms:
    def test_quixotes_form_tokens(self, make_site: Any) -> None:
        from quixote.form import Form

        site = make_site(config={"form_tokens": True})

        def page() -> Any:
            form = Form()
            form.add_string("name")
            form.add_submit("send", "Send")
            if not form.is_submitted() or form.has_errors():
                return form.render()
            return f"thanks, {form['name']}"

        response = site.get(page)
        token = response.body.split('name="_form_id"')[1].split('value="')[1].split('"')[0]
        body = f"name=alice&send=Send&_form_id={token}".encode()
        assert site.get(page, response.session_id, body=body).body == "thanks, alice"
        assert "already" in site.get(page, response.session_id, body=body).body

    def test_two_parallel_posts_of_one_form(self, site: Site, store: Any) -> None:
        made: list[str] = []
        cookie = site.get(lambda: made.append(session().create_form_token())).session_id

        def other_request() -> None:
            other = store.load_session(cookie)
            other.remove_form_token(made[0])
            other["order"] = "first"
            store.save_session(other)

        def page() -> None:
            session().remove_form_token(made[0])
            session()["order"] = "second"
            other_request()

        response = site.get(page, cookie)
        assert response.status == 409 and "submitted a moment ago" in response.body
        assert store.load_session(cookie)["order"] == "first"

    def test_csrf_tokens(self, site: Site) -> None:
        response = site.get(lambda: session().get_csrf_token())

        def page() -> str:
            return str(session().valid_csrf_token())

        for token, valid in ((response.body, "True"), ("", "False"), ("wrong", "False")):
            assert site.get(page, response.session_id, body=f"csrf_token={token}".encode()).body == valid
        assert site.get(page, response.session_id, QUERY_STRING=f"csrf_token={response.body}").body == "False"


class TestUnavailable:
    @pytest.mark.parametrize("verb", ["read", "replace"])
    def test_quixote_answers_503(self, site: Site, store: Any, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
        cookie = site.get(log_in(n=1)).session_id

        def broken(*args: Any) -> Any:
            raise StoreUnavailable("the disk is on fire at /secret/path")

        monkeypatch.setattr(store, verb, broken)
        response = site.get(lambda: session().update(n=2), cookie)
        assert (response.status, response.cookies) == (503, [])
        assert "/secret/path" not in response.body and cookie not in response.body
        monkeypatch.undo()
        assert site.get(lambda: str(session()["n"]), cookie).body == "1"


def test_quixotes_own_demo_runs_on_it(store: Any) -> None:
    from quixote.demo import altdemo

    class DemoSession(DictSession):
        def __init__(self, id: str | None) -> None:
            super().__init__(id)
            self.num_requests = 0

        def start_request(self) -> None:
            super().start_request()
            self.num_requests += 1

    globals()["DemoSession"] = DemoSession
    DemoSession.__qualname__ = "DemoSession"
    quixote.cleanup()
    publisher = Publisher(altdemo.RootDirectory(), session_manager=SessionManager(store, DemoSession))
    site = Site.__new__(Site)
    site.app = QWIP(publisher)
    first = site.get(PATH_INFO="/")
    cookie = site.get(cookie=first.session_id, PATH_INFO="/login", body=b"name=alice").session_id
    page = site.get(cookie=cookie, PATH_INFO="/").body
    assert "Hello, alice" in page
    assert f'<span style="font-weight:bold">{cookie}</span>' in page  # its own session, as it sees it
    assert "Goodbye, alice" in site.get(cookie=cookie, PATH_INFO="/logout").body
    quixote.cleanup()
