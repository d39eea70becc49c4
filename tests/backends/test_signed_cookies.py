"""The conformance suite on our own sessions in signed cookies."""

from typing import Any

import pytest

from session3.backends.base import VALID_KEY_CHARS, CreateError, SessionBase, UpdateError
from session3.backends.signed_cookies import SessionStore
from session3.errors import ConfigurationError

from ..sessions import Clock
from .conformance import CodingContract, CookieTestContract, ExpiryContract, KeyContract, MappingContract
from .driven import Backend, Driver
from .own import OurOwnCookie, OurOwnExpiry, OurOwnMapping
from .stored import CookieContract

SECRET = "the secret of a site in the tests"


class CookieBackend(Backend):
    create_error, update_error, valid_key_chars = CreateError, UpdateError, VALID_KEY_CHARS

    def __init__(self, clock: Clock) -> None:
        self.now, self.advance = clock, clock.advance  # type: ignore[method-assign]
        self.configure()

    def configure(self, **settings: Any) -> None:
        attributes = {"secret_key": SECRET, "clock": staticmethod(self.now), **settings}
        self.session_class = type("SiteSession", (SessionStore,), attributes)


@pytest.fixture
def backend(clock: Clock) -> Backend:
    return CookieBackend(clock)


class TestSignedCookies(
    MappingContract, CookieTestContract, ExpiryContract, KeyContract, CodingContract, CookieContract,
    OurOwnMapping, OurOwnExpiry, OurOwnCookie,
):  # fmt: skip
    pass


class TestSecret:
    @pytest.fixture(autouse=True)
    def no_secret(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SESSION3_SECRET_KEY", raising=False)

    async def test_without_one_the_first_use_says_so(self, at: Driver) -> None:
        session = at.new(None, SessionStore)
        await session.set("a", 1)
        with pytest.raises(ConfigurationError, match="SESSION3_SECRET_KEY"):
            await session.save()
        with pytest.raises(ConfigurationError, match="SESSION3_SECRET_KEY"):
            await at.new("a key to be verified", SessionStore).get("a")

    async def test_it_may_be_in_the_environment(self, at: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SESSION3_SECRET_KEY", SECRET)
        session = await at.stored(SessionStore, a=1)
        assert await session.get("a") == 1
        monkeypatch.setenv("SESSION3_SECRET_KEY", "another secret of the very same site")
        assert await at.new(session.key, SessionStore).get("a") is None

    async def test_that_of_a_class_goes_before_the_environment(
        self, at: Driver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        session = await at.stored(a=1)
        monkeypatch.setenv("SESSION3_SECRET_KEY", "another secret of the very same site")
        assert await session.get("a") == 1

    def test_it_is_not_in_the_cookie_or_the_repr(self, backend: Backend) -> None:
        session = backend.session_class()
        session["a"] = 1
        session.save()
        assert SECRET not in session.session_key + repr(session)

    def test_it_is_a_session(self) -> None:
        assert issubclass(SessionStore, SessionBase)
