"""The oracle: what a story must not end in, whatever the order of its steps."""

from collections.abc import Iterator
from typing import Any

from .kinds import ITEMS, LOGINS, LOGOUTS, PARTINGS, POSTS
from .story import Request, World


def broken(world: World, requests: list[Request]) -> list[str]:
    """Return what promises a story broke, in words."""
    story = Told(world, requests)
    return [*story.lost(), *story.came_back(), *story.undone(), *story.let_in(), *story.posted_wrongly(), *story.left()]


class Told:
    """A story that is over."""

    def __init__(self, world: World, requests: list[Request]) -> None:
        self.world, self.requests, self.events = world, requests, world.director.events
        self.live = world.live()
        self.is_struck = world.director.strike is not None
        self.jar: Any = None if world.jar is None else world.store.load_session(world.jar)

    def _done(self, kinds: set[str]) -> list[Request]:
        return [request for request in self.requests if request.kind in kinds and request.outcome == "done"]

    def _is_excused(self, request: Request) -> bool:
        """Tell whether another request logged out since it began, or took the session to another id beside it."""
        return any(
            event.ended
            and event.by != request.number
            and event.at > request.began
            and (not event.moved or event.at <= request.ended)
            for event in self.events
        )

    # -- no lost update, nothing saved lost ----------------------------------------------------------------------------

    def lost(self) -> Iterator[str]:
        for request in self._done({*ITEMS, "attribute"}):
            name = f"note_{request.number}" if request.kind == "attribute" else ""
            kept = any(name in s.__dict__ if name else request.mark in s.data for s in self.live)
            if not kept and request.loaded and not self._is_excused(request) and not self._was_emptied_later(request):
                yield f"the change of {request} is lost"
        counts = self._done({"count"})
        sure = [one for one in counts if one.loaded and not self._is_excused(one) and not self._was_emptied_later(one)]
        unsure = sum(request.kind == "count" and request.outcome == "503" for request in self.requests)
        hits = max((session.hits for session in self.live), default=0)
        if not len(sure) <= hits <= len(counts) + unsure:
            yield f"{len(sure)} counted, and {hits} are there"

    def _was_emptied_later(self, request: Request) -> bool:
        return any(one.kind in ("empty", "last post") and one.ended > request.began for one in self.requests)

    # -- a logout is final ---------------------------------------------------------------------------------------------

    def came_back(self) -> Iterator[str]:
        for request in self._done(LOGOUTS):
            if not request.loaded:
                continue
            moved_first = any(event.ended and event.moved and event.at <= request.ended for event in self.events)
            if not moved_first and any("_origin" in session.__dict__ for session in self.live):
                yield f"the session is there though {request} logged it out"

    # -- no login undone, no dead cookie -------------------------------------------------------------------------------

    def undone(self) -> Iterator[str]:
        logins = [request for request in self._done(LOGINS) if request.is_set and request.cookie is not None]
        # A stranger's is another session, beside the one that other requests hold, and the last answer decides.
        users_of_logins = {request.mark for request in logins}
        logins = [request for request in logins if request.loaded]
        users = {_user(session) for session in self.live} - {None}
        has_parted = any(request.kind in PARTINGS for request in self.requests)
        expected = self.world.start in ("a user", "a renewed id") or bool(logins)
        # An id that was taken off is like a login: of two at once both stand, and who goes on from one decides.
        is_parted_in_two = len(self.requests) > 2 and bool(self._done({"another id"}))
        is_told = logins and not (has_parted or is_parted_in_two or self.is_struck)
        if self.jar is None:
            if users and self.world.jar is not None:
                yield "the browser's cookie is dead, and its user is logged in"
            if expected and not has_parted:
                yield "the browser is logged out"
        elif expected and not has_parted and _user(self.jar) is None:
            yield "the browser has a session without a user"
        elif is_told and _user(self.jar) not in users_of_logins:
            yield "a login is undone"

    # -- an id from before a login -------------------------------------------------------------------------------------

    def let_in(self) -> Iterator[str]:
        if self.world.start not in ("a cart", "a form"):
            return
        for cookie in {*self.world.issued}:
            session: Any = None if cookie is None else self.world.store.load_session(cookie)
            user = None if session is None else _user(session)
            if user is not None and not any(r.cookie == cookie and r.kind in LOGINS for r in self.requests):
                renewed = any(request.cookie == cookie and request.began for request in self.requests)
                if cookie == self.world.first or not renewed:
                    yield f"an id from before the login lets in as {user}"

    # -- one form, one post --------------------------------------------------------------------------------------------

    def posted_wrongly(self) -> Iterator[str]:
        posts = [request for request in self.requests if request.kind in POSTS and request.posted]
        done = [request for request in posts if request.outcome == "done" and not self._is_excused(request)]
        if len(done) > 1:
            yield f"a form was taken twice: {done}"
        refused = [request for request in posts if request.outcome == "409"]
        if refused and not any(request.outcome in ("done", "503") for request in posts):
            yield f"a form was refused that nobody else posted: {refused}"

    # -- nothing without an owner --------------------------------------------------------------------------------------

    def left(self) -> Iterator[str]:
        known = {*self.world.issued}
        reached = [self.world.store.load_session(cookie) for cookie in known if cookie is not None]
        keys = {session._snapshot.key for session in reached if session is not None}
        for session in self.live:
            if session._snapshot.key not in keys and _user(session) is not None:
                yield f"a session of {_user(session)} that nobody has the id of"


def _user(session: Any) -> Any:
    return session.data.get("_auth_user_id") or session.user
