"""Three-way merge of two changed copies of one state.

Values are compared as the store's own serializer would write them, never by `==`: two loads of an object without
`__eq__` are unequal, and `1 == True`.

>>> three_way({"a": 1, "b": 1}, mine={"a": 2, "b": 1}, theirs={"a": 1, "b": 3})
{'a': 2, 'b': 3}
>>> merge_tokens(["t1", "t2"], mine=["t2", "m"], theirs=["t1", "t2", "n"])
['t2', 'n', 'm']
"""

import io
import pickle
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .datafaults import raises_again
from .serializers import PickleSerializer, Serializer, is_deterministic

_EXACT = frozenset({bool, bytes, int, str, type(None)})
_SIZED = frozenset({dict, frozenset, list, set, tuple})
MISSING: Any = object()


class Sameness:
    """What a serializer takes for the same: what a store would bring back in the same way."""

    def __init__(self, serializer: Serializer) -> None:
        self._serializer = serializer
        self._is_deterministic = is_deterministic(serializer)
        self._keeps_keys = self._is_deterministic or isinstance(serializer, PickleSerializer)

    def differs(self, base: Any, value: Any) -> bool:
        """Tell whether `value` would be stored differently from `base`, which was loaded.

        Where the bytes differ, those of `value` as it would be loaded decide. What can't be serialized differs from
        all but itself.
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
            return self._is_written_differently(base, value)
        except Exception as error:  # any type's __reduce__ may raise anything; the save will report it by name
            if not raises_again(error, self._is_written_differently, base, value):
                raise
            return True

    def _is_written_differently(self, base: Any, value: Any) -> bool:
        before, now = self._dump(base), self._dump(value)
        if before == now or self._is_deterministic:
            return before != now
        loaded = self._load(now)
        if before == self._dump(loaded):
            return False
        if not isinstance(self._serializer, PickleSerializer):
            return True
        canon = _canon(base)
        return canon != _canon(value) and canon != _canon(loaded)

    def key(self, key: Any) -> Any:
        """Return a key of a dict as it would be loaded: a serializer may know keys of one kind only."""
        if self._keeps_keys or type(key) is str:
            return key
        try:
            return self._loaded_key(key)
        except Exception as error:  # the save will report it by name
            if not raises_again(error, self._loaded_key, key):
                raise
            return key

    def _loaded_key(self, key: Any) -> Any:
        return next(iter(self._serializer.loads(self._serializer.dumps({key: None}))))

    # In a dict, as a state is: a serializer need not know what is none.
    def _dump(self, value: Any) -> bytes:
        return self._serializer.dumps({"": value})

    def _load(self, data: bytes) -> Any:
        return self._serializer.loads(data)[""]


PICKLED = Sameness(PickleSerializer())
differs = PICKLED.differs


class _CanonPickler(pickle.Pickler):
    """Writes what is equal in the same bytes, where pickle tells apart what no program can, or should.

    That is whether two equal texts are one object, and in which order a set happens to be.
    """

    def persistent_id(self, value: Any) -> Any:
        kind = type(value)
        if kind is str:
            return value.encode("utf-8", "surrogatepass")  # a new object each time, which pickle has not met before
        if kind is bytes:
            return bytearray(value)
        if kind is set or kind is frozenset:
            return kind.__name__, sorted(_canon(item) for item in value)
        return None


def _canon(value: Any) -> bytes:
    file = io.BytesIO()
    _CanonPickler(file, PickleSerializer.protocol).dump(value)
    return file.getvalue()


def three_way(
    base: Mapping[Any, Any], mine: Mapping[Any, Any], theirs: Mapping[Any, Any], same: Sameness = PICKLED
) -> dict[Any, Any]:
    """Merge by key: what I changed or deleted since `base` is mine, everything else is theirs.

    What neither changed is mine, too: the application may hold it, and go on to change it.
    """
    merged: dict[Any, Any] = {}
    spelled = {same.key(key): key for key in mine}
    for key in dict.fromkeys([*theirs, *spelled]):
        before, others = base.get(key, MISSING), theirs.get(key, MISSING)
        ours = mine[spelled[key]] if key in spelled else MISSING
        value = ours if same.differs(before, ours) or not same.differs(before, others) else others
        if value is not MISSING:
            merged[spelled.get(key, key)] = value
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
