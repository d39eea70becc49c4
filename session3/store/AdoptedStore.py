"""A store that derives from nothing of ours: written to Quixote's own contract, or to none."""

import contextlib
import inspect
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from .SessionStore import SessionStore

if TYPE_CHECKING:
    from ..Session import Session

_REQUIRED = ("load_session", "save_session", "delete_session")


def is_store(candidate: Any) -> bool:
    """Tell whether an object has the three methods that make a store."""
    return not isinstance(candidate, type) and all(callable(getattr(candidate, name, None)) for name in _REQUIRED)


class AdoptedStore(SessionStore):
    """Asks `inner` for the three methods, and for what else it has.

    >>> class Mine:
    ...     def __init__(self):
    ...         self.sessions = {}
    ...     def load_session(self, id):
    ...         return self.sessions[id]
    ...     def save_session(self, session):
    ...         self.sessions[session.id] = session
    ...     def delete_session(self, session_id):
    ...         del self.sessions[session_id]
    >>> AdoptedStore(Mine()).load_session("example1", "nobody")
    'nobody'
    """

    deletes_by_id = True

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.is_multiprocess_safe = bool(getattr(inner, "is_multiprocess_safe", False))
        self.is_thread_safe = bool(getattr(inner, "is_thread_safe", False))
        self._inner_deletes_by_id = _first_parameter(inner.delete_session) != "session"
        if callable(getattr(inner, "clock", None)):
            self.clock = inner.clock

    def __repr__(self) -> str:
        return f"AdoptedStore({type(self.inner).__name__})"

    def __getattr__(self, name: str) -> Any:
        # What is not in the contract is the inner store's own.
        if name.startswith("__") or name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)

    def load_session(self, id: str, default: Any = None) -> Any:
        try:
            session = self.inner.load_session(id)
        except KeyError:
            return default
        return default if session is None else session

    def save_session(self, session: "Session") -> None:
        self.inner.save_session(session)

    def delete_session(self, session: "Session | str") -> None:
        if self._inner_deletes_by_id:
            self.inner.delete_session(session if isinstance(session, str) else session.id)
        elif not isinstance(session, str):
            self.inner.delete_session(session)
        elif (found := self.load_session(session)) is not None:
            self.inner.delete_session(found)

    def has_session(self, id: str) -> bool:
        if not callable(getattr(self.inner, "has_session", None)):
            return super().has_session(id)
        found = self.inner.has_session(id)
        return found if isinstance(found, bool) else found is not None

    def iter_sessions(self) -> Iterator[tuple[str, Any]]:
        if callable(getattr(self.inner, "iter_sessions", None)):
            yield from self.inner.iter_sessions()
        elif not hasattr(type(self.inner), "__iter__"):
            raise NotImplementedError(f"{type(self.inner).__name__} can't iterate over its sessions")
        else:
            for id in self.inner:
                if (session := self.load_session(id)) is not None:
                    yield id, session

    def setup(self, *, overwrite: bool = False) -> None:
        self._tell("setup", **({"overwrite": True} if overwrite else {}))

    def check(self) -> None:
        self._tell("check")

    def delete_expired_sessions(self) -> tuple[int, int]:
        if not callable(getattr(self.inner, "delete_expired_sessions", None)):
            return super().delete_expired_sessions()
        return self.inner.delete_expired_sessions() or (0, 0)

    def locked(self, id: str, timeout: float = 10.0, lease: float = 60.0) -> AbstractContextManager[Any]:
        if not callable(getattr(self.inner, "locked", None)):
            return super().locked(id, timeout, lease)
        lock: AbstractContextManager[Any] = self.inner.locked(id, timeout, lease)
        return lock

    def delete_old_sessions(self, minutes: float) -> tuple[int, int]:
        if not callable(getattr(self.inner, "delete_old_sessions", None)):
            return super().delete_old_sessions(minutes) if hasattr(type(self.inner), "__iter__") else (0, 0)
        return self.inner.delete_old_sessions(minutes) or (0, 0)  # None, in 3.4.1

    def transaction_start(self) -> None:
        self._tell("transaction_start")

    def transaction_commit(self, session: Any) -> None:
        self._tell("transaction_commit", session)

    def transaction_abort(self, session: Any) -> None:
        self._tell("transaction_abort", session)

    def close(self) -> None:
        self._tell("close")

    def _tell(self, name: str, *args: Any, **options: Any) -> None:
        told = getattr(self.inner, name, None)
        if callable(told):
            told(*args, **options)


def _first_parameter(method: Any) -> str:
    # Quixote's contract has an id where that of session3 3.4.1 has a session; the parameter's name tells.
    with contextlib.suppress(TypeError, ValueError):
        return next(iter(inspect.signature(method).parameters), "session")
    return "session"
