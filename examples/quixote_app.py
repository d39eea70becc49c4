#!/usr/bin/env python3
"""A Quixote application whose sessions survive a restart: log in, count, fill a cart, see who else is there.

    python examples/quixote_app.py [--host 127.0.0.1] [--port 8080] [--store sqlite:///./session3-demo.db]

What session3 adds is the SessionManager in `main`. The pages use `get_session()`, as in any Quixote application;
what they change in it is saved when the request succeeds.
"""

import argparse
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from http.server import ThreadingHTTPServer
from typing import Any

from quixote import get_param, get_session, get_session_manager, redirect
from quixote.directory import Directory
from quixote.html import htmltext
from quixote.publish import Publisher
from quixote.server.simple_server import HTTPRequestHandler

import session3
from session3.DictSession import DictSession
from session3.errors import SessionError
from session3.ids import short_hash
from session3.SessionManager import SessionManager

STYLE = htmltext("""
:root { color-scheme: light dark; --line: #8886; --accent: #0b62bd; }
* { box-sizing: border-box; }
body { max-width: 42rem; margin: 0 auto; padding: 1.5rem 1rem; font: 1rem/1.5 system-ui, sans-serif; }
h1, h2, p, ul { margin: 0 0 .75rem; line-height: 1.3; }
h2 { font-size: 1.15rem; }
ul { padding: 0; list-style: none; }
section { margin: 1rem 0; padding: 1rem 1.25rem; border: 1px solid var(--line); border-radius: .75rem; }
section > :last-child { margin-bottom: 0; }
form, li { display: flex; flex-wrap: wrap; gap: .5rem .75rem; align-items: center; justify-content: space-between; }
li { flex-wrap: nowrap; min-height: 3.5rem; padding: .5rem 0; overflow-wrap: anywhere; }
li form { flex: none; }
li + li { border-top: 1px solid var(--line); }
small { display: block; opacity: .8; }
input { flex: 1 1 10rem; min-width: 0; }
input, button, .button { padding: .4rem .9rem; border: 1px solid #888; border-radius: .5rem; font: inherit; }
button, .button { border-color: var(--accent); background: var(--accent); color: #fff; }
.button { display: inline-block; text-decoration: none; }
:focus-visible { outline: 3px solid #f90; outline-offset: 2px; }
""")


def page(title: str, *parts: Any) -> Any:
    return htmltext(
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>%s - session3</title><link rel="icon" '
        'href="data:,"><meta name="viewport" content="width=device-width, initial-scale=1"><style>%s</style></head>\n'
        "<body><main><h1>%s</h1>\n%s</main></body></html>\n"
    ) % (title, STYLE, title, htmltext("\n").join(parts))


def section(title: str, *parts: Any) -> Any:
    return htmltext("<section><h2>%s</h2>\n%s</section>") % (title, htmltext("\n").join(parts))


def form(action: str, button: str, fields: Any = "") -> Any:
    """What changes something is a posted form with the session's token, which no other site can know."""
    token = htmltext('<input type="hidden" name="csrf_token" value="%s">') % get_session().get_csrf_token()
    return htmltext('<form method="post" action="%s">%s%s<button>%s</button></form>') % (action, token, fields, button)


def text_field(name: str, label: str) -> Any:
    field = htmltext('<label for="%s">%s</label><input id="%s" name="%s" required maxlength="40" autocomplete="off">')
    return field % (name, label, name, name)


def text_of(name: str) -> str:
    return str(get_param(name, "")).strip()[:40]


def change(method: Callable[["Shop"], None]) -> Callable[["Shop"], Any]:
    """Let only our own forms reach a method that changes something, and go back to the front page."""

    @wraps(method)
    def handle(self: "Shop") -> Any:
        if get_session().valid_csrf_token():  # a POST, with the token of this session
            method(self)
        return redirect("./")

    return handle


class Shop(Directory):  # type: ignore[misc]
    _q_exports = ["", "login", "count", "add", "end", "logout"]

    def _q_index(self) -> Any:
        session = get_session()
        if not session.user:  # nothing is kept of who only looks, and no cookie is set
            text = htmltext("<p>Log in, count, fill the cart. Then restart the server, and go on where you were.</p>")
            return page("Sessions that last", text, htmltext('<p><a class="button" href="login">Log in</a></p>'))
        count = htmltext("<p>You have counted to <strong>%s</strong>.</p>") % session.get("count", 0)
        cart = htmltext("").join([htmltext("<li>%s</li>") % item for item in session.get("cart", [])])
        return page(
            f"Hello, {session.user}",
            section("Counter", count, form("count", "Count")),
            section("Cart", htmltext("<ul>%s</ul>") % cart, form("add", "Add", text_field("item", "Item"))),
            section("Live sessions", live_sessions()),
            form("logout", "Log out"),
        )

    def login(self) -> Any:
        name = text_of("name")
        if name and get_session().valid_csrf_token():
            get_session().set_user(name)  # the manager gives the session a new id
            return redirect("./")
        return page("Log in", form("login", "Log in", text_field("name", "Your name")))

    @change
    def count(self) -> None:
        session = get_session()
        session["count"] = session.get("count", 0) + 1

    @change
    def add(self) -> None:
        if text_of("item"):
            get_session().setdefault("cart", []).append(text_of("item"))  # a change deep inside is noticed, too

    @change
    def end(self) -> None:
        manager = get_session_manager()
        for id in manager.keys():
            if short_hash(id) == text_of("handle"):
                manager.store.delete_session(id)

    @change
    def logout(self) -> None:
        get_session_manager().expire_session()


def live_sessions() -> Any:
    """The sessions last used, by a short hash: whoever knows a session's id is that user, so no page shows one."""
    if get_session_manager().store.is_in_cookie:
        return htmltext("<p>Each is in its visitor's cookie: the server keeps no list.</p>")
    latest = sorted(get_session_manager().items(), key=lambda item: item[1].get_access_age())[:20]
    rows = []
    for id, session in latest:
        handle, minutes = short_hash(id), session.get_access_age() // 60
        button = form("end", "End", htmltext('<input type="hidden" name="handle" value="%s">') % handle)
        row = htmltext("<li><span>%s <small>%s, idle for %.0f min</small></span> %s</li>")
        rows.append(row % (session.user or "Guest", handle, minutes, "You" if id == get_session().id else button))
    return htmltext("<ul>%s</ul>") % htmltext("\n").join(rows)


class Handler(HTTPRequestHandler):  # type: ignore[misc]
    """Each connection has a thread, since browsers open some that stay silent; Quixote takes one request at a time."""

    turn = threading.Lock()

    def handle(self) -> None:
        with suppress(ConnectionError):  # and they drop such connections without a word
            super().handle()

    def process(self, env: dict[str, Any], include_body: bool = True) -> None:
        with self.turn:
            super().process(env, include_body)


def main() -> None:
    parser = argparse.ArgumentParser(description="The session3 demo.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--store", metavar="URL", default="sqlite:///./session3-demo.db", help="default: %(default)s")
    options = parser.parse_args()
    if not 0 <= options.port <= 65535:
        parser.error("a port is a number up to 65535")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does
    try:
        with (
            session3.open_store(options.store) as store,
            ThreadingHTTPServer((options.host, options.port), Handler) as server,
        ):
            print(f"http://{options.host}:{server.server_port}/ - stop with Ctrl-C. Sessions: {store!r}", flush=True)
            Publisher(Shop(), session_manager=SessionManager(store, DictSession))
            server.serve_forever()
    except KeyboardInterrupt:
        pass
    except SessionError as error:
        sys.exit(f"--store: {error}")  # without the URL, which may hold a password
    except OSError as error:
        sys.exit(f"Port {options.port}: {error.strerror}. Choose another: make demo PORT={options.port + 1}")


if __name__ == "__main__":
    main()
