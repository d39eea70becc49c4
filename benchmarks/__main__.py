"""`python -m benchmarks`: speed, side by side. Options: `--quick`, `--families files,SQLite`, `--markdown FILE`."""

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.mariadb_server import MariaDBServer
from tests.postgres_server import PostgresServer
from tests.redis_server import RedisServer

from . import report
from .contenders import Contender, Servers
from .floors import FLOORS
from .measure import measure
from .ours import OURS
from .peers import PEERS

ROUNDS, QUICK_ROUNDS = 400, 60


def main() -> None:
    options = _options()
    with contextlib.ExitStack() as stack:
        contenders = list(_contenders(options.families, stack))
        rounds = QUICK_ROUNDS if options.quick else ROUNDS
        figures = measure(contenders, rounds, _progress(rounds))
    command = "make bench-quick" if options.quick else "make bench"
    text = report.head(command) + "\n" + report.operations(contenders, figures)
    print(text)
    if options.markdown:
        Path(options.markdown).write_text(text)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--families", type=lambda names: names.split(","), help="files, SQLite, Postgres, MySQL, ...")
    parser.add_argument("--markdown", metavar="FILE")
    return parser.parse_args()


def _contenders(families: list[str] | None, stack: contextlib.ExitStack) -> Iterator[Contender]:
    every: list[type[Contender]] = [*FLOORS, *OURS, *PEERS]
    kinds = [kind for kind in every if families is None or kind.family in families]
    asked = {kind.family for kind in kinds}
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="session3-bench-")))
    servers = Servers(
        stack.enter_context(PostgresServer()) if "Postgres" in asked else None,
        stack.enter_context(MariaDBServer()) if "MySQL" in asked else None,
        stack.enter_context(RedisServer()) if "Redis" in asked else None,
    )
    for number, kind in enumerate(kinds):
        own = folder / str(number)
        own.mkdir()
        yield kind(own, servers, stack)


def _progress(rounds: int) -> Callable[[], None]:
    """Return what to call after each round: it draws a bar on stderr."""
    done = [0]

    def tick() -> None:
        done[0] += 1
        if done[0] * 50 // rounds > (done[0] - 1) * 50 // rounds:
            filled = done[0] * 50 // rounds
            print(
                f"\r[{'#' * filled}{'.' * (50 - filled)}] {done[0]} of {rounds} rounds",
                end="",
                file=sys.stderr,
                flush=True,
            )
        if done[0] == rounds:
            print(file=sys.stderr)

    return tick


if __name__ == "__main__":
    main()
