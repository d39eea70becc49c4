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
from .contenders import Servers
from .sections import Bench, Outcome

#: Each has a function `run`.
SECTIONS = {
    "operations": "benchmarks.operations",
    "whole_request": "benchmarks.whole_request",
}
ROOT = Path(__file__).parent.parent


def _names(context: click.Context, parameter: click.Parameter, value: str | None) -> list[str] | None:
    return None if value is None else value.split(",")


@click.command()
@click.option("--sections", callback=_names, metavar="NAMES", help=f"Of {','.join(SECTIONS)}; else all.")
@click.option("--families", callback=_names, metavar="NAMES", help="Of files,SQLite,Postgres,MySQL,...; else all.")
@click.option("--quick", is_flag=True, help="Fewer rounds, smaller sizes.")
@click.option("--markdown", type=click.Path(path_type=Path), metavar="FILE", help="Write there, and charts beside it.")
def main(sections: list[str] | None, families: list[str] | None, quick: bool, markdown: Path | None) -> None:
    """Measure the stores beside their bare drivers and other libraries."""
    if unknown := set(sections or []) - set(SECTIONS):
        raise click.BadParameter(f"no section {', '.join(sorted(unknown))}", param_hint="--sections")
    outcomes, failed = _run(sections or list(SECTIONS), frozenset(families) if families else None, quick)
    head = report.head("make bench-quick" if quick else "make bench")
    targets = [target for outcome in outcomes for target in outcome.targets]
    click.echo("\n".join([head, *map(report.section, outcomes), report.targets(targets)]).rstrip())
    if markdown is not None:
        _write(markdown, head, outcomes)
    sys.exit(1 if failed else 0)


def _run(sections: list[str], families: frozenset[str] | None, quick: bool) -> tuple[list[Outcome], bool]:
    """Run sections; return their outcomes, and whether one of them was ended by an error."""
    outcomes: list[Outcome] = []
    logging.getLogger("durus").addHandler(logging.NullHandler())  # else it writes each commit into our bars
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        # On the disk where the checkout is: /tmp may be in memory, where a rename costs nothing.
        run_folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=build)))
        servers = Servers(stack, families)
        for name in sections:
            folder = run_folder / name
            folder.mkdir()
            try:
                outcomes.append(_run_section(name, Bench(servers, folder, stack, quick, _no_bar, families)))
            except Exception:
                traceback.print_exc()
    return outcomes, len(outcomes) < len(sections)


def _run_section(name: str, bench: Bench) -> Outcome:
    with (
        contextlib.ExitStack() as stack,
        click.progressbar(length=100, label=f"{name:14}", file=sys.stderr) as bar,
    ):
        progress = lambda done, of: bar.update(100 * done // of - bar.pos)  # noqa: E731
        outcome: Outcome = import_module(SECTIONS[name]).run(bench._replace(stack=stack, progress=progress))
        return outcome


def _no_bar(done: int, of: int) -> None:
    """Before a section has its bar."""


def _write(markdown: Path, head: str, outcomes: list[Outcome]) -> None:
    from .plots import draw

    pictures = markdown.with_suffix("")
    pictures.mkdir(exist_ok=True)
    for outcome in outcomes:
        for chart in outcome.charts:
            draw(chart, pictures)
    targets = [target for outcome in outcomes for target in outcome.targets]
    sections = [report.section(outcome, pictures.name) for outcome in outcomes]
    markdown.write_text("\n".join([head, *sections, report.targets(targets)]))


if __name__ == "__main__":
    main()
