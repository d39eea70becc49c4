"""What a response tells caches: Cache-Control, and what some of them read before it (RFC 9213).

Headers are a dict by lower-case names.

>>> is_reusable({"cache-control": "no-store"}), is_reusable({"cache-control": "public"}), is_reusable({})
(False, True, True)
>>> kept_from_shared_caches({"cdn-cache-control": "max-age=600", "expires": "Thu, 01 Dec 2033 16:00:00 GMT"})
{'cache-control': 'private', 'cdn-cache-control': 'no-store'}
"""

import re
from collections.abc import Mapping

_DIRECTIVES = re.compile(r'(?:[^,"]|"[^"]*")+').findall  # commas in quotes part nothing
#: Headers for some shared caches alone, which go before Cache-Control there: CDN-Cache-Control and its like, too.
_TARGETED = ("-cache-control", "surrogate-control", "edge-control")
_NGINX = "x-accel-expires"
#: What says for how long a response is good, or lets us say later that it still is.
_SAYING = ("cache-control", "expires", "etag", "last-modified", _NGINX)


def directives(value: str | None) -> list[str]:
    """Return the directives of a Cache-Control header, as they are written."""
    return [directive.strip() for directive in _DIRECTIVES(value or "") if directive.strip()]


def is_about_caches(name: str) -> bool:
    """Tell whether a header (its name in small letters) has a say in whether a cache may show a response again."""
    return name in _SAYING or name.endswith(_TARGETED)


def is_reusable(headers: Mapping[str, str]) -> bool:
    """Tell whether a cache may keep the response, to show it again: after asking us, perhaps."""
    if any(_forbids_nothing(name, value) for name, value in headers.items()):
        return True
    return not _is_never_stored(_names(headers.get("cache-control")))


def kept_from_shared_caches(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers to set so that no shared cache stores the response."""
    closed = {"cache-control": uncacheable(headers.get("cache-control"))}
    for name in headers:
        if name.endswith(_TARGETED):
            closed[name] = "no-store"
        elif name == _NGINX:
            closed[name] = "0"
    return closed


def uncacheable(cache_control: str | None) -> str:
    """Return Cache-Control for a response with the cookie: what was asked, but nothing a shared cache may store.

    >>> uncacheable("public, max-age=3600"), uncacheable(None)
    ('max-age=3600, private', 'private')
    """
    kept = [asked for asked in directives(cache_control) if _name(asked) not in ("public", "s-maxage", "private")]
    if not _is_never_stored({directive.lower() for directive in kept}):
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


def _name(directive: str) -> str:
    return directive.partition("=")[0].strip().lower()


def _names(value: str | None) -> set[str]:
    """Return the directives that stand alone; `no-cache="Set-Cookie"` says less than `no-cache`."""
    return {directive.lower() for directive in directives(value) if "=" not in directive}


def _is_never_stored(asked: set[str]) -> bool:
    # Who understands the status code ignores a no-store beside must-understand (RFC 9111, section 5.2.2.3).
    return "no-store" in asked and "must-understand" not in asked


def _forbids_nothing(name: str, value: str) -> bool:
    if name == _NGINX:
        return value.strip() != "0"
    return name.endswith(_TARGETED) and not _is_never_stored(_names(value))
