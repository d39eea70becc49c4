"""The libraries that people use today, each driven through its own session object.

Their `read_only` is what one request costs: opening the session, a look at one key, and what the framework does with an
unchanged session at the end.
"""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from .contenders import DATA, SECRET, Contender, Servers


class DjangoPeer(Contender):
    """Django's SessionStore of one back end."""

    engine: str

    def __init__(self, folder: Path, servers: Servers, stack: ExitStack) -> None:
        _set_up_django(folder, servers)
        from importlib import import_module

        self._prepare(folder)
        self.store = import_module(f"django.contrib.sessions.backends.{self.engine}").SessionStore
        session = self.store()
        session.update(DATA)
        session.save()
        self.key = session.session_key
        self.session = self.store(self.key)

    def _prepare(self, folder: Path) -> None:
        """Make what the back end needs."""

    def load(self) -> Any:
        session = self.store(self.key)
        session["name"]
        return session

    def save(self, number: int) -> None:
        self.session["visits"] = number
        self.session.save()


class DjangoFile(DjangoPeer):
    name, family, engine = "Django 5.2 file", "files", "file"


class DjangoSQLite(DjangoPeer):
    name, family, engine = "Django 5.2 db on SQLite", "SQLite", "db"

    def _prepare(self, folder: Path) -> None:
        from django.contrib.sessions.models import Session
        from django.db import connection

        with connection.schema_editor() as editor:
            editor.create_model(Session)


class DjangoRedis(DjangoPeer):
    name, family, engine = "Django 5.2 cache on Redis", "Redis", "cache"


class DjangoCookie(DjangoPeer):
    name, family, engine = "Django 5.2 signed_cookies", "cookie", "signed_cookies"


class FlaskPeer(Contender):
    """A session interface of Flask's, with a request and a response of its own for each call."""

    def _make_app(self, folder: Path, servers: Servers) -> Any:
        from flask import Flask

        app = Flask("bench")
        app.secret_key = SECRET
        return app

    def __init__(self, folder: Path, servers: Servers, stack: ExitStack) -> None:
        self.app = self._make_app(folder, servers)
        self.environ: dict[str, Any] = {
            "wsgi.input": None,
            "REQUEST_METHOD": "GET",
            "SERVER_NAME": "x",
            "SERVER_PORT": "80",
        }
        cookie = self._answer(self._opened(DATA))
        self.environ["HTTP_COOKIE"] = cookie.partition(";")[0]
        self.session = self._opened({})

    def _opened(self, items: dict[str, Any]) -> Any:
        session = self.app.session_interface.open_session(self.app, self.app.request_class(self.environ))
        session.update(items)
        return session

    def _answer(self, session: Any) -> str:
        response = self.app.response_class()
        with (
            self.app.app_context(),
            self.app.request_context({**self.environ, "PATH_INFO": "/", "wsgi.url_scheme": "http"}),
        ):
            self.app.session_interface.save_session(self.app, session, response)
        return str(response.headers.get("Set-Cookie", ""))

    def load(self) -> Any:
        session = self.app.session_interface.open_session(self.app, self.app.request_class(self.environ))
        session["name"]
        return session

    def save(self, number: int) -> None:
        self.session["visits"] = number
        self.app.session_interface.save_session(self.app, self.session, self.app.response_class())


class FlaskCookie(FlaskPeer):
    name, family = "Flask's cookie", "cookie"


class FlaskSessionFiles(FlaskPeer):
    name, family = "Flask-Session, cachelib files", "files"

    def _make_app(self, folder: Path, servers: Servers) -> Any:
        from cachelib.file import FileSystemCache
        from flask_session import Session

        app = super()._make_app(folder, servers)
        app.config.update(SESSION_TYPE="cachelib", SESSION_CACHELIB=FileSystemCache(str(folder), threshold=0))
        Session(app)
        return app


class FlaskSessionRedis(FlaskPeer):
    name, family = "Flask-Session, Redis", "Redis"

    def _make_app(self, folder: Path, servers: Servers) -> Any:
        from flask_session import Session

        app = super()._make_app(folder, servers)
        app.config.update(SESSION_TYPE="redis", SESSION_REDIS=servers.redis.client())
        Session(app)
        return app


class BeakerFiles(Contender):
    name, family = "Beaker, files", "files"

    def __init__(self, folder: Path, servers: Servers, stack: ExitStack) -> None:
        from beaker.session import Session

        self.make = lambda id=None: Session(
            {}, id=id, type="file", data_dir=str(folder), use_cookies=False, data_serializer="pickle"
        )
        self.session = self.make()
        self.session.update(DATA)
        self.session.save()
        self.id = self.session.id

    def load(self) -> Any:
        session = self.make(self.id)
        session["name"]
        return session

    def save(self, number: int) -> None:
        self.session["visits"] = number
        self.session.save()


def _set_up_django(folder: Path, servers: Servers) -> None:
    from django.conf import settings

    if settings.configured:
        return
    import django

    redis = {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": servers.redis.url if servers.redis else "",
    }
    os.makedirs(folder / "django", exist_ok=True)
    settings.configure(
        SECRET_KEY=SECRET,
        INSTALLED_APPS=["django.contrib.sessions"],
        SESSION_FILE_PATH=str(folder / "django"),
        CACHES={"default": redis},
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(folder / "django.db"),
                "OPTIONS": {"init_command": "PRAGMA journal_mode=wal; PRAGMA synchronous=normal;"},
            }
        },
    )
    django.setup()


PEERS = [
    DjangoFile, DjangoSQLite, DjangoRedis, DjangoCookie, FlaskCookie, FlaskSessionFiles, FlaskSessionRedis, BeakerFiles,
]  # fmt: skip
