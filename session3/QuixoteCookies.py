"""The session cookie in Quixote's request and response."""

import functools
import logging
import sys
from collections.abc import Mapping
from typing import Any

from .cookierules import domain_fault, name_fault, path_fault, path_of, value_fault
from .cookies import MAX_AGE, REVOKE, CookieChange, CookieOptions, candidates, overhead, values_of
from .errors import ConfigurationError, VisitFinished
from .forwarded import came_by_https
from .quixoteheaders import keep_from_caches, vary
from .SessionMapping import SessionMapping
from .Visit import Visit

log = logging.getLogger("session3")

#: The attribute of Quixote's request that holds our visit.
VISIT = "session3_visit"
#: And the one that says that the request's cookie is to be seen no more.
_HIDDEN = "session3_cookie_hidden"

#: Reserved for what an unknown framework chooses.
_SOME_NAME, _SOME_PATH = "n" * 32, "/" * 32
_LONG_AGO = "Thu, 01 Jan 1970 00:00:00 GMT"


class QuixoteCookies(SessionMapping):
    """Reads the cookie when a request starts; writes it when it ends, by the options of the manager and of Quixote."""

    cookie: CookieOptions
    trust_forwarded_proto: bool
    _checked: Any = None  # the configuration of Quixote's that was found good

    def has_session_cookie(self, must_exist: bool = False) -> bool:
        """Tell whether the request came with a session cookie; with `must_exist`, whether it names a live session."""
        values = self._arrived()[0]
        if values is None or not must_exist:
            return values is not None
        return any(map(self.has_session, candidates(values, self.store.accepts_cookie)))

    def set_session_cookie(self, session_id: str, **attributes: Any) -> str:
        """Set the session cookie, with these attributes besides the options' own; return its name.

        Asked when a request ends. What an application asks earlier is done then too, unless the manager has to set
        or revoke the cookie itself. ValueError for what would add attributes or headers of its own.
        """
        _check(session_id, attributes)
        visit = self._visit_in_time()
        if visit is not None and not visit.is_finished:
            visit.asked = CookieChange(session_id)
            visit.asked_attributes = attributes
        else:
            self._set_cookie(session_id, **attributes)
        return self._cookie_name()

    def revoke_session_cookie(self) -> None:
        """Make the browser drop the session cookie, and hide it from the rest of the request."""
        visit = self._visit_in_time()
        if visit is not None and not visit.is_finished:
            visit.asked = REVOKE
        else:
            self.set_session_cookie("", max_age=0, expires=_LONG_AGO)
        self._hide_cookie()

    def _visit_in_time(self) -> Visit | None:
        """Return the current visit. Raises VisitFinished in a stream, which is read when the headers are out."""
        from quixote import get_request

        if get_request() is None:
            raise VisitFinished("there is no request, or its headers are out, so that no cookie can be set")
        return current_visit()

    # -- cookies -----------------------------------------------------------------------------------------------------

    def _get_session_id(self, config: Any) -> str | None:
        """Return the session cookie's value in the current request, the first one of several, or None."""
        values = self._cookie_values(self.cookie.name or config.session_cookie_name)
        return values[0] if values else None

    def _cookie_values(self, name: str) -> list[str]:
        import quixote  # not a name from it: that costs a microsecond more, in each request

        request = quixote.get_request()
        header, cookies = request.environ.get("HTTP_COOKIE"), request.cookies
        if not header and not cookies:
            return []
        given, values = cookies.get(name), values_of(header or "", name)
        if given in values or not (given or values):
            return values
        # Either the application wrote into Quixote's dict, or hid the cookie there, or Quixote read something else.
        if given is None and hasattr(request, _HIDDEN):
            return []
        as_read = quixote.http_request.parse_cookies(header or "").get(name)
        return values if given == as_read else [given] if given else []

    def _set_cookie(self, value: str, **attributes: Any) -> None:
        from quixote import get_response

        name, cookies = self._cookie_name(), get_response().cookies
        # Quixote keeps the attributes of a cookie that is set twice, and prints those that are false.
        cookies.pop(name, None)
        attributes = {**self._cookie_attributes(), **attributes}
        get_response().set_cookie(name, value, **{key: given for key, given in attributes.items() if given})
        if "max_age" in attributes:
            cookies[name]["max_age"] = attributes["max_age"]  # 0 has a meaning
        if attributes.get("secure") and not self._is_https():
            _warn_of_http()
        keep_from_caches(get_response())
        vary(get_response())

    def _cookie_name(self) -> str:
        from quixote import get_publisher

        name: str = self.cookie.name or get_publisher().config.session_cookie_name
        return name

    def _cookie_attributes(self) -> dict[str, Any]:
        from quixote import get_publisher, get_request

        config, options = get_publisher().config, self.cookie
        root = path_of(get_request().get_environ("SCRIPT_NAME", ""))
        secure = self._is_https() if options.secure is None else options.secure
        # What browsers ask of a prefix; the name may be Quixote's setting.
        prefix = self._cookie_name().lower()
        http_only = options.http_only or prefix.startswith(("__http-", "__host-http-"))
        if prefix.startswith("__host-"):
            return {"path": "/", "secure": True, "httponly": http_only, "samesite": options.same_site}
        return {
            "path": options.path or config.session_cookie_path or root,
            "domain": options.domain or config.session_cookie_domain,
            # Quixote's flags are off by default, which can't be told from switched off: they only switch on.
            "secure": secure
            or prefix.startswith(("__secure-", "__http-"))
            or (options.secure is None and config.session_cookie_secure),
            "httponly": http_only,
            "samesite": options.same_site,
        }

    def _cookie_overhead(self) -> int:
        """Return the bytes that the cookie has besides its value."""
        lifetime = {"max_age": MAX_AGE}
        if current_visit() is not None:
            return overhead(self._cookie_name(), {**self._cookie_attributes(), **lifetime})
        # Set by a framework that we don't know, which may choose the name and the path, and says the lifetime twice.
        options = self.cookie
        flags = {"path": options.path or _SOME_PATH, "secure": True, "httponly": options.http_only}
        others = {"domain": options.domain, "samesite": options.same_site, "expires": _LONG_AGO}
        return overhead(options.name or _SOME_NAME, {**flags, **others, **lifetime})

    def _is_https(self) -> bool:
        from quixote import get_request

        request = get_request()
        said = request.get_environ("HTTP_FORWARDED", ""), request.get_environ("HTTP_X_FORWARDED_PROTO", "")
        if self.trust_forwarded_proto and came_by_https(*said):
            return True
        # Quixote looks at HTTPS and SERVER_PORT_SECURE; what a WSGI server has to say is this (PEP 3333).
        return "https" in (request.get_scheme(), request.get_environ("wsgi.url_scheme"))

    def _hide_cookie(self) -> None:
        from quixote import get_request

        request = get_request()
        request.cookies.pop(self._cookie_name(), None)
        setattr(request, _HIDDEN, True)

    def _visit_of_request(self) -> Visit:
        values, remote_address = self._arrived()
        return Visit.of(candidates(values or (), self.store.accepts_cookie), remote_address)

    def _arrived(self) -> tuple[str | list[str] | None, str | None]:
        """Return the session cookie's value, or its values, and the remote address of Quixote's current request."""
        import quixote

        config, environ = quixote.get_publisher().config, quixote.get_request().environ
        if config is not self._checked:
            _check_settings(config)
            self._checked = config
        value, remote_address = self._get_session_id(config), environ.get("REMOTE_ADDR")
        if value is None:
            return None, remote_address
        name = self.cookie.name or config.session_cookie_name
        if environ.get("HTTP_COOKIE", "").count(name) < 2:
            return value, remote_address
        values = self._cookie_values(name)
        # An override of `_get_session_id` may have another opinion.
        return (values if values[:1] == [value] else value), remote_address


def current_visit() -> Visit | None:
    """Return the visit of Quixote's current request, or None outside of one."""
    quixote = sys.modules.get("quixote")  # where nobody has imported it, there is no request
    publisher = None if quixote is None else quixote.get_publisher()
    request = None if publisher is None else publisher.get_request()
    return getattr(request, VISIT, None)


def _check_settings(config: Any) -> None:
    """Raise ConfigurationError for settings of Quixote with which no browser keeps a cookie."""
    for setting, fault in (("name", name_fault), ("path", path_fault), ("domain", domain_fault)):
        text = getattr(config, f"session_cookie_{setting}")
        why = fault(text) if text else None
        if why is not None:
            raise ConfigurationError(f"Quixote's session_cookie_{setting} = {text!r} can't be a cookie's: {why}")


@functools.cache  # once in a process
def _warn_of_http() -> None:
    log.warning(
        "the session cookie is Secure, and the request came by http: browsers drop it. Behind a proxy that speaks "
        "https, let it send Forwarded or X-Forwarded-Proto, and set trust_forwarded_proto=True"
    )


def _check(value: str, attributes: Mapping[str, Any]) -> None:
    path, domain = attributes.get("path"), attributes.get("domain")
    faults = ("value", value, value_fault), ("path", path, path_fault), ("domain", domain, domain_fault)
    for what, text, fault in faults:
        why = fault(text) if text else None
        if why is not None:
            raise ConfigurationError(f"a session cookie can't have the {what} that was given: {why}")
