"""Secret keys: what may be one, and what is derived from it.

>>> derive("letmein-letmein-letmein", "example")
Traceback (most recent call last):
    ...
session3.errors.ConfigurationError: a secret key is an obvious placeholder; make one with: python -c ...
"""

import hashlib
import os
import re
from collections.abc import Sequence
from typing import Any

from .errors import ConfigurationError

Secret = str | bytes

MIN_LENGTH = 16  # bytes
#: Where a key is looked for that cookies need and nobody gave.
VARIABLE = "SESSION3_SECRET_KEY"
ADVICE = "make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"

_MIN_REST = 8  # letters and digits that must be left of a key when the words below are out
_MIN_VARIETY = 6  # different letters and digits in that
_PLACEHOLDERS = re.compile(
    "123456789|abc123|change|default|dummy|enter|example|generate|goes|here|insecure|key|letmein|none|password"
    "|placeholder|please|production|put|qwerty|random|replace|sample|secret|session|some|string|super|test|this|todo"
    "|token|very|with|your"
)


def find(given: Secret | Sequence[Secret] | None, owner: str) -> Secret | Sequence[Secret]:
    """Return what was given, else the environment's key; ConfigurationError without either."""
    found = given or os.environ.get(VARIABLE)
    if not found:
        raise ConfigurationError(f"{owner} needs secret_key, or the environment variable {VARIABLE}; {ADVICE}")
    return found


def derive(secrets: Secret | Sequence[Secret], purpose: str) -> list[bytes]:
    """Return for each secret a key of 32 bytes for one purpose; a key for one purpose is useless for another.

    Raises ConfigurationError for a secret that is short or an obvious placeholder, without repeating it.
    """
    several: Any = [secrets] if isinstance(secrets, (str, bytes)) else secrets
    is_list = isinstance(several, Sequence) and not isinstance(several, (bytearray, memoryview))
    if not is_list or not all(isinstance(secret, (str, bytes)) for secret in several):
        raise ConfigurationError(f"a secret key is a str or bytes, or a list of such, newest first; {ADVICE}")
    found = [secret.encode() if isinstance(secret, str) else secret for secret in several]
    if not found or any(len(secret) < MIN_LENGTH for secret in found):
        raise ConfigurationError(f"a secret key needs at least {MIN_LENGTH} bytes; {ADVICE}")
    if any(_is_placeholder(secret) for secret in found):
        raise ConfigurationError(f"a secret key is an obvious placeholder; {ADVICE}")
    salt = hashlib.sha256(purpose.encode()).digest()
    return [hashlib.blake2b(secret, digest_size=32, key=salt).digest() for secret in found]


def _is_placeholder(secret: bytes) -> bool:
    text = secret.decode("latin-1")
    if not text.isascii():
        return len(set(text)) < _MIN_VARIETY
    rest = _PLACEHOLDERS.sub("", re.sub("[^a-z0-9]", "", text.lower()))
    return len(rest) < _MIN_REST or len(set(rest)) < _MIN_VARIETY
