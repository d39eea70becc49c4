"""The contract between a SessionManager and whatever keeps the sessions.

Required: `load_session`, `save_session`, `delete_session`. These three make a store.
Optional: `setup`, `check`, `close`, `has_session`, `iter_sessions`, `delete_old_sessions`, `delete_expired_sessions`.
Asked by the manager where a store can do better than the three methods: `create_session`, `discard_session`,
`move_session`, `refresh_session`, `needs_new_id`, `was_rotated`, `rotated_at`, `note_arrival`, `is_changed`.

What was written for session3 3.4.1 works: `load_session` is asked with the id alone, `delete_session` with a session;
a KeyError of the one is None, and of the other says that it is gone already.

A store that keeps whole sessions (pickled, or the objects themselves) is written at each request and merges nothing:
of two requests at the same time the later save wins. Derive from RecordStore for a store that does better.
"""

import contextlib
import copy
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from .. import ids
from ..errors import SessionDeleted
from . import older_stores

if TYPE_CHECKING:
    from ..Session import Session

log = logging.getLogger("session3")

#: Seconds after an id became nobody in which requests may still come that the browser sent before it knew.
ON_THEIR_WAY = 5.0

Self = TypeVar("Self", bound="SessionStore")


class SessionStore(ABC):
    """Base of all stores. Times are seconds since the epoch, by `clock`."""

    #: True if several processes may use the same store at once.
    is_multiprocess_safe = False
    #: True if several threads may use the same store object at once.
    is_thread_safe = False

    #: True if a session is kept in its cookie: a save makes the cookie's value, and nothing is shared.
    is_in_cookie = False

    #: True if `delete_session` takes a bare id, too; what was written for session3 3.4.1 needs a session.
    deletes_by_id = False

    clock: Callable[[], float] = staticmethod(time.time)

    # -- required ----------------------------------------------------------------------------------------------------

    @abstractmethod
    def load_session(self, id: str, default: Any = None) -> Any:
        """Return the session, or `default` if it is missing, expired, damaged (logged), or `id` is malformed.

        Raises StoreUnavailable if the store can't be reached: that never looks like a logged-out user.
        """

    @abstractmethod
    def save_session(self, session: "Session") -> None:
        """Keep the session under its id.

        A session that is new to the store is inserted, or overwrites. One that was loaded from it is written only if
        it changed; if another request wrote it meanwhile, the changes of both are merged. Raises SessionDeleted, and
        writes nothing, if it was deleted meanwhile; SerializationError if it can't be serialized; ValueError if its
        id is None or malformed.
        """

    @abstractmethod
    def delete_session(self, session: "Session | str") -> None:
        """Delete a session, given or named by its id, whatever its state; what is not there is no error.

        The same object may be saved again afterwards, as new. A store that does not say `deletes_by_id` is given
        sessions only.
        """

    # -- recommended -------------------------------------------------------------------------------------------------

    def has_session(self, id: str) -> bool:
        """Tell whether there is a live session under `id`."""
        return self.load_session(id) is not None

    # -- optional ----------------------------------------------------------------------------------------------------

    def setup(self, *, overwrite: bool = False) -> None:
        """Create what the store needs. Raises StoreExists if it holds sessions, unless they may be overwritten."""

    def check(self) -> None:
        """Raise what the first request would find out: for a deploy, or as an application starts.

        StoreUnavailable if the store can't be reached, read or written, StoreNotSetUp if `setup` is missing,
        ConfigurationError if it can't keep sessions as it is configured. Leaves nothing behind.
        """

    def close(self) -> None:
        """Let go of files and connections; the next call opens them again."""

    def __iter__(self) -> Iterator[str]:
        """Yield the ids, as Quixote's own managers ask for them."""
        for id, _ in self.iter_sessions():
            yield id

    def iter_sessions(self) -> Iterator[tuple[str, Any]]:
        """Yield pairs (id, session), lazily, while others may write."""
        raise NotImplementedError(f"{type(self).__name__} can't iterate over its sessions")

    def delete_old_sessions(self, minutes: float) -> tuple[int, int]:
        """Delete the sessions that were neither accessed nor modified for so many minutes.

        Works in batches, beside readers and writers. Returns (deleted, remaining). A store that can't iterate
        deletes nothing and returns (0, 0).
        """
        if type(self).iter_sessions is SessionStore.iter_sessions:
            return 0, 0
        ages = [(id, session.get_access_age(self.clock())) for id, session in self.iter_sessions()]
        old = [id for id, age in ages if age > minutes * 60]
        for id in old:
            older_stores.delete_under(self, id)
        return len(old), len(ages) - len(old)

    def delete_expired_sessions(self) -> tuple[int, int]:
        """Delete the sessions past their own expiry, as `delete_old_sessions` does. Returns (deleted, remaining)."""
        raise NotImplementedError(f"{type(self).__name__} keeps no expiry")

    def locked(self, id: str, timeout: float = 10.0, lease: float = 60.0) -> AbstractContextManager[Any]:
        """Return a context manager that lets one at a time into its block, for the session under `id`.

        It waits up to `timeout` seconds, then raises LockTimeout. The lock is freed at the end of the block, at once
        when its process dies and somebody on the same machine waits, and at the latest `lease` seconds after it was
        taken or renewed (`renew()` of what the block is given). It goes by the id: an id that the session gets later
        has a lock of its own. It holds up only those who ask for it, and is not reentrant. Load the session inside.

        >>> from session3.DictSession import DictSession
        >>> from session3.store.VolatileSessionStore import VolatileSessionStore
        >>> store = VolatileSessionStore()
        >>> store.save_session(DictSession("example1"))
        >>> with store.locked("example1"):
        ...     session = store.load_session("example1")
        ...     session["visits"] = session.get("visits", 0) + 1
        ...     store.save_session(session)
        """
        raise NotImplementedError(f"{type(self).__name__} has no locks")

    # -- asked by the manager ----------------------------------------------------------------------------------------

    def accepts_cookie(self, value: str) -> bool:
        """Tell whether a cookie's value can be an id at all; asked before anything is looked up."""
        return ids.is_cookie_id(value)

    def revives(self, session_class: "type[Session]") -> bool:
        """Tell whether a stored session of this class comes back as one. Whole sessions always do."""
        return True

    def is_changed(self, session: "Session") -> bool:
        """Tell whether saving the session would write anything. Whole sessions are always written."""
        return True

    def refresh_session(self, session: "Session") -> bool:
        """Write the access time and expiry of a loaded session that did not change; False if it is gone."""
        return older_stores.knows(self, session.id or "")

    def create_session(self, session: "Session") -> bool:
        """Save a new session unless its id is taken; tell whether it was saved."""
        assert session.id is not None
        if older_stores.knows(self, session.id):
            return False
        try:
            self.save_session(session)
        except BaseException:
            with contextlib.suppress(Exception):
                older_stores.delete(self, session)  # only the reply may have been lost, and nobody has the id
            raise
        return True

    def discard_session(self, session: "Session") -> bool:
        """Delete a loaded session unless it was changed since; tell whether it was deleted.

        False: `session` now holds the changes of both, and the caller decides again. Raises SessionDeleted if it
        was deleted meanwhile.
        """
        self._make_sure_of(session)
        older_stores.delete(self, session)
        return True

    def move_session(self, session: "Session", new_id: str, grace: float | None = None) -> bool:
        """Save a loaded session under a new id and end the old one; False, with nothing done, if `new_id` is taken.

        The old id is nobody at once. With `grace` (seconds) it leads to the new one, where the store can: until a
        request comes with that (`note_arrival`), an hour at most, and for the grace from then on; and where another
        request has just done the same, `session` goes on under that request's id. Raises SessionDeleted if the session
        was deleted meanwhile.
        """
        self._make_sure_of(session)
        return self._move_whole(session, new_id)

    def _move_whole(self, session: "Session", new_id: str) -> bool:
        former, before = copy.copy(session), session._id_time
        session.id, session._id_time = new_id, self.clock()
        is_created = False
        try:
            is_created = self.create_session(session)
            if is_created and former.id is not None:
                older_stores.delete(self, former)
        except BaseException:
            if is_created:
                with contextlib.suppress(Exception):
                    older_stores.delete(self, session)  # nobody has the new id
            self._stay(session, former.id, before)
            raise
        if not is_created:
            self._stay(session, former.id, before)
        return is_created

    @staticmethod
    def _stay(session: "Session", id: str | None, id_time: float | None) -> None:
        session.id = id
        session._set_id_time(id_time)

    def _make_sure_of(self, session: "Session") -> None:
        # A store of three methods can't tell a late save from a new session: it is asked before.
        if session.id is not None and not older_stores.knows(self, session.id):
            log.info("%r was deleted while a request worked on it", session)
            raise SessionDeleted(f"{self!r}: {session!r} was deleted meanwhile")

    def needs_new_id(self, session: "Session") -> bool:
        """Tell whether a loaded session should get a new id, since it is stored in an older way that goes by the id."""
        return False

    def was_rotated(self, id: str) -> bool:
        """Tell whether `id` lately became nobody because its session got another id."""
        return False

    def rotated_at(self, id: str) -> float | None:
        """Return when that happened, in seconds since the epoch; None if it did not."""
        return self.clock() if self.was_rotated(id) else None

    def note_arrival(self, session: "Session") -> None:
        """Called where a request came with the session's own id: the one before it leads there for its grace now."""

    def transaction_start(self) -> None:
        """Called as a request starts."""

    def transaction_commit(self, session: Any) -> None:
        """Called as a successful request ends, after the session was saved; `session` may be None."""

    def transaction_abort(self, session: Any) -> None:
        """Called as a failed request ends; `session` may be None."""

    # ----------------------------------------------------------------------------------------------------------------

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
