"""The conformance suite on our own sessions in signed cookies."""

import random
from typing import Any

import pytest

from session3.backends.base import VALID_KEY_CHARS, CreateError, SessionBase, UpdateError
from session3.backends.signed_cookies import SessionStore
from session3.errors import ConfigurationError
from session3.serializers import JSONSerializer
from session3.tokens import MAX_TOKEN

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


def test_a_text_that_was_encoded_is_no_cookie(backend: Backend) -> None:
    session_class = backend.session_class
    text = session_class().encode({"a": 1})
    assert session_class(text).get("a") is None
    session = session_class()
    session["a"] = 1
    session.save()
    assert session_class().decode(session.session_key) == {}


def test_what_is_longer_than_any_cookie_is_not_taken(backend: Backend) -> None:
    session_class = backend.session_class
    signer = session_class()._token_signer(" cookie")
    keys = [signer.sign(JSONSerializer().dumps({"numbers": list(range(n))})) for n in (30, 6000)]
    assert [len(key) > MAX_TOKEN for key in keys] == [False, True]
    assert [session_class(key).get("numbers") is None for key in keys] == [False, True]


def test_ten_thousand_mutations_are_empty_sessions(backend: Backend) -> None:
    choose = random.Random(20261120)
    session_class, keys = backend.session_class, []
    for n in range(20):
        session = session_class()
        session.update(n=n, text="tea " * n)
        session.save()
        keys.append(session.session_key)
    letters = "abcXYZ019-_.=+/ \n\t\0é"
    taken = []
    for _ in range(10_000):
        key, other = choose.sample(keys, 2)
        at, to = sorted(choose.choices(range(len(key) + 1), k=2))
        mutant = choose.choice([
            key[:at] + choose.choice(letters) + key[at + 1:], key[:at] + key[to:], key[:at] + other[at:], key[::-1],
            key[:at] + choose.choice(letters) + key[at:], ".".join(choose.sample(key.split("."), key.count(".") + 1)),
            key[:-1] + choose.choice(letters), key + choose.choice(letters), key.swapcase(),
        ])  # fmt: skip
        session = session_class(mutant)
        if session.get("n") is not None and mutant not in keys:
            taken.append(mutant)
        assert session.modified or mutant in keys or session.session_key is None
    assert taken == []
