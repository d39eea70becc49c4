"""Three-way merge of two changed copies of one state.

Values are compared by their serialized bytes, never by `==`: two loads of an object without `__eq__` are unequal,
and `1 == True`.

>>> three_way({"a": 1, "b": 1}, mine={"a": 2, "b": 1}, theirs={"a": 1, "b": 3})
{'a': 2, 'b': 3}
>>> merge_tokens(["t1", "t2"], mine=["t2", "m"], theirs=["t1", "t2", "n"])
['t2', 'n', 'm']
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .serializers import PickleSerializer

_serializer = PickleSerializer()
_EXACT = frozenset({bool, bytes, int, str, type(None)})
_SIZED = frozenset({dict, frozenset, list, set, tuple})
MISSING: Any = object()


def differs(base: Any, value: Any) -> bool:
    """Tell whether `value` would be stored differently from `base`, which was unpickled.

    Where the bytes differ, those of `value` as it would be unpickled decide: a set that was just made is in another
    order than its stored copy. What can't be serialized differs from all but itself.
    """
    if base is value:
        return False
    if base is MISSING or value is MISSING:
        return True
    kind = type(base)
    if kind is type(value):
        if kind in _EXACT:
            return bool(base != value)  # equal is the same bytes; no float, since 0.0 == -0.0
        if kind in _SIZED and len(base) != len(value):
            return True  # without serializing: `has_info` asks this in each request, of all items against none
    try:
        before, now = _serializer.dumps(base), _serializer.dumps(value)
        return before != now and before != _serializer.dumps(_serializer.loads(now))
    except Exception:  # any type's __reduce__ may raise anything; the save will report it by name
        return True


def three_way(base: Mapping[Any, Any], mine: Mapping[Any, Any], theirs: Mapping[Any, Any]) -> dict[Any, Any]:
    """Merge by key: what I changed or deleted since `base` is mine, everything else is theirs."""
    merged: dict[Any, Any] = {}
    for key in dict.fromkeys([*theirs, *mine]):
        ours = mine.get(key, MISSING)
        value = ours if differs(base.get(key, MISSING), ours) else theirs.get(key, MISSING)
        if value is not MISSING:
            merged[key] = value
    return merged


def merge_tokens(base: Iterable[str], mine: Iterable[str], theirs: Iterable[str]) -> list[str]:
    """Merge one-time tokens, oldest first: additions of both survive, removals by either stay."""
    before, ours, others = set(base), list(mine), list(theirs)
    kept = [token for token in others if token in ours or token not in before]
    return kept + [token for token in ours if token not in before and token not in kept]


def used_elsewhere(token: str, base: Sequence[str], theirs: Sequence[str], limit: int) -> bool:
    """Tell whether a token, oldest first in `base`, was used in `theirs`, and not only dropped from a full queue.

    A queue that is at its limit drops its oldest tokens, so one that is gone while an older one is there was used.

    >>> used_elsewhere("t2", ["t1", "t2"], ["t1", "t3"], limit=2), used_elsewhere("t1", ["t1", "t2"], ["t2", "t3"], 2)
    (True, False)
    """
    if token not in base or token in theirs:
        return False
    older = base[: base.index(token)]
    return len(theirs) < limit or any(other in theirs for other in older)
