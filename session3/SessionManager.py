"""The session manager: turns a request's cookie into a session, and the finished session into a record and a cookie.

>>> from session3.DictSession import DictSession
>>> from session3.store.VolatileSessionStore import VolatileSessionStore
>>> manager = SessionManager(VolatileSessionStore(), DictSession)
>>> visit = manager.begin(None)
>>> visit.session["cart"] = ["tea"]
>>> cookie = manager.finish(visit)
>>> manager.begin(cookie.value).session["cart"]
['tea']

`begin`, `finish` and `abort` know no framework; Quixote's hooks are in the base class QuixoteHooks. A manager holds no
state of a request, and is as safe for threads and processes as its store.
"""

import logging
import math
from contextvars import ContextVar
from typing import Any

from . import ids
from .cookies import REVOKE, CookieChange, CookieOptions
from .errors import ConfigurationError, SessionConflict, SessionDeleted
from .QuixoteHooks import QuixoteHooks
from .Session import Session
from .store.SessionStore import SessionStore
from .Visit import Visit

log = logging.getLogger("session3")

_MAX_IDS = 10  # ids to try for a new session; one more than one is already a broken random source or store

#: The visit that `get_session` serves while `begin` runs; a context variable, since the manager holds no request.
_beginning: ContextVar[Visit | None] = ContextVar("session3_beginning", default=None)


class SessionManager(QuixoteHooks):
    """Policy of a site's sessions. Subclass it and override what should be otherwise; overrides are honoured.

    `idle_timeout` (seconds): a session ends when it was not used for so long. `absolute_timeout` (seconds): a session
    ends so long after it was created. `rotate_on_login`: a session whose user changes gets a new id, so that an id
    stolen or planted before is worthless. `cookie`: see CookieOptions. `trust_forwarded_proto`: believe the
    X-Forwarded-Proto header when it says https; only behind a proxy that sets it. Time is the store's `clock`.
    """

    #: Seconds between two updates of a session's access time; with an idle timeout at most a twentieth of it.
    ACCESS_TIME_RESOLUTION: float = 60
    #: Seconds for which the old id leads to the session after `cycle_session`.
    CYCLE_GRACE: float = 10

    def __init__(
        self,
        store: SessionStore,
        session_class: type[Session] = Session,
        *,
        cookie: CookieOptions | None = None,
        idle_timeout: float | None = None,
        absolute_timeout: float | None = None,
        rotate_on_login: bool = True,
        trust_forwarded_proto: bool = False,
    ) -> None:
        for name, seconds in (("idle_timeout", idle_timeout), ("absolute_timeout", absolute_timeout)):
            if seconds is not None and seconds <= 0:
                raise ConfigurationError(f"{name} is a number of seconds above 0, or None; got {seconds!r}")
        self.store = store
        self.session_class = session_class
        self.cookie = cookie or CookieOptions()
        self.idle_timeout = idle_timeout
        self.absolute_timeout = absolute_timeout
        self.rotate_on_login = rotate_on_login
        self.trust_forwarded_proto = trust_forwarded_proto

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {self.store!r}>"

    # -- one request -------------------------------------------------------------------------------------------------

    def begin(self, cookie_value: str | None, remote_address: str | None = None) -> Visit:
        """Start a request that came with this cookie value (None: no cookie). Its session is `visit.session`.

        Raises StoreUnavailable if the store can't be reached.
        """
        visit = Visit(cookie_value or None, remote_address)
        token = _beginning.set(visit)
        try:
            self.store.transaction_start()
            session = self.get_session()
        except BaseException:
            self.abort_changes(None)
            raise
        finally:
            _beginning.reset(token)
        visit.session = session
        if session.id is None:
            self._introduce(session, visit)
        else:
            visit.loaded = session
            visit.user_key = session.get_user_key()
            visit.expires = session._expires
            visit.tokens = session._tokens()
        return visit

    def finish(self, visit: Visit) -> CookieChange | None:
        """End a request that succeeded: save, delete or rotate its session. Returns what to do with the cookie.

        None leaves the browser's cookie alone. Call it before the response's headers go out. Raises what the store
        raises; then nothing more happens to the session, and the request has failed.
        """
        if visit.is_finished:
            return None
        visit.is_finished = True
        try:
            change = self._settle(visit)
        except SessionDeleted:
            change = None  # deleted while we worked: the page goes out, and the browser may hold a newer cookie
        # Last: had the new session failed to be saved, the request would have failed, and nobody been logged out.
        for session in visit.ended:
            self.store.delete_session(session)
        self.commit_changes(visit.session)
        return change or visit.asked

    def abort(self, visit: Visit) -> None:
        """End a request that failed: nothing of it is kept, and a logout in it did not happen."""
        visit.is_finished = True
        self.abort_changes(visit.session)

    # -- what a subclass may override --------------------------------------------------------------------------------

    def get_session(self) -> Session:
        """Return the session of the request that begins: the one that its cookie names, or a new one."""
        visit = _beginning.get() or self._visit_of_request()
        session = self._load(visit.cookie_value)
        if session is None:
            session = self._create_session()
        session._set_access_time(self._resolution())
        return session

    def _load(self, cookie_value: str | None) -> Session | None:
        if cookie_value is None or not self.store.accepts_cookie(cookie_value):
            return None
        session: Session | None = self.get(cookie_value)
        if session is None:
            return None
        session._clock = self.store.clock
        # The timeouts may be stricter now than they were when the record was written.
        deadline = self._deadline(session)
        return None if deadline is not None and deadline <= self.store.clock() else session

    def _introduce(self, session: Session, visit: Visit) -> None:
        """Tell a new session what only the manager knows, whoever made it."""
        session._clock = self.store.clock
        session._creation_time = session._access_time = self.store.clock()
        session._remote_address = session._remote_address or visit.remote_address

    def new_session(self, id: str | None) -> Session:
        """Return a new session; it is stored when the request ends, if it is worth keeping."""
        return self.session_class(id)

    def _create_session(self) -> Session:
        return self.new_session(None)

    def _make_session_id(self) -> str:
        return ids.make_id()

    def maintain_session(self, session: Session) -> bool:
        """Tell whether a session is worth keeping; by default, whether it has info."""
        return bool(session.has_info())

    # -- how a request ends ------------------------------------------------------------------------------------------

    def _settle(self, visit: Visit) -> CookieChange | None:
        session = visit.session
        if session is None:
            return REVOKE if visit.ended else None
        while not self._is_worth_keeping(session):
            if session is not visit.loaded:
                return REVOKE if visit.ended else None
            if not session.is_dirty():
                return None
            if self.store.discard_session(session):
                return REVOKE
            # Another request changed it meanwhile; its changes are in the session now, so ask again.
        return self._keep(visit, session)

    def _is_worth_keeping(self, session: Session) -> bool:
        answer: Any = self.maintain_session(session)
        # An override written for Quixote's own manager calls the base and returns nothing.
        return bool(session.has_info() if answer is None else answer)

    def _keep(self, visit: Visit, session: Session) -> CookieChange | None:
        session._expires = self._deadline(session)
        if session.id is None:
            if self._was_rotated_away(visit, session):
                return None
            self._create(session)
        elif session is visit.loaded and self._is_to_rotate(visit, session):
            self._rotate(visit, session)
        else:
            self.store.save_session(session)
        return self._cookie_for(visit, session)

    def _create(self, session: Session) -> None:
        for _ in range(_MAX_IDS):
            session.id = self._make_session_id()
            if self.store.create_session(session):
                return
        raise SessionConflict(f"{self.store!r}: {_MAX_IDS} new ids were all taken")

    def _cookie_for(self, visit: Visit, session: Session) -> CookieChange | None:
        if session.id == visit.cookie_value and session._expires == visit.expires:
            return None
        if session._expires is None:
            return CookieChange(session.id)
        return CookieChange(session.id, max(0, math.ceil(session._expires - self.store.clock())))

    # -- times -------------------------------------------------------------------------------------------------------

    def _resolution(self) -> float:
        if self.idle_timeout is None:
            return self.ACCESS_TIME_RESOLUTION
        return min(self.ACCESS_TIME_RESOLUTION, self.idle_timeout / 20)

    def _deadline(self, session: Session) -> float | None:
        """Return when a session expires, by its timeouts; without any, by what its record says."""
        deadlines = []
        if self.idle_timeout is not None:
            deadlines.append(session.get_access_time() + self.idle_timeout)
        if self.absolute_timeout is not None:
            deadlines.append(session.get_creation_time() + self.absolute_timeout)
        return min(deadlines, default=session._expires)

    # -- rotation ----------------------------------------------------------------------------------------------------

    def _is_to_rotate(self, visit: Visit, session: Session) -> bool:
        return visit.cycle or (self.rotate_on_login and self._user_changed(visit, session))

    @staticmethod
    def _user_changed(visit: Visit, session: Session) -> bool:
        return session.get_user_key() != visit.user_key

    def _rotate(self, visit: Visit, session: Session) -> None:
        user_changed = self._user_changed(visit, session)
        if user_changed:
            # Who planted or stole the old id has seen its tokens too.
            session._forget_tokens(visit.tokens)
        for _ in range(_MAX_IDS):
            if self.store.move_session(session, self._make_session_id(), None if user_changed else visit.grace):
                return
        raise SessionConflict(f"{self.store!r}: {_MAX_IDS} new ids were all taken")

    def _was_rotated_away(self, visit: Visit, session: Session) -> bool:
        # The browser is about to hold the cookie that another request's login set; a session without a user must not
        # take its place.
        value = visit.cookie_value
        if value is None or session.get_user_key() is not None or not self.store.accepts_cookie(value):
            return False
        return self.store.was_rotated(value)
