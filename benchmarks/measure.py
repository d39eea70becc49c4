"""Timing in shuffled rounds."""

import gc
import random
import statistics
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from .contenders import Contender

OPERATIONS = ("load", "save", "read_only")
IN_A_ROW = 20


class Figure(NamedTuple):
    """Of one operation of one contender: microseconds, and the ratio to the floor of its family, round by round."""

    median: float
    p99: float
    ratio: float


def measure(contenders: list[Contender], rounds: int, tick: Callable[[], None]) -> dict[tuple[str, str], Figure]:
    """In each round, call each operation of each contender a few times in a row, as busy servers do; the order of
    contenders and operations is another one each time.
    """
    times: dict[tuple[str, str], list[list[float]]] = {}
    number = 0
    gc.disable()
    try:
        for _ in range(rounds):
            turns = [(contender, operation) for contender in contenders for operation in OPERATIONS]
            random.shuffle(turns)
            for contender, operation in turns:
                times.setdefault((contender.name, operation), []).append(_turn(contender, operation, number))
                number += IN_A_ROW
            tick()
            gc.collect(0)
    finally:
        gc.enable()
    return dict(_figures(contenders, times))


def _turn(contender: Contender, operation: str, number: int) -> list[float]:
    call, taken = getattr(contender, operation), []
    for n in range(number, number + IN_A_ROW):
        arguments = (n,) if operation == "save" else ()
        begun = time.perf_counter()
        call(*arguments)
        taken.append(time.perf_counter() - begun)
    return taken


def _figures(
    contenders: list[Contender], times: dict[tuple[str, str], list[list[float]]]
) -> Iterator[tuple[tuple[str, str], Figure]]:
    floors = {contender.family: contender.name for contender in contenders if contender.is_floor}
    for contender in contenders:
        for operation in OPERATIONS:
            turns = times[contender.name, operation]
            floor = times[floors.get(contender.family, contender.name), operation]
            ratios = [statistics.median(own) / statistics.median(bare) for own, bare in zip(turns, floor, strict=True)]
            every = [taken for turn in turns for taken in turn]
            figure = Figure(
                statistics.median(every) * 1e6,
                statistics.quantiles(every, n=100)[98] * 1e6,
                statistics.median(ratios),
            )
            yield (contender.name, operation), figure
