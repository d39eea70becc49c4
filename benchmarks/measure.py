"""Timing in shuffled rounds, and what becomes of the times."""

import gc
import random
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import NamedTuple, TypeVar

from .contenders import SERVER_OF, LeftOut, Timed
from .sections import Bench

#: The seconds of each call, by name and operation: a list for each round.
Times = dict[tuple[str, str], list[list[float]]]


class Regime(Enum):
    """What went on before a call that is timed."""

    BETWEEN = "between other work"
    IN_A_ROW = "in a row"

    def sample(self, turn: list[float]) -> float:
        """Return what a turn tells of this regime, in µs: its first call, or the median of the others."""
        seconds = turn[0] if self is Regime.BETWEEN else statistics.median(turn[1:])
        return seconds * 1e6


T = TypeVar("T", bound=Timed)


def assemble(kinds: Iterable[type[T]], bench: Bench) -> tuple[list[T], list[str]]:
    """Make one of each kind whose family is asked for; return them, and a line for each that has to be left out."""
    made: list[T] = []
    left_out: list[str] = []
    for number, kind in enumerate(kinds):
        if bench.families is not None and kind.family and kind.family not in bench.families:
            continue
        folder = bench.folder / str(number)
        folder.mkdir()
        try:
            server = SERVER_OF.get(kind.family)
            if server is not None and getattr(bench.servers, server) is None:
                raise LeftOut(f"no server for {kind.family} is installed")
            made.append(kind(folder, bench.servers, bench.stack))
        except (ImportError, LeftOut) as error:
            left_out.append(f"Left out: {kind.name}: {error}.")
    return made, left_out


class Effort(NamedTuple):
    """How long to go on: for so many rounds, or until so many seconds are over and a few rounds done."""

    rounds: int
    seconds: float


FEW = 10


def measure(
    contenders: Sequence[Timed], operations: Sequence[str], effort: Effort, progress: Callable[[int, int], None]
) -> Times:
    """In each round, give each operation of each contender one turn, in another order each time."""
    turns = [(contender, operation) for contender in contenders for operation in operations]
    times: Times = {(contender.name, operation): [] for contender, operation in turns}
    number, begun = 0, time.monotonic()
    gc.disable()
    try:
        for done in range(1, effort.rounds + 1):
            random.shuffle(turns)
            for contender, operation in turns:
                times[contender.name, operation].append(contender.turn(operation, number))
                number += len(times[contender.name, operation][-1])
            spent = (time.monotonic() - begun) / effort.seconds
            progress(int(100 * min(1, max(done / effort.rounds, spent))), 100)
            if spent >= 1 and done >= FEW:
                break
            gc.collect(0)
    finally:
        gc.enable()
    return times


class Figure(NamedTuple):
    """Of the samples of all rounds, in µs; in few rounds p99 is next to the slowest."""

    median: float
    p99: float


def figure(samples: list[float]) -> Figure:
    return Figure(statistics.median(samples), statistics.quantiles(samples, n=100, method="inclusive")[98])


def rounds_of(times: Times) -> str:
    """Say how many rounds there were."""
    return f"{len(next(iter(times.values()), []))} rounds."


def ratio(own: list[float], other: list[float]) -> float:
    """Return the median of the ratios of each round."""
    return statistics.median(one / two for one, two in zip(own, other, strict=True))


def difference(own: list[float], other: list[float]) -> float:
    """Return the median of the differences of each round."""
    return statistics.median(one - two for one, two in zip(own, other, strict=True))
