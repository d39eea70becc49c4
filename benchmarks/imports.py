"""Imports: what a process pays before its first session, and what it must not import."""

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from .contenders import SECRET
from .sections import Bench, Outcome, Table, Target

ROUNDS, QUICK_ROUNDS = 40, 10
LIMIT = 60.0  # ms
FOREIGN = {"psycopg2", "psycopg", "pymysql", "MySQLdb", "redis", "durus", "quixote", "django", "flask"}
_COSTLIEST = 5

_BARE = "pass"


def run(bench: Bench) -> Outcome:
    codes = _codes(bench)
    bare = _imported(_BARE)  # what is installed here may import things as Python starts
    for store, code in codes.items():
        foreign = (_imported(code) - bare) & FOREIGN
        assert not foreign, f"{store} imports {', '.join(sorted(foreign))}"
    rounds = QUICK_ROUNDS if bench.is_quick else ROUNDS
    milliseconds = _milliseconds(bench, codes, rounds)
    rows = [[store, _cell(figure)] for store, figure in milliseconds.items()]
    tables = [Table(["", "ms"], rows)]
    slowest = max(milliseconds, key=lambda store: milliseconds[store])
    if milliseconds[slowest] > LIMIT:
        costs = [[name, f"{cost:.1f}"] for name, cost in _costliest(codes[slowest])]
        tables.append(Table([f"costliest imports of {slowest}", "ms, without those inside it"], costs))
    notes = (
        "`import session3` and `open_store` in a fresh interpreter, less what one takes that does nothing, in the same"
        f" round; medians of {rounds}. No driver and no framework was imported."
    )
    targets = [Target(f"{store}: import and open", figure, LIMIT, "ms") for store, figure in milliseconds.items()]
    return Outcome("Imports", notes, tables, targets, [])


def _codes(bench: Bench) -> dict[str, str]:
    arguments = {
        "SQLite": f"'sqlite://{bench.folder}/imports.db'",
        "Directory": f"'directory://{bench.folder}/imports'",
        "Shelve": f"'shelve://{bench.folder}/imports-shelf'",
        "memory": "'memory://'",
        "cookie": f"'cookie://', secret_key={SECRET!r}",
    }
    return {store: f"import session3; session3.open_store({given})" for store, given in arguments.items()}


def _imported(code: str) -> set[str]:
    code += "\nimport sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    return set(done.stdout.split())


def _milliseconds(bench: Bench, codes: dict[str, str], rounds: int) -> dict[str, float]:
    taken: dict[str, list[float]] = {store: [] for store in codes}
    for done in range(rounds):
        bare = _seconds(_BARE)
        for store, code in codes.items():
            taken[store].append(_seconds(code) - bare)
        bench.progress(done + 1, rounds)
    return {store: statistics.median(seconds) * 1000 for store, seconds in taken.items()}


def _seconds(code: str) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - begun


def _costliest(code: str) -> list[tuple[str, float]]:
    """Return the imports that took longest in themselves, with their milliseconds."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code], stderr=subprocess.PIPE, text=True, check=True
    )
    costs = sorted(_costs(done.stderr), key=lambda cost: cost[1])
    return costs[: -_COSTLIEST - 1 : -1]


def _costs(output: str) -> Iterator[tuple[str, float]]:
    for line in output.splitlines():
        own, _, name = line.removeprefix("import time:").split("|")
        if own.strip().isdigit():
            yield name.strip(), int(own) / 1000


def _cell(figure: float) -> str:
    return f"{figure:.1f} ≤{LIMIT:.0f}" if figure <= LIMIT else f"**{figure:.1f}** ≤{LIMIT:.0f}"
