"""What tells one user from another: a key that is the same in every process, and that no user's code can break.

A plain str or int is its own key. Any other user is named with his class, by his `.id` where that has a stable text,
else by what he holds: sets and dicts in an order of their own, whatever the hash seed.

>>> key_of("alice"), key_of(7), key_of(None), key_of(UUID(int=7))
('alice', 7, None, "UUID('00000000-0000-0000-0000-000000000007')")
>>> class Customer:
...     def __init__(self, id):
...         self.id = id
>>> key_of(Customer(7)).rpartition(".")[2], key_of(Customer("u7")).rpartition(".")[2]
('Customer(7)', "Customer('u7')")
"""

import hashlib
import pickle
from collections.abc import Iterable
from copyreg import dispatch_table
from decimal import Decimal
from itertools import islice
from types import BuiltinFunctionType, FunctionType
from typing import Any
from uuid import UUID

UserKey = str | int | bytes | None

_MAX_PARTS = 10_000  # values that are looked at in one user; of a larger one the pickle decides
_MAX_DEPTH = 50
_MAX_TEXT = 150  # characters of an id as it is; a longer one is hashed
_MAX_BITS = 256  # of an int as it is; Python prints none of more than 4,300 digits
_VALUES = (bool, bytes, float, Decimal, UUID, tuple)  # users that are no objects


class FailingId(Exception):
    """A user's `.id` can't be read at this moment (an ORM's object away from its database): no word on who he is."""


class _NoText(Exception):
    """There is no short and stable text."""


def key_of(user: Any) -> UserKey:
    """Return a user's key. Raises FailingId, and nothing else that a user's own code raises."""
    kind = type(user)
    if kind is str:
        # So that nobody can choose a name that reads as another user's key.
        return user if user[-1:] != ")" else f"str({user!r})"
    if user is None or (kind is int and int.bit_length(user) <= _MAX_BITS):
        return user  # type: ignore[no-any-return]
    try:
        return _named(user, kind)
    except FailingId:
        raise
    except Exception:  # whatever a user's own code raises
        return digest_of(user)


def digest_of(user: Any) -> bytes:
    """Return a user's key by what he holds, without a look at his `.id`."""
    try:
        return _hashed(_canonical(user, (), [_MAX_PARTS]))
    except Exception:  # whatever a __reduce__ raises; or there is more than is worth while
        pass
    try:
        return hashlib.sha256(pickle.dumps(user, 5)).digest()
    except Exception:  # the save reports it by name
        return b"a user that can't be saved"


def value_of(key: Any) -> UserKey:
    """Return as a value, which nobody changes later, what an override of `get_user_key` gave."""
    if key is None or type(key) in (str, int, bytes):
        return key  # type: ignore[no-any-return]
    try:
        return key_of(key)
    except FailingId:
        return digest_of(key)


def key_text(key: Any) -> str | None:
    """Return a key as text: an int as its digits, like the name of a user that consists of them."""
    key = value_of(key)
    if isinstance(key, bytes):
        return f"bytes({key.hex()})"
    return key if key is None or isinstance(key, str) else _int_text(key)


def names_class_of(text: str, user: Any) -> bool:
    """Tell whether a text can be the key of this user, by his class and an id."""
    return text[-1:] == ")" and text.startswith(f"{_class_name(user, type(user))}(")


def _named(user: Any, kind: type) -> UserKey:
    if kind in _VALUES or kind is int:
        return _text(user)
    id = None if issubclass(kind, (str, bytes, int, float)) else _id_of(user)
    try:
        text = _text(user if id is None else id)
    except _NoText:
        if id is None:
            return digest_of(user)
        text = f"sha256 {_hashed(_canonical(id, (), [_MAX_PARTS])).hex()}"
    return f"{_class_name(user, kind)}({text})"


def _id_of(user: Any) -> Any:
    try:
        return getattr(user, "id", None)
    except Exception as error:
        raise FailingId from error


def _class_name(user: Any, kind: type) -> str:
    try:
        shown = user.__class__  # a proxy names the class of what it stands for
        kind = shown if isinstance(shown, type) else kind
    except Exception:  # a property of the user's own
        pass
    return f"{kind.__module__}.{kind.__qualname__}"


def _hashed(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _int_text(value: int) -> str:
    if int.bit_length(value) <= _MAX_BITS:
        return int.__repr__(value)
    return f"int(sha256 {_hashed(hex(value)).hex()})"


def _text(value: Any) -> str:
    """Return a value as text that no other has: a str in quotes, an int as its digits, others with their types."""
    text = _whole_text(value)
    return text if len(text) <= _MAX_TEXT else f"{type(value).__name__}(sha256 {_hashed(text).hex()})"


def _whole_text(value: Any) -> str:
    # By the methods of the base classes: those of a subclass may do anything.
    kind = type(value)
    if kind is bool:
        return f"bool({value})"
    if issubclass(kind, str):
        return str.__repr__(value)
    if issubclass(kind, int):
        return _int_text(int(int.__index__(value)))
    if issubclass(kind, bytes):
        return f"bytes({bytes.__repr__(value)})"
    if issubclass(kind, float):
        return f"float({float.__repr__(value)})"
    if issubclass(kind, UUID):
        return f"UUID('{UUID.__str__(value)}')"
    if issubclass(kind, Decimal):
        return f"Decimal('{Decimal.__str__(value)}')"
    if kind is tuple:
        return f"tuple({', '.join(map(_whole_text, value))})"
    raise _NoText


# -- by what a user holds --------------------------------------------------------------------------------------------


def _canonical(value: Any, above: tuple[Any, ...], left: list[int]) -> str:
    """Return a text of a value and all that it holds. `above`: what it is in; `left`: how many more are looked at."""
    left[0] -= 1
    if left[0] < 0 or len(above) > _MAX_DEPTH:
        raise _NoText
    kind = type(value)
    if value is None or kind in (bool, bytes, float, int, str):
        return "None" if value is None else _whole_text(value)
    for level, outer in enumerate(above):
        if outer is value:
            return f"<level {level}>"
    if isinstance(value, (type, FunctionType, BuiltinFunctionType)):
        return f"<{value.__module__}.{value.__qualname__}>"
    above = (*above, value)
    if kind in (list, tuple):
        return _row(kind.__name__, (_canonical(part, above, left) for part in value))
    if kind in (set, frozenset):
        return _row(kind.__name__, sorted(_canonical(part, above, left) for part in value))
    if kind is dict:
        return _row("dict", sorted(_pairs(value.items(), above, left)))
    return _reduced(value, kind, above, left)


def _reduced(value: Any, kind: type, above: tuple[Any, ...], left: list[int]) -> str:
    """Return the text of an object by what pickle would keep of it."""
    reduce = dispatch_table.get(kind)
    parts = reduce(value) if reduce is not None else value.__reduce_ex__(4)
    if isinstance(parts, str):
        return f"<{kind.__module__}.{parts}>"
    make, arguments, state, items, pairs = (*parts, None, None, None)[:5]
    texts = [_canonical(part, above, left) for part in (make, arguments, state)]
    texts += [_canonical(part, above, left) for part in islice(items or (), _MAX_PARTS)]
    texts += sorted(_pairs(islice(pairs or (), _MAX_PARTS), above, left))
    return _row("object", texts)


def _pairs(pairs: Iterable[tuple[Any, Any]], above: tuple[Any, ...], left: list[int]) -> list[str]:
    return [f"{_canonical(key, above, left)}: {_canonical(value, above, left)}" for key, value in pairs]


def _row(name: str, texts: Iterable[str]) -> str:
    return f"{name}({', '.join(texts)})"
