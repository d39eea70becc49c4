"""The conformance suite on Django's own back ends: this is where it is right or wrong about Django."""

import asyncio
import os
import types
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from ..sessions import Clock
from .conformance import CodingContract, CookieTestContract, ExpiryContract, KeyContract, MappingContract, SaltContract
from .driven import Backend
from .stored import ClearContract, CookieContract, ExpiringContract, StoredContract

django = pytest.importorskip("django", reason="needs Django: pip install 'Django>=5.2'")

SETTINGS = {
    "cookie_age": "SESSION_COOKIE_AGE",
    "expire_at_browser_close": "SESSION_EXPIRE_AT_BROWSER_CLOSE",
    "secret_key": "SECRET_KEY",
}


class DjangoBackend(Backend):
    def __init__(self, session_class: type[Any], clock: Clock, override: Any) -> None:
        from django.contrib.sessions.backends import base

        self.session_class = session_class
        self.create_error, self.update_error = base.CreateError, base.UpdateError
        self.valid_key_chars = base.VALID_KEY_CHARS
        self.now, self.advance = clock, clock.advance  # type: ignore[method-assign]
        self.override = override

    def configure(self, **settings: Any) -> None:
        self.override(**{SETTINGS[name]: value for name, value in settings.items()})


@pytest.fixture(scope="session")
def configured(tmp_path_factory: pytest.TempPathFactory) -> None:
    from django.conf import settings

    if not settings.configured:
        settings.configure(
            SECRET_KEY="the secret of a site in the tests",
            INSTALLED_APPS=["django.contrib.sessions"],
            DATABASES={
                "default": {
                    "ENGINE": "django.db.backends.sqlite3",
                    "NAME": tmp_path_factory.mktemp("django") / "database",
                }
            },
            USE_TZ=True,
        )
        django.setup()


@pytest.fixture
def override(configured: None) -> Iterator[Any]:
    """Return a function that overrides settings until the test's end."""
    from django.test import override_settings

    entered = []

    def override(**settings: Any) -> None:
        entered.append(override_settings(**settings))
        entered[-1].enable()

    yield override
    for each in reversed(entered):
        each.disable()


@pytest.fixture(autouse=True)
def time_of_django(configured: None, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the clock of the test in place of the modules' own."""
    from django.core import signing
    from django.core.cache.backends import base, locmem
    from django.utils import timezone as django_timezone

    monkeypatch.setattr(django_timezone, "now", lambda: datetime.fromtimestamp(clock(), timezone.utc))
    for module in (signing, base, locmem):
        monkeypatch.setattr(module, "time", types.SimpleNamespace(time=clock))


class InDjango(MappingContract, CookieTestContract, ExpiryContract, KeyContract, CodingContract, SaltContract):
    """What is the same in all of Django's back ends."""

    def test_a_new_key_is_not_one_that_exists(self, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
        session = backend.session_class()
        asked: list[str] = []

        def exists(key: str) -> bool:
            asked.append(key)
            return len(asked) < 4

        monkeypatch.setattr(session, "exists", exists)
        assert session._get_new_session_key() == asked[3]
        assert len(set(asked)) == 4


class TestDatabase(InDjango, StoredContract, ClearContract, ExpiringContract):
    @pytest.fixture
    def backend(self, clock: Clock, override: Any) -> Iterator[Backend]:
        from asgiref.sync import sync_to_async
        from django.contrib.sessions.backends.db import SessionStore
        from django.contrib.sessions.models import Session
        from django.db import connection, connections

        if Session._meta.db_table not in connection.introspection.table_names():
            with connection.schema_editor() as editor:
                editor.create_model(Session)
        yield DjangoBackend(SessionStore, clock, override)
        Session.objects.all().delete()
        asyncio.run(sync_to_async(connections.close_all)())  # that of the thread behind the async methods
        connections.close_all()


class TestCache(InDjango, StoredContract, ClearContract, ExpiringContract):
    @pytest.fixture
    def backend(self, clock: Clock, override: Any) -> Iterator[Backend]:
        from django.contrib.sessions.backends.cache import SessionStore
        from django.core.cache import cache

        override(CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}})
        yield DjangoBackend(SessionStore, clock, override)
        cache.clear()


class TestFile(InDjango, StoredContract, ClearContract):
    # Not ExpiringContract: Django's files never expire by a number of seconds.

    @pytest.fixture
    def backend(self, clock: Clock, override: Any, tmp_path: Path) -> Backend:
        from django.contrib.sessions.backends.file import SessionStore

        class Timed(SessionStore):  # type: ignore[misc]
            _storage_path = str(tmp_path)

            def save(self, must_create: bool = False) -> None:
                super().save(must_create)
                os.utime(self._key_to_file(), (clock(), clock()))

        return DjangoBackend(Timed, clock, override)


class TestSignedCookies(InDjango, CookieContract):
    @pytest.fixture
    def backend(self, clock: Clock, override: Any) -> Backend:
        from django.contrib.sessions.backends.signed_cookies import SessionStore

        return DjangoBackend(SessionStore, clock, override)
