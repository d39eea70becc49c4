"""The way to the server leads to a standby that lags behind, as after a failover, and then to a promoted one."""

import contextlib

from session3 import open_store
from session3.DictSession import DictSession
from session3.errors import StoreUnavailable
from session3.ids import make_id

from ..postgres_server import PG_BASEBACKUP, Standby
from .cases import Case, Figures, Kind
from .crews import errors_in

SITUATION = "standby in place of the server, and promoted"


def applies(kind: Kind) -> bool:
    return kind.name == "Postgres"


def missing() -> str:
    return "" if PG_BASEBACKUP else "needs PostgreSQL's pg_basebackup"


def run(case: Case, long: bool) -> Figures:
    answered = unserved = rounds = 0
    for _ in range(3 if long else 1):
        rounds += 1
        with case.emptied() as store:
            out, late = DictSession(make_id()), DictSession(make_id())
            store.save_session(out)
            with Standby(case.server) as standby, open_store(standby.url) as other:
                standby.stop_following()
                store.delete_session(out)  # a logout that the standby has not heard of
                store.save_session(late)
                for id in (out.id, late.id):
                    with contextlib.suppress(StoreUnavailable):
                        other.load_session(str(id))
                        answered += 1
                standby.promote()
                unserved += errors_in(lambda other=other: other.save_session(DictSession(make_id())))  # type: ignore[misc]
    text = f"{answered} stale answers, {unserved} failed once promoted of {rounds}"
    return Figures(text, answered == unserved == 0)
