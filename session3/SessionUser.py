"""The user of a session, and what tells him from others."""

from typing import Any

from .SessionTokens import SessionTokens
from .userkeys import FailingId, UserKey, digest_of, key_of, key_text, names_class_of, value_of


class SessionUser(SessionTokens):
    """Base of Session. `user` is whatever the application says; None: nobody is logged in."""

    user: Any = None
    #: The user whose key was asked for last, that key, and whether it is good for more than this very object.
    _known_user: tuple[Any, UserKey, bool] | None = None

    def start_request(self) -> None:
        """Called as a request of Quixote's starts: tells the rest of the application who the user is.

        REMOTE_USER is `str(user)`, its control characters escaped; of a user that has no text it is his key.
        """
        if self.user is not None:
            import quixote

            quixote.get_request().environ["REMOTE_USER"] = self._user_text()

    def set_user(self, user: Any) -> None:
        """Set the user; with another user comes another CSRF token."""
        self._warn_if_closed("its user was set")
        before, self.user = self._user_key(), user
        if self._user_key() != before:
            self._set_csrf_tokens([])

    def get_user(self) -> Any:
        return self.user

    def get_user_key(self) -> UserKey:
        """Return what tells this user from others.

        A plain str or int is itself (a str that could be taken for another user's key is written as `str('...')`).
        Any other user is his class and his `.id` ("shop.models.Customer(7)"); without an id that has a stable text,
        what he holds, as bytes. An id that can't be read is none, and never makes the same object another user.
        """
        user = self.user
        if user is None:
            return None
        kind = type(user)
        if kind is str and user[-1:] != ")":
            return user  # type: ignore[no-any-return]  # as `key_of` says; asked twice in each request
        if kind is str or kind is int:
            return key_of(user)
        known = self._known_user
        if known is not None and known[0] is not user:
            known = None
        try:
            if known is not None and not known[2]:
                return known[1]
            self._known_user = (user, key_of(user), True)
        except FailingId:
            self._known_user = known or (user, digest_of(user), False)
        return self._known_user[1]

    def _user_key(self) -> UserKey:
        key = self.get_user_key()
        return key if key is None or type(key) in (str, int) else value_of(key)  # an override may return anything

    def _know_user_as(self, stored: str) -> None:
        """Let the user of a session that was just loaded be whom its record says, as long as his id can't be read."""
        if type(self.user) is not int and names_class_of(stored, self.user):
            self._known_user = (self.user, stored, True)

    def _user_text(self) -> str:
        try:
            text = str(self.user)
        except Exception:  # whatever a user's own code raises
            text = str(key_text(self._user_key()))
        if text.isprintable():
            return text
        return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)

    def _know_user_of(self, other: "SessionUser") -> None:
        if self.user is other.user:
            self._known_user = other._known_user
