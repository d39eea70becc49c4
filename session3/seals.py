"""Seals: what keeps bytes as we wrote them.

A seal has `seal(key, payload) -> bytes` and `open(key, sealed) -> bytes`; it binds the payload to the key of its
record, so that one session's payload can't be copied to another. `open` raises DamagedRecord, and nothing behind a
seal is decoded before it holds.

>>> seal = SignatureSeal("a key of at least sixteen characters")
>>> seal.open("session-1", seal.seal("session-1", b"payload"))
b'payload'
"""

import os
import re
from collections.abc import Sequence
from typing import Protocol

from .drivers import missing_driver
from .errors import ConfigurationError, DamagedRecord
from .HMACSigner import HMACSigner
from .secretkeys import Secret, derive

_SIGNED = re.compile(rb"[A-Za-z0-9_-]{43}\.")


class Seal(Protocol):
    """What makes a payload useless to who can write to the store, or also to who can read it."""

    def seal(self, key: str, payload: bytes) -> bytes: ...

    def open(self, key: str, sealed: bytes) -> bytes: ...


class SignatureSeal:
    """HMAC-SHA256 by itsdangerous over the record's key and payload.

    `secrets` is one key or a list, newest first: the first signs, all verify. Another `salt`, another kind of seal.
    """

    def __init__(self, secrets: Secret | Sequence[Secret], salt: str = "") -> None:
        self._signer = HMACSigner(derive(secrets, f"record signature {salt}"))

    def seal(self, key: str, payload: bytes) -> bytes:
        return self._signer.sign(_bind(key, payload)) + b"." + payload

    def open(self, key: str, sealed: bytes) -> bytes:
        return self.opened(key, sealed)[0]

    def opened(self, key: str, sealed: bytes) -> tuple[bytes, bool]:
        """Return the payload, and whether it is the newest key that signed it."""
        signature, dot, payload = sealed.partition(b".")
        bound = _bind(key, payload)
        if dot and self._signer.verifies(bound, signature):
            return payload, self._signer.is_newest(bound, signature)
        raise DamagedRecord("the signature does not match")

    @staticmethod
    def claims(sealed: bytes) -> bool:
        """Tell whether something looks as if this kind of seal had made it, whether or not it did."""
        return looks_signed(sealed)


class EncryptionSeal:
    """AES-256-GCM by cryptography; the record's key is authenticated with the payload. Extra: crypto.

    `secrets` is one key or a list, newest first: the first encrypts, all decrypt.
    """

    _NONCE = 12  # bytes, the size that NIST SP 800-38D recommends for GCM

    def __init__(self, secrets: Secret | Sequence[Secret]) -> None:
        try:
            from cryptography.exceptions import InvalidTag
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as error:
            raise missing_driver("cryptography", "crypto", "cryptography", error) from error
        self._invalid = InvalidTag
        self._ciphers = [AESGCM(key) for key in derive(secrets, "record encryption")]

    def seal(self, key: str, payload: bytes) -> bytes:
        nonce = os.urandom(self._NONCE)
        return nonce + self._ciphers[0].encrypt(nonce, payload, _bind(key, b""))

    def open(self, key: str, sealed: bytes) -> bytes:
        return self.opened(key, sealed)[0]

    def opened(self, key: str, sealed: bytes) -> tuple[bytes, bool]:
        """Return the payload, and whether it is the newest key that encrypted it."""
        nonce, ciphertext = sealed[: self._NONCE], sealed[self._NONCE :]
        if len(nonce) == self._NONCE:
            for cipher in self._ciphers:
                try:
                    return cipher.decrypt(nonce, ciphertext, _bind(key, b"")), cipher is self._ciphers[0]
                except self._invalid:
                    continue
        raise DamagedRecord("no key decrypts it")


def make_seal(
    secret_key: Secret | Sequence[Secret] | None, encryption_key: Secret | Sequence[Secret] | None
) -> Seal | None:
    """Return the seal for a store's options, or None. Encryption authenticates, so it needs no signature beside it."""
    if encryption_key is not None:
        if secret_key is not None:
            raise ConfigurationError("give secret_key (signs) or encryption_key (encrypts and authenticates), not both")
        return EncryptionSeal(encryption_key)
    return None if secret_key is None else SignatureSeal(secret_key)


def looks_signed(sealed: bytes) -> bool:
    """Tell whether bytes begin as a signed payload does."""
    return _SIGNED.match(sealed) is not None


def _bind(key: str, payload: bytes) -> bytes:
    # Ids hold no NUL, so key and payload can't be shifted against each other.
    return key.encode("ascii") + b"\0" + payload
