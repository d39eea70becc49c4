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
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from . import plainjson
from .errors import NotSerializable

#: Levels of nesting; what contains itself has more.
MAX_DEPTH = 100

_SCALARS = frozenset({str, int, float, bool, type(None)})


class _Refused(Exception):
    """Raised without saying where: that is looked for afterwards, so that what works need not keep track."""


def dumps(value: Any) -> bytes:
    """Return JSON. Raises NotSerializable, with the path, for what would not come back as it went in."""
    try:
        return plainjson.dumps(value) if _is_plain(value) else plainjson.to_bytes(_plain(value, 0))
    except (_Refused, ValueError):  # an int of more digits than Python prints
        raise _explain(value) from None


def loads(data: bytes) -> Any:
    """Return the value again. Raises ValueError for anything that is not as `dumps` wrote it."""
    try:
        # A byte alone is found in a sixth of the time of two.
        if (b"!" in data and b'"!' in data) or (b"\\" in data and b"\\u" in data):
            return _decode(data.decode("utf-8", "surrogatepass"))
        return plainjson.loads(data)  # without tags, however they may be spelled
    except (ArithmeticError, AttributeError, LookupError, OSError, RecursionError, TypeError) as error:
        raise ValueError(f"not the JSON of a session: {error}") from error


# -- writing ---------------------------------------------------------------------------------------------------------


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


def _plain(value: Any, depth: int) -> Any:
    kind = type(value)  # a subclass would come back as its base
    if kind in _SCALARS:
        return value
    writer = _WRITERS.get(kind)
    if writer is None or depth > MAX_DEPTH:
        raise _Refused
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


def _plain_moment(moment: datetime | time, depth: int) -> Any:
    text = moment.replace(tzinfo=None, fold=0).isoformat()
    if moment.tzinfo is None and not moment.fold:
        return text
    return [text, moment.fold, _plain_zone(moment.tzinfo)]


def _plain_zone(zone: tzinfo | None) -> Any:
    if zone is None:
        return None
    if type(zone) is ZoneInfo and zone.key is not None:
        return zone.key
    if type(zone) is timezone:
        offset, *name = zone.__getinitargs__()  # type: ignore[attr-defined]
        return [*_plain_timedelta(offset, 0), *name]
    raise _Refused


def _plain_timedelta(span: timedelta, depth: int) -> list[int]:
    return [span.days, span.seconds, span.microseconds]


def _tagged(tag: str, write: Callable[[Any, int], Any]) -> Callable[[Any, int], Any]:
    return lambda value, depth: {tag: write(value, depth)}


_WRITERS: dict[type, Callable[[Any, int], Any]] = {
    list: _plain_list,
    dict: _plain_dict,
    tuple: _tagged("!tuple", _plain_list),
    set: _tagged("!set", _plain_set),
    frozenset: _tagged("!frozenset", _plain_set),
    bytes: _tagged("!bytes", lambda value, depth: base64.b64encode(value).decode("ascii")),
    datetime: _tagged("!datetime", _plain_moment),
    date: _tagged("!date", lambda value, depth: value.isoformat()),
    time: _tagged("!time", _plain_moment),
    timedelta: _tagged("!timedelta", _plain_timedelta),
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


def _a_list(content: Any) -> list[Any]:
    if type(content) is not list:
        raise ValueError("a list was expected")
    return content


def _a_text(content: Any) -> str:
    if type(content) is not str:
        raise ValueError("a text was expected")
    return content


def _read_bytes(text: str) -> bytes:
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode("ascii") != text:
        raise ValueError("base64 is spelled in another way")
    return data


def _read_moment(kind: Any) -> Callable[[Any], Any]:
    def read(content: Any) -> Any:
        if type(content) is str:
            return kind.fromisoformat(content)
        text, fold, zone = _a_list(content)
        return kind.fromisoformat(text).replace(tzinfo=_read_zone(zone), fold=fold)

    return read


def _read_zone(zone: Any) -> tzinfo | None:
    if zone is None or type(zone) is str:
        return zone if zone is None else ZoneInfo(zone)
    days, seconds, microseconds, *name = _a_list(zone)
    return timezone(timedelta(days, seconds, microseconds), *name)


_READERS: dict[str, Callable[[Any], Any]] = {
    "!dict": lambda content: dict(_a_list(content)),
    "!tuple": lambda content: tuple(_a_list(content)),
    "!set": lambda content: set(_a_list(content)),
    "!frozenset": lambda content: frozenset(_a_list(content)),
    "!bytes": lambda content: _read_bytes(_a_text(content)),
    "!datetime": _read_moment(datetime),
    "!date": lambda content: date.fromisoformat(content),
    "!time": _read_moment(time),
    "!timedelta": lambda content: timedelta(*_a_list(content)),
    "!decimal": lambda content: Decimal(_a_text(content)),
    "!uuid": lambda content: UUID(hex=_a_text(content)),
}


# -- saying where ----------------------------------------------------------------------------------------------------


def _explain(value: Any) -> NotSerializable:
    path, culprit = _find_culprit(value, "", 0)
    if type(culprit) in (list, dict, tuple):
        return NotSerializable(path, "it contains itself, or is nested too deep")
    return NotSerializable(path, f"a {type(culprit).__qualname__} is nothing that this JSON can hold")


def _find_culprit(value: Any, path: str, depth: int) -> tuple[str, Any]:
    """Return where the innermost part is that can't be written, and that part."""
    if depth <= MAX_DEPTH:
        for step, part in _parts(value):
            try:
                plainjson.to_text(_plain(part, depth + 1))
            except (_Refused, ValueError):
                return _find_culprit(part, path + step, depth + 1)
    return path, value


def _parts(value: Any) -> Iterable[tuple[str, Any]]:
    if type(value) is dict:
        for key, item in value.items():
            yield f"[the key {key!r}]", key
            yield f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{key!r}]", item
    elif type(value) in (list, tuple):
        yield from ((f"[{index}]", item) for index, item in enumerate(value))
    elif type(value) in (set, frozenset):
        yield from ((f"[the item {item!r}]", item) for item in value)
