"""What proxies say of the request that they took: the Forwarded header (RFC 7239) and X-Forwarded-Proto.

>>> came_by_https('for=192.0.2.7;proto="https";by=10.0.0.1, for=10.0.0.1;proto=http', "")
True
>>> came_by_https("", "http, https")
False
"""

import re

_OUTSIDE_QUOTES = r"""(?:[^%s"]|"(?:[^"\\]|\\.)*")+"""
_FIRST = re.compile(_OUTSIDE_QUOTES % ",").match
_PAIRS = re.compile(_OUTSIDE_QUOTES % ";").findall


def came_by_https(forwarded: str, x_forwarded_proto: str) -> bool:
    """Tell whether the browser spoke https, as either header has it: it spoke with the first of several proxies."""
    return _protocol(forwarded) == "https" or x_forwarded_proto.partition(",")[0].strip().lower() == "https"


def _protocol(forwarded: str) -> str | None:
    """Return the protocol in the first element of a Forwarded header, in small letters."""
    first = _FIRST(forwarded)
    pairs: list[str] = [] if first is None else _PAIRS(first.group())
    for pair in pairs:
        name, _, value = pair.partition("=")
        if name.strip().lower() == "proto":
            return value.strip().strip('"').lower()
    return None
