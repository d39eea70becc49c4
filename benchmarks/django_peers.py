"""Django's back ends, each driven through its SessionStore; a request that only reads, through its middleware."""

import os
import sys
from contextlib import ExitStack
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

from . import sites
from .contenders import DATA, SECRET, Contender, Role, Servers


class DjangoPeer(Contender):
    """Django's SessionStore of one back end."""

    role = Role.PEER
    engine: str

    def _store(self) -> Any:
        return import_module(f"django.contrib.sessions.backends.{self.engine}").SessionStore

    def __init__(self, folder: Path, servers: Servers, stack: ExitStack) -> None:
        set_up_django(folder, servers)
        from django.conf import settings
        from django.contrib.sessions.middleware import SessionMiddleware
        from django.http import HttpRequest, HttpResponse

        self.response = HttpResponse()
        self.middleware = SessionMiddleware(lambda request: self.response)
        self.middleware.SessionStore = self.store = self._store()
        session = self.store()
        session.update(DATA)
        session.save()
        self.key = session.session_key
        self.session = self.store(self.key)
        self.request = HttpRequest()
        self.request.COOKIES = {settings.SESSION_COOKIE_NAME: self.key}

    def load(self) -> Any:
        session = self.store(self.key)
        session["name"]  # it is lazy
        return session

    def save(self, number: int) -> None:
        self.session["visits"] = number
        self.session.save()

    def read_only(self) -> None:
        self.middleware.process_request(self.request)
        self.request.session["name"]
        self.middleware.process_response(self.request, self.response)


class DjangoFile(DjangoPeer):
    name, family, engine = "Django 5.2 file", "files", "file"


class DjangoSQLite(DjangoPeer):
    name, family, engine = "Django 5.2 db on SQLite", "SQLite", "db"


class DjangoPostgres(DjangoPeer):
    name, family, engine = "Django 5.2 db on Postgres", "Postgres", "db"

    def _store(self) -> Any:
        """The back end on a second database, by the way that Django describes: a model of its own."""
        from django.contrib.sessions.base_session import AbstractBaseSession

        class PostgresSession(AbstractBaseSession):  # type: ignore[misc]
            class Meta:
                app_label = _ON_POSTGRES
                db_table = "django_session"

            @classmethod
            def get_session_store_class(cls) -> Any:
                return Store

        class Store(super()._store()):  # type: ignore[misc]
            @classmethod
            def get_model_class(cls) -> Any:
                return PostgresSession

        create_table(PostgresSession, "postgres")
        return Store


class DjangoRedis(DjangoPeer):
    name, family, engine = "Django 5.2 cache on Redis", "Redis", "cache"


class DjangoCookie(DjangoPeer):
    name, family, engine = "Django 5.2 signed_cookies", "cookie", "signed_cookies"

    def visits(self) -> int:
        self.key = self.session.session_key  # which a save makes
        return super().visits()


DJANGO_PEERS = [DjangoFile, DjangoSQLite, DjangoPostgres, DjangoRedis, DjangoCookie]

_ON_POSTGRES = "sessions_on_postgres"


class Pages:
    """The pages of the sites, as Django takes them in place of a module."""

    @cached_property
    def urlpatterns(self) -> list[Any]:
        from django.http import HttpResponse
        from django.urls import path

        with_session = [
            path(page.__name__, lambda request, page=page: HttpResponse(page(request.session)))
            for page in (sites.begin, sites.read, sites.change)
        ]
        return [path("plain", lambda request: HttpResponse(sites.plain())), *with_session]


class Router:
    """Sends the model of the second database there."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "postgres" if model._meta.app_label == _ON_POSTGRES else None

    db_for_write = db_for_read


def set_up_django(folder: Path, servers: Servers) -> None:
    """Configure Django, once in a process; what it writes goes into this folder. Connections are kept."""
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
        ROOT_URLCONF=Pages(),
        SESSION_FILE_PATH=str(folder / "django"),
        CACHES={"default": redis},
        DATABASES=_databases(folder, servers),
        DATABASE_ROUTERS=[Router()],
    )
    django.setup()
    from django.contrib.sessions.models import Session

    create_table(Session, "default")


def _databases(folder: Path, servers: Servers) -> dict[str, Any]:
    sqlite = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(folder / "django.db"),
        "OPTIONS": {"init_command": "PRAGMA journal_mode=wal; PRAGMA synchronous=normal;"},
        "CONN_MAX_AGE": None,
    }
    if servers.postgres is None:
        return {"default": sqlite}
    to = servers.postgres.settings
    postgres = {
        "ENGINE": "django.db.backends.postgresql", "NAME": to["dbname"], "USER": to["user"],
        "PASSWORD": to["password"], "HOST": to["host"], "PORT": to["port"], "CONN_MAX_AGE": None,
    }  # fmt: skip
    return {"default": sqlite, "postgres": postgres}


def create_table(model: Any, alias: str) -> None:
    from django.db import connections

    # It would prefer psycopg, where that is installed; the floor and we use psycopg2.
    with mock.patch.dict(sys.modules, {"psycopg": None}), connections[alias].schema_editor() as editor:
        editor.create_model(model)
