from collections import Counter
from typing import Any

import pytest

from session3.errors import SessionConflict
from session3.record import Record
from session3.store import SessionWrites
from session3.store.VolatileSessionStore import VolatileSessionStore

from ..contract import (
    IterationContract,
    RecordContract,
    SealContract,
    SetupContract,
    SweepContract,
    ThreadContract,
    stored,
)
from ..sessions import Clock


@pytest.fixture
def make_store(clock: Clock) -> Any:
    records: dict[str, Record] = {}

    def make(**options: Any) -> VolatileSessionStore:
        store = VolatileSessionStore(clock=clock, **options)
        store._records = records  # the same memory, opened again
        return store

    return make


@pytest.fixture
def store(make_store: Any) -> Any:
    with make_store() as store:
        yield store


class TestVolatileSessionStore(RecordContract, IterationContract, SweepContract, SetupContract, ThreadContract):
    pass


class TestSealedVolatileSessionStore(SealContract):
    pass


class Rivalry:
    """Another writer that saves before each try of ours, so many times."""

    def __init__(self, store: Any, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
        self.wins, self.times, self.store, self.replace = 0, times, store, store.replace
        monkeypatch.setattr(SessionWrites, "MAX_TRIES", 3)
        monkeypatch.setattr(store, "replace", self.lose)

    def lose(self, key: str, record: Record, revision: int) -> bool:
        if self.wins < self.times:
            self.wins += 1
            current = self.store.read(key)
            self.replace(key, current._replace(revision=current.revision + 1), current.revision)
        return bool(self.replace(key, record, revision))


def test_a_writer_may_lose_to_another_one_for_a_while(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who merges is slower than who need not: it may lose for as long as that goes on."""
    session = stored(store)
    rivalry = Rivalry(store, monkeypatch, 50)
    session["n"] = 1
    store.save_session(session)
    assert rivalry.wins == 50 and store.load_session(session.id)["n"] == 1


def test_a_writer_that_never_wins_gives_up(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SessionWrites, "PATIENCE", 0.0)
    session = stored(store)
    Rivalry(store, monkeypatch, 10**9)
    session["n"] = 1
    with pytest.raises(SessionConflict, match="no save of session"):
        store.save_session(session)


def test_where_an_item_was_set_the_bytes_are_looked_at_once(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """To tell a change from another spelling of the same takes a load and a dump more: only where nothing says so."""
    session = stored(store, data={"cart": ["tea"]})
    store.save_session(session)
    calls: Counter[str] = Counter()
    serializer = store.codec.serializer

    def counting(name: str, call: Any) -> Any:
        def count(value: Any) -> Any:
            calls[name] += 1
            return call(value)

        return count

    for name in ("dumps", "loads"):
        monkeypatch.setattr(serializer, name, counting(name, getattr(serializer, name)))
    session["n"] = 1
    store.save_session(session)
    assert calls == {"dumps": 1}
    fresh = store.load_session(session.id)
    calls.clear()
    fresh["cart"].append("milk")
    store.save_session(fresh)
    assert calls == {"dumps": 2, "loads": 1}
