"""When a session was made, was last used, and got its id."""

import time
from collections.abc import Callable

#: How far (seconds) a stored time may lie ahead of the clock: as far as the clocks of two servers differ.
MAX_SKEW = 60.0


def past(at: float, now: float) -> float:
    """Return a stored time; one that is far ahead of now was written by a clock that was wrong, and counts as now.

    >>> past(900.0, now=1000.0), past(1030.0, now=1000.0), past(9000.0, now=1000.0)
    (900.0, 1030.0, 1000.0)
    """
    return at if at <= now + MAX_SKEW else now


class SessionTimes:
    """Base of Session. Times are seconds since the epoch, ages are seconds."""

    _creation_time: float
    _access_time: float
    _id_time: float | None = None  # when its id was first seen, or made; None: with the session
    _id_unseen = False  # nobody has come yet with the id that a renewal gave it
    _clock: Callable[[], float] = staticmethod(time.time)

    def get_creation_time(self) -> float:
        return self._creation_time

    def get_access_time(self) -> float:
        """Return when the session was last used, to within the manager's ACCESS_TIME_RESOLUTION."""
        return self._access_time

    def get_creation_age(self, _now: float | None = None) -> float:
        return self._age(self._creation_time, _now)

    def get_access_age(self, _now: float | None = None) -> float:
        return self._age(self._access_time, _now)

    def _get_id_age(self) -> float:
        return self._age(self._creation_time if self._id_time is None else self._id_time, None)

    def _age(self, at: float, now: float | None) -> float:
        now = self._clock() if now is None else now
        return now - past(at, now)

    def _id_seen(self) -> float | None:
        """Return since when its id is in use; None while nobody has come with it."""
        if self._id_unseen:
            return None
        return self._creation_time if self._id_time is None else self._id_time

    def _set_id_time(self, at: float | None, unseen: bool = False) -> None:
        for name, value in (("_id_time", at), ("_id_unseen", unseen or None)):
            if value is None:
                self.__dict__.pop(name, None)  # as a session that never had another id is kept
            else:
                self.__dict__[name] = value

    def _set_access_time(self, resolution: float) -> None:
        # Called by the manager; the resolution (seconds) keeps a busy session from being touched at each request.
        now = self._clock()
        if now - self._access_time > resolution:
            self._access_time = now

    def _count_as_past(self, now: float) -> None:
        """Set right what a clock wrote that was ahead. The access time alone tells: it is the latest of the three."""
        if self._access_time > now + MAX_SKEW:
            self._access_time = now
            self._creation_time = past(self._creation_time, now)
            if self._id_time is not None:
                self._id_time = past(self._id_time, now)
