"""Parallel updates of one session, each of another key."""

import time
from typing import Any

from session3.DictSession import DictSession

from .cases import Case, Figures, Kind
from .crews import errors_in, in_processes, in_threads

SITUATION = "800 updates of one session by 4 processes, and by 4 threads, 1 ms between load and save"
ID = "session-of-all"
CREW = 4


def applies(kind: Kind) -> bool:
    return kind.has_records


def run(case: Case, long: bool) -> Figures:
    each = 200 if long else 20
    total = CREW * each
    store = case.emptied()
    outcomes = [_try(store, lambda number: _update(store, number, each), in_threads)]
    if case.kind.is_shared:
        outcomes.append(_try(store, lambda number: _update(case.open(), number, each), in_processes))
    store.close()
    lost, errors, hung = (sum(column) for column in zip(*outcomes, strict=True))
    of = f"of {total * len(outcomes)}" + ("" if case.kind.is_shared else " (threads)")
    return Figures(f"{lost} lost, {errors} errors {of}", lost == errors == hung == 0)


def _try(store: Any, work: Any, crew: Any) -> tuple[int, int, int]:
    store.save_session(DictSession(ID))
    store.close()  # a connection is not taken into children
    saved_and_errors, hung = crew(work, CREW)
    saved, errors = divmod(saved_and_errors, 10_000)
    return saved - len(store.load_session(ID)), errors, hung


def _update(store: Any, number: int, times: int) -> int:
    """Make the updates; return those that were saved times 10,000, plus the errors."""
    errors = 0

    def update(n: int) -> None:
        session = store.load_session(ID)
        time.sleep(0.001)  # the application at work: without it four threads take turns, 2 conflicts in place of 879
        session[f"{number}-{n}"] = n
        store.save_session(session)

    for n in range(times):
        errors += errors_in(lambda n=n: update(n))  # type: ignore[misc]
    return (times - errors) * 10_000 + errors
