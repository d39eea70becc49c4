"""Each operation of a store, between marks that show among the system calls of its process.

`python -m tests.operations URL` under strace; tests/test_costs.py reads what that wrote.
"""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from session3 import open_store
from session3.DictSession import DictSession
from session3.ids import make_id

from .sessions import Clock

MARK = "/mark of session3"
_WARM_UPS = 3  # connections are open then, statements prepared, scripts known


def main(url: str) -> None:
    clock = Clock(time.time())
    with open_store(url, clock=clock) as store:
        store.setup(overwrite=True)
        for _ in range(_WARM_UPS):
            _use(store, clock, contextlib.nullcontext)
        _use(store, clock, _marked)


def _use(store: Any, clock: Clock, marked: Callable[[str], Any]) -> None:
    session = DictSession(make_id())
    session.update(name="Zoë", history=[f"/item/{number}" for number in range(50)])
    store.save_session(session)
    session["visits"] = 1
    store.save_session(session)  # from now on its file has both slots
    store.load_session(session.id)  # SQLite notes once for all readers how far the log goes
    with marked("load"):
        session = store.load_session(session.id)
    with marked("unchanged save"):
        store.save_session(session)
    session["visits"] = 2
    with marked("changed save"):
        store.save_session(session)
    clock.advance(100)
    session._set_access_time(60)
    with marked("touch"):
        store.save_session(session)
    with marked("delete"):
        store.delete_session(session)


@contextlib.contextmanager
def _marked(operation: str) -> Iterator[None]:
    os.access(f"{MARK}/{operation}/begins", os.F_OK)
    yield
    os.access(f"{MARK}/{operation}/ends", os.F_OK)


if __name__ == "__main__":
    main(sys.argv[1])
