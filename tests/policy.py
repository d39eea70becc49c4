"""What a session manager promises a browser, over the model of a store: test_model.py holds the manager against it."""

import math
from dataclasses import dataclass, field

from session3.cookies import REVOKE, CookieChange
from session3.store.SessionStore import ON_THEIR_WAY

from .model import Copy, Gone, Model, State

IDLE, ABSOLUTE = 100, 300
RESOLUTION = IDLE / 20


@dataclass
class Page:
    """One request: the session that it loaded (`copy`), or a fresh one that was made for it at `since`."""

    cookie: str | None
    since: float
    copy: Copy | None = None
    fresh: State | None = None
    user: str | None = None
    expires: float | None = None
    grace: float | None = None
    began: float = 0.0
    ended: list[Copy | None] = field(default_factory=list)

    @property
    def state(self) -> State | None:
        return self.fresh if self.copy is None else self.copy.state

    def log_out(self) -> None:
        if self.state is not None:
            self.ended.append(self.copy)
            self.copy = self.fresh = None


class Policy:
    """The manager; `new_id` is what it would give to a session that needs one now."""

    def __init__(self, model: Model) -> None:
        self.model, self.clock, self.new_id = model, model.clock, ""

    def begin(self, cookie: str | None) -> Page:
        copy, now = None if cookie is None else self.model.load(cookie), self.clock()
        if copy is None or min(copy.accessed + IDLE, copy.row.created + ABSOLUTE) <= now:
            return Page(cookie, now, fresh=State(), began=now)
        if now - copy.accessed > RESOLUTION:
            copy.accessed = now
        return Page(cookie, now, copy, user=copy.state.user, expires=copy.expires, began=now)

    def finish(self, page: Page) -> CookieChange | None:
        try:
            change = self._settle_fresh(page) if page.copy is None else self._settle(page, page.copy)
        except Gone:
            change = None
        for copy in page.ended:
            if copy is not None:
                self.model.delete(copy.id)
        return change

    def _settle_fresh(self, page: Page) -> CookieChange | None:
        if page.fresh is None or page.fresh.is_empty():
            return REVOKE if page.ended else None
        rotated_at = self.model.rotated_at(page.cookie or "")
        if page.fresh.user is None and rotated_at is not None and page.began < rotated_at + ON_THEIR_WAY:
            return None  # the browser is about to hold another cookie
        return self._cookie(page, self.model.create(self.new_id, page.fresh, page.since + IDLE, page.since))

    def _settle(self, page: Page, copy: Copy) -> CookieChange | None:
        while copy.state.is_empty():
            if not copy.is_changed:
                return None
            if self.model.discard(copy):
                return REVOKE
        expires, before = min(self.clock() + IDLE, copy.row.created + ABSOLUTE), copy.expires
        if before is None or not 0 <= expires - before <= RESOLUTION:  # in steps, so that the browser is told of each
            copy.expires = expires
            copy.accessed = self.clock()
        if copy.state.user != page.user:
            self.model.move(copy, self.new_id, None)
        elif page.grace is not None and copy.id == page.cookie:  # who came by an old id came to a new one
            self.model.move(copy, self.new_id, page.grace)
        else:
            if copy.id == page.cookie:
                self.model.note_arrival(copy)
            self.model.save(copy)
        if copy.id not in (page.cookie, self.new_id) and copy.id not in self.model.live():
            return None  # moved or deleted while we read it: the browser may hold a newer cookie
        return self._cookie(page, copy)

    def _cookie(self, page: Page, copy: Copy) -> CookieChange | None:
        expires = copy.row.expires
        assert expires is not None
        if copy.id == page.cookie and expires == page.expires and not copy.came_back:
            return None
        return CookieChange(copy.id, max(0, math.ceil(expires - self.clock())))
