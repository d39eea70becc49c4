"""A crowd of requests, each in a thread of its own, on one store object of a database server."""

import threading
from typing import Any

from session3.DictSession import DictSession
from session3.ids import make_id

from .cases import Case, Figures, Kind
from .crews import errors_in, in_threads

CREW = 150
SITUATION = f"{CREW} threads at once on one store object, two requests each, and the connections that they took"
LIMIT = 10  # of a store, by default
_COUNT = {
    "Postgres": "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'",
    "MySQL": "SELECT count(*) FROM information_schema.processlist WHERE user = 'session3'",
}


def applies(kind: Kind) -> bool:
    return kind.name in _COUNT


def run(case: Case, long: bool) -> Figures:
    failed = hung = connections = 0
    with case.emptied(timeout=60) as store:
        for _ in range(5 if long else 1):
            ids = [make_id() for _ in range(CREW)]
            errors, stopped = in_threads(lambda number, ids=ids: _request(store, ids[number]), CREW)  # type: ignore[misc]
            failed, hung = failed + errors, hung + stopped
            connections = max(connections, store._query(_COUNT[case.kind.name], ())[0][0])
    return Figures(
        f"{failed} failed, {hung} hung, {connections} connections", failed == hung == 0 and connections <= LIMIT
    )


def _request(store: Any, id: str) -> int:
    def act() -> None:
        session = store.load_session(id) or DictSession(id)
        session["thread"] = threading.get_ident()
        store.save_session(session)

    return errors_in(act) + errors_in(act)
