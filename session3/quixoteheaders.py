"""What caches are told by Quixote's response, which adds a header of its own, or two, as it goes out."""

from collections.abc import Mapping
from typing import Any

from .caching import is_about_caches, is_reusable, kept_from_shared_caches, vary_on_cookie


def may_be_reused(response: Any) -> bool:
    """Tell whether a cache may show the response to somebody else."""
    # Quixote says "no-cache" then, and there is no validator by which a stored page could be called good again.
    is_default = response.cache is not None and response.cache <= 0
    if is_default and not any(is_about_caches(name.lower()) for name in response.headers):
        return False
    return is_reusable(_headers(response))


def _headers(response: Any) -> Mapping[str, str]:
    """Return the response's headers by lower-case names, with those for caches that Quixote will add."""
    headers = {name.lower(): str(value) for name, value in response.headers.items()}
    if response.cache is None or "expires" in headers or "cache-control" in headers:
        return headers
    if response.cache > 0:
        return {**headers, "cache-control": f"max-age={int(response.cache)}"}
    return {**headers, "cache-control": "max-age=0, no-cache", "expires": "-1"}


def keep_from_caches(response: Any) -> None:
    """Let no shared cache store the response."""
    headers = _headers(response)
    past = {"expires": "-1"} if headers.get("expires") == "-1" else {}
    _put(response, {**kept_from_shared_caches(headers), **past})


def look_again(response: Any, cookie_name: str) -> None:
    """Look once more as the headers go out, for what `Publisher.filter_output` says of caches after the request."""
    generate = response.generate_headers

    def generate_headers() -> Any:
        if cookie_name in response.cookies:
            keep_from_caches(response)
        if may_be_reused(response):
            vary(response)
        return generate()

    response.generate_headers = generate_headers


def vary(response: Any) -> None:
    """Let caches tell apart by the cookie who gets the response."""
    if response.headers:
        _put(response, {"vary": vary_on_cookie(_headers(response).get("vary"))})
    else:
        response.set_header("Vary", "Cookie")  # as most pages are


def _put(response: Any, headers: Mapping[str, str]) -> None:
    # What was written in capitals, past `set_header`, would go out, too.
    for name in [name for name in response.headers if name.lower() in headers]:
        del response.headers[name]
    for name, value in headers.items():
        response.set_header(name, value)
