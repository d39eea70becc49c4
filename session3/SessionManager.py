"""The session manager: turns a request's cookie into a session, and the finished session into a record and a cookie.

>>> from session3.DictSession import DictSession
>>> from session3.store.VolatileSessionStore import VolatileSessionStore
>>> manager = SessionManager(VolatileSessionStore(), DictSession)
>>> visit = manager.begin(None)
>>> visit.session["cart"] = ["tea"]
>>> cookie = manager.finish(visit)
>>> manager.begin(cookie.value).session["cart"]
['tea']

`begin`, `finish` and `abort` know no framework; how a request ends is in the base class SessionKeeper, and Quixote's
hooks are in QuixoteHooks. A manager holds no state of a request, and is as safe for threads and processes as its store.
"""

import logging
from contextvars import ContextVar
from typing import Literal

from . import ids
from .cookies import CookieChange, CookieOptions
from .errors import ConfigurationError, SessionDeleted, StoreUnavailable
from .Session import Session
from .SessionKeeper import SessionKeeper
from .store.SessionStore import SessionStore, private_copy
from .Visit import LEAVE, Visit

log = logging.getLogger("session3")

_FOR_EVER = 1e11  # seconds, three thousand years; the calendars of servers end some day

OnUnavailable = Literal["raise", "anonymous"]

#: The visit that `get_session` serves while `begin` runs; a context variable, since the manager holds no request.
_beginning: ContextVar[Visit | None] = ContextVar("session3_beginning", default=None)


class SessionManager(SessionKeeper):
    """Policy of a site's sessions. Subclass it and override what should be otherwise; overrides are honoured.

    `idle_timeout` (seconds): a session ends when it was not used for so long. `absolute_timeout` (seconds): a session
    ends so long after it was created. `rotate_on_login`: a session whose user changes gets a new id, so that an id
    stolen or planted before is worthless. `renew_after` (seconds): an id that is so old is replaced by a new one; for
    CYCLE_GRACE seconds it leads to the same session, so that the requests of one page go on. `on_unavailable`: what a
    request gets whose session can't be loaded since the store is out of reach: "raise" StoreUnavailable (Quixote
    answers 503), or an "anonymous" session, which is not saved and sets no cookie. `cookie`: see CookieOptions.
    `trust_forwarded_proto`: believe the X-Forwarded-Proto header when it says https; only behind a proxy that sets it.
    Time is the store's `clock`.
    """

    #: Seconds between two updates of a session's access time, its expiry and its cookie's; with an idle timeout, or an
    #: expiry of the session's own, at most a twentieth of it. By so much a session may end early.
    ACCESS_TIME_RESOLUTION: float = 60
    #: Seconds for which the old id leads to the session after `cycle_session`, and after `renew_after`.
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
        renew_after: float | None = None,
        on_unavailable: OnUnavailable = "raise",
        trust_forwarded_proto: bool = False,
    ) -> None:
        timeouts = {"idle_timeout": idle_timeout, "absolute_timeout": absolute_timeout, "renew_after": renew_after}
        for name, seconds in timeouts.items():
            if seconds is not None and not 0 < seconds < _FOR_EVER:
                raise ConfigurationError(
                    f"{name} is a number of seconds above 0 and below {_FOR_EVER:g}, or None; got {seconds!r}"
                )
        if on_unavailable not in ("raise", "anonymous"):
            raise ConfigurationError(f'on_unavailable is "raise" or "anonymous", not {on_unavailable!r}')
        if not store.revives(session_class):
            name = session_class.__name__
            raise ConfigurationError(
                f"{store!r} would revive its sessions as another class; give it session_class={name}"
            )
        self.store = store
        self.session_class = session_class
        self.cookie = cookie or CookieOptions()
        self.idle_timeout = idle_timeout
        self.absolute_timeout = absolute_timeout
        self.rotate_on_login = rotate_on_login
        self.renew_after = renew_after
        self.on_unavailable = on_unavailable
        self.trust_forwarded_proto = trust_forwarded_proto

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {self.store!r}>"

    # -- one request -------------------------------------------------------------------------------------------------

    def begin(self, cookie_value: str | None, remote_address: str | None = None) -> Visit:
        """Start a request that came with this cookie value (None: no cookie). Its session is `visit.session`.

        Raises StoreUnavailable if the store can't be reached.
        """
        visit = Visit(cookie_value or None, remote_address)
        visit.began = self.store.clock()
        token = _beginning.set(visit)
        try:
            self.store.transaction_start()
            self._take_in(visit, self.get_session())
        except BaseException as error:
            self.abort_changes(None)
            if self.on_unavailable == "raise" or not isinstance(error, StoreUnavailable):
                raise
            log.error("a request goes on without its session: %s", error)
            visit.is_anonymous = True
            self._take_in(visit, self._create_session())
        finally:
            _beginning.reset(token)
        return visit

    def _take_in(self, visit: Visit, session: Session) -> None:
        visit.session = session
        if session is visit.loaded or session._snapshot is not None:
            visit.loaded, visit.loaded_id = session, session.id
            visit.user_key = session.get_user_key()
            visit.kept_expiry = session._kept_expiry()
            if session._expires is not None and not session._ends_with_browser():
                visit.expires = session._expires
            visit.tokens = session._tokens()
        else:
            visit.loaded = None
            self._introduce(session, visit)

    def finish(self, visit: Visit) -> CookieChange | None:
        """End a request that succeeded: save, delete or rotate its session. Returns what to do with the cookie.

        None leaves the browser's cookie alone. Call it before the response's headers go out. Raises what the store
        raises; then nothing more happens to the session, and the request has failed.
        """
        if visit.is_finished:
            return None
        visit.is_finished = True
        if visit.is_anonymous:
            if visit.ended:
                raise StoreUnavailable(f"{self.store!r} could not be reached, so nobody was logged out")
            return None
        try:
            change = self._settle(visit)
        except SessionDeleted:
            change = LEAVE  # deleted while we worked: the page goes out, and the browser may hold a newer cookie
        # Last: had the new session failed to be saved, the request would have failed, and nobody been logged out.
        for session in visit.ended:
            if session.id is not None:
                self.store.delete_session(session)
        self.commit_changes(visit.session)
        return self._answer_for(visit, change)

    def abort(self, visit: Visit) -> None:
        """End a request that failed: nothing of it is kept, and a logout in it did not happen."""
        visit.is_finished = True
        self.abort_changes(visit.session)

    # -- what a subclass may override --------------------------------------------------------------------------------

    def get_session(self) -> Session:
        """Return the session of the request that begins: the one that its cookie names, or a new one."""
        visit = _beginning.get() or self._visit_of_request()
        visit.loaded = session = self._load(visit.cookie_value)
        if session is None:
            session = self._create_session()
        session._set_access_time(self._resolution(session._kept_expiry()))
        return session

    def _load(self, cookie_value: str | None) -> Session | None:
        if cookie_value is None or not self.store.accepts_cookie(cookie_value):
            return None
        session: Session | None = self.get(cookie_value)
        if session is None:
            return None
        # The timeouts may be stricter now than they were when the record was written.
        deadline = self._deadline(session, session._kept_expiry())
        if deadline is not None and deadline <= self.store.clock():
            return None
        if session._snapshot is None:
            session = private_copy(session)
            session._expires = deadline
        session._clock = self.store.clock
        return session

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
