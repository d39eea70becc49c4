"""Django's session API with the session in the cookie: its key is the signed data itself.

>>> class ShopSession(SessionStore):
...     secret_key = "a key of at least sixteen characters"
>>> session = ShopSession()
>>> session["cart"] = ["tea"]
>>> session.save()
>>> ShopSession(session.session_key)["cart"]
['tea']

Whoever holds the cookie can read it, not change it. `flush` makes the browser forget: a cookie that was copied before
stays good until it expires.
"""

import logging
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from .. import expiry
from ..cookies import check_size, overhead
from ..datafaults import raises_again
from ..errors import DamagedRecord
from ..serializers import MACHINE_ERRORS
from ..tokens import MAX_TOKEN
from .base import SessionBase

log = logging.getLogger("session3")
R = TypeVar("R")

_PURPOSE = " cookie"  # so that no text from `encode` can be brought back as a cookie
_LIFETIME = {"expires": "Thu, 01 Jan 1970 00:00:00 GMT", "max-age": 10**8}
#: What Django's defaults make, with a cookie that is Secure.
_USUAL = overhead("sessionid", {**_LIFETIME, "path": "/", "secure": True, "httponly": True, "samesite": "Lax"})


class SessionStore(SessionBase):
    """SessionBase in a signed cookie.

    `secret_key` comes from the class or from the environment variable SESSION3_SECRET_KEY; without one the first use
    raises ConfigurationError.
    """

    salt = "session3.backends.signed_cookies"

    @classmethod
    async def _in_thread(cls, call: Callable[..., R], *args: Any) -> R:
        return call(*args)  # nothing waits here

    def load(self) -> dict[Any, Any]:
        """Return the items of the cookie. One that is not as we signed it, or is over, gives none, and `modified`."""
        signer = self._token_signer(_PURPOSE)
        try:
            key = self.session_key or ""
            payload, signed_at = signer.open(key, MAX_TOKEN)
            items = self._items_of(payload, signed_at)
            if signer.is_outdated(key):
                self.modified = True  # so that a cookie by the newest key goes out, before the old one is dropped
        except DamagedRecord as error:
            log.info("the cookie of %r was not taken: %s", self, error)
            self.create()  # so that a fresh cookie goes out
            return {}
        return items

    def _items_of(self, payload: bytes, signed_at: int) -> dict[Any, Any]:
        loads = self._serializer().loads
        try:
            items = loads(payload)
        except MACHINE_ERRORS:
            raise  # what was signed is as it was written
        except Exception as error:  # whatever a decoder raises
            if not raises_again(error, loads, payload):
                raise
            raise DamagedRecord(f"its data can't be decoded: {error}") from error
        if not isinstance(items, dict):
            raise DamagedRecord("it holds no items")
        own = expiry.own_deadline(items.get(expiry.ITEM), signed_at)
        if (signed_at + self.get_session_cookie_age() if own is None else own) <= self.clock():
            raise DamagedRecord("it has expired")
        return items

    def create(self) -> None:
        """Ask for a fresh cookie."""
        self.modified = True

    def save(self, must_create: bool = False) -> None:
        """Make the cookie's value: `session_key`. Raises CookieTooLarge if a browser would drop it."""
        key = self._get_session_key()
        check_size(key, _attributes_size())
        self._session_key = key
        self.modified = True

    def exists(self, session_key: str | None = None) -> bool:
        """Return False: nothing is kept that a key could meet."""
        return False

    async def aexists(self, session_key: str | None = None) -> bool:
        return self.exists(session_key)

    def delete(self, session_key: str | None = None) -> None:
        self._session_key = None
        self._session_cache = {}
        self.modified = True

    def cycle_key(self) -> None:
        self.save()

    async def acycle_key(self) -> None:
        await self.asave()

    def _get_session_key(self) -> str:
        """Return the items as signed, compressed, URL-safe text."""
        return self._token_signer(_PURPOSE).sign(self._dumped(self._session))

    @classmethod
    def clear_expired(cls) -> None:
        """There is nothing here to clear: a cookie's expiry is in it."""


def _attributes_size() -> int:
    """Return the bytes that the cookie's name and attributes take, by Django's settings where there are any."""
    django = sys.modules.get("django.conf")
    if django is None or not django.settings.configured:
        return _USUAL
    settings = django.settings
    flags = {"secure": settings.SESSION_COOKIE_SECURE, "httponly": settings.SESSION_COOKIE_HTTPONLY}
    others = {"domain": settings.SESSION_COOKIE_DOMAIN, "samesite": settings.SESSION_COOKIE_SAMESITE}
    return overhead(
        settings.SESSION_COOKIE_NAME, {**_LIFETIME, "path": settings.SESSION_COOKIE_PATH, **flags, **others}
    )
