"""How the conformance suite drives a session: by its methods, or by their async twins, in the same words."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime, timedelta, timezone
from typing import Any

WEEKS = 1_209_600  # seconds; the age of a cookie by default: two weeks
UTC = timezone.utc
NEPAL = timezone(timedelta(hours=5, minutes=45))

#: The flags of a session: accessed, modified.
READ, CHANGED, UNTOUCHED = (True, False), (True, True), (False, False)


class Backend:
    """A back end under test: makes its sessions, and moves the time that they live in."""

    #: The class of the sessions, and what they raise.
    session_class: type[Any]
    create_error: type[Exception]
    update_error: type[Exception]
    valid_key_chars: str

    def configure(self, **settings: Any) -> None:
        """From now on sessions have these settings: `cookie_age`, `expire_at_browser_close`."""
        raise NotImplementedError

    def now(self) -> float:
        """Return the time, in seconds since the epoch."""
        raise NotImplementedError

    def advance(self, seconds: float) -> None:
        raise NotImplementedError


class Driven:
    """A session, driven through its methods or through their async twins; either way each call is to be awaited."""

    def __init__(self, session: Any, is_async: bool) -> None:
        self.raw = session
        self.is_async = is_async

    def _name(self, name: str) -> str:
        if not self.is_async:
            return name
        return "_a" + name[1:] if name.startswith("_") else "a" + name

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self.raw, self._name(name))

        async def call(*args: Any, **kwargs: Any) -> Any:
            answer = method(*args, **kwargs)
            return await answer if self.is_async else answer

        return call

    async def set(self, key: Any, value: Any) -> None:
        if self.is_async:
            await self.raw.aset(key, value)
        else:
            self.raw[key] = value

    @property
    def key(self) -> Any:
        return self.raw.session_key

    @property
    def flags(self) -> tuple[bool, bool]:
        """Whether it was accessed, and whether it was modified."""
        return self.raw.accessed, self.raw.modified

    def count_loads(self) -> list[str]:
        """Return a list that grows with each load from here on."""
        loads: list[str] = []
        load: Any = getattr(self.raw, self._name("load"))

        def counting() -> Any:
            loads.append("load")
            return load()

        setattr(self.raw, self._name("load"), counting)
        return loads


class Driver:
    """Makes Driven sessions of a back end, and runs the coroutines that drive them."""

    def __init__(self, backend: Backend, is_async: bool) -> None:
        self.backend = backend
        self.is_async = is_async

    def run(self, behaviour: Coroutine[Any, Any, None]) -> None:
        if self.is_async:
            asyncio.run(behaviour)
            return
        try:
            behaviour.send(None)  # without an event loop, which some back ends refuse to block
        except StopIteration:
            return
        raise AssertionError("what is driven through plain methods has nothing to wait for")

    def new(self, key: Any = None, session_class: type[Any] | None = None) -> Driven:
        return Driven((session_class or self.backend.session_class)(key), self.is_async)

    async def stored(self, session_class: type[Any] | None = None, **items: Any) -> Driven:
        """Return a session as the next request has it: it was saved, and nothing of it was loaded yet."""
        session = self.new(None, session_class)
        for key, value in items.items():
            await session.set(key, value)
        await session.save()
        return self.new(session.key, session_class)

    async def kept(self, key: Any) -> dict[str, Any]:
        """Return what another request finds under a key."""
        return dict(await self.new(key).items())

    def time(self, seconds: float = 0) -> datetime:
        """Return the time in so many seconds."""
        return datetime.fromtimestamp(self.backend.now(), UTC) + timedelta(seconds=seconds)


#: What can happen to a signed text; see `spoiled`.
SPOILED = ["cut", "longer", "change", "resign", "nonsense", "colons", "dots", "no-text"]


def spoiled(text: str, other: str) -> dict[str, str]:
    """Return a signed text, spoiled in several ways; `other` is another text with the same signer."""
    separator = ":" if ":" in text else "."
    body, signature = other.rpartition(separator)[0], text.rpartition(separator)[2]
    assert body and signature
    return {
        "cut": text[:-1],
        "longer": text + "A",
        "change": ("A" if text[0] != "A" else "B") + text[1:],
        "resign": body + separator + signature,
        "nonsense": "nonsense",
        "colons": "::::::::",
        "dots": "........",
        "no-text": "\udc80" * 8,
        "empty": "",
    }
