"""A story: a browser's requests, the order of their steps, and what is left in the store and in the browser."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import greenlet

from session3.backends import for_store
from session3.backends.base import UpdateError
from session3.errors import FormTokenUsed
from session3.ids import make_id
from session3.SessionManager import SessionManager
from tests.sessions import Clock

from .kinds import KINDS, OPERATIONS, TOKEN, Visited
from .stepping import Director

#: How a story may begin: what the session of the browser's cookie holds.
STARTS: dict[str, dict[str, Any]] = {
    "a cart": {"data": {"cart": ["tea"]}},
    "a form": {"_form_tokens": [TOKEN]},
    "a user": {"user": "alice", "_form_tokens": [TOKEN]},
    "a renewed id": {"user": "alice"},
}
#: What may happen between two steps: the browser comes with the cookie that it has, seconds pass, and perhaps a sweep.
HAPPENINGS: dict[str, tuple[float, bool]] = {"a pause": (11, False), "a sweep": (45, True)}

ACTS = {**KINDS, **OPERATIONS}

Choose = Callable[[int], int]


class Request:
    """One request of the browser, and what came of it."""

    began = ended = 0
    loaded = posted = is_set = False
    cookie: str | None = None
    outcome = ""

    def __init__(self, world: "World", number: int, kind: str) -> None:
        self.world, self.number, self.kind = world, number, kind
        self.mark = f"{kind} {number}"

    def __repr__(self) -> str:
        return f"{self.number} ({self.kind}): {self.outcome}{', sets the cookie' if self.is_set else ''}"

    def send(self) -> str | None:
        self.began = self.world.director.now
        return self.world.page_cookie if self.world.is_one_page else self.world.jar

    def came(self, loaded: bool) -> None:
        self.loaded = loaded

    def answered(self, is_set: bool, value: str | None) -> None:
        """The answer goes out, and arrives at once: answers arrive in the order in which requests end."""
        self.outcome, self.is_set, self.cookie = "done", is_set, value
        if is_set:
            self.world.jar = value
            self.world.issued.append(value)
        self.ended = self.world.director.now

    def failed(self, error: Exception) -> None:
        posted = isinstance(error, FormTokenUsed)
        self.outcome = "409" if posted else "deleted" if isinstance(error, UpdateError) else "503"
        self.ended = self.world.director.now


class World:
    """A store with one session in it, a site on it, and the browser that holds the session's cookie.

    `older`: another store object on the same place, which wrote that session in an older way.
    """

    def __init__(self, store: Any, start: str, older: Any = None) -> None:
        self.store, self.older = store, older or store
        self.clock: Clock = store.clock
        self.manager = SessionManager(store, Visited)
        self.renewing = SessionManager(store, Visited, renew_after=50)
        self.django: Any = type("SessionStore", (for_store(store),), {"_in_thread": classmethod(_here)})
        self.start = start

    def begin_anew(self) -> None:
        store, self.director = self.store, Director()
        store.director = None
        store.clear()
        session: Any = Visited(make_id())
        session.__dict__.update({name: _copied(value) for name, value in STARTS[self.start].items()})
        session._origin = 1
        session._creation_time = session._access_time = self.clock()
        self.clock.advance(100)
        self.older.save_session(session)
        self.first = self.page_cookie = str(session.id)
        self.jar: str | None = self.first
        self.issued: list[str | None] = [self.first]
        self.is_one_page = True
        if self.start == "a renewed id":  # and the answer with the new one is on its way
            mover = store.load_session(session.id)
            store.move_session(mover, make_id(), 10)
            store.note_arrival(store.load_session(mover.id))
            self.jar = mover.id
            self.issued.append(mover.id)
        store.director = self.director

    def live(self) -> list[Any]:
        return [session for _, session in self.store.iter_sessions()]

    def run(self, kinds: Sequence[str], choose: Choose, strike: Any = None) -> list[Request]:
        """Let the requests, and what happens beside them, go on one step at a time, as `choose` says."""
        self.begin_anew()
        director = self.director
        director.strike = strike
        director.works = any(kind in HAPPENINGS for kind in kinds)
        requests = [Request(self, number, kind) for number, kind in enumerate(kinds) if kind in ACTS]
        ready: list[Any] = [self._started(request) for request in requests]
        waiting = [self._happening(kind) for kind in kinds if kind in HAPPENINGS]
        try:
            while ready or waiting:
                can_happen = all(not one or director.running[one] in director.at_work for one in ready)
                able = [*ready, *(waiting if can_happen else ())]
                going = able[choose(len(able))]
                going.switch()
                if going.dead:
                    (waiting if going in waiting else ready).remove(going)
        finally:
            for left in ready:
                left.throw(greenlet.GreenletExit)
            self.store.director = None
        return requests

    def _started(self, request: Request) -> greenlet.greenlet:
        started = greenlet.greenlet(lambda: ACTS[request.kind](request))
        self.director.running[started] = request.number
        return started

    def _happening(self, kind: str) -> greenlet.greenlet:
        def happen() -> None:
            seconds, is_sweep = HAPPENINGS[kind]
            self.director.story.append(kind)
            self.manager.finish(self.manager.begin(self.jar))
            self.clock.advance(seconds)
            self.is_one_page = False  # what is sent later than that comes with the cookie of then
            if is_sweep:
                self.store.delete_expired_sessions()

        return greenlet.greenlet(happen)


async def _here(cls: Any, call: Callable[..., Any], *arguments: Any) -> Any:
    return call(*arguments)


def _copied(value: Any) -> Any:
    return type(value)(value) if isinstance(value, (list, dict)) else value


def every_order(run: Callable[[Choose], Any]) -> Iterator[Any]:
    """Run a story in every order of its steps, each once."""
    prefix: list[int] = []
    while True:
        taken: list[tuple[int, int]] = []

        def choose(count: int, taken: list[tuple[int, int]] = taken, prefix: list[int] = prefix) -> int:
            pick = prefix[len(taken)] if len(taken) < len(prefix) else 0
            taken.append((pick, count))
            return pick

        yield run(choose)
        while taken and taken[-1][0] + 1 == taken[-1][1]:
            taken.pop()
        if not taken:
            return
        prefix = [pick for pick, _ in taken]
        prefix[-1] += 1
