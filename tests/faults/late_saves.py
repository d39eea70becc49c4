"""A request saves after another one has logged the session out."""

from typing import Any

from session3.DictSession import DictSession
from session3.SessionManager import SessionManager

from .cases import Case, Figures, Kind
from .crews import errors_in, in_processes

SITUATION = "a request saves after another one logged the session out"


def applies(kind: Kind) -> bool:
    return kind.has_records


def run(case: Case, long: bool) -> Figures:
    rounds = 100 if long else 10
    store = case.emptied()
    manager = SessionManager(store, DictSession)
    back = cookies = errors = 0
    for number in range(rounds):
        cookie = _login(manager)
        late = manager.begin(cookie)
        late.session["n"] = number  # type: ignore[index]
        if case.kind.is_shared and number % 10 == 0:
            in_processes(lambda _, cookie=cookie: _logout(SessionManager(case.open(), DictSession), cookie), 1)  # type: ignore[misc]
        else:
            _logout(manager, cookie)
        changes: list[Any] = []
        errors += errors_in(lambda late=late, changes=changes: changes.append(manager.finish(late)))  # type: ignore[misc]
        cookies += changes != [None]
        back += store.has_session(cookie) or manager.begin(cookie).loaded is not None
    left = sum(1 for _ in store.iter_sessions())
    store.close()
    text = f"{back} back, {errors} errors, {cookies} cookies set of {rounds}"
    return Figures(text, back == errors == cookies == left == 0)


def _login(manager: SessionManager) -> str:
    visit = manager.begin(None)
    visit.session.user = "alice"  # type: ignore[union-attr]
    change = manager.finish(visit)
    assert change is not None and change.value is not None
    return change.value


def _logout(manager: SessionManager, cookie: str) -> int:
    visit = manager.begin(cookie)
    visit.end_session()
    manager.finish(visit)
    return 0
