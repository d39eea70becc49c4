"""Quixote's mapping view of a session manager."""

from collections.abc import Iterator
from typing import Any

from .Session import Session
from .store import older_stores
from .store.SessionStore import SessionStore


class SessionMapping:
    """Session ids to sessions, straight from the store: what changes here is changed at once, whatever the request."""

    store: SessionStore
    session_class: type[Session]

    def get(self, session_id: str | None, default: Any = None) -> Any:
        """Return the session under an id, or `default`."""
        try:
            session = None if session_id is None else self.store.load_session(session_id)
        except KeyError:  # as a store may do that was written for an earlier contract
            return default
        return default if session is None else session

    def has_session(self, session_id: str) -> bool:
        return older_stores.knows(self.store, session_id)

    def __contains__(self, session_id: object) -> bool:
        return isinstance(session_id, str) and self.has_session(session_id)

    def __getitem__(self, session_id: str) -> Session:
        session: Session | None = self.get(session_id)
        if session is None:
            raise KeyError("there is no such session")  # an id is a secret, so it is not in the message
        return session

    def __setitem__(self, session_id: str, session: Session) -> None:
        if not isinstance(session, self.session_class):
            raise TypeError(f"a {self.session_class.__name__} is needed, not {session!r}")
        if session_id != session.id:
            raise ValueError("a session is stored under its own id")
        self.store.save_session(session)

    def __delitem__(self, session_id: str) -> None:
        if not self.has_session(session_id):
            raise KeyError("there is no such session")
        older_stores.delete_under(self.store, session_id)

    def __iter__(self) -> Iterator[Session]:
        """Yield each stored session, not its id, as Quixote's managers do."""
        for _, session in self.store.iter_sessions():
            yield session

    def keys(self) -> list[str]:
        return [id for id, _ in self.store.iter_sessions()]

    def sorted_keys(self) -> list[str]:
        return sorted(self.keys())

    def values(self) -> list[Session]:
        return list(self)

    def items(self) -> list[tuple[str, Session]]:
        return list(self.store.iter_sessions())

    def commit_changes(self, session: Session | None) -> None:
        """Called as a successful request ends, after its session was saved."""
        self.store.transaction_commit(session)

    def abort_changes(self, session: Session | None) -> None:
        """Called as a failed request ends."""
        self.store.transaction_abort(session)
