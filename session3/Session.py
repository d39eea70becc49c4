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

import functools
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from . import ids
from .errors import FormTokenUsed
from .expiry import KeptExpiry
from .merge import MISSING, differs, merge_tokens, three_way, used_elsewhere
from .serializers import PickleSerializer
from .SessionTokens import SessionTokens

if TYPE_CHECKING:
    from .Snapshot import Snapshot

S = TypeVar("S", bound="Session")


class Session(SessionTokens):
    """Attributes: `id` (None until it is stored), `user`, form tokens, CSRF token, times; and what a subclass adds.

    Times are seconds since the epoch, ages are seconds.
    """

    #: Attributes that a record keeps beside the state, or not at all; RecordStore fills them in at load.
    OUTSIDE_STATE: tuple[str, ...] = ("id", "_creation_time", "_access_time")
    #: Attributes that live for one request and are never kept, pickled or copied.
    TRANSIENT: tuple[str, ...] = ("_snapshot", "_clock", "_expires", "_used_tokens", "_came_back")
    #: What makes the containers that a session of an older version lacks; a class-level default would be shared.
    CONTAINERS: Mapping[str, Callable[[], Any]] = {"_form_tokens": list}

    # Class-level defaults serve sessions that were stored before their class had the attribute.
    id: str | None = None
    user: Any = None
    _remote_address: str | None = None
    _snapshot: "Snapshot | None" = None
    _expires: float | None = None
    _id_time: float | None = None  # when its id was first seen, or made; None: with the session
    _id_unseen = False  # nobody has come yet with the id that a renewal gave it
    _write_marks: Sequence[int] = ()  # of the last writes that have to know themselves
    _came_back = False  # it had been emptied, and its cookie revoked, when this request saved it
    _clock: Callable[[], float] = staticmethod(time.time)

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
        return f"{self!r} ({f'user {self.user}' if self.user else 'no user'})"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in self.TRANSIENT}

    def __setstate__(self, state: dict[str, Any]) -> None:
        attributes = self.__dict__
        attributes.update(state)
        for name, make in self.CONTAINERS.items():
            if name not in attributes:
                attributes[name] = make()

    @classmethod
    @functools.cache
    def _not_kept(cls) -> frozenset[str]:
        return frozenset((*cls.OUTSIDE_STATE, *cls.TRANSIENT))

    def _kept(self) -> dict[str, Any]:
        kept = self.__dict__.copy()
        for name in self._not_kept():
            kept.pop(name, None)
        return kept

    # -- what is kept ------------------------------------------------------------------------------------------------

    def has_info(self) -> Any:
        """Return something truthy if the session is worth keeping.

        That is the first of: the user, the form tokens, the CSRF token, or True if a public attribute differs from
        that of a fresh session of this class. So a choice such as `consent = False` over a default of None counts,
        and what `__init__` gives to every visitor does not, as long as it gives them all the same.
        """
        return self.user or self._form_tokens or self._csrf_token or self._differs_from_fresh()

    def _differs_from_fresh(self) -> bool:
        public = [name for name in self._kept() if not name.startswith("_") and name != "user"]
        if not public:
            return False
        fresh = type(self)(None)
        return any(differs(getattr(self, name), getattr(fresh, name, MISSING)) for name in public)

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
        merged = cls.__new__(cls)
        merged.__dict__.update({name: getattr(mine, name) for name in cls.OUTSIDE_STATE})
        merged.__dict__.update(three_way(base._kept(), mine._kept(), theirs._kept()))
        # Django's API keeps items in a session of any class.
        items: list[Any] = [base.__dict__.get("data", {}), mine.__dict__.get("data"), theirs.__dict__.get("data")]
        if all(isinstance(each, dict) for each in items):
            merged.__dict__["data"] = three_way(*items)
        kept = merge_tokens(base._form_tokens, mine._form_tokens, theirs._form_tokens)
        merged._form_tokens = kept[max(0, len(kept) - cls.MAX_FORM_TOKENS) :]
        return merged

    # -- the request -------------------------------------------------------------------------------------------------

    def start_request(self) -> None:
        """Called as a request of Quixote's starts: tells the rest of the application who the user is."""
        if self.user is not None:
            import quixote

            quixote.get_request().environ["REMOTE_USER"] = str(self.user)

    def dump(self, file: TextIO | None = None, header: bool = True, deep: bool = True) -> None:
        """Write what a developer wants to see, to `file` or standard output; `deep` adds the subclass's attributes."""
        out = file or sys.stdout
        if header:
            print(f"{self}:", file=out)
        print(f"  user: {self.user}", file=out)
        print(f"  remote address: {self._remote_address}", file=out)
        for name, at in (("created", self._creation_time), ("last accessed", self._access_time)):
            print(f"  {name}: {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(at))}", file=out)
        print(f"  form tokens: {len(self._form_tokens)}", file=out)
        if deep:
            for name, value in self._kept().items():
                if not name.startswith("_") and name != "user":
                    print(f"  {name}: {value!r}", file=out)

    # -- accessors ---------------------------------------------------------------------------------------------------

    def set_user(self, user: Any) -> None:
        """Set the user; with another user comes another CSRF token."""
        before, self.user = self.get_user_key(), user
        if self.get_user_key() != before:
            self._csrf_token = None

    def get_user(self) -> Any:
        return self.user

    def get_user_key(self) -> str | int | bytes | None:
        """Return what tells this user from others: a str or int itself, else its `.id`, else its serialized bytes."""
        if self.user is None or isinstance(self.user, (str, int)):
            return self.user
        id = getattr(self.user, "id", None)
        if isinstance(id, (str, int)):
            return id
        try:
            return PickleSerializer().dumps(self.user)
        except Exception:  # whatever a __reduce__ raises; the save reports it by name
            return b"a user that can't be saved"

    def get_remote_address(self) -> str | None:
        """Return the address that made the session's first request, if one did."""
        return self._remote_address

    def get_creation_time(self) -> float:
        return self._creation_time

    def get_access_time(self) -> float:
        """Return when the session was last used, to within the manager's ACCESS_TIME_RESOLUTION."""
        return self._access_time

    def get_creation_age(self, _now: float | None = None) -> float:
        return (self._clock() if _now is None else _now) - self._creation_time

    def get_access_age(self, _now: float | None = None) -> float:
        return (self._clock() if _now is None else _now) - self._access_time

    def _get_id_age(self) -> float:
        return self._clock() - (self._creation_time if self._id_time is None else self._id_time)

    def _id_seen(self) -> float | None:
        """Return since when its id is in use; None while nobody has come with it."""
        if self._id_unseen:
            return None
        return self._creation_time if self._id_time is None else self._id_time

    def _set_id_time(self, at: float | None, unseen: bool = False) -> None:
        for name, value in (("_id_time", at), ("_id_unseen", unseen or None)):
            if value is None:
                self.__dict__.pop(name, None)  # as a session that never had another id is kept
            else:
                self.__dict__[name] = value

    def _kept_expiry(self) -> KeptExpiry:
        """Return what the session itself says about its expiry, as session3.expiry keeps it; None: nothing."""
        return None

    def _ends_with_browser(self) -> bool:
        """Tell whether its cookie is to have no lifetime, whatever the record's is."""
        return False

    def _set_access_time(self, resolution: float) -> None:
        # Called by the manager; the resolution (seconds) keeps a busy session from being touched at each request.
        now = self._clock()
        if now - self._access_time > resolution:
            self._access_time = now
