"""What a store may be told, looked at when it is made.

>>> span("timeout", timedelta(seconds=5)), span("timeout", 2)
(5.0, 2)
>>> span("timeout", "5")
Traceback (most recent call last):
    ...
session3.errors.ConfigurationError: timeout must be a positive number of seconds, or a timedelta; got '5'
"""

import math
from datetime import timedelta
from typing import Any

from . import sessionclasses
from .errors import ConfigurationError
from .serializers import is_serializer


def check_codec(serializer: Any, session_class: Any) -> None:
    """Raise ConfigurationError for what no payload can be made with."""
    if not is_serializer(serializer):
        advice = "give an object of it" if isinstance(serializer, type) else "as session3.serializers.JSONSerializer()"
        name = serializer.__name__ if isinstance(serializer, type) else repr(serializer)
        raise ConfigurationError(f"a serializer is an object with dumps, loads and keeps_classes; got {name}: {advice}")
    sessionclasses.check_kind(session_class)


def check_clock(clock: Any) -> None:
    if not callable(clock):
        raise ConfigurationError(f"clock is called for the seconds since the epoch; got {clock!r}")


def check_flag(name: str, given: Any) -> None:
    if not isinstance(given, bool):
        raise ConfigurationError(f"{name} is True or False, not {given!r}")


def span(name: str, given: Any) -> float:
    """Return a span of time as seconds. Raises ConfigurationError for what is none, or not positive."""
    number: Any = given.total_seconds() if isinstance(given, timedelta) else given
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 < number < math.inf:
        raise ConfigurationError(f"{name} must be a positive number of seconds, or a timedelta; got {given!r}")
    return number
