"""`python -m benchmarks`: speed, side by side."""

import contextlib
import logging
import sys
import tempfile
import traceback
from importlib import import_module
from pathlib import Path

import click

from . import report
from .contenders import FAMILIES, Servers
from .sections import Bench, Outcome

#: Each has a function `run`.
SECTIONS = {
    "operations": "benchmarks.operations",
    "whole_request": "benchmarks.whole_request",
    "growth": "benchmarks.growth",
    "purge": "benchmarks.purge",
    "throughput": "benchmarks.throughput",
    "memory": "benchmarks.memory",
    "imports": "benchmarks.imports",
}
ROOT = Path(__file__).parent.parent


def _names(context: click.Context, parameter: click.Parameter, value: str | None) -> list[str] | None:
    """Split a list of names; refuse those that there are not."""
    if value is None:
        return None
    known = {"sections": tuple(SECTIONS), "families": FAMILIES}[parameter.name or ""]
    if unknown := [name for name in value.split(",") if name not in known]:
        raise click.BadParameter(f"no {', '.join(unknown)}; there are {', '.join(known)}")
    return value.split(",")


@click.command()
@click.option("--sections", callback=_names, metavar="NAMES", help=f"Of {','.join(SECTIONS)}; else all.")
@click.option("--families", callback=_names, metavar="NAMES", help=f"Of {','.join(FAMILIES)}; else all.")
@click.option("--quick", is_flag=True, help="Fewer rounds, smaller sizes.")
@click.option("--markdown", type=click.Path(path_type=Path), metavar="FILE", help="Write there, and charts beside it.")
def main(sections: list[str] | None, families: list[str] | None, quick: bool, markdown: Path | None) -> None:
    """Measure the stores beside their bare drivers and other libraries.

    A target that is missed changes nothing in the exit status, since machines are noisy; a section that fails does.
    """
    names = sections or list(SECTIONS)
    outcomes = _run(names, frozenset(families) if families else None, quick)
    head = report.head(
        " ".join(["python -m benchmarks", *sys.argv[1:]]), [name for name in names if name not in outcomes]
    )
    click.echo(report.whole(head, list(outcomes.values())), nl=False)
    if markdown is not None:
        pictures = markdown.with_suffix("")
        _draw(outcomes, pictures)
        markdown.write_text(report.whole(head, list(outcomes.values()), pictures.name))
    sys.exit(0 if len(outcomes) == len(names) else 1)


def _run(names: list[str], families: frozenset[str] | None, quick: bool) -> dict[str, Outcome]:
    """Run sections; return the outcomes of those that no error has ended."""
    outcomes: dict[str, Outcome] = {}
    logging.getLogger("durus").addHandler(logging.NullHandler())  # else it writes each commit into our bars
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        # On the disk where the checkout is: /tmp may be in memory, where a rename costs nothing.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=build)))
        servers = Servers(stack, families)
        for name in names:
            own = folder / name
            own.mkdir()
            try:
                outcomes[name] = _run_section(name, servers, own, quick, families)
            except Exception:
                traceback.print_exc()
    return outcomes


def _run_section(name: str, servers: Servers, folder: Path, quick: bool, families: frozenset[str] | None) -> Outcome:
    with (
        contextlib.ExitStack() as stack,
        click.progressbar(length=100, label=f"{name:14}", file=sys.stderr) as bar,
    ):

        def progress(done: int, of: int) -> None:
            bar.update(100 * done // of - bar.pos)

        outcome: Outcome = import_module(SECTIONS[name]).run(Bench(servers, folder, stack, quick, progress, families))
        return outcome


def _draw(outcomes: dict[str, Outcome], folder: Path) -> None:
    from .plots import draw

    folder.mkdir(exist_ok=True)
    for outcome in outcomes.values():
        for chart in outcome.charts:
            draw(chart, folder)


if __name__ == "__main__":
    main()
