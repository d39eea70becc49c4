"""The demo over HTTP: server processes, a cookie jar, and whatever a client may send."""

import http.client
import os
import pickle
import re
import signal
import socket
import struct
import subprocess
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, ProxyHandler, build_opener

import pytest

from session3.ids import short_hash

from .servers import DEMO, PATIENCE, DemoServer, command, environment

pytest.importorskip("quixote", reason="needs Quixote: pip install 'session3[quixote]'")

COOKIE = "QX_session"

HOSTILE = [
    b"", b".", b"..", b"../x", b"../../../../etc/passwd", b"/etc/passwd", b"%2e%2e%2fx", b"a/b", b"a\\b", b"a b",
    b"%00", b"a%00b", b"\0", b"a\0b", b"%0d%0aX: y", b"a\tb", b"a\r\n b",  # a folded line: where HTTP has newlines
    b'"', b'""', b"'", b'a"b', b'\\"', b"a;b", b"a,b", b"a=b", b"'; DROP TABLE session3; --", b"<script>", b"${x}",
    "é".encode(), "é".encode("latin-1"), "日本語".encode(), b"\xff\xfe", b"\x7f\x1b[2J",
    b"CON", b".hidden", b"a" * 7, b"a" * 129, b"a" * 60_000, b"../" * 20_000, b"abcdefghijk", b"a" * 32,
]  # fmt: skip


class Browser:
    """A cookie jar, and the page that it shows; forms are posted with the token of that page."""

    def __init__(self, server: DemoServer) -> None:
        self.server = server
        self.jar = CookieJar()
        self._opener = build_opener(ProxyHandler({}), HTTPCookieProcessor(self.jar))
        self.page = ""
        self.status = 0

    def get(self, path: str = "/", body: bytes | None = None) -> str:
        try:
            response = self._opener.open(self.server.url + path, body, timeout=PATIENCE)
        except HTTPError as error:
            response = error
        with response:
            self.page, self.status = response.read().decode(), response.status
        return self.page

    def post(self, path: str, **fields: str) -> str:
        fields.setdefault("csrf_token", self.tokens[0] if self.tokens else "")
        return self.get(path, urlencode(fields).encode())

    def log_in(self, name: str) -> "Browser":
        self.get("/login")
        self.post("/login", name=name)
        assert self.user == name
        return self

    @property
    def tokens(self) -> list[str]:
        return re.findall('name="csrf_token" value="([0-9a-f]+)"', self.page)

    @property
    def id(self) -> str | None:
        return next(((cookie.value or "").strip('"') for cookie in self.jar if cookie.name == COOKIE), None)

    @property
    def user(self) -> str | None:
        found = re.search("<h1>Hello, (.*)</h1>", self.page)
        return found[1] if found else None

    @property
    def count(self) -> int:
        [count] = re.findall("counted to <strong>([0-9]+)<", self.page)
        return int(count)

    @property
    def cart(self) -> list[str]:
        return re.findall("<li>([^<]*)</li>", self.page)

    @property
    def others(self) -> list[str]:
        """The handles of the sessions that the page offers to end."""
        return re.findall('name="handle" value="([^"]*)"', self.page)


@pytest.fixture(params=["directory", "shelve", "sqlite"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"{request.param}:///{tmp_path}/store/sessions"


@pytest.fixture
def server(tmp_path: Path, store_url: str) -> Iterator[DemoServer]:
    (tmp_path / "store").mkdir()
    with DemoServer(tmp_path, store_url) as server:
        yield server


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[DemoServer]:
    """A server for what has nothing to do with the store."""
    with DemoServer(tmp_path, "memory://") as server:
        yield server


# -- what lasts ------------------------------------------------------------------------------------------------------


def test_a_login_survives_a_restart(server: DemoServer, tmp_path: Path, store_url: str) -> None:
    browser = Browser(server).log_in("alice")
    browser.post("/count")
    browser.post("/count")
    browser.post("/add", item="tea")
    browser.post("/add", item="milk")
    id = browser.id
    server.stop()
    with DemoServer(tmp_path, store_url) as browser.server:
        browser.get()
        assert (browser.user, browser.count, browser.cart) == ("alice", 2, ["tea", "milk"])
        browser.post("/count")
        assert browser.count == 3
        assert browser.id == id


def test_two_servers_on_one_store_see_each_others_changes(server: DemoServer, tmp_path: Path, store_url: str) -> None:
    browser = Browser(server).log_in("alice")
    with DemoServer(tmp_path, store_url) as other:
        for browser.server in (other, server, other):
            browser.post("/count")
            browser.post("/add", item=f"item {browser.count}")
        for browser.server in (other, server):
            browser.get()
            assert (browser.count, browser.cart) == (3, ["item 1", "item 2", "item 3"])
        browser.post("/logout")
        browser.server = other
        assert "Log in" in browser.get()


def test_the_button_ends_another_session_at_every_server(server: DemoServer, tmp_path: Path, store_url: str) -> None:
    alice, bob = Browser(server).log_in("alice"), Browser(server).log_in("bob")
    with DemoServer(tmp_path, store_url) as bob.server:
        assert bob.get() and bob.user == "bob"
        alice.get()
        assert bob.id and alice.others == [short_hash(bob.id)]
        assert "bob" in alice.page
        alice.post("/end", handle=alice.others[0])
        assert (alice.user, alice.others) == ("alice", [])
        assert "Log in" in bob.get()
        bob.post("/count")
        assert bob.user is None
        bob.log_in("bob")
        assert bob.count == 0


def test_logging_out_ends_the_session(server: DemoServer) -> None:
    browser = Browser(server).log_in("alice")
    kept = browser.id
    browser.post("/logout")
    assert browser.user is None
    assert browser.id is None
    assert kept is not None
    assert b"Log in" in get_with(server, kept.encode())[0]


def test_a_login_gets_a_new_id_and_the_old_one_is_nobody(server: DemoServer) -> None:
    browser = Browser(server)
    browser.get("/login")
    before = browser.id
    browser.post("/login", name="alice")
    assert before is not None
    assert browser.id not in (None, before)
    page, headers = get_with(server, before.encode())
    assert b"Log in" in page
    assert "Set-Cookie" not in headers  # the browser may hold the new one already


def test_an_error_after_the_login_loses_nothing(server: DemoServer) -> None:
    browser = Browser(server).log_in("alice")
    id = browser.id
    browser.get("/nowhere")
    assert browser.status == 404
    browser.get()
    assert (browser.id, browser.user) == (id, "alice")


def test_who_only_looks_gets_no_cookie_and_leaves_no_trace(server: DemoServer, tmp_path: Path) -> None:
    browser = Browser(server)
    for path in ("/", "/nowhere", "/"):
        browser.get(path)
    assert browser.id is None
    assert in_folder(tmp_path) == ["store"]


# -- what a client may send ------------------------------------------------------------------------------------------


def get_with(
    server: DemoServer, cookie: bytes, quoted: bool = False, path: str = "/"
) -> tuple[bytes, http.client.HTTPMessage]:
    """Get a page, that must be there, with these very bytes as the session cookie. Return it, and its headers."""
    value = b'"%s"' % cookie if quoted else cookie
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    try:
        connection.putrequest("GET", path)
        connection.putheader("Cookie", COOKIE.encode() + b"=" + value)
        connection.endheaders()
        response = connection.getresponse()
        page = response.read()
    finally:
        connection.close()
    assert response.status == 200, cookie[:40]
    return page, response.headers


def in_folder(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_hostile_cookie_is_nobody_and_creates_nothing(server: DemoServer, tmp_path: Path) -> None:
    for cookie in HOSTILE:
        for quoted in (False, True):
            page, headers = get_with(server, cookie, quoted)
            assert b"Log in" in page, cookie[:40]
            assert "Set-Cookie" not in headers, cookie[:40]
    assert in_folder(tmp_path) == ["store"]


def test_an_id_that_we_did_not_issue_is_not_adopted(server: DemoServer) -> None:
    for cookie in (b"a" * 32, b"abcdefghijk", b"../x"):
        page, headers = get_with(server, cookie, path="/login")
        assert b"csrf_token" in page  # so there is a session now
        assert cookie not in headers["Set-Cookie"].encode()


class Planted:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.marker,)


def test_a_planted_pickle_is_never_opened(server: DemoServer, tmp_path: Path) -> None:
    Browser(server).log_in("alice")  # now there is a store
    planted, marker = tmp_path / "planted_one", tmp_path / "marker"
    planted.write_bytes(pickle.dumps(Planted(marker), 4))
    for cookie in ("../planted_one", "../../planted_one", str(planted), "..%2fplanted_one", "..\\planted_one"):
        for quoted in (False, True):
            page, _ = get_with(server, cookie.encode(), quoted)
            assert b"Log in" in page
    assert not marker.exists()
    pickle.loads(planted.read_bytes())
    assert marker.exists()  # it would have been seen


def test_only_our_own_forms_change_something(shop: DemoServer) -> None:
    alice, bob = Browser(shop).log_in("alice"), Browser(shop).log_in("bob")
    alice.get()
    foreign = [("/count", {}), ("/add", {"item": "x"}), ("/end", {"handle": alice.others[0]}), ("/logout", {})]
    for token in ("", "0" * 32, bob.tokens[0]):
        for path, fields in foreign:
            alice.post(path, csrf_token=token, **fields)
    for path, fields in foreign:
        alice.get(f"{path}?{urlencode({**fields, 'csrf_token': alice.tokens[0]})}")
    assert (alice.user, alice.count, alice.cart, bob.get() and bob.user) == ("alice", 0, [], "bob")
    nobody = Browser(shop)
    nobody.post("/login", name="eve")
    assert nobody.user is None


def test_the_page_escapes_what_users_type_and_shows_nobodys_id(shop: DemoServer) -> None:
    alice, mallory = Browser(shop).log_in("alice"), Browser(shop)
    mallory.get("/login")
    mallory.post("/login", name='<script>"&')
    mallory.post("/add", item="<img src=x>")
    assert mallory.user == "&lt;script&gt;&quot;&amp;"
    assert "<li>&lt;img src=x&gt;</li>" in mallory.page
    assert "<li><span>&lt;script&gt;&quot;&amp; <small>" in alice.get()
    for browser in (alice, mallory):
        assert "<script" not in browser.page and "<img" not in browser.page
        for id in (alice.id, mallory.id):
            assert id and id not in browser.page


# -- the server ------------------------------------------------------------------------------------------------------


def test_a_connection_that_stays_silent_holds_up_nobody(shop: DemoServer) -> None:
    with socket.create_connection(("127.0.0.1", shop.port)):
        assert Browser(shop).log_in("alice").user == "alice"
        shop.stop()


def test_a_connection_that_is_dropped_is_no_error(shop: DemoServer) -> None:
    with socket.create_connection(("127.0.0.1", shop.port)) as dropped:
        dropped.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close with a reset
    assert Browser(shop).log_in("alice").user == "alice"
    shop.stop()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_when_it_is_told_to(shop: DemoServer, number: int) -> None:
    shop.stop(number)


def run_demo(folder: Path, *arguments: str) -> tuple[int, str, str]:
    done = subprocess.run(
        command(DEMO, *arguments), cwd=folder, env=environment(), capture_output=True, text=True, timeout=PATIENCE
    )
    return done.returncode, done.stdout, done.stderr


def test_a_port_in_use_is_one_clear_line(shop: DemoServer, tmp_path: Path) -> None:
    status, output, errors = run_demo(tmp_path, "--port", str(shop.port), "--store", "memory://")
    assert (status, output) == (1, "")
    assert errors.count("\n") == 1
    assert f"make demo PORT={shop.port + 1}" in errors


def test_a_store_that_does_not_exist_is_one_clear_line(tmp_path: Path) -> None:
    status, output, errors = run_demo(tmp_path, "--store", "nosuch://shop:secret@here")
    assert (status, output) == (1, "")
    assert errors.startswith("--store: unknown scheme 'nosuch'") and "secret" not in errors
    assert errors.count("\n") == 1


def test_by_default_sessions_are_kept_in_the_folder_where_it_runs(tmp_path: Path) -> None:
    assert "sqlite:///./session3-demo.db" in run_demo(tmp_path, "--help")[1]
    with DemoServer(tmp_path, "sqlite:///./session3-demo.db") as server:
        assert str(tmp_path / "session3-demo.db") in server.line
        Browser(server).log_in("alice")
    assert (tmp_path / "session3-demo.db").exists()
