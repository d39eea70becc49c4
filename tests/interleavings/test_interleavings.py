"""Every order of the steps of two requests, with what else may happen between them."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from session3.store.VolatileSessionStore import VolatileSessionStore
from tests.sessions import Clock

from .kinds import KINDS, Visited
from .promises import broken
from .stepping import stepping
from .story import STARTS, World, every_order

Memory = stepping(VolatileSessionStore)


def world(start: str, **options: Any) -> World:
    return World(Memory(clock=Clock(1e9), session_class=Visited, **options), start)


def tell(world: World, kinds: tuple[str, ...], strike: Any = None) -> Iterator[str]:
    """Yield each story that broke a promise."""
    for requests in every_order(lambda choose: world.run(kinds, choose, strike)):
        for what in broken(world, requests):
            yield f"{world.start}; {requests}; {strike or ''}: {what}\n  " + "\n  ".join(world.director.story)


@pytest.mark.parametrize("start", STARTS)
def test_two_requests(start: str) -> None:
    site = world(start)
    pairs = itertools.combinations_with_replacement(KINDS, 2)
    stories = [story for pair in pairs for story in tell(site, pair)]
    assert not stories, f"{len(stories)} stories, such as:\n{stories[0]}"
