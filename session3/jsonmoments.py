"""Dates, times, time zones and spans of time as plain JSON, to the microsecond, and back.

Readers raise ValueError, TypeError, LookupError or ArithmeticError for what no writer wrote.

>>> write_moment(datetime(2026, 10, 25, 2, 30, tzinfo=timezone.utc))
['2026-10-25T02:30:00', 0, [0, 0, 0]]
>>> moment_reader(datetime)(_)
datetime.datetime(2026, 10, 25, 2, 30, tzinfo=datetime.timezone.utc)
"""

from collections.abc import Callable
from datetime import datetime, time, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from .datafaults import raises_again


def write_moment(moment: datetime | time) -> Any:
    """Return a text, or `[text, fold, zone]`. Raises ValueError for a zone of another class than Python's own."""
    text = moment.replace(tzinfo=None, fold=0).isoformat()
    if moment.tzinfo is None and not moment.fold:
        return text
    return [text, moment.fold, _write_zone(moment.tzinfo)]


def write_timedelta(span: timedelta) -> list[int]:
    return [span.days, span.seconds, span.microseconds]


def _write_zone(zone: tzinfo | None) -> Any:
    if zone is None:
        return None
    if type(zone) is ZoneInfo and zone.key is not None:
        return zone.key
    if type(zone) is timezone:
        offset, *name = zone.__getinitargs__()  # type: ignore[attr-defined]
        return [*write_timedelta(offset), *name]
    found = f"{type(zone).__module__}.{type(zone).__qualname__}"
    raise ValueError(f"its time zone is a {found}; use datetime.timezone, or a zoneinfo.ZoneInfo with a key")


def moment_reader(kind: Any) -> Callable[[Any], Any]:
    """Return what reads datetimes, or times."""

    def read(content: Any) -> Any:
        if type(content) is str:
            return kind.fromisoformat(content)
        text, fold, zone = a_list(content)
        return kind.fromisoformat(text).replace(tzinfo=_read_zone(zone), fold=fold)

    return read


def read_timedelta(content: Any) -> timedelta:
    return timedelta(*a_list(content))


def _read_zone(zone: Any) -> tzinfo | None:
    if zone is None:
        return None
    if type(zone) is str:
        try:
            return ZoneInfo(zone)
        except OSError as error:  # a name that is a folder's
            if not raises_again(error, ZoneInfo, zone):
                raise
            raise ValueError(f"no time zone: {error}") from error
    days, seconds, microseconds, *name = a_list(zone)
    return timezone(timedelta(days, seconds, microseconds), *name)


def a_list(content: Any) -> list[Any]:
    if type(content) is not list:
        raise ValueError("a list was expected")
    return content
