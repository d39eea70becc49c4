"""A signal's exception, a request's time limit say, at each bytecode of each call."""

from collections.abc import Callable
from contextlib import ExitStack

from ..interruptions import ACTS, AnotherProcess, Sweep, use
from .cases import Case, Figures, Kind

SITUATION = "a signal's exception in the midst of each call: the next call works, the session is there"
_STORES = ("Directory", "SQLite", "Volatile")
_POINTS = 5  # of each call, in the short form


def applies(kind: Kind) -> bool:
    return kind.name in _STORES


def run(case: Case, long: bool) -> Figures:
    store = case.emptied()
    points = hidden = 0
    with ExitStack() as stack:
        ask: Callable[[str], object] = lambda id: use(store, id)  # noqa: E731 - one of two
        if case.kind.is_shared:
            another = AnotherProcess(case.open)
            stack.callback(another.close)
            ask = another.use
        for act in ACTS:
            sweep = Sweep(store, act, ask)
            try:
                points += sweep.run(1 if long else sweep.count() // _POINTS + 1)
            except AssertionError as error:
                return Figures(f"{act}: {error}", False)
            hidden += len(sweep.hidden)
    store.close()
    return Figures(f"{points:,} interrupted, none lost, 0 locks or files left", hidden == 0)
