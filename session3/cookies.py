"""What the session cookie looks like.

>>> CookieOptions(name="__Host-session", secure=True)
CookieOptions(name='__Host-session', path='/', domain=None, secure=True, http_only=True, same_site='Lax')
>>> CookieOptions(same_site="None")
Traceback (most recent call last):
    ...
session3.errors.ConfigurationError: browsers drop a SameSite=None cookie that is not Secure; set secure=True
"""

import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .caching import uncacheable as uncacheable
from .caching import vary_on_cookie as vary_on_cookie
from .cookierules import domain_fault, name_fault, path_fault
from .errors import ConfigurationError, CookieTooLarge

SameSite = Literal["Lax", "Strict", "None"]

#: Bytes of a cookie, name, value and attributes counted, that every browser keeps; a larger one is dropped silently.
MAX_COOKIE = 4093

#: Seconds that browsers keep a cookie at most, whatever it says (draft-ietf-httpbis-rfc6265bis, section 5.5): 400 days.
MAX_AGE = 400 * 86400
_ESCAPED = re.compile(r"\\(.)").sub
_STEP = 86400.0  # seconds between two refreshes of a cookie that its session is to outlive

#: Values of our name that are looked up in one request; each costs a read.
MAX_VALUES = 5


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
        self._check("name", self.name, name_fault)
        self._check("path", self.path, path_fault)
        self._check("domain", self.domain, domain_fault)
        if not isinstance(self.secure, bool | None):
            raise ConfigurationError(f"secure is True, False or None, not {self.secure!r}")
        if not isinstance(self.http_only, bool):
            raise ConfigurationError(f"http_only is True or False, not {self.http_only!r}")
        if self.same_site not in ("Lax", "Strict", "None", None):
            raise ConfigurationError(f'same_site is "Lax", "Strict", "None" or None, not {self.same_site!r}')
        if self.same_site == "None" and not self.secure:
            raise ConfigurationError("browsers drop a SameSite=None cookie that is not Secure; set secure=True")
        self._check_prefix()

    @staticmethod
    def _check(what: str, value: object, fault: Callable[[object], str | None]) -> None:
        why = None if value is None else fault(value)
        if why is not None:
            kind = "name" if what == "name" else "path or domain"
            raise ConfigurationError(f"{what}={value!r} can't be a cookie's {kind}: {why}")

    def _check_prefix(self) -> None:
        # draft-ietf-httpbis-rfc6265bis, section 4.1.3: what the prefixes promise, browsers enforce.
        name = (self.name or "").lower()
        if name.startswith(("__host-", "__secure-", "__http-")) and not self.secure:
            raise ConfigurationError(f"browsers drop a cookie named {self.name} that is not Secure; set secure=True")
        if name.startswith(("__http-", "__host-http-")) and not self.http_only:
            raise ConfigurationError(f"browsers drop a cookie named {self.name} that is not HttpOnly")
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


def values_of(header: str, name: str) -> list[str]:
    """Return the values of a name in a request's Cookie header, in order; empty ones are none.

    Browsers send the cookie of the longer path first (RFC 6265, section 5.4); one that somebody else planted may come
    before ours. To them quotes are part of a value, and no semicolon is.

    >>> values_of('a=1; session="abc"; b="; session=def; session=', "session")
    ['abc', 'def']
    """
    values = []
    if name in header:
        for pair in header.split(";"):
            key, _, value = pair.partition("=")
            if key == name or key.strip(" \t") == name:
                value = value.strip(" \t")
                value = _unquoted(value) if value[:1] == '"' else value
                if value:
                    values.append(value)
    return values


def candidates(values: str | Iterable[str], accepts: Callable[[str], bool]) -> list[str]:
    """Return the values that are to be looked up, in order: none twice, none that can't be an id, and not too many."""
    values = [values] if isinstance(values, str) else dict.fromkeys(values)
    return list(itertools.islice((value for value in values if value and accepts(value)), MAX_VALUES))


def _unquoted(value: str) -> str:
    if len(value) < 2 or value[-1] != '"':
        return value
    return _ESCAPED(r"\1", value[1:-1]) if "\\" in value else value[1:-1]


def kept_until(expires: float, at: float) -> float:
    """Return until when (at the earliest) a browser keeps a cookie that was last set when its session was used `at`.

    It moves once a day, so that a session that lives for longer than any cookie has it set again.
    """
    return min(expires, at - at % _STEP + MAX_AGE)
