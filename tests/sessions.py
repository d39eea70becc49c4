"""Session classes and values that the tests store; a module of its own, since pickles name it."""

from typing import Any

from session3.DictSession import DictSession
from session3.Session import Session


class Shop(Session):
    """A subclass with defaults of its own."""

    theme = "light"  # an attribute that older sessions lack

    def __init__(self, id: str | None) -> None:
        super().__init__(id)
        self.visits = 0
        self.consent: bool | None = None
        self.cart: list[Any] = []


class Counted(DictSession):
    """Says how its own attribute merges."""

    hits = 0

    @classmethod
    def merge(cls, base: Any, mine: Any, theirs: Any) -> Any:
        merged: Any = super().merge(base, mine, theirs)
        merged.hits = mine.hits + theirs.hits - base.hits
        return merged


class Address:
    """Without `__eq__`: two loads of one are unequal."""

    def __init__(self, town: str) -> None:
        self.town = town


class Bomb:
    """Does something when it is unpickled: notes it in `exploded`."""

    exploded: list[str] = []

    def __reduce__(self) -> Any:
        return _explode, ()


def _explode() -> None:
    Bomb.exploded.append("boom")


class Clock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds
