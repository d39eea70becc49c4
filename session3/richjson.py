"""JSON for more than JSON knows: dates, Decimal, UUID, bytes, sets, tuples, keys of any kind.

Plain values are plain JSON. Any other is an object of one member, whose name starts with '!'; a dict that looks like
that itself is written as `{"!dict": [[key, value]]}`. What is read names kinds from a fixed table, never classes.

>>> from datetime import date
>>> dumps({"born": date(1912, 6, 23), 1: (2, 3)})
b'{"!dict":[["born",{"!date":"1912-06-23"}],[1,{"!tuple":[2,3]}]]}'
>>> loads(_) == {"born": date(1912, 6, 23), 1: (2, 3)}
True
"""

import base64
import json
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from . import plainjson
from .datafaults import raises_again
from .errors import NotSerializable
from .jsonmoments import a_list, moment_reader, read_timedelta, write_moment, write_timedelta

#: Levels of nesting; what contains itself has more.
MAX_DEPTH = 100
_MAX_JSON_DEPTH = 4 * MAX_DEPTH  # the JSON of a level has up to three: {"!dict": [[key, value]]}

_SCALARS = frozenset({str, int, float, bool, type(None)})


class _Refused(Exception):
    """Says why, and not where: that is looked for afterwards, so that what works need not keep track."""


def dumps(value: Any) -> bytes:
    """Return JSON. Raises NotSerializable, with the path, for what would not come back as it went in."""
    try:
        return _write(value)
    except (_Refused, ValueError) as error:  # ValueError: an int of more digits than Python prints
        if not raises_again(error, _write, value):
            raise  # a signal's handler did, in the middle of it
        raise _explain(value, error) from None


def loads(data: bytes) -> Any:
    """Return the value again. Raises ValueError for anything that is not as `dumps` wrote it.

    RecursionError: there was no room on the stack for what may be as it was written.
    """
    try:
        return _read(data)
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        if not raises_again(error, _read, data):
            raise  # a signal's handler did, in the middle of it
        raise ValueError(f"not the JSON of a session: {error}") from error
    except RecursionError:
        # What we wrote is never so deep by itself: then it is the program that is deep in calls at this moment.
        if plainjson.depth(data) <= _MAX_JSON_DEPTH:
            raise
        raise ValueError("not the JSON of a session: it is nested too deep") from None


def _read(data: bytes) -> Any:
    # A byte alone is found in a sixth of the time of two.
    if (b"!" in data and b'"!' in data) or (b"\\" in data and b"\\u" in data):
        return _decode(data.decode("utf-8", "surrogatepass"))
    return plainjson.loads(data)  # without tags, however they may be spelled


# -- writing ---------------------------------------------------------------------------------------------------------


def _write(value: Any) -> bytes:
    return plainjson.dumps(value) if _is_plain(value) else _written(value, 0)


def _is_plain(value: Any) -> bool:
    """Tell whether it is plain JSON as it is. Most sessions are, and to look costs a third of a copy.

    In plain loops, since a session's containers are many and small; depth first, so that what contains itself is soon
    too deep.
    """
    to_do = [(value, 0)]
    while to_do:
        container, depth = to_do.pop()
        values = container
        if type(container) is dict:
            for key in container:
                if type(key) is not str:
                    return False
            if len(container) == 1 and key.startswith("!"):
                return False
            values = container.values()
        elif type(container) is not list:
            return False
        if depth > MAX_DEPTH:
            return False
        for inner in values:
            kind = type(inner)
            if kind is float:
                # Smaller and larger ones other libraries spell otherwise; nan is no JSON.
                if not (1e-4 <= inner < 1e16 or -1e16 < inner <= -1e-4 or inner == 0):
                    return False
            elif kind not in _SCALARS:
                to_do.append((inner, depth + 1))
    return True


def _written(value: Any, depth: int) -> bytes:
    data = plainjson.to_bytes(_plain(value, depth))
    # Several nan may be keys of one dict, or in one set, but are read as one.
    if b"NaN" in data and plainjson.to_bytes(_plain(loads(data), depth)) != data:
        raise _Refused("some of its keys or items would come back as one")
    return data


def _plain(value: Any, depth: int) -> Any:
    kind = type(value)  # a subclass would come back as its base
    if kind in _SCALARS:
        return value
    writer = _WRITERS.get(kind)
    if writer is None:
        raise _Refused(_nothing_for(value))
    if depth > MAX_DEPTH:
        raise _Refused("it contains itself, or is nested too deep")
    return writer(value, depth + 1)


def _plain_list(values: Iterable[Any], depth: int) -> list[Any]:
    return [value if type(value) in _SCALARS else _plain(value, depth) for value in values]


def _plain_dict(items: dict[Any, Any], depth: int) -> dict[str, Any]:
    for key in items:
        if type(key) is not str or (len(items) == 1 and key.startswith("!")):
            return {"!dict": [[_plain(key, depth), _plain(value, depth)] for key, value in items.items()]}
    return {key: value if type(value) in _SCALARS else _plain(value, depth) for key, value in items.items()}


def _plain_set(values: Iterable[Any], depth: int) -> list[Any]:
    return sorted(_plain_list(values, depth), key=plainjson.to_text)  # equal sets are equal bytes


def _tagged(tag: str, write: Callable[[Any, int], Any]) -> Callable[[Any, int], Any]:
    return lambda value, depth: {tag: write(value, depth)}


_WRITERS: dict[type, Callable[[Any, int], Any]] = {
    list: _plain_list,
    dict: _plain_dict,
    tuple: _tagged("!tuple", _plain_list),
    set: _tagged("!set", _plain_set),
    frozenset: _tagged("!frozenset", _plain_set),
    bytes: _tagged("!bytes", lambda value, depth: base64.b64encode(value).decode("ascii")),
    datetime: _tagged("!datetime", lambda value, depth: write_moment(value)),
    date: _tagged("!date", lambda value, depth: value.isoformat()),
    time: _tagged("!time", lambda value, depth: write_moment(value)),
    timedelta: _tagged("!timedelta", lambda value, depth: write_timedelta(value)),
    Decimal: _tagged("!decimal", lambda value, depth: str(value)),
    UUID: _tagged("!uuid", lambda value, depth: value.hex),
}


# -- reading ---------------------------------------------------------------------------------------------------------


def _revive(found: dict[str, Any]) -> Any:
    if len(found) != 1:
        return found
    [(tag, content)] = found.items()
    return _READERS[tag](content) if tag.startswith("!") else found


_decode = json.JSONDecoder(object_hook=_revive).decode


def _a_text(content: Any) -> str:
    if type(content) is not str:
        raise ValueError("a text was expected")
    return content


def _read_bytes(text: str) -> bytes:
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode("ascii") != text:
        raise ValueError("base64 is spelled in another way")
    return data


_READERS: dict[str, Callable[[Any], Any]] = {
    "!dict": lambda content: dict(a_list(content)),
    "!tuple": lambda content: tuple(a_list(content)),
    "!set": lambda content: set(a_list(content)),
    "!frozenset": lambda content: frozenset(a_list(content)),
    "!bytes": lambda content: _read_bytes(_a_text(content)),
    "!datetime": moment_reader(datetime),
    "!date": lambda content: date.fromisoformat(content),
    "!time": moment_reader(time),
    "!timedelta": read_timedelta,
    "!decimal": lambda content: Decimal(_a_text(content)),
    "!uuid": lambda content: UUID(hex=_a_text(content)),
}


# -- saying where ----------------------------------------------------------------------------------------------------


def _nothing_for(value: Any) -> str:
    return f"a {type(value).__qualname__} is nothing that this JSON can hold"


def _explain(value: Any, error: Exception, path: str = "", depth: int = 0) -> NotSerializable:
    """Return an error that says where the innermost part is that can't be written, and why."""
    if depth <= MAX_DEPTH:
        for step, part in _parts(value):
            try:
                _written(part, depth + 1)
            except (_Refused, ValueError) as inner:
                if not raises_again(inner, _written, part, depth + 1):
                    raise
                return _explain(part, inner, path + step, depth + 1)
    is_said = isinstance(error, _Refused)
    return NotSerializable(path, str(error) if is_said else f"this {type(value).__qualname__} can't be held: {error}")


def _parts(value: Any) -> Iterable[tuple[str, Any]]:
    if type(value) is dict:
        for key, item in value.items():
            yield f"[the key {_shown(key)}]", key
            yield f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{_shown(key)}]", item
    elif type(value) in (list, tuple):
        yield from ((f"[{index}]", item) for index, item in enumerate(value))
    elif type(value) in (set, frozenset):
        yield from ((f"[the item {_shown(item)}]", item) for item in value)


def _shown(value: Any) -> str:
    try:
        return repr(value)
    except Exception as error:  # an int of too many digits; or whatever an application's class raises
        if not raises_again(error, repr, value):
            raise
        return f"of type {type(value).__qualname__}, which can't be shown ({type(error).__name__})"
