"""Django's session API over a store.

>>> from session3.backends import for_store
>>> from session3.store.VolatileSessionStore import VolatileSessionStore
>>> SessionStore = for_store(VolatileSessionStore(), cookie_age=3600)
>>> session = SessionStore()
>>> session["cart"] = ["tea"]
>>> session.save()
>>> SessionStore(session.session_key)["cart"]
['tea']
"""

import asyncio
import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from .. import expiry, sessionclasses
from ..copies import private_copy
from ..DictSession import DictSession
from ..errors import ConfigurationError, SessionConflict, SessionDeleted
from ..managersettings import find_store, settle_api
from ..Session import Session
from ..store import older_stores
from ..store.SessionStore import ON_THEIR_WAY, SessionStore
from .base import _MAX_KEYS, CreateError, SessionBase, UpdateError

R = TypeVar("R")

SETTINGS = ("cookie_age", "expire_at_browser_close", "secret_key", "salt", "serializer")


def for_store(store: SessionStore, **settings: Any) -> "type[StoredSession]":
    """Return Django's SessionStore class over a store of ours; `settings` are those of SessionBase.

    Payloads go through the store's own serializer, so that what is saved here is read by an application with
    DictSession on the same store, and the other way round.
    """
    store = find_store(store)
    unknown = sorted(set(settings).difference(SETTINGS))
    if unknown:
        raise ConfigurationError(f"unknown settings: {', '.join(unknown)}; known are: {', '.join(SETTINGS)}")
    if store.is_in_cookie:
        raise ConfigurationError(
            f"{store!r} keeps nothing that could be loaded by a key; use session3.backends.signed_cookies.SessionStore"
        )
    settle_api(settings)
    members = {"__doc__": f"Sessions in {store!r}.", "__module__": __name__, "store": store, **settings}
    codec = getattr(store, "codec", None)
    if codec is not None and issubclass(codec.session_class, DictSession):
        sessionclasses.check(codec.session_class)
        members["_session_class"] = codec.session_class
    if not store.is_thread_safe:
        members["_executor"] = ThreadPoolExecutor(max_workers=1, thread_name_prefix="session3")
    return type("SessionStore", (StoredSession,), members)


class StoredSession(SessionBase):
    """SessionBase over the class attribute `store`.

    Two sessions of one key that are saved at the same time are merged, item by item. What an application with a
    session class of its own keeps beside the items (its class, its attributes) stays as it is.
    """

    store: SessionStore
    _executor: ThreadPoolExecutor | None = None  # a store that is not thread-safe is used by one thread only

    _session_class: type[DictSession] = DictSession  # of a session that is created here

    #: The session as the store gave it; what was changed since is in `_session_cache`.
    _stored: Session | None = None
    #: A key under which there was nothing, and when that was.
    _came_with: tuple[str, float] | None = None

    def _clock(self) -> float:
        return self.store.clock()

    @classmethod
    async def _in_thread(cls, call: Callable[..., R], *args: Any) -> R:
        if cls._executor is None:
            return await super()._in_thread(call, *args)
        return await asyncio.get_running_loop().run_in_executor(cls._executor, call, *args)

    # -- storage -----------------------------------------------------------------------------------------------------

    def exists(self, session_key: str | None) -> bool:
        return session_key is not None and older_stores.knows(self.store, session_key)

    def load(self) -> dict[Any, Any]:
        session = self._fetch()
        if session is None and self.session_key is not None:
            self._came_with = self.session_key, self._clock()
        self._session_key = None if session is None else session.id
        if "_session_cache" not in self.__dict__:
            # Later this would pass others' changes for the ones that ours were made on.
            self._stored = session
        return {} if session is None else _items_of(session)

    def create(self) -> None:
        self._leave_a_login_alone()
        for _ in range(_MAX_KEYS):
            self._session_key = self._get_new_session_key()
            try:
                self.save(must_create=True)
            except CreateError:
                self._forget_key()
            except BaseException:
                self._forget_key()  # nothing is known to be under it
                raise
            else:
                self.modified = True
                return
        raise SessionConflict(f"{self.store!r}: {_MAX_KEYS} new keys were all taken")

    def save(self, must_create: bool = False) -> None:
        if self.session_key is None:
            self.create()
            return
        items = self._get_session(no_load=must_create)
        session = self._new_session() if must_create else self._find()
        if session is None:
            raise UpdateError(f"{self!r} was deleted meanwhile, or never existed")
        self._give(session, items)
        if must_create and not self.store.create_session(session):
            raise CreateError(f"{self.store!r} has a session under the key of {self!r}")
        if not must_create and not self._is_updated(session):
            raise UpdateError(f"{self!r} was deleted meanwhile")
        self._keep(session)

    def _leave_a_login_alone(self) -> None:
        """Raise UpdateError if another request has just logged in, and a new cookie would take that of its answer away.

        Who logs in too may: that leaves an item of Django's.
        """
        came_with, self._came_with = self._came_with, None
        if came_with is None or "_auth_user_id" in self.__dict__.get("_session_cache", {}):
            return
        rotated_at = self.store.rotated_at(came_with[0])
        if rotated_at is not None and came_with[1] < rotated_at + ON_THEIR_WAY:
            raise UpdateError(f"{self!r} got another key meanwhile, at a login")

    def delete(self, session_key: str | None = None) -> None:
        key = self.session_key if session_key is None else session_key
        if key is not None:
            older_stores.delete_under(self.store, key)
        if key == self.session_key:
            self._stored = None

    @classmethod
    def clear_expired(cls) -> None:
        cls.store.delete_expired_sessions()

    def cycle_key(self, grace: float | None = None) -> None:
        """Keep the session under a new key; the old one is nobody at once, or for `grace` seconds leads to the new.

        Without a grace, at a login: else who planted the old key would be let in. Raises UpdateError if the session
        was deleted meanwhile.
        """
        items = self._session
        if self.session_key is None:
            self.create()
            return
        session = self._find()
        if session is None:
            raise UpdateError(f"{self!r} was deleted meanwhile, or never existed")
        self._give(session, items)
        if not any(self._is_moved(session, grace) for _ in range(_MAX_KEYS)):
            raise SessionConflict(f"{self.store!r}: {_MAX_KEYS} new keys were all taken")
        self._keep(session)
        self.modified = True

    def _is_moved(self, session: Session, grace: float | None) -> bool:
        new_key, old_key = self._get_new_session_key(), session.id or ""
        try:
            return self.store.move_session(session, new_key, grace)
        except SessionDeleted as error:
            if grace is not None or not self.store.was_rotated(old_key):
                raise UpdateError(f"{self!r} was deleted meanwhile") from error
        # Another request logged in first, under a key of its own; this login stands, too.
        session.id = new_key
        return self.store.create_session(session)

    async def acycle_key(self, grace: float | None = None) -> None:
        await self._in_thread(self.cycle_key, grace)

    # -- between items and sessions ----------------------------------------------------------------------------------

    def _find(self) -> Session | None:
        """Return what is stored under the key: as it was loaded, unless it was not, or another key was set."""
        if self._stored is not None and self._stored.id == self.session_key:
            return self._stored
        return self._fetch()

    def _fetch(self) -> Session | None:
        session: Session | None = None if self.session_key is None else older_stores.load(self.store, self.session_key)
        if session is None or session._snapshot is not None:
            if session is not None and session._id_unseen and session.id == self.session_key:
                self.store.note_arrival(session)
            return session
        # A store that keeps the object itself knows no expiry, and would show our changes before they are saved.
        session = private_copy(session)
        session._count_as_past(self._clock())
        return None if self._expires_at(session, _items_of(session)) <= self._clock() else session

    def _new_session(self) -> Session:
        session = self._session_class(self.session_key)
        session._creation_time = session._access_time = self._clock()
        return session

    def _give(self, session: Session, items: dict[Any, Any]) -> None:
        """Put the items into a session, and say when it expires."""
        if isinstance(session, DictSession) or items or "data" in session.__dict__:
            session.data = items  # type: ignore[attr-defined]
        session._clock = self._clock
        session._access_time = max(session._access_time, self._clock())
        session._expires = self._expires_at(session, items)

    def _expires_at(self, session: Session, items: dict[Any, Any]) -> float:
        own = expiry.own_deadline(items.get(expiry.ITEM), session._access_time)
        return session._access_time + self.get_session_cookie_age() if own is None else own

    def _is_updated(self, session: Session) -> bool:
        """Save a session that is stored already; False, with nothing done, if it was deleted meanwhile."""
        store, id = self.store, session.id or ""
        if session._snapshot is None and not older_stores.knows(store, id):
            return False
        if not store.is_changed(session):
            return store.refresh_session(session) or older_stores.knows(store, id)
        try:
            store.save_session(session)
        except SessionDeleted:
            return False
        return True

    def _keep(self, session: Session) -> None:
        if session._snapshot is None:
            # A store that keeps the object itself is left with copies of what the application goes on changing.
            stored, session = session, copy.copy(session)
            stored.__dict__.update(private_copy(session).__dict__)
        # Others' changes may have been merged in, and the session may have moved.
        self._stored, self._session_cache, self._session_key = session, _items_of(session), session.id


def _items_of(session: Session) -> dict[Any, Any]:
    items = session.__dict__.get("data", {})
    if not isinstance(items, dict):
        raise ConfigurationError(f"{type(session).__name__} has an attribute `data` that holds no items")
    return items
