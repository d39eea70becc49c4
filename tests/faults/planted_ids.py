"""An attacker plants a session id in somebody's browser, and waits for the login."""

from typing import Any

from session3.DictSession import DictSession
from session3.SessionManager import SessionManager

from .cases import Case, Figures, Kind

SITUATION = "attacker plants a session id and waits for the login"


def applies(kind: Kind) -> bool:
    return True


def run(case: Case, long: bool) -> Figures:
    rounds = 100 if long else 10
    store = case.emptied()
    manager = SessionManager(store, DictSession)
    same = readable = tokens = 0
    for number in range(rounds):
        visit = manager.begin(None)
        visit.session["planted"] = number  # type: ignore[index]
        token = visit.session.create_form_token()  # type: ignore[union-attr]
        planted = _value(manager.finish(visit))
        login = manager.begin(planted)
        login.session.set_user("victim")  # type: ignore[union-attr]
        new = _value(manager.finish(login))
        same += new == planted
        late = manager.begin(planted).session
        readable += late is not None and late.user is not None
        if case.kind.has_records:
            readable += store.load_session(planted) is not None
        session: Any = manager.begin(new).session
        tokens += session.user != "victim" or session.has_form_token(token)
    store.close()
    text = f"{same} same ids, {readable} readable, {tokens} tokens kept of {rounds}"
    return Figures(text, same == readable == tokens == 0)


def _value(change: Any) -> str:
    assert change is not None and change.value is not None
    return str(change.value)
