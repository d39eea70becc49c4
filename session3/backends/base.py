"""The session API of Django 5.2, without Django: a mapping that loads and saves itself.

`SessionBase` is everything but the storage. `session3.backends.for_store` makes a class of it over any store of ours;
`session3.backends.signed_cookies` keeps the session in the cookie. For a storage of your own give `exists`, `create`,
`save`, `delete`, `load` and `clear_expired`.
"""

import functools
import logging
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from .. import ids, secretkeys
from ..datafaults import raises_again
from ..errors import SerializationError, SessionError
from ..secretkeys import Secret
from ..serializers import MACHINE_ERRORS, JSONSerializer, loads_again
from ..tokens import TokenSigner
from .AsyncTwins import AsyncTwins

log = logging.getLogger("session3")

#: What a key that we make consists of.
VALID_KEY_CHARS = "abcdefghijklmnopqrstuvwxyz0123456789"

_MIN_KEY_LENGTH = 8
_MAX_KEYS = 10  # keys to try for a new session; one more than one is already a broken random source or store


class _KnownToDjango(SessionError):
    """Where Django is imported, each is also its own error of the same name, which its middleware looks for."""

    def __new__(cls, *args: object) -> Any:
        ours: Any = cls
        theirs: Any = getattr(sys.modules.get("django.contrib.sessions.backends.base"), cls.__name__, None)
        return super().__new__(ours if theirs is None or issubclass(ours, theirs) else _as_both(ours, theirs), *args)


@functools.cache
def _as_both(ours: Any, theirs: Any) -> Any:
    return type(ours.__name__, (ours, theirs), {"__module__": ours.__module__, "__doc__": ours.__doc__})


class CreateError(_KnownToDjango):
    """`save(must_create=True)` met a session under the same key."""


class UpdateError(_KnownToDjango):
    """The session was deleted while it was worked on; nothing was saved.

    As a SESSION_ENGINE of Django's: its middleware answers 400, as of its own back ends.
    """


class SessionBase(AsyncTwins):
    """A session that is loaded at the first access, and saved by `save`.

    Settings are class attributes: `cookie_age` (seconds) and `expire_at_browser_close` for sessions without an expiry
    of their own; `secret_key` (one or a list, newest first; else the environment variable SESSION3_SECRET_KEY), `salt`
    and `serializer` (a class or an object with `dumps` and `loads`) for `encode` and `decode`.
    """

    secret_key: Secret | Sequence[Secret] | None = None
    salt: str | None = None
    serializer: Any = JSONSerializer
    clock: Callable[[], float] = staticmethod(time.time)

    _signers: dict[str, tuple[Any, TokenSigner]]

    def __init__(self, session_key: str | None = None) -> None:
        self._session_key = session_key
        self.accessed = False
        self.modified = False

    def __repr__(self) -> str:
        # The key is a secret, and reprs end up in logs.
        return f"<{type(self).__name__} {ids.short_hash(self.session_key) if self.session_key else 'new'}>"

    def _clock(self) -> float:
        return self.clock()

    # -- the key -----------------------------------------------------------------------------------------------------

    def _validate_session_key(self, key: Any) -> bool:
        return isinstance(key, str) and len(key) >= _MIN_KEY_LENGTH

    @property
    def session_key(self) -> str | None:
        """What the session is stored under; None until it is, and for what can't be a key."""
        return self.__session_key

    def _get_session_key(self) -> str | None:
        return self.__session_key

    def _set_session_key(self, value: str | None) -> None:
        self.__session_key = value if self._validate_session_key(value) else None

    _session_key = property(lambda self: self.__session_key, lambda self, value: self._set_session_key(value))

    def _forget_key(self) -> None:
        self._session_key = None

    def _get_new_session_key(self) -> str:
        """Return a key that no session has: 160 random bits. `create` still makes sure that it adopts none."""
        return ids.make_id()

    def _get_or_create_session_key(self) -> str:
        if self.session_key is None:
            self._session_key = self._get_new_session_key()
        return self.session_key or ""

    # -- the items ---------------------------------------------------------------------------------------------------

    def _get_session(self, no_load: bool = False) -> dict[Any, Any]:
        self.accessed = True
        if "_session_cache" not in self.__dict__:
            self._session_cache = {} if no_load or self.session_key is None else self.load()
        return self._session_cache

    @property
    def _session(self) -> dict[Any, Any]:
        return self._get_session()

    def _replace_items(self, items: dict[Any, Any]) -> None:
        self._session_cache = items

    def __bool__(self) -> bool:
        """False for an empty session, as of Django 6.1; what is stored is true, and is not loaded to tell."""
        return not self.is_empty()

    def is_empty(self) -> bool:
        return not self.session_key and not self.__dict__.get("_session_cache")

    # -- text --------------------------------------------------------------------------------------------------------

    @property
    def key_salt(self) -> str:
        """What keeps a text of one class and purpose from being taken for another's."""
        return self.salt or f"session3.backends.{type(self).__qualname__}"

    def encode(self, session_dict: dict[Any, Any]) -> str:
        """Return items as signed, URL-safe text."""
        return self._token_signer().sign(self._dumped(session_dict))

    def decode(self, session_data: str) -> dict[Any, Any]:
        """Return the items of a text from `encode`; none, and a warning is logged, if it is not as it was signed."""
        try:
            items = self._decoded(session_data)
        except MACHINE_ERRORS:
            raise  # what was signed is as it was written
        except Exception as error:  # whatever a decoder raises
            if not raises_again(error, self._decoded, session_data):
                raise
            log.warning("session data was not taken: %s", error)
            return {}
        return items if isinstance(items, dict) else {}

    def _dumped(self, items: dict[Any, Any]) -> bytes:
        """Return the bytes of items. Raises SerializationError for what could not be loaded again, by name."""
        serializer = self._serializer()
        dumped = serializer.dumps(items)
        if loads_again(serializer, dumped):
            return _as_bytes(dumped)
        culprits = [key for key, item in items.items() if not loads_again(serializer, serializer.dumps({key: item}))]
        what = f"item {culprits[0]!r}" if culprits else "something in it"
        raise SerializationError(f"{self!r} can't be saved: {what} would not load again")

    def _decoded(self, session_data: str) -> Any:
        return self._serializer().loads(self._token_signer().open(session_data)[0])

    def _serializer(self) -> Any:
        return self.serializer() if isinstance(self.serializer, type) else self.serializer

    def _token_signer(self, purpose: str = "") -> TokenSigner:
        """Return the signer of this class for a purpose, made once: deriving the key is half of its cost."""
        cls, secret, salt = type(self), secretkeys.find(self.secret_key, type(self).__name__), self.key_salt + purpose
        if not isinstance(secret, (str, bytes)):
            secret = tuple(secret)  # a list may be changed in place
        made = cls.__dict__.get("_signers", {})
        if made.get(salt, (None,))[0] != secret:
            cls._signers = made = {**made, salt: (secret, TokenSigner(secret, salt=salt, clock=lambda: cls.clock()))}
        signer: TokenSigner = made[salt][1]
        return signer

    # -- storage: what a subclass gives ------------------------------------------------------------------------------

    def exists(self, session_key: str | None) -> bool:
        """Tell whether there is a session under a key."""
        raise NotImplementedError("a subclass of SessionBase gives exists()")

    def create(self) -> None:
        """Give the session a new key that no other has, and save it once before returning."""
        raise NotImplementedError("a subclass of SessionBase gives create()")

    def save(self, must_create: bool = False) -> None:
        """Save the session; one without a key is created.

        Raises CreateError if `must_create` and there is a session under the key; UpdateError, and only then, if it
        was deleted meanwhile. A store that can't be reached is StoreUnavailable.
        """
        raise NotImplementedError("a subclass of SessionBase gives save()")

    def delete(self, session_key: str | None = None) -> None:
        """Delete what is stored under a key, by default the session's own; what is not there is no error."""
        raise NotImplementedError("a subclass of SessionBase gives delete()")

    def load(self) -> dict[Any, Any]:
        """Return the stored items. A key under which there is nothing is dropped, and the items are none."""
        raise NotImplementedError("a subclass of SessionBase gives load()")

    @classmethod
    def clear_expired(cls) -> None:
        """Delete all sessions past their expiry. NotImplementedError where the storage can't find them."""
        raise NotImplementedError("this storage can't clear expired sessions")

    # -- what storage gives ------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Log out: drop the items, delete what is stored, and forget the key."""
        self.clear()
        self.delete()
        self._forget_key()

    def cycle_key(self) -> None:
        """Keep the items under a new key. The new one is saved before the old one goes."""
        data, key = self._session, self.session_key
        self.create()
        self._session_cache = data
        if key:
            self.delete(key)


def _as_bytes(dumped: str | bytes) -> bytes:
    return dumped.encode() if isinstance(dumped, str) else dumped
