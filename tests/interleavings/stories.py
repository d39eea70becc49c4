"""Which stories are told: all of two requests, a sample of three, and those in which one call is struck."""

import itertools
import random
import time
from collections.abc import Iterator, Sequence
from typing import Any

from .kinds import KINDS
from .promises import broken
from .stepping import FAULTS
from .story import Choose, Request, World, every_order

#: Kinds that do at the store what another one does, too: left out where time is short.
TWINS = {
    "attribute", "login by form", "cycle and item", "renew and item", "logout and login",
    "Django asave", "Django alogin", "Django aflush",
}  # fmt: skip
#: What an outage in the middle of a request can't be told from: a self-saving session has done half by then.
SELF_SAVING = {"Django login", "Django alogin"}

#: Kinds that are told with outages: of each sort that there is at the store one.
STRUCK = ["count", "post", "login", "logout", "renew", "empty", "another id"]

_GAPS, _CALLS = 8, 8  # steps after which the other request goes on; calls of a request that can be struck


def every_pair(world: World, *happenings: str, kinds: Sequence[str] = tuple(KINDS)) -> Iterator[str]:
    """Tell what two requests broke, in every order of their steps and of what happens beside them."""
    for pair in itertools.combinations_with_replacement(kinds, 2):
        for requests in every_order(lambda choose, pair=pair: world.run((*pair, *happenings), choose)):  # type: ignore[misc]
            yield from told(world, requests)


def some_triples(world: World, seconds: float, seed: int, kinds: Sequence[str] = tuple(KINDS)) -> Iterator[str | None]:
    """Tell stories of three requests, and of what may happen beside them, in an order that was drawn, for so long.

    Yields None for each that broke nothing.
    """
    dice, until = random.Random(seed), time.monotonic() + seconds
    happenings = [(), (), ("a pause",), ("a sweep",)]
    while time.monotonic() < until:
        told_of = (*dice.choices(kinds, k=3), *dice.choice(happenings))
        yield next(told(world, world.run(told_of, dice.randrange)), None)


def every_strike(world: World, kinds: Sequence[str]) -> Iterator[str]:
    """Tell what a request broke one of whose calls was struck, while another one ran at any moment."""
    for one, other, fault in itertools.product(kinds, kinds, FAULTS):
        if one in SELF_SAVING:
            continue
        for call in range(_CALLS):
            is_struck = False
            for gap in range(_GAPS):
                requests = world.run((one, other), after(gap), (0, call, fault))
                is_struck = is_struck or any(line.endswith(fault) for line in world.director.story)
                yield from told(world, requests)
            if not is_struck:
                break  # it has no such call


def after(gap: int) -> Choose:
    """Let the second request run as a whole after so many steps of the first."""
    steps = iter(range(10**6))

    def choose(count: int) -> int:
        return int(count > 1 and next(steps) >= gap)

    return choose


def told(world: World, requests: list[Request]) -> Iterator[str]:
    for what in broken(world, requests):
        lines = [f"{world.start}: {what}", *map(repr, requests), *world.director.story]
        yield "\n  ".join(lines)


def only_first(stories: Iterator[Any]) -> str:
    """Return the first story that broke something, or nothing."""
    return next((story for story in stories if story is not None), "")
