"""Tokens: bytes as signed text that is safe in cookies and URLs.

>>> signer = TokenSigner("a key of at least sixteen characters", salt="example", clock=lambda: 1000.0)
>>> signer.open(signer.sign(b"payload"))
(b'payload', 1000)
"""

import hashlib
import re
import time
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence

from .errors import DamagedRecord
from .secretkeys import Secret, derive

#: How far (seconds) the clock of the server that signed may be ahead of ours.
MAX_SKEW = 60
#: Characters; nothing longer is looked at.
MAX_TOKEN = 8192

_TIME = 5  # bytes in front of a payload, for the seconds since the epoch
# Body and signature, each in base64, and a dot first where the body is compressed. The last letter of a signature has
# two spare bits: four spellings of one value, of which only ours counts.
_PARTS = re.compile(r"(\.?[A-Za-z0-9_-]*)\.([A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])").fullmatch


class TokenSigner:
    """Signs with HMAC-SHA256, by itsdangerous, and with the time; the first of several secrets signs, all verify.

    A token made with another `salt` is nobody's. `clock`: seconds since the epoch.
    """

    def __init__(
        self, secrets: Secret | Sequence[Secret], *, salt: str, clock: Callable[[], float] = time.time
    ) -> None:
        from itsdangerous import Signer

        self._clock = clock
        # Made once, and told that its keys are derived: else itsdangerous derives them in each call, at half its cost.
        # It signs with the last one.
        keys = derive(secrets, f"token {salt}")[::-1]
        self._signer = Signer(keys, key_derivation="none", digest_method=hashlib.sha256)

    def sign(self, payload: bytes) -> str:
        """Return a token: letters, digits, '-', '_' and '.'; compressed where that is shorter."""
        payload = int(self._clock()).to_bytes(_TIME, "big") + payload
        packed = zlib.compress(payload)
        if len(packed) < len(payload):
            body = b"." + urlsafe_b64encode(packed).rstrip(b"=")
        else:
            body = urlsafe_b64encode(payload).rstrip(b"=")
        return (body + b"." + self._signer.get_signature(body)).decode("ascii")

    def open(self, token: object) -> tuple[bytes, int]:
        """Return the payload and when (seconds since the epoch) it was signed.

        Raises DamagedRecord for everything but a token of ours as it was made, and for one from the future.
        """
        parts = _PARTS(token) if isinstance(token, str) and len(token) <= MAX_TOKEN else None
        if parts is None:
            raise DamagedRecord("it is no token")
        body, signature = parts[1].encode("ascii"), parts[2].encode("ascii")
        if not self._signer.verify_signature(body, signature):
            raise DamagedRecord("the signature does not match")
        text = body.lstrip(b".")
        payload = urlsafe_b64decode(text + b"=" * (-len(text) % 4))
        if len(text) < len(body):
            payload = zlib.decompress(payload)
        signed_at = int.from_bytes(payload[:_TIME], "big")
        if signed_at > self._clock() + MAX_SKEW:
            raise DamagedRecord("it was signed in the future")
        return payload[_TIME:], signed_at
