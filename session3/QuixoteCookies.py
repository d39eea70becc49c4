"""The session cookie in Quixote's request and response."""

import sys
from typing import Any

from .cookies import REVOKE, CookieChange, CookieOptions, overhead
from .SessionMapping import SessionMapping
from .Visit import Visit

#: The attribute of Quixote's request that holds our visit.
VISIT = "session3_visit"

_LONG_AGO = "Thu, 01 Jan 1970 00:00:00 GMT"


class QuixoteCookies(SessionMapping):
    """Reads the cookie when a request starts; writes it when it ends, by the options of the manager and of Quixote."""

    cookie: CookieOptions
    trust_forwarded_proto: bool

    def has_session_cookie(self, must_exist: bool = False) -> bool:
        """Tell whether the request came with a session cookie; with `must_exist`, whether it names a live session."""
        from quixote import get_publisher

        id = self._get_session_id(get_publisher().config)
        if id is None or not must_exist:
            return id is not None
        return self.store.accepts_cookie(id) and self.has_session(id)

    def set_session_cookie(self, session_id: str, **attributes: Any) -> str:
        """Set the session cookie, with these attributes besides the options' own; return its name.

        Asked when a request ends. What an application asks earlier is done then too, unless the manager has to set
        or revoke the cookie itself.
        """
        visit = current_visit()
        if visit is not None and not visit.is_finished:
            visit.asked = CookieChange(session_id)
            visit.asked_attributes = attributes
        else:
            self._set_cookie(session_id, **attributes)
        return self._cookie_name()

    def revoke_session_cookie(self) -> None:
        """Make the browser drop the session cookie, and hide it from the rest of the request."""
        visit = current_visit()
        if visit is not None and not visit.is_finished:
            visit.asked = REVOKE
        else:
            self.set_session_cookie("", max_age=0, expires=_LONG_AGO)
        self._hide_cookie()

    # -- cookies -----------------------------------------------------------------------------------------------------

    def _get_session_id(self, config: Any) -> str | None:
        """Return the session cookie's value in the current request, or None."""
        import quixote  # not a name from it: that costs a microsecond more, in each request

        return quixote.get_cookie(self.cookie.name or config.session_cookie_name) or None

    def _set_cookie(self, value: str, **attributes: Any) -> None:
        from quixote import get_response

        name, cookies = self._cookie_name(), get_response().cookies
        # Quixote keeps the attributes of a cookie that is set twice, and prints those that are false.
        cookies.pop(name, None)
        attributes = {**self._cookie_attributes(), **attributes}
        get_response().set_cookie(name, value, **{key: given for key, given in attributes.items() if given})
        if "max_age" in attributes:
            cookies[name]["max_age"] = attributes["max_age"]  # 0 has a meaning

    def _cookie_name(self) -> str:
        from quixote import get_publisher

        name: str = self.cookie.name or get_publisher().config.session_cookie_name
        return name

    def _cookie_attributes(self) -> dict[str, Any]:
        from quixote import get_publisher, get_request

        config, options = get_publisher().config, self.cookie
        root = get_request().get_environ("SCRIPT_NAME", "").rstrip("/") + "/"
        secure = self._is_https() if options.secure is None else options.secure
        prefix = self._cookie_name().lower()
        if prefix.startswith("__host-"):
            # What browsers ask of the prefix; the name may be Quixote's setting.
            return {"path": "/", "secure": True, "httponly": options.http_only, "samesite": options.same_site}
        return {
            "path": options.path or config.session_cookie_path or root,
            "domain": options.domain or config.session_cookie_domain,
            # Quixote's flags are off by default, which can't be told from switched off: they only switch on.
            "secure": secure
            or prefix.startswith("__secure-")
            or (options.secure is None and config.session_cookie_secure),
            "httponly": options.http_only,
            "samesite": options.same_site,
        }

    def _cookie_overhead(self) -> int:
        """Return the bytes that the cookie has besides its value."""
        lifetime = {"max_age": 10**9}
        if current_visit() is None:
            options = self.cookie
            flags = {"path": options.path or "/", "secure": True, "httponly": options.http_only}
            others = {"domain": options.domain, "samesite": options.same_site}
            return overhead(options.name or "session", {**flags, **others, **lifetime})
        return overhead(self._cookie_name(), {**self._cookie_attributes(), **lifetime})

    def _is_https(self) -> bool:
        from quixote import get_request

        request = get_request()
        if self.trust_forwarded_proto:
            # Of several proxies the first one is the one that the browser talked to.
            first = request.get_header("X-Forwarded-Proto", "").partition(",")[0]
            if first.strip().lower() == "https":
                return True
        # Quixote looks at HTTPS and SERVER_PORT_SECURE; what a WSGI server has to say is this (PEP 3333).
        return "https" in (request.get_scheme(), request.get_environ("wsgi.url_scheme"))

    def _hide_cookie(self) -> None:
        from quixote import get_request

        get_request().cookies.pop(self._cookie_name(), None)

    def _visit_of_request(self) -> Visit:
        return Visit(*self._arrived())

    def _arrived(self) -> tuple[str | None, str | None]:
        """Return the session cookie's value and the remote address of Quixote's current request."""
        import quixote

        value = self._get_session_id(quixote.get_publisher().config)
        return value, quixote.get_request().get_environ("REMOTE_ADDR")


def current_visit() -> Visit | None:
    """Return the visit of Quixote's current request, or None outside of one."""
    quixote = sys.modules.get("quixote")  # where nobody has imported it, there is no request
    publisher = None if quixote is None else quixote.get_publisher()
    request = None if publisher is None else publisher.get_request()
    return getattr(request, VISIT, None)
