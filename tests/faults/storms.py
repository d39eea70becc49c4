"""Pages of eight requests at once: renewals, new ids, logins, logouts, changes, forms that are posted twice."""

import contextlib
import random
import time
from collections.abc import Iterator

from ..interleavings.kinds import Visited
from ..interleavings.stepping import stepping
from ..interleavings.stories import told
from ..interleavings.story import STARTS, World
from ..sessions import Clock
from .cases import Case, Figures, Kind

SITUATION = "500 pages with 8 requests at once: renewals, new ids, logins, logouts, changes, double posts"
#: What a page's requests do; twice what there is most of.
KINDS = [
    "read", "item", "item", "attribute", "count", "post", "post", "login", "login by form", "logout", "renew",
    "renew and item", "cycle", "cycle and item", "empty", "Django save", "Django login", "Django cycle",
]  # fmt: skip


def applies(kind: Kind) -> bool:
    return kind.has_records


def run(case: Case, long: bool) -> Figures:
    pages, broken = 500 if long else 8, []
    for number, start in enumerate(STARTS):
        with site(case, start) as world:
            dice = random.Random(number)
            for _ in range(pages // len(STARTS)):
                # Every other page has a logout, which may undo a login.
                kinds = [kind for kind in KINDS if kind not in ("logout", "empty")] if dice.random() < 0.5 else KINDS
                broken += list(told(world, world.run(dice.choices(kinds, k=8), dice.randrange)))
    text = f"{len(broken)} promises broken on {pages} pages"
    return Figures(text if not broken else f"{text}, such as {broken[0]!r}", not broken)


@contextlib.contextmanager
def site(case: Case, start: str) -> Iterator[World]:
    """A site on the case's store, whose verbs are steps."""
    with case.emptied(clock=Clock(time.time()), session_class=Visited) as store:
        store.__class__ = stepping(type(store))
        yield World(store, start)
