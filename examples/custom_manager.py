#!/usr/bin/env python3
"""A session manager of your own: override what should be otherwise.

    python examples/custom_manager.py

This one lets a session be used only from the network that it began in, so that a stolen cookie is of little use
elsewhere, and keeps nothing of visitors until they log in.
"""

import io
import ipaddress
import sys
from typing import Any

from quixote import get_request, get_session
from quixote.directory import Directory
from quixote.publish import Publisher
from quixote.wsgi import QWIP

from session3.DictSession import DictSession
from session3.Session import Session
from session3.SessionManager import SessionManager
from session3.store.VolatileSessionStore import VolatileSessionStore


def network_of(address: str | None) -> Any:
    """The /24 of an IPv4 address, or the /48 of an IPv6 address: what a provider gives to one customer, or a few."""
    if address is None:
        return None
    bits = 24 if ipaddress.ip_address(address).version == 4 else 48
    return ipaddress.ip_network(f"{address}/{bits}", strict=False)


class CautiousSessionManager(SessionManager):
    def get_session(self) -> Session:
        session = super().get_session()
        here = get_request().get_environ("REMOTE_ADDR")
        if session.id is not None and network_of(session.get_remote_address()) != network_of(here):
            print(f"  refused: {session} from {here}")
            return self.new_session(None)  # the session itself stays, for whom it belongs to
        return session

    def maintain_session(self, session: Session) -> bool:
        return session.user is not None and super().maintain_session(session)


class Root(Directory):  # type: ignore[misc]
    _q_exports = ["", "look", "login"]

    def _q_index(self) -> str:
        return f"Hello, {get_session().user or 'stranger'}."

    def look(self) -> str:
        get_session()["seen"] = ["tea"]
        return "Tea is fine today."

    def login(self) -> str:
        get_session().set_user("alice")
        return "Welcome."


def ask(application: QWIP, path: str, address: str, cookie: str = "") -> str:
    """Make one request, as a web server does; print it, and return the cookie that the browser has then."""
    headers: list[tuple[str, str]] = []
    environ = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "REMOTE_ADDR": address,
        "HTTP_COOKIE": cookie,
        "wsgi.input": io.BytesIO(),
    }
    print(f"{path} from {address}")
    body = b"".join(application(environ, lambda status, given: headers.extend(given))).decode()
    set_cookie = dict(headers).get("Set-Cookie", "")
    print(f"  {body}{'  (and a cookie)' if set_cookie else ''}")
    return set_cookie.partition(";")[0] or cookie


def main() -> None:
    manager = CautiousSessionManager(VolatileSessionStore(), DictSession)
    application = QWIP(Publisher(Root(), session_manager=manager))
    sys.stdout = sys.__stdout__  # a publisher sends prints to its error log
    ask(application, "/look", "192.0.2.1")
    cookie = ask(application, "/login", "192.0.2.1")
    ask(application, "/", "192.0.2.99", cookie)
    elsewhere = ask(application, "/login", "198.51.100.7", cookie)
    ask(application, "/", "198.51.100.7", elsewhere)
    ask(application, "/", "192.0.2.1", cookie)


if __name__ == "__main__":
    main()
