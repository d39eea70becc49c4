"""Beaker, starsessions, and session3 as it was: 3.4.1."""

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from .contenders import CALLS, DATA, Contender, Role, Servers
from .upstream import Upstream


class BeakerFiles(Contender):
    """Beaker's session as its middleware makes it; at the end of a request it notes the time of access."""

    name, family, role = "Beaker, files", "files", Role.PEER

    def __init__(self, folder: Path, servers: Servers, stack: ExitStack) -> None:
        from beaker.session import SessionObject

        options = {"type": "file", "data_dir": str(folder), "key": "id", "data_serializer": "pickle"}
        self.environ: dict[str, str] = {}
        self.opened: Callable[[], Any] = lambda: SessionObject(self.environ, **options)
        self.session = self.opened()
        self.session.update(DATA)
        self._save()
        self.environ["HTTP_COOKIE"] = f"id={self.session.id}"
        self.session = self.opened()

    def _save(self) -> None:
        self.session.save()  # marks it
        self.session.persist()

    def load(self) -> Any:
        session = self.opened()
        session["name"]  # it is lazy
        return session

    def save(self, number: int) -> None:
        self.session["visits"] = number
        self._save()

    def read_only(self) -> None:
        self.load().persist()


class StarsessionsRedis(Contender):
    """The handler of starsessions, whose middleware saves each session that was loaded.

    It is timed inside its event loop, so that starting and ending one is not counted.
    """

    name, family, role = "starsessions, Redis", "Redis", Role.PEER
    lifetime = 10**6

    def __init__(self, folder: Path, servers: Servers, stack: ExitStack) -> None:
        import redis.asyncio
        from starsessions.stores.redis import RedisStore

        self.loop = asyncio.new_event_loop()
        stack.callback(self.loop.close)
        client = redis.asyncio.Redis(port=servers.redis.port)
        stack.callback(lambda: self.loop.run_until_complete(client.aclose()))
        self.store = RedisStore(connection=client)
        self.handler = self._handler(None)
        self.loop.run_until_complete(self.handler.load())
        self.handler.connection.session.update(DATA)
        self.id = self.loop.run_until_complete(self.handler.save(self.lifetime))

    def _handler(self, id: str | None) -> Any:
        from starlette.requests import HTTPConnection
        from starsessions.serializers import JsonSerializer
        from starsessions.session import SessionHandler

        return SessionHandler(HTTPConnection({"type": "http"}), id, self.store, JsonSerializer(), self.lifetime)

    def turn(self, operation: str, number: int) -> list[float]:
        return self.loop.run_until_complete(self._turn(operation, number))

    async def _turn(self, operation: str, number: int) -> list[float]:
        call, taken = getattr(self, f"_{operation}"), []
        for n in range(number, number + CALLS):
            begun = time.perf_counter()
            await call(n)
            taken.append(time.perf_counter() - begun)
        return taken

    async def _load(self, number: int) -> Any:
        handler = self._handler(self.id)
        await handler.load()
        handler.connection.session["name"]
        return handler

    async def _save(self, number: int) -> None:
        self.handler.connection.session["visits"] = number
        await self.handler.save(self.lifetime)

    async def _read_only(self, number: int) -> None:
        await (await self._load(number)).save(self.lifetime)

    def load(self) -> Any:
        return self.loop.run_until_complete(self._load(0)).connection.session

    def save(self, number: int) -> None:
        self.loop.run_until_complete(self._save(number))


class UpstreamDirectory(Contender):
    name, family, role = "session3 3.4.1 Directory", "files", Role.PEER

    def __init__(self, folder: Path, servers: Servers, stack: ExitStack) -> None:
        self.child = Upstream(folder, stack)

    def turn(self, operation: str, number: int) -> list[float]:
        return self.child.turn("store", operation, number)

    def save(self, number: int) -> None:
        self.turn("save", number - CALLS + 1)

    def read_only(self) -> None:
        self.turn("read_only", 0)

    def visits(self) -> int:
        return self.child.visits()


OTHER_PEERS = [BeakerFiles, StarsessionsRedis, UpstreamDirectory]
