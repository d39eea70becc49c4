"""What a section of the benchmark is given, and what it returns."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from .contenders import Servers

Points = list[tuple[float, float]]


class Bench(NamedTuple):
    """Where a section works: private servers, an empty folder of its own, a stack for what has to be closed.

    `is_quick`: fewer rounds, smaller sizes. `progress(done, of)` draws the section's bar. `families`: what was asked
    for, or None: everything.
    """

    servers: Servers
    folder: Path
    stack: ExitStack
    is_quick: bool
    progress: Callable[[int, int], None]
    families: frozenset[str] | None = None


class Target(NamedTuple):
    """What we hold ourselves to: `figure` is to be at most `limit`; `unit`: "x" for ratios, "µs", "ms", "MB"."""

    what: str
    figure: float
    limit: float
    unit: str = "x"

    @property
    def is_met(self) -> bool:
        return self.figure <= self.limit


class Table(NamedTuple):
    """Rows of text under a head; a cell whose target is missed is written in bold by who makes it."""

    head: list[str]
    rows: list[list[str]]


class Chart(NamedTuple):
    """A picture: bars where x only numbers the labels, else lines. Drawn by plots.py as `name`.svg."""

    name: str
    title: str
    x: str
    y: str
    series: dict[str, Points]
    labels: list[str] | None = None
    is_log_x: bool = False
    is_log_y: bool = False


class Outcome(NamedTuple):
    """A section's results; `notes` are sentences above its tables: how it was measured."""

    title: str
    notes: str
    tables: list[Table]
    targets: list[Target]
    charts: list[Chart]
