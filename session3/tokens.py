"""Tokens: bytes as signed text that is safe in cookies and URLs.

>>> signer = TokenSigner("a key of at least sixteen characters", salt="example", clock=lambda: 1000.0)
>>> signer.open(signer.sign(b"payload"))
(b'payload', 1000)
"""

import hashlib
import time
import zlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .errors import DamagedRecord
from .seals import is_canonical
from .secretkeys import Secret, derive

if TYPE_CHECKING:
    from itsdangerous import TimestampSigner

#: How far (seconds) the clock of the server that signed may be ahead of ours.
MAX_SKEW = 60


class TokenSigner:
    """Signs with HMAC-SHA256, by itsdangerous, and with the time; the first of several secrets signs, all verify.

    A token made with another `salt` is nobody's. `clock`: seconds since the epoch.
    """

    def __init__(
        self, secrets: Secret | Sequence[Secret], *, salt: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._signer = _make_signer(derive(secrets, f"token {salt}"), clock)

    def sign(self, payload: bytes) -> str:
        from itsdangerous import base64_encode

        packed = zlib.compress(payload)
        body = b"." + base64_encode(packed) if len(packed) < len(payload) else base64_encode(payload)
        return self._signer.sign(body).decode("ascii")

    def open(self, token: str) -> tuple[bytes, int]:
        """Return the payload and when (seconds since the epoch) it was signed. Raises DamagedRecord."""
        from itsdangerous import BadData, base64_decode

        try:
            signed = token.encode("ascii")
            body, signed_at = self._signer.unsign(signed, return_timestamp=True)
            if not is_canonical(signed.rpartition(b".")[2]):
                raise DamagedRecord("the signature is spelled in another way")
            if signed_at.timestamp() > self._clock() + MAX_SKEW:
                raise DamagedRecord("it was signed in the future")
            payload = base64_decode(body.lstrip(b"."))
            return zlib.decompress(payload) if body.startswith(b".") else payload, int(signed_at.timestamp())
        except (AttributeError, BadData, ValueError, zlib.error) as error:
            raise DamagedRecord("the signature does not match") from error


def _make_signer(keys: list[bytes], clock: Callable[[], float]) -> "TimestampSigner":
    from itsdangerous import TimestampSigner

    class Signer(TimestampSigner):
        def get_timestamp(self) -> int:
            return int(clock())

    # itsdangerous signs with the last of its keys, and derives them in each call unless told that they are derived.
    return Signer(keys[::-1], key_derivation="none", digest_method=hashlib.sha256)
