"""TokenSigner: only what we signed, as we spelled it."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session3.errors import ConfigurationError, DamagedRecord
from session3.tokens import MAX_SKEW, MAX_TOKEN, TokenSigner

from .sessions import Clock

KEY, OTHER = "0123456789abcdef0123", "fedcba9876543210fedc"
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
PAYLOADS = [b"", b"x", b".", b"tea " * 500, bytes(range(256)), b"\0" * 5]


@pytest.fixture
def signer(clock: Clock) -> TokenSigner:
    return TokenSigner(KEY, salt="test", clock=clock)


def is_refused(signer: TokenSigner, token: Any) -> bool:
    try:
        signer.open(token)
    except DamagedRecord:
        return True
    return False


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: ascii(payload[:10]))
def test_a_payload_and_its_time_come_back(signer: TokenSigner, clock: Clock, payload: bytes) -> None:
    token = signer.sign(payload)
    assert set(token) <= {*ALPHABET, "."}
    assert signer.open(token) == (payload, int(clock()))


@given(payload=st.binary())
def test_any_payload_comes_back(payload: bytes) -> None:
    signer = TokenSigner(KEY, salt="test")
    assert signer.open(signer.sign(payload))[0] == payload


def test_what_compresses_is_compressed(signer: TokenSigner) -> None:
    assert len(signer.sign(b"tea " * 500)) < 150


def test_ten_thousand_mutations_are_refused(signer: TokenSigner) -> None:
    choose = random.Random(20261120)
    tokens = [signer.sign(payload) for payload in PAYLOADS]
    letters = ALPHABET + ".=+/ \n\t\0é"
    tried: set[str] = set()
    while len(tried) < 10_000:
        token, other = choose.sample(tokens, 2)
        at, to = sorted(choose.choices(range(len(token) + 1), k=2))
        mutant = choose.choice([
            token[:at] + choose.choice(letters) + token[at + 1:], token[:at] + token[to:], token[:at] + other[at:],
            token[:at] + choose.choice(letters) + token[at:], token[::-1], token + choose.choice(letters),
            ".".join(choose.sample(token.split("."), token.count(".") + 1)), token[:-1] + choose.choice(letters),
        ])  # fmt: skip
        if mutant not in tokens:
            tried.add(mutant)
    assert [mutant for mutant in tried if not is_refused(signer, mutant)] == []


def test_what_was_signed_opens_however_long_it_is(signer: TokenSigner) -> None:
    noise = random.Random(7).randbytes(MAX_TOKEN)
    assert signer.open(signer.sign(noise))[0] == noise


def test_what_is_longer_than_a_limit_is_not_looked_at(signer: TokenSigner, monkeypatch: pytest.MonkeyPatch) -> None:
    token = signer.sign(random.Random(7).randbytes(MAX_TOKEN))
    assert signer.open(token, len(token)) == signer.open(token)
    monkeypatch.setattr(signer, "_signer", None)
    with pytest.raises(DamagedRecord, match="no token"):
        signer.open(token, len(token) - 1)


def test_one_spelling_counts(signer: TokenSigner) -> None:
    """A base64 tail has spare bits, and decoders skip foreign letters."""
    token = signer.sign(b"payload")
    spellings = [token[:-1] + letter for letter in ALPHABET]
    assert [spelling for spelling in spellings if not is_refused(signer, spelling)] == [token]
    for foreign in ("=", "!", "\n", " "):
        assert is_refused(signer, token + foreign)
        assert is_refused(signer, token[:-3] + foreign + token[-3:])


@given(token=st.one_of(st.text(), st.text(ALPHABET + ".", min_size=40)))
def test_no_text_raises_anything_else(token: str) -> None:
    assert is_refused(TokenSigner(KEY, salt="test"), token)


@pytest.mark.parametrize("token", [None, 5, b"bytes", ["x"]])
def test_what_is_no_text_is_refused(signer: TokenSigner, token: Any) -> None:
    assert is_refused(signer, token)


def test_another_key_or_another_salt_opens_nothing(signer: TokenSigner, clock: Clock) -> None:
    token = signer.sign(b"payload")
    assert is_refused(TokenSigner(OTHER, salt="test", clock=clock), token)
    assert is_refused(TokenSigner(KEY, salt="tests", clock=clock), token)


def test_the_first_key_signs_and_all_verify(signer: TokenSigner, clock: Clock) -> None:
    both = TokenSigner([OTHER, KEY], salt="test", clock=clock)
    assert both.open(signer.sign(b"old"))[0] == b"old"
    token = both.sign(b"new")
    assert is_refused(signer, token)
    assert TokenSigner(OTHER, salt="test", clock=clock).open(token)[0] == b"new"


def test_a_server_behind_accepts_up_to_a_minute(signer: TokenSigner, clock: Clock) -> None:
    clock.now = float(int(clock.now))
    token = signer.sign(b"payload")
    clock.advance(-MAX_SKEW)
    assert signer.open(token)[0] == b"payload"
    clock.advance(-0.5)
    assert is_refused(signer, token)


@pytest.mark.parametrize(
    "secret",
    ["", "short", "x" * 40, "changeme-changeme-changeme", "your-secret-key-goes-here", "secret-secret-secret-1",
     "password1234567890"[:17], b"\xff" * 32, "replace-me-in-production!", ["0123456789abcdef0123", "changeme" * 4]],
)  # fmt: skip
def test_short_keys_and_placeholders_are_refused_and_not_repeated(secret: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"python -c 'import secrets; print\(secrets.token_urlsafe") as caught:
        TokenSigner(secret, salt="test")
    shown = secret if isinstance(secret, str) and secret else "changeme"
    assert shown not in str(caught.value)


@pytest.mark.parametrize(
    "secret",
    ["a key of at least sixteen characters", KEY, bytes(range(200, 232)), "correct horse battery staple",
     "django-insecure-7v)k2=x9&w4m!z_s0qj1p8h3r5t6y^b"],
)  # fmt: skip
def test_good_keys_are_taken(secret: Any) -> None:
    signer = TokenSigner(secret, salt="test")
    assert signer.open(signer.sign(b"x"))[0] == b"x"
