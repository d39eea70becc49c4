"""Growth: does a session cost the same among a thousand and among a million?"""

import gc
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import accumulate, cycle
from pathlib import Path
from typing import NamedTuple

from session3 import ids

from .filling import drop, empty, fill, open_empty, record, urls
from .sections import Bench, Chart, Outcome, Points, Table, Target

SIZES, QUICK_SIZES = (10**3, 10**4, 10**5, 10**6), (10**3, 10**4)
ROUNDS, QUICK_ROUNDS = 100, 30
IN_A_ROW = 10
LIMITS = {"SQLite": 1.5, "Postgres": 1.5, "Redis": 1.5, "Directory": 2.0}
OPERATIONS = ("load", "save")
_FILE = 12 * 1024  # bytes of a session's file

Times = dict[tuple[int, str], list[list[float]]]


class Crowd:
    """A store with so many sessions, of which some at random are loaded and saved."""

    def __init__(self, url: str, size: int, rounds: int, tick: Callable[[int], None]) -> None:
        self.size = size
        self.store = open_empty(url)
        keys = [ids.make_id() for _ in range(size)]
        begun = time.perf_counter()
        fill(self.store, record(), keys, tick)
        self.seconds = time.perf_counter() - begun
        chosen = random.sample(keys, min(size, rounds * IN_A_ROW))
        self._to_load = cycle(random.sample(keys, len(chosen)))
        self._to_save = cycle(chosen)
        self._saves = 0
        for _ in chosen:
            self.save()  # once before it counts: a file's second half is then there, a row has moved

    def load(self) -> float:
        key = next(self._to_load)
        begun = time.perf_counter()
        session = self.store.load_session(key)
        taken = time.perf_counter() - begun
        assert session is not None
        return taken

    def save(self) -> float:
        session = self.store.load_session(next(self._to_save))
        self._saves += 1
        session["visits"] = self._saves
        begun = time.perf_counter()
        self.store.save_session(session)
        return time.perf_counter() - begun


class Growth(NamedTuple):
    """What was measured on one store."""

    name: str
    sizes: list[int]
    times: Times
    seconds: float  # that it took to store the largest number

    def median(self, size: int, operation: str) -> float:
        return statistics.median(taken for turn in self.times[size, operation] for taken in turn) * 1e6

    def ratio(self, operation: str) -> float:
        """Return the median of the ratios of the largest to the smallest, round by round."""
        large, small = (self.times[size, operation] for size in (self.sizes[-1], self.sizes[0]))
        return statistics.median(
            statistics.median(many) / statistics.median(few) for many, few in zip(large, small, strict=True)
        )


def run(bench: Bench) -> Outcome:
    names = [name for name in LIMITS if name in urls(bench, 0)]
    sizes, rounds = (QUICK_SIZES, QUICK_ROUNDS) if bench.is_quick else (SIZES, ROUNDS)
    of, done = len(names) * (sum(sizes) // 1000 + rounds), 0

    def tick(steps: float) -> None:
        nonlocal done
        done = min(of, done + round(steps))
        bench.progress(done, of)

    grown = [_measure(bench, name, sizes, rounds, tick) for name in names]
    bench.progress(of, of)
    return Outcome(
        "Growth", _notes(grown, sizes[-1]), [_table(grown, list(sizes))], list(_targets(grown)), list(_charts(grown))
    )


def _measure(bench: Bench, name: str, sizes: tuple[int, ...], rounds: int, tick: Callable[[float], None]) -> Growth:
    fitting = [
        size
        for size, count in zip(sizes, accumulate(sizes), strict=True)
        if name != "Directory" or _fits(bench.folder, count)
    ]
    crowds = [
        Crowd(urls(bench, number)[name], size, rounds, lambda count: tick(count / 1000))
        for number, size in enumerate(fitting, start=1)
    ]
    times = _times(crowds, rounds, tick)
    for crowd in crowds:
        drop(crowd.store)
    empty(bench.folder)
    return Growth(name, fitting, times, crowds[-1].seconds)


def _fits(folder: Path, count: int) -> bool:
    """Tell whether so many files fit on the disk, with as much room left as they take."""
    disk = os.statvfs(folder)
    # Some file systems make inodes as they need them, and say 0.
    return disk.f_bavail * disk.f_frsize > 2 * count * _FILE and (disk.f_files == 0 or disk.f_favail > 2 * count)


def _times(crowds: list[Crowd], rounds: int, tick: Callable[[float], None]) -> Times:
    """Ask all sizes in each round, in another order each time, so that noise is shared by all of them."""
    times: Times = {}
    gc.disable()
    try:
        for _ in range(rounds):
            turns = [(crowd, operation) for crowd in crowds for operation in OPERATIONS]
            random.shuffle(turns)
            for crowd, operation in turns:
                call = getattr(crowd, operation)
                times.setdefault((crowd.size, operation), []).append([call() for _ in range(IN_A_ROW)])
            tick(1)
            gc.collect(0)
    finally:
        gc.enable()
    return times


def _notes(grown: list[Growth], largest: int) -> str:
    text = (
        "One session at random among so many is loaded, and loaded, changed and saved; microseconds, medians. The last"
        " column is the median of the ratios of the same round. Each session that is saved was saved once before."
    )
    for growth in grown:
        if growth.name == "Directory":
            count = growth.sizes[-1]
            text += (
                f" {count:,} files took {growth.seconds:.0f} s to make, and as many inodes; one has 8 KiB, or 12 once"
            )
            text += " it was saved again."
            if count < largest:
                text += f" {largest:,} do not fit on this disk."
    return text


def _table(grown: list[Growth], sizes: list[int]) -> Table:
    rows = []
    for growth in grown:
        for operation in OPERATIONS:
            figures = [f"{growth.median(size, operation):.0f}" if size in growth.sizes else "" for size in sizes]
            ratio, limit = growth.ratio(operation), LIMITS[growth.name]
            text = f"x{ratio:.2f}" if ratio <= limit else f"**x{ratio:.2f}**"
            rows.append([growth.name, operation, *figures, f"{text} ≤{limit}"])
    return Table(["", "", *(f"{size:,}" for size in sizes), f"{sizes[-1]:,} : {sizes[0]:,}"], rows)


def _targets(grown: list[Growth]) -> Iterator[Target]:
    for growth in grown:
        for operation in OPERATIONS:
            what = f"{growth.name}: {operation} at {growth.sizes[-1]:,} to that at {growth.sizes[0]:,}"
            yield Target(what, growth.ratio(operation), LIMITS[growth.name])


def _charts(grown: list[Growth]) -> Iterator[Chart]:
    for operation in OPERATIONS:
        series: dict[str, Points] = {
            growth.name: [(size, growth.median(size, operation)) for size in growth.sizes] for growth in grown
        }
        title = f"{operation} of one session among many"
        yield Chart(f"growth-{operation}", title, "sessions", "µs", series, is_log_x=True, is_log_y=True)
