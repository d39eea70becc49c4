"""Tokens: bytes as signed text that is safe in cookies and URLs.

Body and signature, a dot between them, each in base64; and a dot first where the body is compressed.

>>> signer = TokenSigner("a key of at least sixteen characters", salt="example", clock=lambda: 1000.0)
>>> signer.open(signer.sign(b"payload"))
(b'payload', 1000)
"""

import time
import zlib
from collections.abc import Callable, Sequence

from . import base64url
from .errors import DamagedRecord
from .HMACSigner import HMACSigner
from .secretkeys import Secret, derive
from .SessionTimes import MAX_SKEW as MAX_SKEW

#: Characters of a token in a cookie; browsers keep half as many.
MAX_TOKEN = 8192

_TIME = 5  # bytes in front of a payload, for the seconds since the epoch


class TokenSigner:
    """Signs with HMAC-SHA256, by itsdangerous, and with the time; the first of several secrets signs, all verify.

    A token made with another `salt` is nobody's. `clock`: seconds since the epoch.
    """

    def __init__(
        self, secrets: Secret | Sequence[Secret], *, salt: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._signer = HMACSigner(derive(secrets, f"token {salt}"))

    def sign(self, payload: bytes) -> str:
        """Return a token: letters, digits, '-', '_' and '.'; compressed where that is shorter."""
        payload = int(self._clock()).to_bytes(_TIME, "big") + payload
        packed = zlib.compress(payload)
        body = b"." + base64url.encode(packed) if len(packed) < len(payload) else base64url.encode(payload)
        return (body + b"." + self._signer.sign(body)).decode("ascii")

    def open(self, token: object, limit: int | None = None) -> tuple[bytes, int]:
        """Return the payload and when (seconds since the epoch) it was signed.

        Raises DamagedRecord for everything but a token of ours as it was made, and for one from the future. What has
        more than `limit` characters is not looked at.
        """
        if not (isinstance(token, str) and (limit is None or len(token) <= limit) and token.isascii()):
            raise DamagedRecord("it is no token")
        # What a body may look like is not asked: nothing but what we made bears our signature.
        body, _, signature = token.encode("ascii").rpartition(b".")
        if not self._signer.verifies(body, signature):
            raise DamagedRecord("the signature does not match")
        text = body.lstrip(b".")
        payload = base64url.decode(text)
        if len(text) < len(body):
            payload = zlib.decompress(payload)
        signed_at = int.from_bytes(payload[:_TIME], "big")
        if signed_at > self._clock() + MAX_SKEW:
            raise DamagedRecord("it was signed in the future")
        return payload[_TIME:], signed_at

    def is_outdated(self, token: str) -> bool:
        """Tell whether another key than the first signed a token that was opened."""
        body, _, signature = token.encode("ascii").rpartition(b".")
        return not self._signer.is_newest(body, signature)
