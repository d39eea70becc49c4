"""The tokens of a session: one-time tokens of forms, and the one against cross-site request forgery."""

import hmac
import secrets

CSRF_TOKEN_NAME = "csrf_token"  # the form field that Quixote's own sessions look at
_NONE: frozenset[str] = frozenset()


class SessionTokens:
    """Base of Session, which keeps and merges them."""

    MAX_FORM_TOKENS = 32  # outstanding tokens; the oldest goes first

    _form_tokens: list[str]
    _csrf_token: str | None = None
    _used_tokens: tuple[str, ...] = ()  # in this request

    # -- form tokens -------------------------------------------------------------------------------------------------

    def create_form_token(self) -> str:
        """Return a new one-time token for a form, and remember it."""
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
        self._form_tokens.remove(token)
        self._used_tokens += (token,)

    def _tokens(self) -> frozenset[str]:
        if not self._form_tokens and not self._csrf_token:
            return _NONE
        return frozenset([*self._form_tokens, *([self._csrf_token] if self._csrf_token else [])])

    def _forget_tokens(self, known: frozenset[str]) -> None:
        # Called by the manager when the user changed; tokens made since, for pages that are on their way, stay.
        self._form_tokens = [token for token in self._form_tokens if token not in known]
        if self._csrf_token in known:
            self._csrf_token = None

    # -- tokens against cross-site request forgery -------------------------------------------------------------------

    def get_csrf_token(self) -> str:
        """Return the session's token for a hidden form field; made at the first call."""
        if self._csrf_token is None:
            self._csrf_token = secrets.token_hex(16)
        return self._csrf_token

    def valid_csrf_token(self, name: str | None = None) -> bool:
        """Tell whether Quixote's current request is a POST with this session's token in the field `name`."""
        from quixote import get_param, get_request

        if get_request().get_method() != "POST":
            return False
        value = get_param(name or CSRF_TOKEN_NAME, None)
        if not isinstance(value, str) or not value or self._csrf_token is None:
            return False
        return hmac.compare_digest(value.encode("utf-8", "surrogatepass"), self._csrf_token.encode())
