"""The store's server is killed, or stopped in order, and comes back."""

from typing import Any

from session3.DictSession import DictSession
from session3.errors import StoreUnavailable

from .cases import Case, Figures, Kind

SITUATION = "server killed or stopped, and started again"
ID = "session-of-all"


def applies(kind: Kind) -> bool:
    return kind.is_server


def run(case: Case, long: bool) -> Figures:
    assert case.server is not None
    store = case.emptied()
    session = DictSession(ID)
    session["n"] = 0
    store.save_session(session)
    failed = absent = others = restarts = 0
    for _ in range(3 if long else 1):
        for end in (case.server.kill, case.server.stop):
            for asked_meanwhile in (True, False):
                end()
                if asked_meanwhile:
                    missing, other = _ask_in_vain(store)
                    absent, others = absent + missing, others + other
                case.server.start()
                tries, missing, other = _until_served(store)
                failed, absent, others = max(failed, tries), absent + missing, others + other
                restarts += 1
    store.close()
    text = f"{failed} failed at most, {absent} absent, {others} other errors of {restarts}"
    return Figures(text, failed <= 1 and absent == others == 0)


def _ask_in_vain(store: Any) -> tuple[int, int]:
    try:
        return int(store.load_session(ID) is None), 0
    except StoreUnavailable:
        return 0, 0
    except Exception:  # anything else is what the table is about
        return 0, 1


def _until_served(store: Any) -> tuple[int, int, int]:
    """Return how many requests failed before one succeeded, how often there was no session, and other errors."""
    for failed in range(10):
        try:
            session = store.load_session(ID)
            if session is None:
                return failed, 1, 0
            session["n"] += 1
            store.save_session(session)
            return failed, 0, 0
        except StoreUnavailable:
            continue
        except Exception:  # anything else is what the table is about
            return failed, 0, 1
    return 10, 0, 0
