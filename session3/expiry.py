"""When a session expires by its own word, in the rules of Django's `set_expiry`.

An expiry is kept with the session's items as None (the global policy decides), a number of seconds of inactivity (0:
until the browser closes), or a moment, as text in ISO 8601.

>>> to_keep(300, now=0.0), to_keep(timedelta(minutes=5), now=0.0)
(300, '1970-01-01T00:05:00+00:00')
>>> own_deadline(300, since=1000.0), own_deadline('1970-01-01T00:05:00+00:00', since=1000.0)
(1300.0, 300.0)
"""

import math
from datetime import datetime, timedelta, timezone

#: What `set_expiry` takes.
Expiry = float | datetime | timedelta | None
#: What is kept of it.
KeptExpiry = float | str | None

#: The item that holds it, named as Django names it.
ITEM = "_session_expiry"
#: Django's SESSION_COOKIE_AGE: two weeks, in seconds.
COOKIE_AGE = 1209600

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def to_keep(value: Expiry, now: float) -> KeptExpiry:
    """Return an expiry as a session keeps it. TypeError for what is none, ValueError for what no calendar can hold."""
    if value is None:
        return None
    if isinstance(value, timedelta):
        return _later(moment(now), value.total_seconds()).isoformat()
    if isinstance(value, datetime):
        return utc(value).isoformat()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(
            f"an expiry is a number of seconds, a datetime, a timedelta or None, not a {type(value).__name__}"
        )
    _later(moment(now), value)
    return int(value) if isinstance(value, int) else float(value)  # no subclass: not every serializer has a word for it


def age(expiry: Expiry | str, modified: datetime, cookie_age: float) -> float:
    """Return the seconds from `modified` until the expiry: whole ones where it is a moment."""
    if expiry is None or isinstance(expiry, (int, float)):
        return expiry or cookie_age
    return (date(expiry, modified, cookie_age) - modified) // timedelta(seconds=1)


def date(expiry: Expiry | str, modified: datetime, cookie_age: float) -> datetime:
    """Return when what was last modified then expires, in UTC."""
    if isinstance(expiry, str):
        return utc(datetime.fromisoformat(expiry))
    if isinstance(expiry, datetime):
        return utc(expiry)
    return _later(modified, expiry.total_seconds() if isinstance(expiry, timedelta) else expiry or cookie_age)


def own_deadline(kept: object, since: float) -> float | None:
    """Return when (seconds since the epoch) a session expires by its own word; None leaves that to the policy.

    What is no expiry (an application wrote the item itself) has passed: nothing lives for ever by mistake.
    """
    if kept is None or kept == 0:
        return None
    try:
        deadline = date(kept, _EPOCH, 0).timestamp() if isinstance(kept, str) else since + kept  # type: ignore[operator]
    except (OverflowError, TypeError, ValueError):
        return since
    return deadline if math.isfinite(deadline) else since


def moment(seconds: float) -> datetime:
    """Return seconds since the epoch as a datetime in UTC."""
    # Rounded down, exactly: a moment that is to be now must not lie a millionth ahead.
    numerator, denominator = seconds.as_integer_ratio()
    return _EPOCH + timedelta(microseconds=numerator * 10**6 // denominator)


def utc(moment: datetime) -> datetime:
    """Return a datetime in UTC. One without a time zone is local time, as everywhere in Python.

    What UTC's calendar does not reach (datetime.max, as people say for ever, west of Greenwich) is the end of it.
    """
    try:
        return moment.astimezone(timezone.utc)
    except (OverflowError, OSError, ValueError):  # OSError: naive, and beyond what the system's C library knows
        if 1 < moment.year < 9999:
            raise
        end = datetime.max if moment.year > 1 else datetime.min
        return end.replace(tzinfo=timezone.utc)


def _later(start: datetime, seconds: float) -> datetime:
    try:
        if not math.isfinite(seconds):
            raise ValueError(f"an expiry of {seconds} seconds: such a session would live for ever, or never")
        return start + timedelta(seconds=seconds)
    except OverflowError:  # an int may be too large for a float, too, and for a text
        raise ValueError("an expiry of more seconds than a calendar can hold") from None
