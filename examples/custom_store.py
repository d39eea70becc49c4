#!/usr/bin/env python3
"""A store of your own: three methods.

    python examples/custom_store.py

Such a store keeps whole sessions. It is written at each request, and of two requests at the same time the later one
wins. Where that is not good enough, derive from session3.store.RecordStore.RecordStore, and give its verbs.
"""

import pickle
from collections.abc import MutableMapping
from typing import Any

from session3.DictSession import DictSession
from session3.Session import Session
from session3.store.SessionStore import SessionStore


class PicklingStore(SessionStore):
    """Keeps pickles in any mapping of strings to bytes: a dict, a dbm file, a client of your key-value server."""

    def __init__(self, pickles: MutableMapping[str, bytes]) -> None:
        self.pickles = pickles

    def load_session(self, id: str, default: Any = None) -> Any:
        pickled = self.pickles.get(id)
        return default if pickled is None else pickle.loads(pickled)

    def save_session(self, session: Session) -> None:
        if session.id is None:
            raise ValueError("a session needs an id before it is saved")
        self.pickles[session.id] = pickle.dumps(session)

    def delete_session(self, session: Session | str) -> None:
        self.pickles.pop(session if isinstance(session, str) else str(session.id), None)


class ObjectStore(SessionStore):
    """Keeps the objects themselves: for one process, and for sessions that hold what can't be pickled."""

    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}

    def load_session(self, id: str, default: Any = None) -> Any:
        return self.sessions.get(id, default)

    def save_session(self, session: Session) -> None:
        if session.id is None:
            raise ValueError("a session needs an id before it is saved")
        self.sessions[session.id] = session

    def delete_session(self, session: Session | str) -> None:
        self.sessions.pop(session if isinstance(session, str) else str(session.id), None)


def main() -> None:
    for store in (PicklingStore({}), ObjectStore()):
        session = DictSession("example1")
        session["cart"] = ["tea"]
        store.save_session(session)
        loaded = store.load_session("example1")
        loaded["cart"].append("milk")
        store.save_session(loaded)
        print(f"{type(store).__name__}: {store.load_session('example1')['cart']}")
        store.delete_session("example1")
        print(f"{type(store).__name__}: {store.load_session('example1', 'nothing')}")


if __name__ == "__main__":
    main()
