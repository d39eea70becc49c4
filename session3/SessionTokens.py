"""The tokens of a session: one-time tokens of forms, and the one against cross-site request forgery."""

import hmac
import logging
import secrets
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

from .merge import merge_tokens
from .userkeys import UserKey

log = logging.getLogger("session3")

CSRF_TOKEN_NAME = "csrf_token"  # the form field that Quixote's own sessions look at
#: The headers that scripts send it in: Rails' name, which htmx's and axios's examples have, and Django's.
CSRF_HEADERS = ("HTTP_X_CSRF_TOKEN", "HTTP_X_CSRFTOKEN")
_BY_HEADER_ONLY = ("PUT", "PATCH", "DELETE")  # no form sends these
_NONE: frozenset[str] = frozenset()


class SessionTokens:
    """Base of Session, which keeps and merges them."""

    MAX_FORM_TOKENS = 32  # outstanding tokens; the oldest goes first

    _form_tokens: list[str]
    _csrf_token: str | None = None
    #: Others that are valid, too: of pages that were made at the same time, before one token was stored.
    _other_csrf_tokens: Iterable[str] = ()
    _used_tokens: tuple[str, ...] = ()  # in this request
    _is_closed = False

    # -- after the request -------------------------------------------------------------------------------------------

    def _close(self) -> None:
        """Called by the manager as the request has ended: what is changed from now on is kept by nobody."""
        attributes = self.__dict__
        attributes["_is_closed"] = True
        attributes.pop("modified", None)  # or to pop an item that is not there would seem to be a change

    def _warn_if_closed(self, what: str) -> None:
        if self._is_closed:
            self._is_closed = False  # once is enough
            log.warning("%r: %s after its request had ended, which nobody saves; do it in the page", self, what)

    @abstractmethod
    def _user_key(self) -> UserKey: ...

    # -- form tokens -------------------------------------------------------------------------------------------------

    def create_form_token(self) -> str:
        """Return a new one-time token for a form, and remember it."""
        self._warn_if_closed("a form token was made")
        token = secrets.token_hex(16)
        self._form_tokens.append(token)
        del self._form_tokens[: max(0, len(self._form_tokens) - self.MAX_FORM_TOKENS)]
        return token

    def has_form_token(self, token: str) -> bool:
        return token in self._form_tokens

    def remove_form_token(self, token: str) -> None:
        """Spend a token. ValueError if it is not there.

        When the same form is posted twice at the same time, both requests find the token; the one that finishes
        second gets FormTokenUsed, nothing of it is saved, and Quixote answers 409.
        """
        self._warn_if_closed("a form token was spent")
        self._form_tokens.remove(token)
        self._used_tokens += (token,)

    def _tokens(self) -> frozenset[str]:
        if not self._form_tokens and not self._csrf_token:
            return _NONE
        return frozenset([*self._form_tokens, *self._csrf_tokens()])

    def _forget_tokens(self, known: frozenset[str]) -> None:
        # Called by the manager when the user changed; tokens made since, for pages that are on their way, stay.
        self._form_tokens = [token for token in self._form_tokens if token not in known]
        self._set_csrf_tokens([token for token in self._csrf_tokens() if token not in known])

    # -- tokens against cross-site request forgery -------------------------------------------------------------------

    def get_csrf_token(self) -> str:
        """Return the session's token for a hidden form field; made at the first call."""
        if self._csrf_token is None:
            self._warn_if_closed("a CSRF token was made")
            self._set_csrf_tokens([secrets.token_hex(16)])
        return self._csrf_token  # type: ignore[return-value]

    def is_csrf_token(self, value: object) -> bool:
        """Tell whether this is a token of the session, in a time that tells nothing; False before it has one."""
        if not isinstance(value, str):
            return False
        given = value.encode("utf-8", "surrogatepass")
        return any(hmac.compare_digest(given, token.encode()) for token in self._csrf_tokens())

    def valid_csrf_token(self, name: str | None = None) -> bool:
        """Tell whether Quixote's current request is one that changes something, and brings this session's token.

        A POST has it in the field `name`, or as a PUT, a PATCH and a DELETE have, in one of the headers X-CSRF-Token
        and X-CSRFToken, which no other site's page can add.
        """
        from quixote import get_param, get_request

        request = get_request()
        method = request.get_method()
        if method != "POST" and method not in _BY_HEADER_ONLY:
            return False
        brought = [request.get_environ(header) for header in CSRF_HEADERS]
        if method == "POST":
            brought.append(get_param(name or CSRF_TOKEN_NAME, None))
        return any(map(self.is_csrf_token, brought))

    def _csrf_tokens(self) -> list[str]:
        """Return the valid ones, the one that pages are given first."""
        return [self._csrf_token, *self._other_csrf_tokens] if self._csrf_token else []

    def _set_csrf_tokens(self, tokens: list[str]) -> None:
        self._csrf_token = tokens[0] if tokens else None
        if tokens[1:]:
            self._other_csrf_tokens = tokens[1 : self.MAX_FORM_TOKENS]
        else:
            self.__dict__.pop("_other_csrf_tokens", None)  # as in a session of an earlier version

    def _merge_csrf_tokens(self, base: Any, mine: Any, theirs: Any) -> None:
        """Keep the tokens that both requests made, unless another user than the merged session's had them."""
        user = self._user_key()
        ours, others = [each._csrf_tokens() if each._user_key() == user else None for each in (mine, theirs)]
        if ours is not None and others is not None:
            self._set_csrf_tokens(merge_tokens(base._csrf_tokens(), ours, others))
        else:
            self._set_csrf_tokens(ours or others or [])
