"""Sites in Django, of the back ends of django_peers.py."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from . import sites
from .contenders import Servers
from .django_peers import DjangoCookie, DjangoFile, DjangoRedis, DjangoSQLite, set_up_django


class DjangoSite(sites.Site):
    framework = "Django"
    engine: str

    def __init__(self, folder: Path, servers: Servers, stack: ExitStack) -> None:
        set_up_django(folder, servers)
        super().__init__(self._make_handler())

    def _make_handler(self) -> Any:
        from django.core.handlers.wsgi import WSGIHandler
        from django.test import override_settings

        # They are read when the handler is made.
        middleware = [] if self.is_bare else ["django.contrib.sessions.middleware.SessionMiddleware"]
        with override_settings(SESSION_ENGINE=f"django.contrib.sessions.backends.{self.engine}", MIDDLEWARE=middleware):
            return WSGIHandler()


class BareDjango(DjangoSite):
    name, family, engine, is_bare = "Django without sessions", "", "file", True


class DjangoFileSite(DjangoSite):
    name, family, engine = DjangoFile.name, DjangoFile.family, DjangoFile.engine


class DjangoSQLiteSite(DjangoSite):
    name, family, engine = DjangoSQLite.name, DjangoSQLite.family, DjangoSQLite.engine


class DjangoRedisSite(DjangoSite):
    name, family, engine = DjangoRedis.name, DjangoRedis.family, DjangoRedis.engine


class DjangoCookieSite(DjangoSite):
    name, family, engine = DjangoCookie.name, DjangoCookie.family, DjangoCookie.engine


DJANGO_SITES = [BareDjango, DjangoFileSite, DjangoSQLiteSite, DjangoRedisSite, DjangoCookieSite]
