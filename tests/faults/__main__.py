"""`python -m tests.faults`: every situation on every store in its long form, as a table.

Options: `--stores Directory,SQLite`, `--situations kills,sweeps`, `--short`, `--markdown FILE`.
"""

import argparse
import platform
import sys
import time
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

import session3

from .cases import KINDS, Figures, Kind, started
from .situations import SITUATIONS

_PACKAGES = ("Durus", "PyMySQL", "psycopg2-binary", "redis")


def main() -> None:
    options = _options()
    table: dict[tuple[str, str], Figures] = {}
    begun = time.monotonic()
    for kind in options.stores:
        if kind.missing:
            print(f"{kind.name}: {kind.missing}", file=sys.stderr)
            continue
        with started(kind) as case:
            for situation in options.situations:
                if situation.applies(kind):
                    table[_name(situation), kind.name] = figures = _tried(situation, case, not options.short)
                    mark = "ok " if figures.held else "NOT"
                    seconds = time.monotonic() - begun
                    print(f"{seconds:4.0f} s {mark} {kind.name}: {_name(situation)}: {figures.text}", file=sys.stderr)
    text = _markdown(table, options.stores, options.situations)
    print(text)
    if options.markdown:
        Path(options.markdown).write_text(text)
    sys.exit(0 if all(figures.held for figures in table.values()) else 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--stores", type=_kinds, default=KINDS)
    parser.add_argument("--situations", type=_situations, default=SITUATIONS)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--markdown", metavar="FILE")
    return parser.parse_args()


def _kinds(names: str) -> list[Kind]:
    return [kind for kind in KINDS if kind.name in names.split(",")]


def _situations(names: str) -> list[ModuleType]:
    return [situation for situation in SITUATIONS if _name(situation) in names.split(",")]


def _name(situation: ModuleType) -> str:
    return situation.__name__.rpartition(".")[2]


def _tried(situation: ModuleType, case: object, long: bool) -> Figures:
    if reason := getattr(situation, "missing", lambda: "")():
        return Figures(f"not run: {reason}", False)
    try:
        figures: Figures = situation.run(case, long=long)
    except Exception as error:  # a situation that can't be run to its end is a cell that does not hold
        return Figures(f"ended by {type(error).__name__}: {error}", False)
    return figures


def _markdown(table: dict[tuple[str, str], Figures], kinds: list[Kind], situations: list[ModuleType]) -> str:
    packages = ", ".join(f"{package} {_version(package)}" for package in _PACKAGES)
    lines = [
        "# Under faults",
        "",
        f"Made by `make faults` on {date.today()} with session3 {session3.__version__},",
        f"Python {platform.python_version()}, {packages}.",
        "",
        f"| | {' | '.join(kind.name for kind in kinds)} |",
        "| --- |" + " --- |" * len(kinds),
    ]
    for situation in situations:
        cells = [_cell(table.get((_name(situation), kind.name)), situation, kind) for kind in kinds]
        lines.append(f"| {situation.SITUATION} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _cell(figures: Figures | None, situation: ModuleType, kind: Kind) -> str:
    if not situation.applies(kind):
        return "n/a"
    if figures is None:
        return kind.missing
    return figures.text if figures.held else f"**NOT HELD** {figures.text}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "is missing"


if __name__ == "__main__":
    main()
