"""What a contender is, how one of its operations is timed, and what all of them keep."""

import pickle
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any

#: The session: twelve keys, about 1 KiB.
DATA: dict[str, Any] = {
    "user_id": 4711, "name": "Zoë Example", "role": "customer", "language": "de-AT", "theme": "dark", "visits": 1,
    "last_page": "/shop/teas/green/sencha", "consent": True, "currency": "EUR",
    "address": {"town": "Vienna", "zip": 1010},
    "history": [f"/shop/item/{number}" for number in range(20)],
    "cart": [{"item": f"tea {number}", "price": 3.5 + number, "count": number} for number in range(10)],
}  # fmt: skip
PAYLOAD = pickle.dumps(DATA, 5)
KEY = "abcdefghijklmnopqrstuvwxyz234567"
SECRET = "what signs the cookies of the benchmark"

#: Calls of one operation in a row; the first finds the processor's caches full of something else.
CALLS = 20

FAMILIES = ("files", "SQLite", "Postgres", "MySQL", "Redis", "Durus", "cookie", "memory")

#: Which of the private servers a family needs.
SERVER_OF = {"Postgres": "postgres", "MySQL": "mariadb", "Redis": "redis"}


class Servers:
    """Private servers, each started when it is first asked for.

    None where a program is missing, or where none of the families was asked for that need it.
    """

    def __init__(self, stack: ExitStack, families: Collection[str] | None = None) -> None:
        self._stack, self._families = stack, families

    @cached_property
    def postgres(self) -> Any:
        from tests.postgres_server import POSTGRES, PostgresServer

        return self._started("Postgres", POSTGRES, PostgresServer)

    @cached_property
    def mariadb(self) -> Any:
        from tests.mariadb_server import MARIADBD, MariaDBServer

        return self._started("MySQL", MARIADBD, MariaDBServer)

    @cached_property
    def redis(self) -> Any:
        from tests.private_server import find_program

        try:
            from tests.redis_server import RedisServer
        except ImportError:
            return None
        return self._started("Redis", find_program("redis-server"), RedisServer)

    def __iter__(self) -> Iterator[Any]:
        """Start them all, and return them: PostgreSQL, MariaDB, Redis."""
        return iter((self.postgres, self.mariadb, self.redis))

    def _started(self, family: str, program: str | None, kind: Callable[[], Any]) -> Any:
        if program is None or (self._families is not None and family not in self._families):
            return None
        return self._stack.enter_context(kind())


class LeftOut(Exception):
    """A contender can't take part here; the text says why."""


class Role(Enum):
    FLOOR = "floor"
    BY_HAND = "by hand"
    OURS = "ours"
    VARIANT = "ours, another way"  # shown, and held to nothing
    PEER = "peer"


class Timed:
    """What has operations to time."""

    name: str
    #: What is kept in the same place, or "" for what belongs to all.
    family: str
    #: The operations that are given a number, another one each time.
    NUMBERED = frozenset({"save"})

    def __init__(self, folder: Path, servers: Servers, stack: ExitStack) -> None:
        """Make it ready, with a session stored; what has to be closed goes onto the stack."""

    def turn(self, operation: str, number: int) -> list[float]:
        """Call an operation CALLS times in a row, and return the seconds that each call took."""
        call, taken = getattr(self, operation), []
        for n in range(number, number + CALLS):
            arguments = (n,) if operation in self.NUMBERED else ()
            begun = time.perf_counter()
            call(*arguments)
            taken.append(time.perf_counter() - begun)
        return taken


class Contender(Timed):
    """One way to keep a session: `load` it, `save` it changed, and what a request that only reads costs.

    `family` groups those that do the same job: one of them is the floor, to which the others are ratios.
    """

    role: Role

    def load(self) -> Any:
        raise NotImplementedError

    def save(self, number: int) -> Any:
        """Load nothing, change the session's `visits` to this number, and save it: other bytes each time."""
        raise NotImplementedError

    def read_only(self) -> Any:
        """All that a request does that reads the session and changes nothing."""
        return self.load()

    def visits(self) -> int:
        """Return the number of the last save, as a load shows it; nobody times this."""
        visits: int = self.load()["visits"]
        return visits


def changed(number: int) -> bytes:
    """Return the payload with other bytes, of the same length."""
    return PAYLOAD[:-8] + number.to_bytes(8, "big")


def number_in(payload: bytes) -> int:
    """Return what `changed` was given."""
    return int.from_bytes(payload[-8:], "big")
