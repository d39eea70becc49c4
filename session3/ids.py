"""Session ids: made, checked, hashed.

An id is the secret in the browser's cookie. Nothing here logs one; `short_hash` is what logs and pages may show.

>>> id = make_id()
>>> is_id(id), is_cookie_id(id), is_id("../etc/passwd"), is_cookie_id("short")
(True, True, False, False)
>>> short_hash("hx2fpz7k")
'd910d7b17bb1'
"""

import base64
import hashlib
import re
import secrets

#: What an id may be, for error messages.
RULE = "1 to 128 letters, digits, '_', '-' and '.', not starting with '.'"

_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}").fullmatch
_HASH = re.compile(r"[0-9a-f]{64}").fullmatch
_UPSTREAM_ID = re.compile(r"[A-Za-z0-9_-]{11}|[A-Za-z0-9_-]{22}").fullmatch
_COOKIE_ID = re.compile(r"[A-Za-z0-9_-]{8,128}").fullmatch


class StoredKey(str):
    """What a store with `hash_ids` files a record under: the SHA-256 of an id, in hex.

    A store accepts one from code in place of an id. It is a type of its own so that the same letters in a cookie
    are an (unknown) id and nothing else.
    """

    __slots__ = ()


def make_id() -> str:
    """Return a new id: 32 lower-case letters and digits, 160 bits from the system's random source.

    One case only, since an id may become a file name on a disk that ignores case.
    """
    return base64.b32encode(secrets.token_bytes(20)).decode("ascii").lower()


def is_id(value: object) -> bool:
    """Tell whether code may use `value` as an id."""
    return isinstance(value, str) and _ID(value) is not None


def is_cookie_id(value: object) -> bool:
    """Tell whether a cookie's value can be an id: stricter than for code, since a client chose it."""
    return isinstance(value, str) and _COOKIE_ID(value) is not None


def hash_id(id: str) -> StoredKey:
    """Return the key that a store with `hash_ids` files the id's record under."""
    return StoredKey(hashlib.sha256(id.encode("ascii")).hexdigest())


def is_hash(id: str) -> bool:
    """Tell whether a text could be what `hash_id` returns."""
    return _HASH(id) is not None


def is_upstream_id(id: str) -> bool:
    """Tell whether session3 3.4.1, or Quixote, makes such ids: of 8, and of 16 random bytes."""
    return _UPSTREAM_ID(id) is not None


def short_hash(id: str) -> str:
    """Return 12 hex digits that stand for an id, or a stored key, in logs and on pages; they lead back to nothing."""
    return hashlib.sha256(id.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def veil(id: str, under: str) -> str:
    """Hide an id so that only who holds the id `under` can read it; the result is hex.

    With `hash_ids`, a forward must not put the next id in clear beside the hashes. `under` is as random and as
    long as a key can be, and is used for one forward, so its SHAKE-256 stream is a one-time pad.
    """
    return _pad(id.encode("ascii"), under).hex()


def unveil(veiled: str, under: str) -> str:
    """Undo `veil`; with the wrong `under`, or what was never veiled, the result is no id."""
    try:
        return _pad(bytes.fromhex(veiled), under).decode("ascii")
    except ValueError:
        return ""


def _pad(text: bytes, under: str) -> bytes:
    stream = hashlib.shake_256(b"session3 forward " + under.encode("ascii")).digest(len(text))
    return bytes(a ^ b for a, b in zip(text, stream, strict=True))
