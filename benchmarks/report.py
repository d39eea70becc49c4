"""Tables, in Markdown, which is also what a terminal shows."""

import platform
from datetime import date
from importlib.metadata import PackageNotFoundError, version

import session3

from .contenders import Contender
from .measure import OPERATIONS, Figure

PACKAGES = ("Quixote", "Durus", "PyMySQL", "psycopg2-binary", "redis", "Django", "Flask", "Flask-Session", "Beaker")

#: What our stores are held to: at most so many times the floor; None: not held to anything.
TARGETS: dict[str, tuple[float | None, float | None, float | None]] = {
    "session3 Directory": (1.3, 0.15, 1.5),
    "session3 SQLite": (1.3, 1.2, 1.5),
    "session3 Postgres": (0.9, 1.0, 0.95),
    "session3 MySQL": (1.1, 1.1, 1.15),
    "session3 Redis": (1.1, 1.15, 1.15),
    "session3 Durus": (1.3, 1.2, 1.5),
    "session3 cookie": (1.5, 1.5, None),
}


def head(command: str) -> str:
    return "\n".join([
        "# Speed",
        "",
        f"Made by `{command}` on {date.today()} with session3 {session3.__version__},",
        f"Python {platform.python_version()}, {', '.join(filter(None, map(_version, PACKAGES)))}.",
        "",
        "Microseconds are medians (p99 behind them); x is the median of the ratios to the floor of the same round.",
        "A floor loads bytes, all others the session's data. A target that is missed is in bold.",
        "",
    ])  # fmt: skip


def operations(contenders: list[Contender], figures: dict[tuple[str, str], Figure]) -> str:
    lines = ["## Operations", "", "| | load | save | read-only request |", "| --- | --- | --- | --- |"]
    for contender in sorted(contenders, key=lambda one: (one.family, not one.is_floor)):
        targets = TARGETS.get(contender.name, (None, None, None))
        cells = [
            _cell(figures[contender.name, operation], target, contender.is_floor)
            for operation, target in zip(OPERATIONS, targets, strict=True)
        ]
        lines.append(f"| {contender.name} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _cell(figure: Figure, target: float | None, is_floor: bool) -> str:
    text = f"{figure.median:.0f} ({figure.p99:.0f})"
    if is_floor:
        return text
    text += f" x{figure.ratio:.2f}"
    if target is None:
        return text
    return f"{text} ≤{target}" if figure.ratio <= target else f"**{text}** ≤{target}"


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return ""
