"""The session interfaces of Flask, called as Flask calls them: opened with a request, saved with a response."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from .contenders import DATA, SECRET, Contender, Role, Servers


class FlaskPeer(Contender):
    """A session interface of Flask's.

    `read_only` ends with a save, too: what Flask-Session then writes, it writes at the end of each request.
    """

    role = Role.PEER

    @classmethod
    def make_app(cls, folder: Path, servers: Servers) -> Any:
        from flask import Flask

        app = Flask("bench")
        app.secret_key = SECRET
        return app

    def __init__(self, folder: Path, servers: Servers, stack: ExitStack) -> None:
        self.app = self.make_app(folder, servers)
        self.interface = self.app.session_interface
        self.response = self.app.response_class()
        self.request = self._request("")
        self.session = self.load()
        self.session.update(DATA)
        self.save(0)
        self._take_cookie()
        self.session = self.load()

    def _request(self, cookie: str) -> Any:
        return self.app.request_class({
            "wsgi.input": None, "wsgi.url_scheme": "http", "REQUEST_METHOD": "GET", "SERVER_NAME": "x",
            "SERVER_PORT": "80", "PATH_INFO": "/", "HTTP_COOKIE": cookie,
        })  # fmt: skip

    def _take_cookie(self) -> None:
        """Come back with the cookie of the last save."""
        self.request = self._request(self.answer.headers["Set-Cookie"].partition(";")[0])

    def load(self) -> Any:
        session = self.interface.open_session(self.app, self.request)
        session.get("name")
        return session

    def save(self, number: int) -> None:
        self.session["visits"] = number
        self.answer = self.app.response_class()
        self.interface.save_session(self.app, self.session, self.answer)

    def read_only(self) -> None:
        self.interface.save_session(self.app, self.load(), self.response)

    def visits(self) -> int:
        self._take_cookie()
        return super().visits()


class FlaskCookie(FlaskPeer):
    name, family = "Flask's cookie", "cookie"


class FlaskSessionFiles(FlaskPeer):
    name, family = "Flask-Session, cachelib files", "files"

    @classmethod
    def make_app(cls, folder: Path, servers: Servers) -> Any:
        from cachelib.file import FileSystemCache
        from flask_session import Session

        app = super().make_app(folder, servers)
        app.config.update(SESSION_TYPE="cachelib", SESSION_CACHELIB=FileSystemCache(str(folder), threshold=0))
        Session(app)
        return app


class FlaskSessionRedis(FlaskPeer):
    name, family = "Flask-Session, Redis", "Redis"

    @classmethod
    def make_app(cls, folder: Path, servers: Servers) -> Any:
        from flask_session import Session

        app = super().make_app(folder, servers)
        app.config.update(SESSION_TYPE="redis", SESSION_REDIS=servers.redis.client())
        Session(app)
        return app


FLASK_PEERS = [FlaskCookie, FlaskSessionFiles, FlaskSessionRedis]
