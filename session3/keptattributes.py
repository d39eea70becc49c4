"""Which attributes of a session are kept in a store.

>>> from session3.Session import Session
>>> sorted(NOT_KEPT[Session] - transient_of(Session))
['_access_time', '_creation_time', 'id']
"""

import functools
from typing import Any

#: Attributes of every session, none of which is public.
OWN = frozenset({"user", "_remote_address", "_creation_time", "_access_time", "_form_tokens", "_csrf_token"})

#: What `Session._fresh` is of a session that was given nothing but room for items; nobody changes it.
EMPTY_ITEMS: dict[str, Any] = {"data": {}}


@functools.cache
def transient_of(session_class: Any) -> frozenset[str]:
    """Return its TRANSIENT, and the names of cached properties: what they made is of one request, and no change."""
    members = {name: value for base in reversed(session_class.__mro__) for name, value in vars(base).items()}
    # Each framework has a cached property of its own.
    cached = {name for name, value in members.items() if type(value).__name__ in ("cached_property", "reify")}
    return frozenset(cached.union(session_class.TRANSIENT))


class _NotKept(dict[Any, frozenset[str]]):
    """Of each class the attributes that are no part of its sessions' state. A dict is the fastest thing to ask."""

    def __missing__(self, session_class: Any) -> frozenset[str]:
        self[session_class] = transient_of(session_class).union(session_class.OUTSIDE_STATE)
        return self[session_class]


NOT_KEPT = _NotKept()


def has_no_items(public: dict[str, Any]) -> bool:
    """Tell whether these public attributes are those of a mapping without items, and no other."""
    items = public.get("data")
    return len(public) == 1 and type(items) is dict and not items  # without asking an equality of the application's
