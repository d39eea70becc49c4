"""A session that is also a mapping: `session["cart"]`.

>>> session = DictSession(None)
>>> session["cart"] = ["tea"]
>>> session["cart"].append("milk")
>>> dict(session), session.has_info()
({'cart': ['tea', 'milk']}, True)

Items and attributes are distinct: `session["user"]` is not `session.user`.
"""

from collections.abc import Hashable, Iterator, MutableMapping
from typing import Any

from .merge import three_way
from .Session import Session


class DictSession(Session, MutableMapping[Hashable, Any]):
    """Session with items, kept in the attribute `data`. Two requests that change different items both survive."""

    def __init__(self, id: str | None) -> None:
        super().__init__(id)
        self.data: dict[Hashable, Any] = {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.__dict__.setdefault("data", {})

    # A mapping compares by its items and has no hash; a session is one thing, whatever it holds.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __getitem__(self, key: Hashable) -> Any:
        return self.data[key]

    def __setitem__(self, key: Hashable, value: Any) -> None:
        self.data[key] = value

    def __delitem__(self, key: Hashable) -> None:
        del self.data[key]

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def __bool__(self) -> bool:
        # An empty session is still a session: `if request.session:` asks whether there is one.
        return True

    @classmethod
    def merge(cls, base: "DictSession", mine: "DictSession", theirs: "DictSession") -> "DictSession":
        merged = super().merge(base, mine, theirs)
        merged.data = three_way(base.data, mine.data, theirs.data)
        return merged
