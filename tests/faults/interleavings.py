"""Three requests of one browser in many orders of their steps, with pauses, sweeps and outages between these."""

import random

from ..interleavings.stories import STRUCK, every_strike, some_triples
from ..interleavings.story import STARTS
from .cases import Case, Figures, Kind
from .storms import site

SITUATION = "3 requests of one browser, in many orders of their steps at the store; with outages and lost replies"


def applies(kind: Kind) -> bool:
    return kind.has_records


def run(case: Case, long: bool) -> Figures:
    # In memory most stories fit into a second, and on all stores they are the same.
    seconds = 0.2 if not long else 60.0 if case.kind.name == "Volatile" else 4.0
    told, broken = 0, []
    for number, start in enumerate(STARTS):
        with site(case, start) as world:
            for story in some_triples(world, seconds / len(STARTS), seed=number):
                told += 1
                broken += [story] if story else []
    if long and case.kind.name == "Volatile":
        with site(case, "a user") as world:
            broken += list(every_strike(world, STRUCK))
    text = f"{len(broken)} promises broken in {told} stories"
    return Figures(text if not broken else f"{text}, such as {random.choice(broken)!r}", not broken)
