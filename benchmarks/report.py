"""What was measured, in Markdown, which is also what a terminal shows."""

import os
import platform
import re
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import session3

from .sections import Outcome, Table, Target

PACKAGES = (
    "Quixote", "Durus", "PyMySQL", "mysqlclient", "psycopg2-binary", "redis", "msgspec", "Django", "Flask",
    "Flask-Session", "Beaker", "starsessions",
)  # fmt: skip

#: What our stores are held to: at most so many times the floor.
TARGETS: dict[str, dict[str, float]] = {
    "session3 Directory": {"load": 1.3, "save": 0.15, "read_only": 1.5},
    "session3 SQLite": {"load": 1.3, "save": 1.2, "read_only": 1.5},
    "session3 Postgres": {"load": 0.9, "save": 1.0, "read_only": 0.95},
    "session3 MySQL": {"load": 1.1, "save": 1.1, "read_only": 1.15},
    "session3 Redis": {"load": 1.1, "save": 1.15, "read_only": 1.15},
    "session3 Durus": {"load": 1.3, "save": 1.2, "read_only": 1.5},
    "session3 cookie": {"load": 1.5, "save": 1.5},
}


def cell(text: str, figure: float, limit: float) -> str:
    """Return a cell that is held to a limit: in bold if it is missed."""
    return f"{text} ≤{limit:g}" if figure <= limit else f"**{text}** ≤{limit:g}"


def whole(head: str, outcomes: list[Outcome], pictures: str | None = None) -> str:
    """Return a report; `pictures` is the folder of its charts, as a link sees it, if they are drawn."""
    every = [target for outcome in outcomes for target in outcome.targets]
    return "\n".join([head, *(section(outcome, pictures) for outcome in outcomes), targets(every)])


def head(command: str, failed: list[str]) -> str:
    versions = ", ".join(filter(None, map(_version, PACKAGES)))
    return "\n".join([
        "# Speed",
        "",
        f"Made by `{command}` on {date.today()} with session3 {session3.__version__}, Python "
        f"{platform.python_version()}, {versions}; on {os.cpu_count()} cores of {_processor()}.",
        "",
        "A figure that misses its target is in bold.",
        *(f"An error has ended the section {name}." for name in failed),
        "",
    ])  # fmt: skip


def section(outcome: Outcome, pictures: str | None) -> str:
    parts = [f"## {outcome.title}", outcome.notes, *map(table, outcome.tables)]
    if pictures is not None:
        parts += [f"![{chart.title}]({pictures}/{chart.name}.svg)" for chart in outcome.charts]
    return "\n\n".join(filter(None, parts)) + "\n"


def table(rows: Table) -> str:
    """Return a table with its columns in line."""
    lines = [rows.head, *rows.rows]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(rows.head))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        f"| {' | '.join(text.ljust(width) for text, width in zip(line, widths, strict=True))} |" for line in lines
    )


def targets(every: list[Target]) -> str:
    rows = [
        [target.what, _amount(target.figure, target.unit), _amount(target.limit, target.unit), _verdict(target)]
        for target in every
    ]
    met = sum(target.is_met for target in every)
    shown = table(Table(["what", "figure", "at most", ""], rows))
    return f"## Targets\n\n{shown}\n\n{met} of {len(every)} targets met\n"


def _verdict(target: Target) -> str:
    return "met" if target.is_met else "**MISSED**"


def _amount(figure: float, unit: str) -> str:
    number = f"{figure:.0f}" if (unit != "x" and figure == int(figure)) or figure >= 100 else f"{figure:.2f}"
    return f"x{number}" if unit == "x" else f"{number} {unit}".strip()


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    try:
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.machine()
