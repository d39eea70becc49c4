"""What the session cookie looks like.

>>> CookieOptions(name="__Host-session", secure=True)
CookieOptions(name='__Host-session', path='/', domain=None, secure=True, http_only=True, same_site='Lax')
>>> CookieOptions(same_site="None")
Traceback (most recent call last):
    ...
session3.errors.ConfigurationError: browsers drop a SameSite=None cookie that is not Secure; set secure=True
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .errors import ConfigurationError, CookieTooLarge

SameSite = Literal["Lax", "Strict", "None"]

#: Bytes of a cookie, name, value and attributes counted, that every browser keeps; a larger one is dropped silently.
MAX_COOKIE = 4093

_DIRECTIVES = re.compile(r'(?:[^,"]|"[^"]*")+').findall  # commas in quotes part nothing
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch  # RFC 6265, section 4.1.1: a cookie's name


@dataclass(frozen=True)
class CookieOptions:
    """Attributes of the session cookie; the defaults are the safe ones.

    `name` and `path` None leave the choice to the framework (Quixote: its configuration, and the application's root).
    `secure` None: when the request came by https. Raises ConfigurationError for what no browser would keep.
    """

    name: str | None = None
    path: str | None = None
    domain: str | None = None
    secure: bool | None = None
    http_only: bool = True
    same_site: SameSite | None = "Lax"

    def __post_init__(self) -> None:
        if self.name is not None and not _TOKEN(self.name):
            raise ConfigurationError(f"{self.name!r} can't be a cookie's name")
        for text in (self.path, self.domain):
            if text is not None and re.search(r"[;\x00-\x1f\x7f]", text):
                raise ConfigurationError(f"{text!r} can't be a cookie's path or domain")
        if self.same_site not in ("Lax", "Strict", "None", None):
            raise ConfigurationError(f'same_site is "Lax", "Strict", "None" or None, not {self.same_site!r}')
        if self.same_site == "None" and not self.secure:
            raise ConfigurationError("browsers drop a SameSite=None cookie that is not Secure; set secure=True")
        self._check_prefix()

    def _check_prefix(self) -> None:
        # draft-ietf-httpbis-rfc6265bis, section 4.1.3: what the prefixes promise, browsers enforce.
        name = (self.name or "").lower()
        if name.startswith(("__host-", "__secure-")) and not self.secure:
            raise ConfigurationError(f"browsers drop a cookie named {self.name} that is not Secure; set secure=True")
        if name.startswith("__host-"):
            if self.domain is not None or self.path not in (None, "/"):
                raise ConfigurationError("a __Host- cookie has path='/' and no domain")
            object.__setattr__(self, "path", "/")


@dataclass(frozen=True)
class CookieChange:
    """What to do with the browser's cookie: set `value` for `max_age` seconds (None: until it closes), or, with None
    as the value, make the browser drop it."""

    value: str | None
    max_age: int | None = None


REVOKE = CookieChange(None)


def overhead(name: str, attributes: Mapping[str, Any]) -> int:
    """Return the bytes of a Set-Cookie header besides the value: the name, the quotes, the attributes.

    >>> overhead("session", {"path": "/", "httponly": True, "domain": None})
    28
    """
    shown = [f"; {key}" if given is True else f"; {key}={given}" for key, given in attributes.items() if given]
    return len(f'{name}=""') + sum(len(text.encode()) for text in shown)


def check_size(value: str, overhead: int) -> None:
    """Raise CookieTooLarge if a browser would drop the cookie."""
    size = len(value) + overhead
    if size > MAX_COOKIE:
        raise CookieTooLarge(
            f"the session makes a cookie of {size} bytes, and browsers keep {MAX_COOKIE} (name and attributes "
            "counted); keep less in it, or use a store on the server"
        )


def uncacheable(cache_control: str | None) -> str:
    """Return Cache-Control for a response with the cookie: what was asked, but nothing a shared cache may store.

    >>> uncacheable("public, max-age=3600"), uncacheable(None)
    ('max-age=3600, private', 'private')
    """
    asked = [directive.strip() for directive in _DIRECTIVES(cache_control or "") if directive.strip()]
    kept = [
        directive for directive in asked if directive.lower().split("=")[0] not in ("public", "s-maxage", "private")
    ]
    if "no-store" not in [directive.lower() for directive in kept]:
        kept.append("private")
    return ", ".join(kept)


def vary_on_cookie(vary: str | None) -> str:
    """Return the Vary header with Cookie in it.

    >>> vary_on_cookie(None), vary_on_cookie("Accept"), vary_on_cookie("cookie"), vary_on_cookie("*")
    ('Cookie', 'Accept, Cookie', 'cookie', '*')
    """
    if not vary:
        return "Cookie"
    names = [name.strip() for name in vary.split(",") if name.strip()]
    if not {"*", "cookie"}.intersection(name.lower() for name in names):
        names.append("Cookie")
    return ", ".join(names)
