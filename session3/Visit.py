"""One request's dealings with its session."""

from collections.abc import Mapping, Sequence
from typing import Any

from .cookies import CookieChange
from .errors import VisitFinished
from .expiry import KeptExpiry
from .Session import Session

#: What a request decides that must not touch the browser's cookie, not even as the application asked: its session was
#: deleted, or moved, by another one, and the browser may hold a newer cookie. (None: there is nothing to decide.)
LEAVE = CookieChange(None, -1)


class Visit:
    """Kept with the request from `SessionManager.begin` to `finish` or `abort`; decisions wait here until then.

    `session` is the application's to read, change, replace, or set to None.
    """

    # Class-level defaults: one is made in each request, and most requests change few of them.
    session: Session | None = None
    #: The session that the store had, as it was found; what the application replaces `session` with is not it.
    loaded: Session | None = None
    #: The id that it was found under; an application may take it off, to get another one.
    loaded_id: str | None = None
    #: The last id that this request made for it.
    made_id: str | None = None
    user_key: str | int | bytes | None = None
    #: When the request came, by the store's clock.
    began = 0.0
    #: When the browser is to drop the cookie that it has, at the earliest; None: as it closes.
    expires: float | None = None
    #: When a session without a snapshot was last used, before this request.
    used: float | None = None
    #: What the session said of its own expiry, as session3.expiry keeps it.
    kept_expiry: KeptExpiry = None
    tokens: frozenset[str] = frozenset()

    #: Sessions that the application ended; deleted when the request has succeeded.
    ended: tuple[Session, ...] = ()
    cycle = False
    grace: float | None = None
    #: What the application itself asked to be done with the cookie.
    asked: CookieChange | None = None
    asked_attributes: Mapping[str, Any] = {}
    is_finished = False
    #: Finished to the end, or aborted; what is asked by hooks of `finish` is in time.
    is_closed = False
    #: Further values of the session cookie's name, that were not looked up, or led nowhere as `cookie_value` did.
    others: Sequence[str] = ()
    #: The store could not be reached: the session is not the visitor's own, and is not saved.
    is_anonymous = False

    def __init__(self, cookie_value: str | None, remote_address: str | None) -> None:
        self.cookie_value = cookie_value
        self.remote_address = remote_address

    @classmethod
    def of(cls, values: Sequence[str], remote_address: str | None) -> "Visit":
        """Return the visit of a request that came with several values of the session cookie's name, or with none."""
        visit = cls(values[0] if values else None, remote_address)
        visit.others = values[1:]
        return visit

    def came_with(self, id: str | None) -> bool:
        """Tell whether an id is in one of the request's cookies."""
        return id == self.cookie_value or id in self.others

    def end_session(self) -> None:
        """Log out: the session is deleted, and the cookie revoked, when the request succeeds.

        Raises VisitFinished after `finish` or `abort`.
        """
        self._check_open("nobody was logged out")
        if self.session is not None:
            if self.session is self.loaded and self.session.id is None:
                self.session.id = self.loaded_id  # which is what is to end
            self.ended += (self.session,)
            self.session = None

    def cycle_session(self, grace: float) -> None:
        """Give the session a new id when the request succeeds; for `grace` seconds the old one leads there too.

        Raises VisitFinished after `finish` or `abort`.
        """
        self._check_open("the session keeps its id")
        self.cycle = True
        self.grace = grace

    def last_use_of(self, session: Session) -> float:
        """Return when a loaded session was last used before this request."""
        if session._snapshot is not None:
            used: float = session._snapshot.accessed
            return used
        return session._access_time if self.used is None else self.used

    def _check_open(self, so: str) -> None:
        if self.is_closed:
            raise VisitFinished(f"the request has ended, so {so}; do it before `finish`, in a page and not around it")


def is_later_state(session: Session, other: Session) -> bool:
    """Tell whether two sessions, each from a cookie that holds it, are one, and the first has the later state."""
    if session._snapshot is None or other._snapshot is None or session._creation_time != other._creation_time:
        return False
    return bool(session._snapshot.accessed > other._snapshot.accessed)
