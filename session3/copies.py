"""Copies for one request of what others may hold, too."""

import copy
from typing import Any

_ATOMS = frozenset({bool, bytes, complex, float, int, str, type(None)})


def own_copy(value: Any) -> Any:
    """Return a copy of a value; what can't be copied is shared, in a dict item by item."""
    if type(value) in _ATOMS:
        return value
    try:
        return copy.deepcopy(value)
    except Exception:  # whatever a __reduce__ raises
        return {key: own_copy(item) for key, item in value.items()} if type(value) is dict else value
