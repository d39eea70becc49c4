"""The mapping that developers know from Django's sessions: items, flags, expiry, the test cookie.

Two classes share it: DictSession, where a manager saves, and backends.base.SessionBase, which saves itself.
"""

from abc import abstractmethod
from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, MutableMapping, ValuesView
from datetime import datetime, timedelta
from typing import Any, TypeVar

from . import expiry as _expiry  # `expiry` is a keyword of two of Django's methods
from .expiry import Expiry

NOT_GIVEN: Any = object()
Self = TypeVar("Self", bound="SessionItems")


class SessionItems(MutableMapping[Any, Any]):
    """Items in a dict that the subclass gives as `_session`, behaving as Django 5.2 documents.

    `accessed` and `modified` tell what was done to the items. A change inside a value sets neither; it is saved all
    the same, since payloads are compared.
    """

    TEST_COOKIE_NAME = "testcookie"
    TEST_COOKIE_VALUE = "worked"

    #: Seconds (or a timedelta) that a session lives after it was last modified, unless `set_expiry` says otherwise.
    cookie_age: float | timedelta = _expiry.COOKIE_AGE
    #: True to let browsers forget the cookie as they close, unless `set_expiry` says otherwise.
    expire_at_browser_close = False

    accessed = False
    modified = False

    _clock: Callable[[], float]

    @property
    @abstractmethod
    def _session(self) -> dict[Any, Any]:
        """The items; to ask for them is to access the session."""

    @property
    @abstractmethod
    def session_key(self) -> str | None:
        """What the session is stored under; None until it is."""

    @abstractmethod
    def _replace_items(self, items: dict[Any, Any]) -> None: ...

    # Two sessions are never the same, whatever they hold: they are two visitors', and a set or a list that is looked
    # through for one must not find another. Beside other mappings, which have no hash, a session is its items.
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        if isinstance(other, SessionItems):
            return self is other
        return self._session == dict(other) if isinstance(other, Mapping) else NotImplemented

    def __or__(self, other: Any) -> dict[Any, Any]:
        """Return a dict of the items of both, as `|` of two dicts; the session stays as it is."""
        return {**self._session, **other} if isinstance(other, Mapping) else NotImplemented

    def __ror__(self, other: Any) -> dict[Any, Any]:
        return {**other, **self._session} if isinstance(other, Mapping) else NotImplemented

    def __ior__(self: Self, other: Any) -> Self:
        self.update(other)
        return self

    def copy(self) -> dict[Any, Any]:
        """Return the items as a dict of their own; the values are the same objects."""
        return self._session.copy()

    # -- the mapping -------------------------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Any:
        return self._session[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self._session[key] = value
        self.modified = True

    def __delitem__(self, key: Any) -> None:
        del self._session[key]
        self.modified = True

    def __contains__(self, key: object) -> bool:
        return key in self._session

    def __iter__(self) -> Iterator[Any]:
        return iter(self._session)

    def __reversed__(self) -> Iterator[Any]:
        backwards: Iterator[Any] = reversed(self._session)
        return backwards

    def __len__(self) -> int:
        return len(self._session)

    def get(self, key: Any, default: Any = None) -> Any:
        return self._session.get(key, default)

    def pop(self, key: Any, default: Any = NOT_GIVEN) -> Any:
        self.modified = self.modified or key in self._session
        return self._session.pop(key) if default is NOT_GIVEN else self._session.pop(key, default)

    def popitem(self) -> tuple[Any, Any]:
        item = self._session.popitem()  # the last one, as a dict's
        self.modified = True
        return item

    def setdefault(self, key: Any, default: Any = None) -> Any:
        if key not in self._session:
            self[key] = default
        return self._session[key]

    def update(self, *args: Any, **kwargs: Any) -> None:
        self._session.update(*args, **kwargs)
        self.modified = True

    def has_key(self, key: Any) -> bool:
        return key in self._session

    def keys(self) -> KeysView[Any]:
        return self._session.keys()

    def values(self) -> ValuesView[Any]:
        return self._session.values()

    def items(self) -> ItemsView[Any, Any]:
        return self._session.items()

    def clear(self) -> None:
        """Drop all items. What is stored is not read first."""
        self._replace_items({})
        self.accessed = self.modified = True

    @abstractmethod
    def is_empty(self) -> bool:
        """Tell whether there is neither a key nor an item. It reads nothing, and is no access."""

    # -- expiry ------------------------------------------------------------------------------------------------------

    def get_session_cookie_age(self) -> float:
        age: Any = self.cookie_age
        return age.total_seconds() if isinstance(age, timedelta) else age

    def set_expiry(self, value: Expiry) -> None:
        """Say when the session expires.

        A number: after so many seconds in which it was not modified; 0: when the browser closes. A datetime (without
        a time zone: local time) or a timedelta: then; datetime.max is the end of the calendar, which is for ever, in
        every time zone. None: the global policy decides. What is past expires at once. TypeError for anything else,
        ValueError for what no calendar can hold.
        """
        kept = _expiry.to_keep(value, self._clock())
        if kept is None:
            self.pop(_expiry.ITEM, None)
        else:
            self[_expiry.ITEM] = kept

    def get_expiry_age(self, *, modification: datetime | None = None, expiry: Expiry | str = NOT_GIVEN) -> float:
        """Return the seconds from `modification` (default: now) until the session expires, or would with `expiry`."""
        return _expiry.age(*self._life(modification, expiry))

    def get_expiry_date(self, *, modification: datetime | None = None, expiry: Expiry | str = NOT_GIVEN) -> datetime:
        """Return when the session expires, in UTC, if it was last modified at `modification` (default: now)."""
        return _expiry.date(*self._life(modification, expiry))

    def get_expire_at_browser_close(self) -> bool:
        """Tell whether the cookie is to end with the browser's session."""
        return self._is_for_browser(self.get(_expiry.ITEM))

    def _is_for_browser(self, kept: Any) -> bool:
        return self.expire_at_browser_close if kept is None else bool(kept == 0)

    def _life(self, modification: datetime | None, expiry: Any) -> tuple[Any, datetime, float]:
        modified = _expiry.moment(self._clock()) if modification is None else _expiry.utc(modification)
        kept = self.get(_expiry.ITEM) if expiry is NOT_GIVEN else expiry
        return kept, modified, self.get_session_cookie_age()

    # -- does the browser keep cookies? ------------------------------------------------------------------------------

    def set_test_cookie(self) -> None:
        """Leave a mark, to see at the next request whether the browser brings the cookie back."""
        self[self.TEST_COOKIE_NAME] = self.TEST_COOKIE_VALUE

    def test_cookie_worked(self) -> bool:
        return bool(self.get(self.TEST_COOKIE_NAME) == self.TEST_COOKIE_VALUE)

    def delete_test_cookie(self) -> None:
        del self[self.TEST_COOKIE_NAME]
