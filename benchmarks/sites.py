"""Applications to send whole requests to, through WSGI and without a socket.

Each has the pages of `PAGES`: one without a session, one that starts a session, one that reads a key of it, and one
that changes a key. Also imported in the environment of session3 3.4.1: nothing here may import session3.
"""

import io
from collections.abc import Callable
from typing import Any

from .contenders import DATA, Timed

Application = Callable[[dict[str, Any], Callable[..., Any]], Any]

PAGES = ("plain", "begin", "read", "change")


def plain() -> str:
    return "1"


def begin(session: Any) -> str:
    session.update(DATA)
    return "1"


def read(session: Any) -> str:
    return str(session["visits"])


def change(session: Any) -> str:
    session["visits"] += 1
    return str(session["visits"])


class Site(Timed):
    """An application and a browser with one cookie. A bare site has no sessions: both its pages are the plain one."""

    #: What it runs in: its time is compared with that of the bare site there.
    framework: str
    is_bare = False

    def __init__(self, application: Application) -> None:
        self.application = application
        self.cookie = ""
        self.read_path = self.change_path = "/plain"
        if not self.is_bare:
            self._begin()

    def _begin(self) -> None:
        """Start a session, and make sure that it is kept."""
        self.read_path, self.change_path = "/read", "/change"
        shown = []
        for path in ("/begin", self.change_path, self.read_path):
            body, headers = self.get(path)
            shown.append(body)
            if cookie := dict(headers).get("Set-Cookie"):
                self.cookie = cookie.partition(";")[0]
        assert shown == [b"1", b"2", b"2"], f"{self.name} does not keep its session: {shown}"

    def get(self, path: str) -> tuple[bytes, list[tuple[str, str]]]:
        """Send a request; return the body and the headers of its answer."""
        environ = {
            "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": "",
            "SERVER_NAME": "localhost", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.0",
            "REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost", "HTTP_COOKIE": self.cookie,
            "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(),
        }  # fmt: skip
        headers: list[tuple[str, str]] = []
        chunks = self.application(environ, lambda status, fields, exc_info=None: headers.extend(fields))
        body = b"".join(chunks)
        if hasattr(chunks, "close"):
            chunks.close()  # here Django and Flask end the request
        return body, headers

    def read_only(self) -> None:
        self.get(self.read_path)

    def changed(self) -> None:
        self.get(self.change_path)
