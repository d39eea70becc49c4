"""How far our clock is ahead of a server's: compared on the way of other questions, and not more often than need be.

>>> clock = ServerClock(lambda: 1000.0)
>>> guess = clock.guess()
>>> guess.lead, guess.server_now
(0.0, 1000.0)
>>> clock.learn(guess, shift=-10.0), clock.guess()
(10.0, Guess(lead=10.0, server_now=None))
"""

import math
import time
from collections.abc import Callable
from typing import NamedTuple

from ..tuples import maker

#: Seconds between two clocks that count as none, so that a record's times don't wander with each round trip's length.
MAX_DRIFT = 0.5

#: Seconds in which a server's clock that is set goes unnoticed; our own is seen at once.
COMPARE_EVERY = 1.0


class Guess(NamedTuple):
    """What one call to the server goes by: `server_now` is None where it need not be asked for its time."""

    lead: float
    server_now: float | None

    @property
    def argument(self) -> str:
        """The guess as an argument of a script."""
        return "" if self.server_now is None else repr(self.server_now)


_guess = maker(Guess)


class ServerClock:
    """`clock`: ours. The system's may be set, and is compared again and again: once in `every` seconds, or with 0 at
    each call, as for several servers with a clock each. Another one is compared once, and leads from then on: whoever
    moves it wants to see the sessions expire.
    """

    def __init__(self, clock: Callable[[], float], every: float = COMPARE_EVERY) -> None:
        self._clock = clock
        self._every = every
        self._is_systems = clock is time.time
        self._known = _Known(0.0, -math.inf, 0.0)

    def guess(self) -> Guess:
        known, now, steady = self._known, self._clock(), time.monotonic()
        if known.at == -math.inf:
            return _guess((known.lead, now - known.lead))
        is_recent = steady - known.at < self._every and abs(now - steady - known.ahead) < MAX_DRIFT
        return _guess((known.lead, None if is_recent or not self._is_systems else now - known.lead))

    def learn(self, guess: Guess, shift: float) -> float:
        """Return how far we are ahead; `shift`: how much later it is on the server than was guessed."""
        if guess.server_now is None:
            return guess.lead
        steady = time.monotonic()
        self._known = _Known(guess.lead - shift, steady, self._clock() - steady)
        return self._known.lead


class _Known(NamedTuple):
    """`at`: when it was learnt, by the clock that nobody sets; `ahead`: of that one was ours by so much then."""

    lead: float
    at: float
    ahead: float
