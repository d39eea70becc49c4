"""How a request ends: what becomes of its session, in the store and in the browser."""

import logging
import math
from abc import abstractmethod
from typing import Any

from .cookies import MAX_AGE, REVOKE, CookieChange, check_size, kept_until
from .errors import ConfigurationError, SessionConflict, StoreUnavailable
from .expiry import KeptExpiry, own_deadline
from .QuixoteHooks import QuixoteHooks
from .Session import Session
from .store.SessionStore import ON_THEIR_WAY
from .Visit import LEAVE, Visit

log = logging.getLogger("session3")

_MAX_IDS = 10  # ids to try for a new session; one more than one is already a broken random source or store


class SessionKeeper(QuixoteHooks):
    """The decisions of SessionManager.finish: keep or discard, create, save or rotate, and the cookie."""

    ACCESS_TIME_RESOLUTION: float
    CYCLE_GRACE: float
    idle_timeout: float | None
    absolute_timeout: float | None
    rotate_on_login: bool
    renew_after: float | None

    @abstractmethod
    def maintain_session(self, session: Session) -> bool: ...

    @abstractmethod
    def _make_session_id(self) -> str: ...

    def _settle(self, visit: Visit) -> CookieChange | None:
        session = visit.session
        if session is None:
            return REVOKE if visit.ended else None
        while not self._is_worth_keeping(session):
            if session is not visit.loaded:
                return REVOKE if visit.ended else None
            if not session.has_info() and not Session.is_dirty(session):
                return None  # as empty as it was stored, whatever an is_dirty in the way of Quixote's says
            if self.store.discard_session(session):
                return REVOKE
            # Another request changed it meanwhile; its changes are in the session now, so ask again.
        return self._keep(visit, session)

    def _is_worth_keeping(self, session: Session) -> bool:
        kept = session._kept_expiry()
        if kept is not None:
            now = self.store.clock()
            own = own_deadline(kept, now)
            if own is not None and own <= now:
                return False  # it says itself that it is over
        answer: Any = self.maintain_session(session)
        # An override written for Quixote's own manager calls the base and returns nothing.
        return bool(session.has_info() if answer is None else answer)

    def _keep(self, visit: Visit, session: Session) -> CookieChange | None:
        expires = self._new_expiry(visit, session)
        if expires != session._expires:
            session._expires = expires
            if session is visit.loaded:
                session._set_access_time(0)  # both move together, and are written together
        if self.store.is_in_cookie:
            self._save_in_cookie(visit, session)
        elif session is visit.loaded:
            self._keep_loaded(visit, session)
            if session.id not in (visit.cookie_value, visit.made_id) and self._has_gone_on(session):
                return LEAVE
        elif session.id is not None:
            self.store.save_session(session)
        elif self._was_rotated_away(visit, session):
            return LEAVE
        else:
            self._create(visit, session)
        return self._cookie_for(visit, session)

    def _keep_loaded(self, visit: Visit, session: Session) -> None:
        known = visit.loaded_id if session._snapshot is None else session._snapshot.id
        if session.id != known:  # the application took it off, so that the old one ends
            wanted, session.id = session.id, known
            self._rotate(visit, session, None, wanted)
        elif self._is_to_rotate(visit, session):
            is_login = session._user_key() != visit.user_key
            self._rotate(visit, session, None if is_login else self._grace(visit))
        elif self._is_due(visit, session):
            self._renew(visit, session)
        else:
            if session._snapshot is None:
                self.store._make_sure_of(session)
            if session._id_unseen and visit.came_with(session.id):
                self.store.note_arrival(session)
            self.store.save_session(session)

    def _has_gone_on(self, session: Session) -> bool:
        """Tell whether a session that another request gave its id has moved on, or was deleted, meanwhile.

        A request that only read it is not told by its save, and the browser may hold a newer cookie.
        """
        now = None if session.id is None else self.store.load_session(session.id)
        return now is None or now.id != session.id

    def _save_in_cookie(self, visit: Visit, session: Session) -> None:
        """The cookie is the session: it has no id to rotate, and a save makes its value."""
        if session is visit.loaded and session._user_key() != visit.user_key:
            session._forget_tokens(visit.tokens)
        ends, sent = session._expires, visit.expires
        is_old = session is visit.loaded and ends is not None and sent != kept_until(ends, session._access_time)
        if visit.cycle or (is_old and sent is not None):
            session._snapshot = None  # saved as a new one
        self.store.save_session(session)
        if session.id != visit.cookie_value:  # the browser keeps the one that it sent
            check_size(session.id or "", self._cookie_overhead())

    def _create(self, visit: Visit, session: Session) -> None:
        for _ in range(_MAX_IDS):
            session.id = visit.made_id = self._make_checked_id()
            if self.store.create_session(session):
                return
        raise SessionConflict(f"{self.store!r}: {_MAX_IDS} new ids were all taken")

    def _make_checked_id(self) -> str:
        id = self._make_session_id()
        if not self.store.accepts_cookie(id):
            raise ConfigurationError("_make_session_id made an id that no cookie will be let in with")
        return id

    def _cookie_for(self, visit: Visit, session: Session) -> CookieChange | None:
        # What the store has now: a session that was only read was not written, and its expiry stays.
        expires = session._expires if session._snapshot is None else session._snapshot.expires
        if expires is not None and session._ends_with_browser():
            expires = None
        kept = None if expires is None else kept_until(expires, session._access_time)
        if session.id == visit.cookie_value and kept == visit.expires and not session._came_back:
            return None
        if expires is None:
            return CookieChange(session.id)
        return CookieChange(session.id, min(MAX_AGE, max(0, math.ceil(expires - self.store.clock()))))

    # -- times -------------------------------------------------------------------------------------------------------

    def _resolution(self, kept: KeptExpiry) -> float:
        """Return in what steps (seconds) a session's access time moves, and with it when it expires."""
        if kept is None and self.idle_timeout is None:
            return self.ACCESS_TIME_RESOLUTION
        own = kept if isinstance(kept, (int, float)) and kept > 0 else None
        timeout = self.idle_timeout if own is None else own
        return self.ACCESS_TIME_RESOLUTION if timeout is None else min(self.ACCESS_TIME_RESOLUTION, timeout / 20)

    def _deadline(self, session: Session, kept: KeptExpiry, used: float | None = None) -> float | None:
        """Return when a session expires: by its own word, by the timeouts, or as its record says.

        `used`: when it was last used, if not at its access time.
        """
        if kept is None and self.idle_timeout is None and self.absolute_timeout is None:
            return session._expires
        used = session.get_access_time() if used is None else used
        if (own := own_deadline(kept, used)) is not None:
            return own
        deadlines = []
        if self.idle_timeout is not None:
            deadlines.append(used + self.idle_timeout)
        if self.absolute_timeout is not None:
            deadlines.append(session.get_creation_time() + self.absolute_timeout)
        return min(deadlines, default=session._expires)

    def _new_expiry(self, visit: Visit, session: Session) -> float | None:
        kept, before, is_loaded = session._kept_expiry(), session._expires, session is visit.loaded
        if kept is None and visit.kept_expiry is None and self.idle_timeout is None and self.absolute_timeout is None:
            return before  # nothing moves it
        # A store of records moves the expiry with what it writes, and that is now; and so does who says another one.
        is_kept = kept == visit.kept_expiry
        since = session.get_access_time() if session._snapshot is None and is_kept else self.store.clock()
        own = own_deadline(kept, since)
        if is_loaded and own is None and own_deadline(visit.kept_expiry, since) is not None:
            session._expires = None  # it was the session's own, which is no more
        elif is_loaded and own is not None and not (session._says_changed() or Session.is_dirty(session)):
            return before  # counted from the last save: to read is not to save
        expires = self._deadline(session, kept, since)
        # The record moves as far as the cookie, in steps: else small ones would add up, and the browser never be told.
        if is_loaded and is_kept and before is not None and expires is not None:
            step = self._resolution(kept)
            if before - min(1, step) < expires <= before + step:  # a second, since servers' clocks jitter
                return before
        return expires

    # -- rotation ----------------------------------------------------------------------------------------------------

    def _is_to_rotate(self, visit: Visit, session: Session) -> bool:
        if self.rotate_on_login and session._user_key() != visit.user_key:
            return True
        return visit.cycle and not self._is_to_revoke(visit) and not self._was_just_renewed(visit, session)

    def _is_due(self, visit: Visit, session: Session) -> bool:
        is_old = self.renew_after is not None and session._get_id_age() >= self.renew_after
        if not is_old and not self.store.needs_new_id(session):
            return False
        return not self._is_to_revoke(visit) and not self._was_just_renewed(visit, session)

    @staticmethod
    def _was_just_renewed(visit: Visit, session: Session) -> bool:
        # It came by an old id, within the grace of that.
        return session.id != visit.cookie_value

    def _renew(self, visit: Visit, session: Session) -> None:
        if session._snapshot is None:
            self.store._make_sure_of(session)
        try:
            self._rotate(visit, session, self._grace(visit))
        except StoreUnavailable as error:
            if Session.is_dirty(session):
                raise
            log.warning("an id was not renewed: %s", error)  # the session was read all the same

    def _grace(self, visit: Visit) -> float:
        return self.CYCLE_GRACE if visit.grace is None else visit.grace

    def _rotate(self, visit: Visit, session: Session, grace: float | None, wanted: str | None = None) -> None:
        """Give a session another id: one that the application `wanted`, if it is free, else one of ours."""
        if session._user_key() != visit.user_key:
            # Who planted or stole the old id has seen its tokens too.
            session._forget_tokens(visit.tokens)
        for _ in range(_MAX_IDS):
            visit.made_id = self._make_checked_id() if wanted is None else wanted
            if self.store.move_session(session, visit.made_id, grace):
                return
            wanted = None
        raise SessionConflict(f"{self.store!r}: {_MAX_IDS} new ids were all taken")

    def _was_rotated_away(self, visit: Visit, session: Session) -> bool:
        # The browser is about to hold the cookie that another request's login set; a session without a user must not
        # take its place.
        value = visit.cookie_value
        if value is None or session._user_key() is not None or not self.store.accepts_cookie(value):
            return False
        ended = map(self.store.rotated_at, (value, *visit.others))
        return any(at is not None and visit.began < at + ON_THEIR_WAY for at in ended)

    # -- what the application asked ----------------------------------------------------------------------------------

    @staticmethod
    def _is_to_revoke(visit: Visit) -> bool:
        return visit.asked is not None and visit.asked.value is None

    def _answer_for(self, visit: Visit, change: CookieChange | None) -> CookieChange | None:
        """Return what goes out, given what was decided: LEAVE, or a change, or None where there was nothing to."""
        if change is LEAVE:
            return None
        session = visit.session
        if change is None or session is None or session is not visit.loaded or not self._is_to_revoke(visit):
            return change or visit.asked
        is_login = session._user_key() not in (None, visit.user_key)
        return change if is_login else visit.asked
