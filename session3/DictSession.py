"""A session that is also a mapping: `session["cart"]`.

>>> session = DictSession(None)
>>> session["cart"] = ["tea"]
>>> session["cart"].append("milk")
>>> dict(session), session.has_info()
({'cart': ['tea', 'milk']}, True)
>>> session.set_expiry(300)
>>> session.get_expiry_age()
300

Items and attributes are distinct: `session["user"]` is not `session.user`.
"""

from typing import Any

from . import expiry
from .keptattributes import EMPTY_ITEMS
from .mapping import SessionItems
from .Session import Session

_EXPIRY = expiry.ITEM  # asked for several times in each request


class DictSession(Session, SessionItems):
    """Session with items, kept in the attribute `data`. Two requests that change different items both survive.

    Its own `set_expiry` goes before the manager's timeouts; without one these decide, and `get_expiry_age` counts
    with the class's `cookie_age`.
    """

    TRANSIENT = (*Session.TRANSIENT, "accessed", "modified")
    CONTAINERS = {**Session.CONTAINERS, "data": dict}

    def __init__(self, id: str | None) -> None:
        super().__init__(id)
        self.data: dict[Any, Any] = {}

    def __bool__(self) -> bool:
        """Tell whether there is anything in it. A user without items is something: Quixote logs `session and user`."""
        return bool(self.data or self.user is not None or self.has_info())

    @property
    def session_key(self) -> str | None:
        return self.id

    @property
    def modified(self) -> bool:
        changed: bool = self.__dict__.get("modified", False)
        return changed

    @modified.setter
    def modified(self, changed: bool) -> None:
        self.__dict__["modified"] = changed
        if changed and self._is_closed:
            self._warn_if_closed("an item was changed")

    @property
    def _session(self) -> dict[Any, Any]:
        self.accessed = True
        return self.data

    def _replace_items(self, items: dict[Any, Any]) -> None:
        self.data = items

    def is_empty(self) -> bool:
        return not self.id and not self.data

    def _says_changed(self) -> bool:
        return bool(self.__dict__.get("modified"))

    def _differs_from_fresh(self) -> bool:
        # Asked in each request: a fresh one need not be made, nor looked at, where it has no items.
        fresh = self._fresh
        if self.data and (fresh is EMPTY_ITEMS or (fresh is None and type(self).__init__ is DictSession.__init__)):
            return True
        return super()._differs_from_fresh()

    def _kept_expiry(self) -> expiry.KeptExpiry:
        kept: expiry.KeptExpiry = self.data.get(_EXPIRY)
        return kept

    def _ends_with_browser(self) -> bool:
        return self._is_for_browser(self._kept_expiry())
