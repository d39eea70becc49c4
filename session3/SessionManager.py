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

import contextlib
import logging
from collections.abc import Sequence
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, Literal

from . import ids, managersettings
from .cookies import CookieChange, CookieOptions, candidates, kept_until
from .copies import private_copy
from .errors import SessionDeleted, StoreUnavailable
from .managersettings import NOT_GIVEN, settled
from .Session import Session
from .SessionKeeper import SessionKeeper
from .store import older_stores
from .store.SessionStore import SessionStore
from .Visit import LEAVE, Visit, is_later_state

log = logging.getLogger("session3")

OnUnavailable = Literal["raise", "anonymous"]

#: The visit that `get_session` serves while `begin` runs; a context variable, since the manager holds no request.
_beginning: ContextVar[Visit | None] = ContextVar("session3_beginning", default=None)


class SessionManager(SessionKeeper):
    """Policy of a site's sessions. Subclass it and override what should be otherwise; overrides are honoured.

    What is not given is the class's, so that a subclass may say `idle_timeout = 900`; spans of time may be timedeltas.
    ConfigurationError, when it is made, for what can't work.

    `idle_timeout` (seconds): a session ends when it was not used for so long. `absolute_timeout` (seconds): a session
    ends so long after it was created. `rotate_on_login`: a session whose user changes gets a new id, so that an id
    stolen or planted before is worthless. `renew_after` (seconds): an id that is so old is replaced by a new one; for
    CYCLE_GRACE seconds it leads to the same session, so that the requests of one page go on. `on_unavailable`: what a
    request gets whose session can't be loaded since the store is out of reach: "raise" StoreUnavailable (Quixote
    answers 503), or an "anonymous" session, which is not saved and sets no cookie. `cookie`: see CookieOptions.
    `trust_forwarded_proto`: believe the X-Forwarded-Proto and Forwarded headers when they say https; only behind a
    proxy that sets them.
    Time is the store's `clock`.
    """

    #: Seconds between two updates of a session's access time, its expiry and its cookie's; with an idle timeout, or an
    #: expiry of the session's own, at most a twentieth of it. By so much a session may end early.
    ACCESS_TIME_RESOLUTION: float = 60
    #: Seconds for which the old id leads to the session after `cycle_session`, and after `renew_after`.
    CYCLE_GRACE: float = 10

    # What `__init__` is not given is the class's: a subclass may say otherwise.
    session_class: type[Session] = Session
    cookie: CookieOptions = CookieOptions()
    idle_timeout: float | None = None
    absolute_timeout: float | None = None
    rotate_on_login: bool = True
    renew_after: float | None = None
    on_unavailable: OnUnavailable = "raise"
    trust_forwarded_proto: bool = False

    def __init__(
        self,
        store: SessionStore,
        session_class: type[Session] = NOT_GIVEN,
        *,
        cookie: CookieOptions | None = None,
        idle_timeout: float | timedelta | None = NOT_GIVEN,
        absolute_timeout: float | timedelta | None = NOT_GIVEN,
        rotate_on_login: bool = NOT_GIVEN,
        renew_after: float | timedelta | None = NOT_GIVEN,
        on_unavailable: OnUnavailable = NOT_GIVEN,
        trust_forwarded_proto: bool = NOT_GIVEN,
    ) -> None:
        settings = {
            "session_class": session_class,
            "cookie": NOT_GIVEN if cookie is None else cookie,
            "idle_timeout": idle_timeout,
            "absolute_timeout": absolute_timeout,
            "rotate_on_login": rotate_on_login,
            "renew_after": renew_after,
            "on_unavailable": on_unavailable,
            "trust_forwarded_proto": trust_forwarded_proto,
        }
        for name, value in settings.items():
            if value is not NOT_GIVEN:
                setattr(self, name, value)
        self.store = store
        self._check_settings()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.__init__ = settled(cls.__init__)  # type: ignore[method-assign]

    def _check_settings(self) -> None:
        """Check all that is set. Raises ConfigurationError."""
        made_by = type(self).new_session, type(self)._create_session
        self._makes_its_own = made_by != (SessionManager.new_session, SessionManager._create_session)
        managersettings.settle(self, self._makes_its_own)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {self.store!r}>"

    # -- one request -------------------------------------------------------------------------------------------------

    def begin(self, cookie_value: str | Sequence[str] | None, remote_address: str | None = None) -> Visit:
        """Start a request that came with this cookie value (None: no cookie). Its session is `visit.session`.

        Of several values (session3.cookies.values_of) the first counts that leads to a live session; the visit's
        `cookie_value` is that one. Raises StoreUnavailable if the store can't be reached, TypeError for bytes.
        """
        if cookie_value is None or isinstance(cookie_value, str):
            visit = Visit(cookie_value or None, remote_address)
        elif isinstance(cookie_value, (bytes, bytearray)):  # whose numbers would be values that lead nowhere
            raise TypeError("a cookie's value is a str, or several of them; these are bytes: decode them as latin-1")
        else:
            visit = Visit.of(candidates(cookie_value, self.store.accepts_cookie), remote_address)
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
            visit.user_key = session._user_key()
            visit.kept_expiry = session._kept_expiry()
            if session._expires is not None and not session._ends_with_browser():
                visit.expires = kept_until(session._expires, visit.last_use_of(session))
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
            visit.is_closed = True
            return visit.asked if self._is_to_revoke(visit) else None  # which needs no store
        try:
            change = self._settle(visit)
        except SessionDeleted:
            change = LEAVE  # deleted while we worked: the page goes out, and the browser may hold a newer cookie
        if visit.ended:
            self._log_out(visit)
        self.commit_changes(visit.session)
        visit.is_closed = True
        if visit.session is not None:
            visit.session._close()
        return None if change is None and visit.asked is None else self._answer_for(visit, change)

    def _log_out(self, visit: Visit) -> None:
        """Delete what was ended; last: had the new session failed to be saved, nobody would have been logged out."""
        try:
            for session in visit.ended:
                if session.id is not None:
                    older_stores.delete(self.store, session)
            for value in visit.others:
                # Else the session of another cookie, set for another path, would be the user's from now on.
                other = self._load(value)
                if other is not None:
                    older_stores.delete(self.store, other)
        except BaseException:
            new = visit.session
            if new is not None and new is not visit.loaded and new.id == visit.made_id is not None:
                with contextlib.suppress(StoreUnavailable):
                    older_stores.delete(self.store, new)  # the request has failed, and nobody has its id
            raise

    def abort(self, visit: Visit) -> None:
        """End a request that failed: nothing of it is kept, and a logout in it did not happen."""
        visit.is_finished = visit.is_closed = True
        self.abort_changes(visit.session)

    # -- what a subclass may override --------------------------------------------------------------------------------

    def get_session(self) -> Session:
        """Return the session of the request that begins: the one that its cookie names, or a new one."""
        visit = _beginning.get() or self._visit_of_request()
        visit.loaded = session = self._load(visit.cookie_value)
        if visit.others and (session is None or self.store.is_in_cookie):
            visit.loaded = session = self._load_another(visit, session)
        if session is None:
            return self._create_session()
        if session._snapshot is None:
            visit.used = session._access_time
        session._set_access_time(self._resolution(session._kept_expiry()))
        return session

    def _load_another(self, visit: Visit, found: Session | None) -> Session | None:
        """Return the session of the first further value that leads to one, where `found` is None.

        In a cookie of a longer path, that is sent first, an earlier state of the session may have stayed.
        """
        others = visit.others
        for at, value in enumerate(others, 1):
            session = self._load(value)
            if session is not None and (found is None or is_later_state(session, found)):
                found, visit.cookie_value, visit.others = session, value, others[at:]
                if not self.store.is_in_cookie:
                    break
        return found

    def _load(self, cookie_value: str | None) -> Session | None:
        if cookie_value is None or not self.store.accepts_cookie(cookie_value):
            return None
        found: Session | None = self.get(cookie_value)
        session = found if type(found) is self.session_class or found is None else self._as_ours(found, cookie_value)
        if session is None:
            return None
        if session._snapshot is None:
            session = private_copy(session)
            session._count_as_past(self.store.clock())
        # The timeouts may be stricter now than they were when the record was written.
        deadline = self._deadline(session, session._kept_expiry())
        if deadline is not None and deadline <= self.store.clock():
            return None
        if session._snapshot is None:
            session.__dict__.pop("_is_closed", None)  # by the request before, where the store keeps the object itself
            session._expires = deadline
        session._clock = self.store.clock
        if self._makes_its_own:
            session._fresh = self._create_session
        return session

    def _as_ours(self, session: Any, id: str) -> Session | None:
        """Return a stored session as one of our class, if the site's class was changed since; None if it is no base."""
        wanted: Any = self.session_class
        if isinstance(session, wanted):
            return session  # type: ignore[no-any-return]
        found = type(session)
        if not (issubclass(found, Session) and issubclass(wanted, found)):
            names = found.__name__, wanted.__name__
            log.error("%r: session %s is a %s, and no %s; it is absent", self.store, ids.short_hash(id), *names)
            return None
        ours, made, state = self.session_class.__new__(self.session_class), self._create_session(), session._kept()
        ours.__dict__.update({name: value for name, value in made._kept().items() if name not in state})
        ours.__setstate__(state)
        ours.__dict__.update({name: value for name, value in session.__dict__.items() if name not in state})
        return ours

    def _introduce(self, session: Session, visit: Visit) -> None:
        """Tell a new session what only the manager knows, whoever made it."""
        Session.__setstate__(session, {})  # the containers, where its constructor did not call ours
        session._clock = self.store.clock
        session._creation_time = session._access_time = self.store.clock()
        session._remote_address = session._remote_address or visit.remote_address
        session._set_fresh()

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
