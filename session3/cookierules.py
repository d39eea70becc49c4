"""What browsers take for a cookie's name, path and domain, and what servers can send (RFC 6265, PEP 3333).

>>> domain_fault("example.com:8080")
'a domain has neither scheme nor port nor wildcard, just labels: example.com'
>>> path_of("/my shop")
'/my%20shop/'
"""

import ipaddress
import re
from urllib.parse import quote

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch  # RFC 6265, section 4.1.1: a cookie's name
_LABEL = re.compile(r"[0-9A-Za-z_]([0-9A-Za-z_-]{0,61}[0-9A-Za-z_])?").fullmatch
_BREAKING = re.compile(r"[;\x00-\x1f\x7f]").search  # adds an attribute, or a header
_NEVER_IN_A_PATH = re.compile(r"""[^!-~]|["<>?#`{}|^\\]""").search  # browsers encode these, or end the path there
_AS_BROWSERS_SEND_IT = "/!$&'()*+,=:@-._~[]"

#: Bytes of a path or a domain, beyond which browsers ignore the attribute (draft-ietf-httpbis-rfc6265bis, section 5.6).
_MAX_ATTRIBUTE = 1024
_MAX_DOMAIN = 253


def name_fault(name: object) -> str | None:
    """Return why no browser keeps a cookie of this name, or None."""
    if not isinstance(name, str):
        return f"a name is a str, not {type(name).__name__}"
    if not _TOKEN(name):
        return "a name is letters, digits and some signs, without spaces, quotes and separators"
    return None if len(name) <= _MAX_ATTRIBUTE else f"a name has at most {_MAX_ATTRIBUTE} characters"


def path_fault(path: object) -> str | None:
    """Return why no browser sends a cookie with this path back, or None."""
    if not isinstance(path, str):
        return f"a path is a str, not {type(path).__name__}"
    if _BREAKING(path):
        return "semicolons and control characters would begin another attribute"
    if not path.startswith("/"):
        return "browsers ignore a path that does not start with /"
    if _NEVER_IN_A_PATH(path):
        return f"browsers compare it with the address as they send it: {path_of(path, '')!r}"
    return None if len(path) <= _MAX_ATTRIBUTE else f"browsers ignore a path of more than {_MAX_ATTRIBUTE} characters"


def domain_fault(domain: object) -> str | None:
    """Return why no browser keeps a cookie of this domain, or None. A single label or an IP address is good for itself.

    A leading dot changes nothing (RFC 6265, section 5.2.3).
    """
    if not isinstance(domain, str):
        return f"a domain is a str, not {type(domain).__name__}"
    if _BREAKING(domain):
        return "semicolons and control characters would begin another attribute"
    if not domain.isascii():
        return "write an international domain as DNS has it: xn--..."
    labels = domain.removeprefix(".").split(".")
    if len(domain) > _MAX_DOMAIN or not all(map(_LABEL, labels)):
        return "a domain has neither scheme nor port nor wildcard, just labels: example.com"
    if labels[-1].isdigit() and not _is_address(domain):
        return "it ends as an IP address does, and is none"
    return None


def _is_address(domain: str) -> bool:
    try:
        ipaddress.IPv4Address(domain)
    except ValueError:
        return False
    return True


def value_fault(value: str) -> str | None:
    """Return why a Set-Cookie header can't carry this value, or None."""
    if _BREAKING(value):
        return "semicolons and control characters would begin another attribute"
    return None if value.isascii() else "it is not ASCII"


def path_of(root: str, end: str = "/") -> str:
    """Return the path of the application at `root`, as WSGI's SCRIPT_NAME has it: decoded, a character for each byte.

    >>> path_of(""), path_of("/a;domain=example.com"), path_of("/b\\xc3\\xa9"), path_of("shop")
    ('/', '/a%3Bdomain=example.com/', '/b%C3%A9/', '/shop/')
    """
    try:
        raw = root.encode("latin-1")
    except UnicodeEncodeError:  # a server that does not do as PEP 3333 says
        raw = root.encode("utf-8", "surrogatepass")
    path = quote(raw, _AS_BROWSERS_SEND_IT)
    path = path.rstrip("/") + end if end else path
    return path if path.startswith("/") else "/" + path
