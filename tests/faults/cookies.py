"""Cookies that nobody was given: forged, spelled in another way, from the future, expired."""

import random
import time
from typing import Any

from session3.DictSession import DictSession
from session3.SessionManager import SessionManager

from .cases import Case, Figures, Kind
from .crews import errors_in

SITUATION = "10,000 forged, re-encoded, future-dated, expired cookies"
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.=+/ \t\n\0%é\ud800"


def applies(kind: Kind) -> bool:
    return True


def run(case: Case, long: bool) -> Figures:
    count = 10_000 if long else 300
    store = case.emptied()
    manager = SessionManager(store, DictSession)
    good = [_issued(manager) for _ in range(5)]
    bad = _out_of_time(case, store)
    while len(bad) < count:
        bad |= {_mutant(random.choice(good), random.choice(good))} - set(good)
    accepted, errors = [0], 0

    def arrive(cookie: str) -> None:
        accepted[0] += manager.begin(cookie).loaded is not None

    for cookie in bad:
        errors += errors_in(lambda cookie=cookie: arrive(cookie))  # type: ignore[misc]
    lost = sum(manager.begin(cookie).loaded is None for cookie in good)
    store.close()
    return Figures(f"{accepted[0]} accepted, {errors} raised of {len(bad)}", accepted[0] == errors == lost == 0)


def _issued(manager: SessionManager) -> str:
    visit = manager.begin(None)
    visit.session["n"] = 1  # type: ignore[index]
    change = manager.finish(visit)
    assert change is not None and change.value is not None
    return change.value


def _out_of_time(case: Case, store: Any) -> set[str]:
    """Return cookies of sessions that are over, and of a server whose clock is far ahead."""
    over = DictSession(None if not case.kind.has_records else "a-session-that-is-over")
    over["n"], over._expires = 1, time.time() - 1
    store.save_session(over)
    found = {str(over.id)}
    if not case.kind.has_records:
        ahead, session = case.open(clock=lambda: time.time() + 300), DictSession(None)
        session["n"] = 1
        ahead.save_session(session)
        found.add(str(session.id))
    return found


def _mutant(cookie: str, other: str) -> str:
    at, to = sorted(random.choices(range(len(cookie) + 1), k=2))
    letter = random.choice(LETTERS)
    return random.choice([
        cookie[:at] + letter + cookie[at + 1:], cookie[:at] + letter + cookie[at:], cookie[:at] + cookie[to:],
        cookie[:at] + other[at:], cookie[::-1], cookie.upper(), cookie + letter, cookie[:-1] + letter,
        "../" + cookie, ".".join(random.sample(cookie.split("."), cookie.count(".") + 1)) + letter,
    ])  # fmt: skip
