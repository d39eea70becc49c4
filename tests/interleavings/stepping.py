"""Stores whose verbs are steps: between any two a request may be held, and another one goes on."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import greenlet

from session3.errors import StoreUnavailable
from session3.record import EMPTIED, ROTATED

VERBS = ("read", "insert", "replace", "remove", "touch")
#: What a driver may do to one call: the server can't be reached; it can't be after it did what it was asked, so that
#: the reply is lost; or the driver tries again by itself, and gets the answer to its repetition.
FAULTS = ("away", "reply lost", "tried twice")


@dataclass(frozen=True)
class Event:
    """A verb that was done: when, by which request, and whether it ended what was under the key, or moved it away."""

    at: int
    by: int
    verb: str
    ended: bool
    moved: bool


class Director:
    """Holds each request before each of its verbs, and notes what they do."""

    def __init__(self) -> None:
        self.hub = greenlet.getcurrent()
        self.running: dict[greenlet.greenlet, int] = {}
        self.events: list[Event] = []
        self.is_inside = False
        #: Which verb of which request is struck, by which of FAULTS.
        self.strike: tuple[int, int, str] | None = None
        self.done: dict[int, int] = {}
        self.story: list[str] = []
        #: Requests whose applications are at work, and whether that is to be a step.
        self.at_work: set[int] = set()
        self.works = False

    @property
    def now(self) -> int:
        return len(self.story)

    def step(self, verb: str, call: Callable[..., Any], *arguments: Any) -> Any:
        who = self.running.get(greenlet.getcurrent())
        if who is None or self.is_inside:  # a verb of ours that is made of others is one step
            return call(*arguments)
        self.hub.switch()
        number = self.done[who] = self.done.get(who, -1) + 1
        fault = self.strike[2] if self.strike is not None and self.strike[:2] == (who, number) else ""
        self.story.append(f"{who}: {verb} {fault}".strip())
        if fault == "away":
            raise StoreUnavailable("away")
        self.is_inside = True
        try:
            answer = call(*arguments)
        finally:
            self.is_inside = False
        self._note(who, verb, answer, arguments)
        if fault == "reply lost":
            raise StoreUnavailable("the reply was lost")
        return False if fault == "tried twice" and verb not in ("read", "touch") else answer

    def work(self) -> None:
        """Hold the application while it works on its page: only here does time pass, not inside of verbs."""
        who = self.running[greenlet.getcurrent()]
        if self.works:
            self.at_work.add(who)
            self.hub.switch()
            self.at_work.discard(who)

    def _note(self, who: int, verb: str, answer: Any, arguments: tuple[Any, ...]) -> None:
        if answer is not True:
            return
        forward = arguments[1].forward if verb == "replace" else None
        ended = verb == "remove" or (forward == ROTATED and not arguments[1].is_expired(arguments[1].modified))
        self.events.append(Event(self.now, who, verb, ended, forward not in (None, EMPTIED)))


def stepping(store_class: type[Any]) -> type[Any]:
    """Return a class of stores that asks its `director`, where it has one, before each verb."""

    def stepped(name: str) -> Callable[..., Any]:
        verb = getattr(store_class, name)

        @functools.wraps(verb)
        def step(self: Any, *arguments: Any) -> Any:
            director = self.director
            call = functools.partial(verb, self)
            return call(*arguments) if director is None else director.step(name, call, *arguments)

        return step

    members = {name: stepped(name) for name in VERBS}
    return type(f"Stepping{store_class.__name__}", (store_class,), {"director": None, **members})
