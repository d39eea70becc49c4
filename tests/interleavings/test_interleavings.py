"""Every order of the steps of two requests, and some of three, with what else may happen between them.

`make faults` tells more of them, on more stores.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from session3.store.DirectorySessionStore import DirectorySessionStore
from session3.store.SQLiteSessionStore import SQLiteSessionStore
from session3.store.VolatileSessionStore import VolatileSessionStore
from tests.sessions import Clock

from .kinds import KINDS, Visited
from .stepping import stepping
from .stories import STRUCK, TWINS, every_pair, every_strike, only_first, some_triples
from .story import HAPPENINGS, STARTS, World

Memory = stepping(VolatileSessionStore)
NO_TWINS = [kind for kind in KINDS if kind not in TWINS]
#: What meets time that passes: who holds a session for longer than a renewal's grace.
LASTING = ["item", "post", "login", "logout", "renew"]


def site(start: str, **options: Any) -> World:
    return World(Memory(clock=Clock(1e9), session_class=Visited, **options), start)


@pytest.mark.parametrize("start", STARTS)
def test_two_requests_break_no_promise(start: str) -> None:
    kinds = NO_TWINS if start != "a renewed id" else [*LASTING, "another id"]
    assert not only_first(every_pair(site(start), kinds=kinds))


@pytest.mark.parametrize("happening", HAPPENINGS)
def test_nor_do_they_when_time_passes_between(happening: str) -> None:
    assert not only_first(every_pair(site("a user"), happening, kinds=LASTING))
    assert not only_first(every_pair(site("a renewed id"), happening, kinds=["item", "logout"]))


@pytest.mark.parametrize("start", ["a cart", "a user"])
def test_nor_does_one_whose_call_is_struck(start: str) -> None:
    assert not only_first(every_strike(site(start), STRUCK))


@pytest.mark.parametrize("start", STARTS)
def test_nor_do_three(start: str) -> None:
    assert not only_first(some_triples(site(start), seconds=1, seed=1))


_ON_DISK: list[Any] = [DirectorySessionStore, SQLiteSessionStore]  # each with keywords of its own


@pytest.fixture(params=_ON_DISK)
def on_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    store_class = stepping(request.param)
    with store_class(tmp_path / "sessions", clock=Clock(1e9), hash_ids=True) as store:
        yield store


def test_nor_do_they_on_disk_under_hashed_ids(on_disk: Any) -> None:
    assert not only_first(every_pair(World(on_disk, "a user"), kinds=["item", "post", "login", "logout", "renew"]))


def test_the_sweep_sees_what_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forward that is known for as long only as it leads loses a change and a logout."""
    for name in ("UNSEEN_SECONDS", "TOMBSTONE_SECONDS"):
        monkeypatch.setattr(f"session3.record.{name}", 0)
    assert only_first(every_pair(site("a user"), "a pause", kinds=["item", "renew", "logout"]))
