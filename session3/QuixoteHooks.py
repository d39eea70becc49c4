"""The rim between a session manager and Quixote: its three hooks, and what its applications call.

Quixote is imported when a method is called, and only for calls that 3.8 and 4 both have.
"""

import logging
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from .cookies import CookieChange
from .errors import FormTokenUsed, SessionError, StoreUnavailable
from .QuixoteCookies import VISIT, QuixoteCookies, current_visit
from .quixoteheaders import keep_from_caches, look_again, may_be_reused, vary
from .Session import Session
from .Visit import Visit

log = logging.getLogger("session3")


class QuixoteHooks(QuixoteCookies, ABC):
    """Quixote's side of a session manager."""

    CYCLE_GRACE: float

    @abstractmethod
    def begin(self, cookie_value: str | Sequence[str] | None, remote_address: str | None = None) -> Visit: ...

    @abstractmethod
    def finish(self, visit: Visit) -> CookieChange | None: ...

    @abstractmethod
    def abort(self, visit: Visit) -> None: ...

    @abstractmethod
    def _create_session(self) -> Session: ...

    @abstractmethod
    def _introduce(self, session: Session, visit: Visit) -> None: ...

    # -- the three hooks ---------------------------------------------------------------------------------------------

    def start_request(self) -> None:
        import quixote

        request = quixote.get_request()
        try:
            visit = self.begin(*self._arrived())
        except StoreUnavailable as error:
            log.error("%s", error)
            raise _http_error(error) from error
        setattr(request, VISIT, visit)
        request.session = visit.session
        request.session.start_request()

    def finish_successful_request(self) -> None:
        """Also called for a request that a PublishError interrupted, and for one that never started."""
        import quixote

        visit, request = current_visit(), quixote.get_request()
        if visit is None or visit.is_finished:
            return
        visit.session = request.session
        interrupted_by = sys.exc_info()[1]
        try:
            change = self.finish(visit)
        except BaseException as error:
            self.abort(visit)
            if not isinstance(error, Exception):
                raise
            if _is_answered(interrupted_by):
                log.exception("the session of an interrupted request was not saved")
                request.response.set_status(_status_of(error))
                return
            if isinstance(error, (StoreUnavailable, FormTokenUsed)):
                log.error("%s", error)
                raise _http_error(error) from error
            raise
        self._answer(visit, change, request.response)

    def finish_failed_request(self) -> None:
        visit = current_visit()
        if visit is not None and not visit.is_finished:
            self.abort(visit)

    # -- what applications call --------------------------------------------------------------------------------------

    def expire_session(self) -> None:
        """Log out: end the current session. The request goes on without one.

        It is deleted, and the cookie revoked, when the request succeeds; a request that fails logs nobody out. Raises
        VisitFinished when that is decided: in `filter_output`, and in a stream.
        """
        from quixote import get_request

        request, visit = get_request(), self._visit_in_time()
        if visit is not None:
            visit.session = request.session
            visit.end_session()
        request.session = None
        self._hide_cookie()

    def clear_session(self) -> Session:
        """Log out, and go on with a fresh session, for the same request to log in on or to leave a message in."""
        from quixote import get_request

        self.expire_session()
        session = self._create_session()
        self._introduce(session, self._visit_of_request())
        get_request().session = session
        return session

    def cycle_session(self) -> None:
        """Give the current session a new id, with the same data, when the request succeeds.

        For CYCLE_GRACE seconds the old id leads to the same session, so that requests on their way go on.
        """
        visit = current_visit()
        if visit is None:
            raise RuntimeError("cycle_session needs a request that start_request has seen")
        visit.cycle_session(self.CYCLE_GRACE)

    def __iter__(self) -> Iterator[Session]:
        # The request's own session appears as the application sees it, not as the copy that is stored.
        visit = current_visit()
        own = None if visit is None else visit.session
        for session in super().__iter__():
            yield own if own is not None and own.id == session.id is not None else session

    # -- the request -------------------------------------------------------------------------------------------------

    def _answer(self, visit: Visit, change: CookieChange | None, response: Any) -> None:
        """Put the decision into the response: only now, since a PublishError replaces an earlier response."""
        if change is not None:
            if change.value is None:
                self.revoke_session_cookie()
            elif change is visit.asked:
                self.set_session_cookie(change.value, **visit.asked_attributes)
            else:
                self.set_session_cookie(change.value, **({} if change.max_age is None else {"max_age": change.max_age}))
            keep_from_caches(response)
        if change is not None or visit.loaded is not None or visit.is_anonymous or may_be_reused(response):
            vary(response)
        if _has_layout():
            look_again(response, self._cookie_name())


def _has_layout() -> bool:
    """Tell whether the site's publisher does something to a page after its request has ended."""
    import quixote.publish

    return type(quixote.get_publisher()).filter_output is not quixote.publish.Publisher.filter_output


def _is_answered(error: BaseException | None) -> bool:
    """Tell whether Quixote is answering a PublishError: what is raised then escapes it and leaves the request set."""
    from quixote.errors import PublishError

    return isinstance(error, PublishError)


def _status_of(error: Exception) -> int:
    if isinstance(error, FormTokenUsed):
        return 409
    return 503 if isinstance(error, StoreUnavailable) else 500


def _http_error(error: SessionError) -> Exception:
    from quixote.errors import PublishError

    texts = {
        503: ("Service unavailable", "Sessions are out of reach for the moment. Please try again soon."),
        409: ("Already submitted", "This form was submitted a moment ago. Please check before you send it again."),
    }
    answer: Exception = PublishError()
    answer.status_code = _status_of(error)  # type: ignore[attr-defined]
    answer.title, answer.public_msg = texts[_status_of(error)]  # type: ignore[attr-defined]
    return answer
