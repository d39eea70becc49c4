"""Users' keys in a server's column, which may know no other letters than ASCII's.

>>> to_ascii("alice"), to_ascii("Žofia")
('alice', '\\x01ofia-fbb')
>>> from_ascii(to_ascii("Žofia"))
'Žofia'

ASCII stays as it is, and so does what is in the column already, in whatever letters: only what was encoded begins with
a character that no user's key has. One user has one form, so that he can be looked up by it.
"""

import hashlib

_ENCODED = "\x01"  # not printable, as all of user_key_text is
_MAX_LENGTH = 255  # of MySQL's column


def to_ascii(user_key: str | None) -> str | None:
    if user_key is None or user_key.isascii():
        return user_key
    encoded = _ENCODED + user_key.encode("punycode").decode("ascii")
    if len(encoded) <= _MAX_LENGTH:
        return encoded
    return "sha256:" + hashlib.sha256(user_key.encode()).hexdigest()


def from_ascii(stored: str) -> str:
    return stored[1:].encode("ascii").decode("punycode") if stored.startswith(_ENCODED) else stored
