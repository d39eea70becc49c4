"""Signatures of bytes, as text.

>>> signer = HMACSigner([b"thirty-two bytes, derived of one"])
>>> signer.verifies(b"payload", signer.sign(b"payload")), signer.verifies(b"other", signer.sign(b"payload"))
(True, False)
"""

import hashlib
import hmac
from collections.abc import Sequence

from . import base64url


class HMACSigner:
    """HMAC-SHA256, by itsdangerous; the first of several keys signs, all verify. The keys are derived already.

    A signature is 43 letters of base64, of which only our own spelling counts: the last one has two spare bits.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        from itsdangerous.signer import HMACAlgorithm

        # Without the Signer around it: that decodes a signature to compare it, so that several spellings count, and
        # makes eight calls more.
        self._algorithm = HMACAlgorithm(hashlib.sha256)
        self._keys = keys

    def sign(self, value: bytes) -> bytes:
        return self._signature(self._keys[0], value)

    def verifies(self, value: bytes, signature: bytes) -> bool:
        return any(hmac.compare_digest(self._signature(key, value), signature) for key in self._keys)

    def is_newest(self, value: bytes, signature: bytes) -> bool:
        """Tell whether the first key made a signature that verifies: it did where there is no other."""
        return len(self._keys) == 1 or hmac.compare_digest(self.sign(value), signature)

    def _signature(self, key: bytes, value: bytes) -> bytes:
        return base64url.encode(self._algorithm.get_signature(key, value))
