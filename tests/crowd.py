"""`python -m tests.crowd DRIVER SETTINGS PATCH`: 150 greenlets at once, on a server that allows 20 connections.

PATCH is when gevent patches the process: `early`, `late` (the store is there already, and was used), `never`, or
`waits` (never, but psycopg2 is told to wait by way of gevent). Prints how many requests failed, and why.
"""

import json
import sys
from importlib import import_module
from typing import Any

MEMBERS = 150


def main(driver: str, settings: str, patch: str) -> None:
    from gevent import monkey

    if patch == "early":
        monkey.patch_all()
    store, ids = made(driver, json.loads(settings))
    if patch == "late":
        store.close()  # as in a worker, which inherits no connection
        monkey.patch_all()
    if patch == "waits":
        import_module("psycopg2.extensions").set_wait_callback(_wait)
    import gevent

    failed: list[str] = []
    jobs = [gevent.spawn(visit, store, id, failed) for id in ids]
    gevent.joinall(jobs, raise_error=True)
    failed += [id for id in ids if store.load_session(id)["n"] != 2]
    print(json.dumps(failed))


def made(driver: str, settings: Any) -> tuple[Any, list[str]]:
    """Return a store, and the ids of so many sessions in it."""
    from session3.DictSession import DictSession
    from session3.ids import make_id
    from session3.store.MySQLSessionStore import MySQLSessionStore
    from session3.store.PostgresSessionStore import PostgresSessionStore

    kind = PostgresSessionStore if driver.startswith("psycopg") else MySQLSessionStore
    store = kind(lambda: import_module(driver).connect(**settings), "crowd", timeout=60)
    store.setup(overwrite=True)
    ids = [make_id() for _ in range(MEMBERS)]
    for id in ids:
        session = DictSession(id)
        session["n"] = 0
        store.save_session(session)
    return store, ids


def visit(store: Any, id: str, failed: list[str]) -> None:
    try:
        for _ in range(2):
            session = store.load_session(id)
            session["n"] += 1
            store.save_session(session)
    except Exception as error:  # what it is, is what the test wants to know
        failed.append(repr(error))


def _wait(connection: Any) -> None:
    """As psycogreen has it: in the middle of a statement other greenlets go on."""
    from gevent.socket import wait_read, wait_write

    extensions = import_module("psycopg2.extensions")
    while (state := connection.poll()) != extensions.POLL_OK:
        (wait_read if state == extensions.POLL_READ else wait_write)(connection.fileno())


if __name__ == "__main__":
    main(*sys.argv[1:])
