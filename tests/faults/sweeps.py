"""Old sessions are swept away while others are used again at that moment."""

import threading
from typing import Any

from session3.DictSession import DictSession
from session3.errors import SessionDeleted
from session3.ids import make_id

from .cases import Case, Figures, Kind
from .crews import PATIENCE, errors_in, in_processes, in_threads, note

SITUATION = "sweeper running beside writers"
DAY = 86400.0


def applies(kind: Kind) -> bool:
    return kind.has_records


def run(case: Case, long: bool) -> Figures:
    each = 300 if long else 40
    store = case.emptied()
    if case.kind.is_shared:
        store.close()  # a connection is not taken into children
        total, hung = in_processes(lambda _: _beside_a_sweeper(case.open(), each), 3)
    else:
        total, hung = in_threads(lambda _: _beside_a_sweeper(store, each), 3)
    wrong, errors = divmod(total, 10_000)
    store.close()
    text = f"{wrong} wrongly deleted, {errors} errors of {each * 3}"
    return Figures(text, wrong == errors == hung == 0)


def _beside_a_sweeper(store: Any, times: int) -> int:
    """Use sessions while a thread sweeps without a pause; return 10,000 for each that is gone in the end, plus errors.

    In the end, since a sweeper may have looked at a session before it was saved, and delete it any time later.
    """
    stop, errors = threading.Event(), [0]
    saved: list[str] = []

    def sweep() -> None:
        while not stop.is_set():
            errors[0] += errors_in(lambda: store.delete_old_sessions(60))
            errors[0] += errors_in(store.delete_expired_sessions)

    sweeper = threading.Thread(target=sweep, daemon=True)
    sweeper.start()
    for n in range(times):
        errors[0] += _use(store, n, saved)
    stop.set()
    sweeper.join(PATIENCE)
    return 10_000 * sum(not store.has_session(id) for id in saved) + errors[0] + sweeper.is_alive()


def _use(store: Any, n: int, saved: list[str]) -> int:
    """Use a session that is due to be swept, and add it to those saved if it was; return the number of errors."""
    id, session = make_id(), DictSession(None)
    session.id, session["n"] = id, n
    try:
        store.save_session(session)
        _age(store, id)
        again = store.load_session(id)
        if again is None:
            return 0  # swept before it was used
        again["n"] = -1
        store.save_session(again)
        saved.append(id)
    except SessionDeleted:
        pass  # swept in between: deleting wins, and nobody was told that it was saved
    except Exception as error:  # anything else is what the table is about
        return note(error)
    return 0


def _age(store: Any, key: str) -> None:
    record = store.read(key)
    if record is not None:
        old = record.modified - DAY
        store.replace(key, record._replace(modified=old, accessed=old, revision=record.revision + 1), record.revision)
