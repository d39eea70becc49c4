"""What a contender is, and what all of them keep."""

import pickle
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

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


class Servers(NamedTuple):
    """Private servers, started once; None where a program is missing or was not asked for."""

    postgres: Any = None
    mariadb: Any = None
    redis: Any = None


class Contender:
    """One way to keep a session: `load` it, `save` it changed, and what a request that only reads costs.

    `family` groups those that do the same job: one of them is the floor, to which the others are ratios.
    """

    name: str
    family: str
    is_floor = False

    def __init__(self, folder: Path, servers: Servers, stack: ExitStack) -> None:
        """Make it ready, with a session stored; what has to be closed goes onto the stack."""

    def load(self) -> Any:
        raise NotImplementedError

    def save(self, number: int) -> Any:
        """Load nothing, change the session by this number, and save it: other bytes each time."""
        raise NotImplementedError

    def read_only(self) -> Any:
        """All that a request does that reads the session and changes nothing."""
        return self.load()


def changed(number: int) -> bytes:
    """Return the payload with other bytes, of the same length."""
    return PAYLOAD[:-8] + number.to_bytes(8, "big")
