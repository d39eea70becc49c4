"""Django's asynchronous names for what a session can do."""

import asyncio
from abc import abstractmethod
from collections.abc import Callable, ItemsView, KeysView, ValuesView
from datetime import datetime
from typing import Any, TypeVar

from .. import expiry
from ..expiry import Expiry
from ..mapping import NOT_GIVEN, SessionItems

R = TypeVar("R")


class AsyncTwins(SessionItems):
    """The `a...` twin of each method. What may wait for a store runs in a thread, so that the event loop goes on.

    A session belongs to one request, also here: await one call before the next.
    """

    _session_cache: dict[Any, Any]

    @abstractmethod
    def exists(self, session_key: str | None) -> bool: ...
    @abstractmethod
    def create(self) -> None: ...
    @abstractmethod
    def save(self, must_create: bool = False) -> None: ...
    @abstractmethod
    def delete(self, session_key: str | None = None) -> None: ...
    @abstractmethod
    def load(self) -> dict[Any, Any]: ...
    @classmethod
    @abstractmethod
    def clear_expired(cls) -> None: ...
    @abstractmethod
    def _forget_key(self) -> None: ...
    @abstractmethod
    def _get_new_session_key(self) -> str: ...
    @abstractmethod
    def _get_session(self, no_load: bool = False) -> dict[Any, Any]: ...

    @classmethod
    async def _in_thread(cls, call: Callable[..., R], *args: Any) -> R:
        return await asyncio.to_thread(call, *args)

    # -- between the session and its store ---------------------------------------------------------------------------

    async def aexists(self, session_key: str | None) -> bool:
        return await self._in_thread(self.exists, session_key)

    async def acreate(self) -> None:
        await self._in_thread(self.create)

    async def asave(self, must_create: bool = False) -> None:
        await self._in_thread(self.save, must_create)

    async def adelete(self, session_key: str | None = None) -> None:
        await self._in_thread(self.delete, session_key)

    async def aload(self) -> dict[Any, Any]:
        return await self._in_thread(self.load)

    @classmethod
    async def aclear_expired(cls) -> None:
        await cls._in_thread(cls.clear_expired)

    async def aflush(self) -> None:
        self.clear()
        await self.adelete()
        self._forget_key()

    async def acycle_key(self) -> None:
        data, key = await self._aget_session(), self.session_key
        await self.acreate()
        self._session_cache = data
        if key:
            await self.adelete(key)

    async def _aget_session(self, no_load: bool = False) -> dict[Any, Any]:
        if "_session_cache" not in self.__dict__ and self.session_key is not None and not no_load:
            self._session_cache = await self.aload()
        return self._get_session(no_load)

    async def _aget_new_session_key(self) -> str:
        return await self._in_thread(self._get_new_session_key)

    async def _aget_or_create_session_key(self) -> str:
        if self.session_key is None:
            self._session_key = await self._aget_new_session_key()
        return self.session_key or ""

    # -- items: once they are loaded, nothing waits ------------------------------------------------------------------

    async def aget(self, key: Any, default: Any = None) -> Any:
        await self._aget_session()
        return self.get(key, default)

    async def aset(self, key: Any, value: Any) -> None:
        await self._aget_session()
        self[key] = value

    async def apop(self, key: Any, default: Any = NOT_GIVEN) -> Any:
        await self._aget_session()
        return self.pop(key, default)

    async def asetdefault(self, key: Any, value: Any = None) -> Any:
        if not await self.ahas_key(key):
            await self.aset(key, value)
        return (await self._aget_session())[key]

    async def aupdate(self, *args: Any, **kwargs: Any) -> None:
        await self._aget_session()
        self.update(*args, **kwargs)

    async def ahas_key(self, key: Any) -> bool:
        await self._aget_session()
        return self.has_key(key)

    async def akeys(self) -> KeysView[Any]:
        await self._aget_session()
        return self.keys()

    async def avalues(self) -> ValuesView[Any]:
        await self._aget_session()
        return self.values()

    async def aitems(self) -> ItemsView[Any, Any]:
        await self._aget_session()
        return self.items()

    # -- expiry and test cookie, through `aget` and `aset`, as a subclass may expect ---------------------------------

    async def aset_expiry(self, value: Expiry) -> None:
        kept = expiry.to_keep(value, self._clock())
        if kept is None:
            await self.apop(expiry.ITEM, None)
        else:
            await self.aset(expiry.ITEM, kept)

    async def aget_session_cookie_age(self) -> float:
        return self.get_session_cookie_age()

    async def aget_expiry_age(self, **kwargs: Any) -> float:
        return self.get_expiry_age(**await self._with_expiry(kwargs))

    async def aget_expiry_date(self, **kwargs: Any) -> datetime:
        return self.get_expiry_date(**await self._with_expiry(kwargs))

    async def _with_expiry(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        return kwargs if "expiry" in kwargs else {**kwargs, "expiry": await self.aget(expiry.ITEM)}

    async def aget_expire_at_browser_close(self) -> bool:
        return self._is_for_browser(await self.aget(expiry.ITEM))

    async def aset_test_cookie(self) -> None:
        await self.aset(self.TEST_COOKIE_NAME, self.TEST_COOKIE_VALUE)

    async def atest_cookie_worked(self) -> bool:
        return bool(await self.aget(self.TEST_COOKIE_NAME) == self.TEST_COOKIE_VALUE)

    async def adelete_test_cookie(self) -> None:
        await self._aget_session()
        self.delete_test_cookie()
