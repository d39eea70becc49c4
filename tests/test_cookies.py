"""What the session cookie looks like, and what its response may be told to caches."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session3.cookies import REVOKE, CookieChange, CookieOptions, uncacheable, vary_on_cookie
from session3.errors import ConfigurationError


def test_the_defaults_are_the_safe_ones() -> None:
    options = CookieOptions()
    assert options.http_only and options.same_site == "Lax" and options.domain is None
    assert options.name is None and options.path is None and options.secure is None


@pytest.mark.parametrize("name", ["session", "__Host", "a-b.c_d", "!#$%&'*+.^_`|~", "x" * 100])
def test_a_token_can_be_a_name(name: str) -> None:
    assert CookieOptions(name=name).name == name


@pytest.mark.parametrize("name", ["", "a b", "a;b", "a=b", "a,b", "a\n", "\0", '"a"', "naïve", "a\tb", "(a)"])
def test_what_is_no_token_can_not(name: str) -> None:
    with pytest.raises(ConfigurationError, match="name"):
        CookieOptions(name=name)


@pytest.mark.parametrize("text", ["/; Secure", "/\r\nSet-Cookie: x=y", "/\0", "/\x7f"])
@pytest.mark.parametrize("option", ["path", "domain"])
def test_path_and_domain_cannot_add_attributes_or_headers(option: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match="path or domain"):
        CookieOptions(**{option: text})  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["lax", "NONE", "", "Lax; Secure", True])
def test_same_site_is_one_of_three_words_or_none(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="same_site"):
        CookieOptions(same_site=value)


@pytest.mark.parametrize("secure", [None, False])
def test_same_site_none_needs_secure(secure: bool | None) -> None:
    with pytest.raises(ConfigurationError, match="secure=True"):
        CookieOptions(same_site="None", secure=secure)
    assert CookieOptions(same_site="None", secure=True).same_site == "None"
    assert CookieOptions(same_site=None).same_site is None


@pytest.mark.parametrize("prefix", ["__Host-", "__Secure-", "__host-", "__SECURE-"])
@pytest.mark.parametrize("secure", [None, False])
def test_a_prefixed_name_needs_secure(prefix: str, secure: bool | None) -> None:
    with pytest.raises(ConfigurationError, match="secure=True"):
        CookieOptions(name=prefix + "session", secure=secure)
    assert CookieOptions(name=prefix + "session", secure=True).name == prefix + "session"


def test_a_host_cookie_has_the_root_path_and_no_domain() -> None:
    assert CookieOptions(name="__Host-session", secure=True).path == "/"
    assert CookieOptions(name="__Host-session", secure=True, path="/").path == "/"
    for options in ({"path": "/app"}, {"domain": "example.org"}):
        with pytest.raises(ConfigurationError, match="__Host-"):
            CookieOptions(name="__Host-session", secure=True, **options)  # type: ignore[arg-type]


def test_a_secure_cookie_may_have_path_and_domain() -> None:
    options = CookieOptions(name="__Secure-session", secure=True, path="/app", domain="example.org")
    assert (options.path, options.domain) == ("/app", "example.org")


def test_options_are_a_value_that_cannot_change() -> None:
    assert CookieOptions(name="s") == CookieOptions(name="s")
    with pytest.raises(AttributeError):
        CookieOptions().secure = False  # type: ignore[misc]


def test_revoking_is_a_change_without_a_value() -> None:
    assert CookieChange(None) == REVOKE and REVOKE.value is None


# -- headers ---------------------------------------------------------------------------------------------------------

DIRECTIVES = ["public", "private", "no-store", "no-cache", "max-age=60", "s-maxage=60", "must-revalidate", "Public"]


@given(st.lists(st.sampled_from(DIRECTIVES), unique=True))
def test_no_shared_cache_may_store_the_response(directives: list[str]) -> None:
    found = uncacheable(", ".join(directives)).split(", ")
    assert "private" in found or "no-store" in found
    assert not {"public", "s-maxage=60", "Public"}.intersection(found)
    kept = [
        directive for directive in directives if directive in ("no-store", "no-cache", "max-age=60", "must-revalidate")
    ]
    assert [directive for directive in found if directive != "private"] == kept


@pytest.mark.parametrize("asked", [None, "", " , ", "private", "PRIVATE", "public", 'private="X-Header"', "S-MaxAge=5"])
def test_what_says_less_than_private_becomes_private(asked: str | None) -> None:
    assert uncacheable(asked) == "private"


def test_a_list_of_headers_in_quotes_does_not_fall_apart() -> None:
    assert uncacheable('private="X-One, X-Two", max-age=5') == "max-age=5, private"


@pytest.mark.parametrize(
    ("vary", "expected"),
    [
        (None, "Cookie"),
        ("", "Cookie"),
        ("Accept", "Accept, Cookie"),
        ("Accept,Cookie", "Accept, Cookie"),
        ("COOKIE", "COOKIE"),
        ("Cookie2", "Cookie2, Cookie"),
        ("*", "*"),
    ],
)
def test_vary_names_the_cookie_once(vary: str | None, expected: str) -> None:
    assert vary_on_cookie(vary) == expected
    assert vary_on_cookie(expected) == expected
