"""A signal's exception comes at any bytecode of any verb, as that of a request's time limit does."""

from .. import test_interrupted_shelf
from .cases import Case, Figures, Kind

SITUATION = "a signal's exception at every bytecode of every verb: hung, locked, lost, left open"
_NAMES = {"Shelve": "shelve", "Durus file": "durus", "Durus SQLite": "durus sqlite"}


def applies(kind: Kind) -> bool:
    return kind.name in _NAMES


def run(case: Case, long: bool) -> Figures:
    count = 0
    for verb in test_interrupted_shelf.VERBS:
        for error, was_open in ((test_interrupted_shelf.Alarm, True), (test_interrupted_shelf.ValueAlarm, False)):
            step = 1 if long else 1000
            count += test_interrupted_shelf.interrupt_all(_NAMES[case.kind.name], verb, step, error, was_open)
    return Figures(f"none after {count}", True)  # else it raised
