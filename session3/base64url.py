"""Base64 for URLs, without padding (RFC 4648, section 5).

By binascii, without the three calls that the module base64 puts around it: each request with a cookie decodes one.

>>> encode(b"\\xff\\xfe")
b'__4'
>>> decode(b"__4")
b'\\xff\\xfe'
"""

from binascii import a2b_base64, b2a_base64

_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")


def encode(data: bytes) -> bytes:
    return b2a_base64(data, newline=False).translate(_TO_URL, b"=")


def decode(text: bytes) -> bytes:
    """Return the bytes of a text. Raises ValueError where one letter stands alone at the end."""
    return a2b_base64(text.translate(_FROM_URL) + b"=" * (-len(text) % 4))
