"""What a real browser does with our cookies: mounted applications, planted cookies, domains."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import quote
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest

from session3.cookies import CookieOptions
from session3.DictSession import DictSession
from session3.SessionManager import SessionManager
from session3.store.VolatileSessionStore import VolatileSessionStore

from .test_browser import CHROMIUM, Chromium

quixote = pytest.importorskip("quixote", reason="needs Quixote: pip install 'session3[quixote]'")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")

from quixote.directory import Directory  # noqa: E402  (only where there is a Quixote)
from quixote.publish import Publisher  # noqa: E402
from quixote.wsgi import QWIP  # noqa: E402

OTHERS = "abcdefghijklmnopqrstuvwxyz234567"


class Root(Directory):  # type: ignore[misc]
    _q_exports = ["", "login", "out"]

    def _q_index(self) -> str:
        return f"{quixote.get_session().user} {quixote.get_session().get('n')}"

    def login(self) -> str:
        quixote.get_session().set_user("alice")
        quixote.get_session()["n"] = 1
        return "welcome"

    def out(self) -> str:
        quixote.get_session_manager().expire_session()
        return "bye"


class Mount:
    """Serves Quixote below a path, and beside it `/plant?PATH`: another application's cookie of the same name."""

    def __init__(self, root: str, application: Callable[..., Any]) -> None:
        self.root, self.application = root.encode().decode("latin-1"), application
        self.turn = threading.Lock()

    def __call__(self, environ: Any, start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        if path == "/plant":
            cookie = f'QX_session="{OTHERS}"; path={environ["QUERY_STRING"]}'
            start_response("200 OK", [("Content-Type", "text/html"), ("Set-Cookie", cookie)])
            return [b"planted"]
        if not path.startswith(self.root):
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"nothing here"]
        environ.update(SCRIPT_NAME=self.root, PATH_INFO=path[len(self.root) :])
        environ["wsgi.multithread"] = False  # one at a time
        with self.turn:
            return list(self.application(environ, start_response))


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Silent(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def serve(root: str, store: Any, **options: Any) -> Iterator[int]:
    quixote.cleanup()
    publisher = Publisher(Root(), session_manager=SessionManager(store, DictSession, **options))
    server = make_server("127.0.0.1", 0, Mount(root, QWIP(publisher)), Server, Silent)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        quixote.cleanup()


@pytest.fixture
def chromium(tmp_path: Path) -> Iterator[Chromium]:
    browser = Chromium(tmp_path / "profile")
    yield browser
    browser.close()


def test_a_mounted_application_keeps_its_session(chromium: Chromium) -> None:
    for root in ("/my shop", "/bé/100%", "/a'b(c)*+,=:@&$!~", '/<a>"b`{c}'):
        store = VolatileSessionStore()
        with serve(root, store) as port:
            base = f"http://127.0.0.1:{port}{quote(root, safe='/!$&()*+,=:@~' + chr(39))}"
            chromium.open(f"{base}/login")
            for _ in range(2):
                chromium.open(f"{base}/")
                assert chromium.text == "alice 1", root
            assert len(list(store.iter_sessions())) == 1
            chromium.open(f"{base}/out")
            chromium.open(f"{base}/")
            assert chromium.text == "None None"


def test_another_application_s_cookie_hides_no_session(chromium: Chromium) -> None:
    store = VolatileSessionStore()
    with serve("/shop", store) as port:
        host = f"http://127.0.0.1:{port}"
        for planted in ("/", "/shop", "/shop/deep/", "/shop/"):
            chromium.open(f"{host}/plant?{planted}")
            chromium.open(f"{host}/shop/login")
            for _ in range(2):
                chromium.open(f"{host}/shop/")
                assert chromium.text == "alice 1", planted
        assert len(list(store.iter_sessions())) == 2  # the last one took the place of ours


@pytest.mark.parametrize(
    ("host", "domain"),
    [("localhost", "localhost"), ("127.0.0.1", "127.0.0.1"), ("shop.localhost", ".shop.localhost"),
     ("a.shop.localhost", "shop.localhost"), ("my_host.localhost", "my_host.localhost")],
)  # fmt: skip
def test_a_domain_that_is_taken_is_kept(chromium: Chromium, host: str, domain: str) -> None:
    with serve("", VolatileSessionStore(), cookie=CookieOptions(domain=domain)) as port:
        chromium.open(f"http://{host}:{port}/login")
        chromium.open(f"http://{host}:{port}/")
        assert chromium.text == "alice 1"
