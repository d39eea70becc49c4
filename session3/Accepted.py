"""An older way of keeping sessions that a store still reads, while it writes in another: switching on live data.

>>> import session3
>>> from session3.serializers import JSONSerializer, PickleSerializer
>>> key = "a key of at least sixteen characters"
>>> store = session3.open_store(
...     "memory://",
...     serializer=JSONSerializer(),
...     secret_key=key,
...     accepts=[Accepted(serializer=PickleSerializer(), secret_key=None, until=1798761600)],
... )
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from .errors import ConfigurationError
from .secretkeys import Secret
from .serializers import Serializer, is_serializer


class _AsNow(Enum):
    AS_NOW = "as now"


AS_NOW = _AsNow.AS_NOW
Keys = Secret | Sequence[Secret] | None | _AsNow


@dataclass(frozen=True, eq=False)
class Accepted:
    """What of a store's keywords was otherwise; what is not given is as it is in the store.

    `secret_key`, `encryption_key`: to give one, or None, is to say what the seal was, so that `secret_key=None` accepts
    what is not sealed at all. Who can write to the store can then forge such sessions, and where they are pickles, run
    code: give it an end. `hash_ids`: whether records were filed under hashes. `until`: when (an aware datetime, or
    seconds since the epoch) this way ends; None: never.

    Raises ConfigurationError for what can't work.
    """

    serializer: Serializer | None = None
    secret_key: Keys = field(default=AS_NOW, repr=False)
    encryption_key: Keys = field(default=AS_NOW, repr=False)
    hash_ids: bool | None = None
    until: datetime | float | None = None

    def __post_init__(self) -> None:
        if self.serializer is not None and not is_serializer(self.serializer):
            name = type(self.serializer).__name__
            raise ConfigurationError(f"Accepted: a serializer has dumps, loads and keeps_classes; a {name} has not")
        if self.hash_ids not in (None, True, False):
            raise ConfigurationError("Accepted: hash_ids is True or False")
        if isinstance(self.until, datetime) and self.until.tzinfo is None:
            raise ConfigurationError("Accepted: until is a datetime without a time zone; give it one")
        if not _is_time(self.until):
            raise ConfigurationError("Accepted: until is an aware datetime, or seconds since the epoch")
        if self.serializer is None and not self.says_seal and self.hash_ids is None:
            raise ConfigurationError("Accepted: nothing in it differs from the store; say what was otherwise")

    @property
    def says_seal(self) -> bool:
        return not (self.secret_key is AS_NOW and self.encryption_key is AS_NOW)

    @property
    def ends(self) -> float:
        """Return when it ends, in seconds since the epoch."""
        if self.until is None:
            return math.inf
        return self.until.timestamp() if isinstance(self.until, datetime) else self.until


def check_accepts(accepts: Any) -> tuple[Accepted, ...]:
    """Return a store's `accepts`. Raises ConfigurationError for anything but a list of Accepted."""
    if not isinstance(accepts, (list, tuple)) or not all(isinstance(each, Accepted) for each in accepts):
        raise ConfigurationError("accepts is a list of session3.Accepted.Accepted: accepts=[Accepted(...)]")
    return tuple(accepts)


def given(keys: Keys) -> Secret | Sequence[Secret] | None:
    """Return what a seal is made with."""
    return None if isinstance(keys, _AsNow) else keys


def _is_time(until: Any) -> bool:
    if until is None or isinstance(until, datetime):
        return True
    return isinstance(until, (int, float)) and not isinstance(until, bool) and math.isfinite(until)
