"""A session: what an application keeps about one browser.

>>> session = Session(None)
>>> session.has_info()
False
>>> session.set_user("alice")
>>> session.has_info()
'alice'

Subclass it to keep more: set attributes in `__init__`, with class-level defaults where older sessions lack them.
Whatever is in the instance's `__dict__` is kept, and compared at the end of a request, so that nested changes are
seen. A session belongs to one request at a time; sharing among threads and processes happens in the store.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from . import ids
from .copies import own_copy
from .errors import FormTokenUsed, SerializationError
from .expiry import KeptExpiry
from .merge import MISSING, PICKLED, Sameness, merge_tokens, three_way, used_elsewhere
from .SessionTimes import SessionTimes
from .SessionTokens import SessionTokens
from .SessionUser import SessionUser

if TYPE_CHECKING:
    from .Snapshot import Snapshot

S = TypeVar("S", bound="Session")

#: All that is public in a DictSession without items; nobody changes it.
EMPTY_ITEMS: dict[str, Any] = {"data": {}}


class _NotKept(dict[type["Session"], frozenset[str]]):
    """Of each class the attributes that are no part of its sessions' state. A dict is the fastest thing to ask."""

    def __missing__(self, cls: type["Session"]) -> frozenset[str]:
        self[cls] = frozenset((*cls.OUTSIDE_STATE, *cls.TRANSIENT))
        return self[cls]


not_kept = _NotKept()
#: Attributes of every session, none of which is public.
_OWN = frozenset({"user", "_remote_address", "_creation_time", "_access_time", "_form_tokens", "_csrf_token"})


class Session(SessionUser, SessionTokens, SessionTimes):
    """Attributes: `id` (None until it is stored), `user`, form tokens, CSRF token, times; and what a subclass adds.

    Times are seconds since the epoch, ages are seconds.
    """

    #: Attributes that a record keeps beside the state, or not at all; RecordStore fills them in at load.
    OUTSIDE_STATE: tuple[str, ...] = ("id", "_creation_time", "_access_time")
    #: Attributes that live for one request and are never kept, pickled or copied.
    TRANSIENT: tuple[str, ...] = (
        "_snapshot", "_clock", "_expires", "_used_tokens", "_is_closed", "_came_back", "_fresh", "_known_user",
    )  # fmt: skip
    #: What makes the containers that a session of an older version lacks; a class-level default would be shared.
    CONTAINERS: Mapping[str, Callable[[], Any]] = {"_form_tokens": list}

    # Class-level defaults serve sessions that were stored before their class had the attribute.
    id: str | None = None
    _remote_address: str | None = None
    _snapshot: "Snapshot | None" = None
    _expires: float | None = None
    #: What its manager gave it as a new session, or, of a stored one, what makes such a new one.
    _fresh: "dict[str, Any] | Callable[[], Session] | None" = None
    _write_marks: Sequence[int] = ()  # of the last writes that have to know themselves
    _came_back = False  # it had been emptied, and its cookie revoked, when this request saved it

    def __init__(self, id: str | None) -> None:
        self.id = id
        self.user = None
        self._remote_address = None
        self._creation_time = self._access_time = self._clock()
        self._form_tokens: list[str] = []
        self._csrf_token = None

    def __repr__(self) -> str:
        # The id is a secret, and reprs end up in logs.
        return f"<{type(self).__name__} {ids.short_hash(self.id) if self.id else 'new'}>"

    def __str__(self) -> str:
        return f"{self!r} ({'no user' if self.user is None else f'user {self._user_text()}'})"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in self.TRANSIENT}

    def __setstate__(self, state: dict[str, Any]) -> None:
        attributes = self.__dict__
        attributes.update(state)
        for name, make in self.CONTAINERS.items():
            if name not in attributes:
                attributes[name] = make()

    def _kept(self) -> dict[str, Any]:
        kept = self.__dict__.copy()
        for name in not_kept[type(self)]:
            if name in kept:
                del kept[name]
        return kept

    def _state(self) -> dict[str, Any]:
        """Return what a store serializes. Raises SerializationError if a `__getstate__` of its own gives no dict."""
        if type(self).__getstate__ is Session.__getstate__:
            return self._kept()
        state: Any = self.__getstate__()
        if not isinstance(state, dict):
            raise SerializationError(f"{type(self).__name__}.__getstate__ must return a dict of attributes")
        outside = not_kept[type(self)]
        return {name: value for name, value in state.items() if name not in outside}

    def _sameness(self) -> Sameness:
        """Return what its store takes for the same."""
        return PICKLED if self._snapshot is None else self._snapshot.store.codec.same

    # -- what is kept ------------------------------------------------------------------------------------------------

    def has_info(self) -> Any:
        """Return something truthy if the session is worth keeping.

        That is the first of: the user, the form tokens, the CSRF token, or True if a public attribute differs from
        that of a new session, as the manager's `new_session` made it. So a choice such as `consent = False` over a
        default of None counts, and what every visitor is given does not.
        """
        user = self.user
        if user is not None and not (isinstance(self._fresh, dict) and self._is_everybodys(self._fresh)):
            # 0 and "" are users, too; and whether an object is true is for its own code to say, which may fail.
            return user if type(user) in (str, int) and user else True
        return self._form_tokens or self._csrf_token or self._differs_from_fresh()

    def _is_everybodys(self, fresh: dict[str, Any]) -> bool:
        return "user" in fresh and bool(fresh["user"] == self._user_key())

    def _public(self) -> dict[str, Any]:
        # Asked in each request of a stranger.
        hidden, attributes = not_kept[type(self)], self.__dict__
        return {
            name: attributes[name] for name in attributes if name not in _OWN and name not in hidden and name[:1] != "_"
        }

    def _set_fresh(self) -> None:
        """Remember what every visitor is given, before an application sees the session."""
        public, user = self._public(), self.user
        if user is None and public == EMPTY_ITEMS:
            self._fresh = EMPTY_ITEMS  # as most are: without copies
            return
        self._fresh = {name: own_copy(value) for name, value in public.items()}
        if user is not None:
            self._fresh["user"] = self._user_key()

    def _differs_from_fresh(self) -> bool:
        public, fresh = self._public(), self._fresh
        if not public or public == EMPTY_ITEMS == fresh:
            return False
        if not isinstance(fresh, dict):
            try:
                made = type(self)(None) if fresh is None else fresh()
            except Exception:  # a constructor that takes more than an id, or works only where requests are made
                return True
            fresh = {name: getattr(made, name, MISSING) for name in public}
        differs = self._sameness().differs
        return any(
            differs(value, fresh[name] if name in fresh else getattr(type(self), name, MISSING))
            for name, value in public.items()
        )

    def is_dirty(self) -> bool:
        """Return True unless the store knows that saving this session would change nothing."""
        return self._snapshot is None or self._snapshot.store.is_changed(self)

    def _says_changed(self) -> bool:
        """Tell whether what was done to it says that it changed; False: its payload has to tell."""
        return False

    @classmethod
    def merge(cls: type[S], base: S, mine: S, theirs: S) -> S:
        """Return a session with the changes of both `mine` and `theirs`, which both started as `base`.

        Called by a store when another request saved first. By default every attribute is taken from who changed
        it, and from `mine`, the later save, where both did. Override it to say more about an attribute of yours;
        the three sessions are for reading:

        >>> class Counted(Session):
        ...     hits = 0
        ...     @classmethod
        ...     def merge(cls, base, mine, theirs):
        ...         merged = super().merge(base, mine, theirs)
        ...         merged.hits = mine.hits + theirs.hits - base.hits
        ...         return merged

        Raises FormTokenUsed if both used the same form token: the same form was posted twice, and `mine` is second.
        """
        tokens = base._form_tokens, theirs._form_tokens, cls.MAX_FORM_TOKENS
        if any(used_elsewhere(token, *tokens) for token in mine._used_tokens):
            raise FormTokenUsed("this form was submitted a moment ago by another request")
        merged, same = cls.__new__(cls), theirs._sameness()
        state = three_way(before := base._state(), ours := mine._state(), others := theirs._state(), same)
        # Of a session of any class: Django's API keeps items in each.
        items: Any = before.get("data", {}), ours.get("data"), others.get("data")
        if all(isinstance(each, dict) for each in items):
            state["data"] = three_way(items[0], items[1], items[2], same)
        merged.__setstate__(state)
        merged.__dict__.update({name: getattr(mine, name) for name in cls.OUTSIDE_STATE})
        kept = merge_tokens(base._form_tokens, mine._form_tokens, theirs._form_tokens)
        merged._form_tokens = kept[max(0, len(kept) - cls.MAX_FORM_TOKENS) :]
        merged._know_user_of(mine)
        merged._merge_csrf_tokens(base, mine, theirs)
        return merged

    # -- for people --------------------------------------------------------------------------------------------------

    def dump(self, file: TextIO | None = None, header: bool = True, deep: bool = True) -> None:
        """Write what a developer wants to see, to `file` or standard output; `deep` adds the subclass's attributes."""
        out = file or sys.stdout
        if header:
            print(f"{self}:", file=out)
        print(f"  user: {self._user_text()}", file=out)
        print(f"  remote address: {self._remote_address}", file=out)
        for name, at in (("created", self._creation_time), ("last accessed", self._access_time)):
            print(f"  {name}: {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(at))}", file=out)
        print(f"  form tokens: {len(self._form_tokens)}", file=out)
        if deep:
            for name, value in self._public().items():
                print(f"  {name}: {value!r}", file=out)

    # -- accessors ---------------------------------------------------------------------------------------------------

    def get_remote_address(self) -> str | None:
        """Return the address that made the session's first request, if one did."""
        return self._remote_address

    def _kept_expiry(self) -> KeptExpiry:
        """Return what the session itself says about its expiry, as session3.expiry keeps it; None: nothing."""
        return None

    def _ends_with_browser(self) -> bool:
        """Tell whether its cookie is to have no lifetime, whatever the record's is."""
        return False
