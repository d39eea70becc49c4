"""The situations in their short form; `make faults` runs the long one."""

from collections.abc import Iterator
from types import ModuleType

import pytest

from .cases import KINDS, Case, Kind, started
from .situations import SITUATIONS


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    kind: Kind = request.param
    if kind.missing:
        pytest.skip(kind.missing)
    with started(kind) as case:
        yield case


def pairs() -> list[object]:
    return [
        pytest.param(kind, situation, id=f"{kind.name}-{situation.__name__.rpartition('.')[2]}")
        for kind in KINDS
        for situation in SITUATIONS
        if situation.applies(kind)
    ]


@pytest.mark.parametrize(("case", "situation"), pairs(), indirect=["case"])
def test_the_promise_holds(case: Case, situation: ModuleType) -> None:
    if reason := getattr(situation, "missing", lambda: "")():
        pytest.skip(reason)
    figures = situation.run(case, long=False)
    assert figures.held, figures.text
