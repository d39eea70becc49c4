"""Copies for one request of what others may hold, too."""

import contextlib
import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .Session import Session

_ATOMS = frozenset({bool, bytes, complex, float, int, str, type(None)})
_CONTAINERS = frozenset({dict, list, set})


def own_copy(value: Any) -> Any:
    """Return a copy of a value; what can't be copied is shared, in a dict item by item."""
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind in _CONTAINERS and not value:
        return kind()
    try:
        return copy.deepcopy(value)
    except Exception:  # whatever a __reduce__ raises
        return {key: own_copy(item) for key, item in value.items()} if kind is dict else value


def private_copy(session: "Session") -> "Session":
    """Return a copy for one request of a session whose store may keep, and share, the object itself.

    Otherwise a request that fails would leave its changes, and one that began before a login would hold the session of
    the user who logged in. An attribute or an item that can't be copied is shared.
    """
    with contextlib.suppress(Exception):
        return copy.deepcopy(session)
    copied = copy.copy(session)
    copied.__dict__.update({name: own_copy(value) for name, value in copied.__dict__.items()})
    return copied
