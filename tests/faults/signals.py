"""A signal's exception, a request's time limit say, at many points of each call."""

from collections.abc import Callable
from contextlib import ExitStack

from ..interruptions import AnotherProcess, Sweep, acts_of, busy, use
from .cases import Case, Figures, Kind

SITUATION = "a signal's exception in the midst of each call: the next call works, the session is there"
_STORES = ("Directory", "SQLite", "Volatile", "Shelve", "Durus file", "Durus SQLite")
_SHORT, _LONG = 3, 40  # points of each call, about


def applies(kind: Kind) -> bool:
    return kind.name in _STORES


def run(case: Case, long: bool) -> Figures:
    store = busy(case.emptied())
    points = hidden = 0
    with ExitStack() as stack:
        ask: Callable[[str], object] = lambda id: use(store, id)  # noqa: E731 - one of two
        if case.kind.is_shared:
            another = AnotherProcess(case.open)
            stack.callback(another.close)
            ask = another.use
        for act in acts_of(store):
            sweep = Sweep(store, act, ask)
            try:
                points += sweep.run(_LONG if long else _SHORT)
            except AssertionError as error:
                return Figures(f"{act}: {error}", False)
            hidden += len(sweep.hidden)
    store.close()
    return Figures(f"{points:,} interrupted, none lost, 0 locks or files left", hidden == 0)
