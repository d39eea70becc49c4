"""The benchmark's contenders keep what they are timed with: else a figure would be that of doing nothing."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.contenders import Contender, Servers
from benchmarks.measure import assemble
from benchmarks.operations import KINDS
from benchmarks.sections import Bench

from .servers import ROOT

FAMILIES = frozenset({"files", "SQLite", "Durus", "cookie"})
NAMES = [kind.name for kind in KINDS if kind.family in FAMILIES]
NUMBERS = (1234, 5678)


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What each contender shows of its saves; in a process of its own, since Django is configured once in a process."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.test_benchmarks", str(tmp_path_factory.mktemp("bench"))],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", NAMES)
def test_a_contender_loads_what_it_saved(name: str, tried: Any) -> None:
    for line in tried["left out"]:
        if f": {name}: " in line:
            pytest.skip(line)
    assert tried["shown"][name] == list(NUMBERS)


# -- in the process --------------------------------------------------------------------------------------------------


def shown_of(contenders: Iterable[Contender]) -> dict[str, list[int]]:
    """Let contenders save; return what a load shows after each save and a request that reads."""
    shown: dict[str, list[int]] = {}
    for contender in contenders:
        for number in NUMBERS:
            contender.save(number)
            contender.read_only()
            shown.setdefault(contender.name, []).append(contender.visits())
    return shown


if __name__ == "__main__":
    with contextlib.ExitStack() as stack:
        bench = Bench(Servers(stack, FAMILIES), Path(sys.argv[1]), stack, True, lambda done, of: None, FAMILIES)
        made, left_out = assemble(KINDS, bench)
        print(json.dumps({"shown": shown_of(made), "left out": left_out}))
