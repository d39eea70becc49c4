"""Seals: signed and encrypted payloads, bound to the key of their record."""

import base64
import random
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session3.errors import ConfigurationError, DamagedRecord, MissingDriver
from session3.seals import EncryptionSeal, Seal, SignatureSeal, make_seal

SECRET = "the first key, long enough"
OTHER = "the other key, long enough"
PAYLOAD = bytes(range(256))

needs_cryptography = pytest.mark.skipif(
    __import__("importlib.util").util.find_spec("cryptography") is None,
    reason="cryptography is missing: pip install 'session3[crypto]'",
)
SEALS = [pytest.param(SignatureSeal), pytest.param(EncryptionSeal, marks=needs_cryptography)]


def is_refused(seal: Seal, key: str, sealed: bytes) -> bool:
    try:
        seal.open(key, sealed)
    except DamagedRecord:
        return True
    return False


# -- what all seals promise ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", SEALS)
@pytest.mark.parametrize("payload", [b"", b".", b"\0", b"a.b.c", PAYLOAD, b"x" * 300_000])
def test_what_was_sealed_opens(make: Any, payload: bytes) -> None:
    seal = make(SECRET)
    assert seal.open("session1", seal.seal("session1", payload)) == payload


@pytest.mark.parametrize("make", SEALS)
@given(payload=st.binary(max_size=200), key=st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}", fullmatch=True))
def test_any_payload_opens_under_its_key_and_no_other(make: Any, payload: bytes, key: str) -> None:
    seal = make(SECRET)
    sealed = seal.seal(key, payload)
    assert seal.open(key, sealed) == payload
    assert is_refused(seal, key + "x", sealed) and is_refused(seal, "x" + key, sealed)


@pytest.mark.parametrize("make", SEALS)
def test_another_secret_opens_nothing(make: Any) -> None:
    assert is_refused(make(OTHER), "session1", make(SECRET).seal("session1", PAYLOAD))


@pytest.mark.parametrize("make", SEALS)
def test_two_thousand_mutations_are_all_refused(make: Any) -> None:
    seal, chance = make(SECRET), random.Random(3)
    sealed = seal.seal("session1", PAYLOAD)
    for _ in range(2000):
        mutated = bytearray(sealed)
        for _ in range(chance.choice((1, 1, 1, 2, 5))):
            place = chance.randrange(len(mutated))
            how = chance.randrange(4)
            if how == 0:
                mutated[place] ^= 1 << chance.randrange(8)
            elif how == 1:
                del mutated[place]
            elif how == 2:
                mutated.insert(place, chance.randrange(256))
            else:
                mutated[place:] = mutated[place:][: chance.randrange(20)]
            if not mutated:
                break
        assert bytes(mutated) == sealed or is_refused(seal, "session1", bytes(mutated))


@pytest.mark.parametrize("make", SEALS)
def test_every_bit_counts(make: Any) -> None:
    seal = make(SECRET)
    sealed = seal.seal("session1", b"payload")
    for place in range(len(sealed)):
        for bit in range(8):
            mutated = bytearray(sealed)
            mutated[place] ^= 1 << bit
            assert is_refused(seal, "session1", bytes(mutated))


@pytest.mark.parametrize("make", SEALS)
@given(garbage=st.binary(max_size=100))
def test_garbage_is_refused_and_raises_nothing_else(make: Any, garbage: bytes) -> None:
    assert is_refused(make(SECRET), "session1", garbage)


@pytest.mark.parametrize("make", SEALS)
def test_every_prefix_is_refused(make: Any) -> None:
    seal = make(SECRET)
    sealed = seal.seal("session1", b"payload")
    assert all(is_refused(seal, "session1", sealed[:length]) for length in range(len(sealed)))


@pytest.mark.parametrize("make", SEALS)
def test_with_several_secrets_the_first_seals_and_all_open(make: Any) -> None:
    both, old, new = make([SECRET, OTHER]), make(OTHER), make(SECRET)
    assert both.open("session1", old.seal("session1", PAYLOAD)) == PAYLOAD
    assert new.open("session1", both.seal("session1", PAYLOAD)) == PAYLOAD
    assert is_refused(old, "session1", both.seal("session1", PAYLOAD))


@pytest.mark.parametrize("make", SEALS)
def test_text_and_its_bytes_are_one_secret(make: Any) -> None:
    assert make(SECRET.encode()).open("session1", make(SECRET).seal("session1", PAYLOAD)) == PAYLOAD


@pytest.mark.parametrize("make", SEALS)
@pytest.mark.parametrize("secrets", ["", b"", "x" * 15, [], [SECRET, ""], ("x" * 15,)])
def test_no_secret_and_short_ones_are_refused(make: Any, secrets: Any) -> None:
    with pytest.raises(ConfigurationError, match="16 bytes") as error:
        make(secrets)
    assert "xxxx" not in str(error.value)


# -- signatures ------------------------------------------------------------------------------------------------------


def test_a_signature_spelled_another_way_is_refused() -> None:
    """The last letter of base64 has spare bits; padding, white space and the other alphabet decode too."""
    seal = SignatureSeal(SECRET)
    signature, _, payload = seal.seal("session1", PAYLOAD).partition(b".")
    raw = base64.urlsafe_b64decode(signature + b"=")
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spellings = {signature[:-1] + bytes([letter]) for letter in letters}
    twins = {spelling for spelling in spellings if base64.urlsafe_b64decode(spelling + b"=") == raw} - {signature}
    assert twins
    standard = signature.replace(b"-", b"+").replace(b"_", b"/")
    for spelling in [*twins, signature + b"=", signature + b"\n", b" " + signature, standard + b"=", raw]:
        assert spelling == signature or is_refused(seal, "session1", spelling + b"." + payload)


def test_a_payload_is_signed_in_clear_with_at_least_256_bits() -> None:
    sealed = SignatureSeal(SECRET).seal("session1", PAYLOAD)
    signature, _, payload = sealed.partition(b".")
    assert payload == PAYLOAD
    assert len(base64.urlsafe_b64decode(signature + b"=")) >= 32


def test_key_and_payload_cannot_be_shifted_against_each_other() -> None:
    seal = SignatureSeal(SECRET)
    signature = seal.seal("session", b"1payload").partition(b".")[0]
    assert is_refused(seal, "session1", signature + b".payload")


def test_a_signature_without_its_dot_is_refused() -> None:
    seal = SignatureSeal(SECRET)
    assert is_refused(seal, "session1", seal.seal("session1", b"")[:-1])


def test_an_unsigned_payload_is_refused() -> None:
    assert is_refused(SignatureSeal(SECRET), "session1", PAYLOAD)
    assert is_refused(SignatureSeal(SECRET), "session1", b"." + PAYLOAD)


# -- encryption ------------------------------------------------------------------------------------------------------


@needs_cryptography
def test_an_encrypted_payload_shows_nothing_and_is_never_the_same_twice() -> None:
    seal = EncryptionSeal(SECRET)
    sealed = [seal.seal("session1", b"secret " * 20) for _ in range(100)]
    assert len(set(sealed)) == 100 and len({one[:12] for one in sealed}) == 100
    assert not any(b"secret" in one for one in sealed)


@needs_cryptography
def test_a_signed_payload_is_not_accepted_as_an_encrypted_one_nor_the_other_way() -> None:
    signed, encrypted = SignatureSeal(SECRET), EncryptionSeal(SECRET)
    assert is_refused(encrypted, "session1", signed.seal("session1", PAYLOAD))
    assert is_refused(signed, "session1", encrypted.seal("session1", PAYLOAD))


def test_without_cryptography_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith("cryptography")]:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(MissingDriver, match=r"session3\[crypto\]") as error:
        EncryptionSeal(SECRET)
    assert isinstance(error.value, ImportError)


# -- make_seal -------------------------------------------------------------------------------------------------------


@needs_cryptography
def test_make_seal_goes_by_the_options() -> None:
    assert make_seal(None, None) is None
    assert isinstance(make_seal(SECRET, None), SignatureSeal)
    assert isinstance(make_seal(None, [SECRET]), EncryptionSeal)


def test_both_a_secret_and_an_encryption_key_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="not both"):
        make_seal(SECRET, OTHER)


@pytest.mark.parametrize("empty", ["", b"", []])
def test_an_empty_key_never_means_no_seal(empty: Any) -> None:
    """A variable of the environment that is empty must not switch the protection off."""
    for options in ((empty, None), (None, empty)):
        with pytest.raises((ConfigurationError, MissingDriver)):
            make_seal(*options)


def test_a_seal_is_the_same_in_another_process() -> None:
    sealed = SignatureSeal(SECRET).seal("session1", b"payload")
    code = f"import sys; sys.path[:0] = {sys.path!r}; from session3.seals import SignatureSeal; "
    code += f"assert SignatureSeal({SECRET!r}).open('session1', {sealed!r}) == b'payload'"
    subprocess.run([sys.executable, "-c", code], check=True)
