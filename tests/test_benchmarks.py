"""The benchmark's contenders keep what they are timed with: else a figure would be that of doing nothing."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.by_hand import BY_HAND, ByHand
from benchmarks.contenders import CALLS, PAYLOAD, Contender, Servers
from benchmarks.cores import apart
from benchmarks.in_one_function import OurDirectoryInOneFunction
from benchmarks.measure import assemble
from benchmarks.operations import KINDS
from benchmarks.ours import OurCookieByPython
from benchmarks.sections import Bench
from session3 import plainjson

from .servers import ROOT

NAMES = [kind.name for kind in KINDS]
BY_HAND_NAMES = [kind.name for kind in BY_HAND]
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


@pytest.mark.parametrize("name", BY_HAND_NAMES)
def test_a_store_by_hand_compares_before_it_swaps(name: str, tried: Any) -> None:
    for line in tried["left out"]:
        if f": {name}: " in line:
            pytest.skip(line)
    assert tried["swapped late"][name] is False


def test_a_cookie_without_msgspec_is_timed_without_it(tmp_path: Path) -> None:
    class Watched(OurCookieByPython):
        def load(self) -> Any:
            has.add(plainjson.HAS_MSGSPEC)
            return super().load()

    has: set[bool] = set()
    with contextlib.ExitStack() as stack:
        assert len(Watched(tmp_path, Servers(stack), stack).turn("load", 0)) == CALLS
    assert has == {False} and plainjson.HAS_MSGSPEC


def test_what_is_in_one_function_calls_none_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.ExitStack() as stack:
        contender = OurDirectoryInOneFunction(tmp_path, Servers(stack), stack)
        for verb in ("load_session", "save_session"):
            monkeypatch.setattr(contender.store, verb, None)
        contender.save(1234)
        contender.read_only()
        assert contender.visits() == 1234


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="needs two cores, and Linux"
)
def test_servers_have_other_cores_than_we() -> None:
    before = os.sched_getaffinity(0)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        with apart([None, SimpleNamespace(process=child)]):
            own, theirs = os.sched_getaffinity(0), os.sched_getaffinity(child.pid)
        assert len(own) == 1 and not own & theirs and own | theirs == before
        assert os.sched_getaffinity(0) == os.sched_getaffinity(child.pid) == before


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
        bench = Bench(Servers(stack), Path(sys.argv[1]), stack, True, lambda done, of: None)
        made, left_out = assemble(KINDS, bench)
        shown = shown_of(made)
        late = {one.name: one._swap(PAYLOAD, one.revision) for one in made if isinstance(one, ByHand)}
        print(json.dumps({"shown": shown, "swapped late": late, "left out": left_out}))
