import contextlib
import dbm
import os
import pickle
import shelve
from pathlib import Path
from typing import Any

import pytest

from session3 import ids
from session3.store.ShelveSessionStore import ShelveSessionStore

from ..contract import (
    CrashContract,
    FileContract,
    IterationContract,
    ProcessContract,
    RecordContract,
    SealContract,
    SetupContract,
    SweepContract,
    ThreadContract,
    stored,
)
from ..sessions import Bomb, Clock


@pytest.fixture
def make_store(tmp_path: Path, clock: Clock) -> Any:
    return lambda **options: ShelveSessionStore(tmp_path / "sessions", clock=clock, **options)


@pytest.fixture
def store(make_store: Any) -> Any:
    with make_store() as store:
        yield store


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    return f"shelve://{tmp_path}/sessions"


@pytest.fixture
def open_at(clock: Clock) -> Any:
    def open(path: Path, make_parent: bool = False) -> ShelveSessionStore:
        if make_parent:
            path.parent.mkdir()
        return ShelveSessionStore(path, clock=clock)

    return open


class TestShelveSessionStore(
    RecordContract, IterationContract, SweepContract, SetupContract, ThreadContract, ProcessContract, CrashContract
):
    pass


class TestSealedShelveSessionStore(SealContract):
    pass


class TestShelveFiles(FileContract):
    pass


def test_the_standard_shelve_reads_it(store: Any) -> None:
    session = stored(store)
    store.close()
    with shelve.open(store.filename, flag="r") as shelf:
        assert list(shelf) == [session.id]
        record = shelf[session.id]
    assert (record["user_key"], record["expires"]) == ("alice", None)
    assert b"alice" in record["payload"]


@pytest.mark.parametrize("options", [{}, {"secret_key": "0123456789abcdef0123"}], ids=["plain", "signed"])
def test_a_planted_value_is_damage_and_is_not_run(make_store: Any, options: Any, caplog: Any) -> None:
    store = make_store(**options)
    session = stored(store)
    Bomb.exploded.clear()
    with store._shelf.writing() as shelf:
        shelf[session.id.encode()] = pickle.dumps({"payload": Bomb()})
    assert store.load_session(session.id) is None
    assert Bomb.exploded == []
    assert ids.short_hash(session.id) in caplog.text


@pytest.mark.parametrize("flavour", ["dbm.gnu", "dbm.ndbm", "dbm.sqlite3"])
def test_a_shelf_of_another_flavour_is_taken_over(make_store: Any, flavour: str) -> None:
    remedy = "Python 3.13 has it" if flavour == "dbm.sqlite3" else "Debian's has it after apt-get install python3-gdbm"
    module: Any = pytest.importorskip(flavour, reason=f"this Python has no {flavour}; {remedy}")
    store = make_store()
    session = stored(store)
    with store._shelf.writing() as shelf:
        values = {key: shelf.get(key) for key in shelf.keys()}
    store.close()
    for suffix in (".dat", ".dir", ".bak"):
        Path(store.filename + suffix).unlink(missing_ok=True)
    with contextlib.closing(module.open(store.filename, "c")) as old:
        for key, value in values.items():
            old[key] = value
    loaded = store.load_session(session.id)
    loaded["n"] = 1
    store.save_session(loaded)
    assert store.load_session(session.id)["n"] == 1
    assert dbm.whichdb(store.filename) == "dbm.dumb"


def test_the_deleted_leave_the_index_at_the_next_sweep(store: Any) -> None:
    sessions = [stored(store) for _ in range(3)]
    store.delete_session(sessions[0])
    assert len(store._shelf.keys()) == 3
    assert store.delete_expired_sessions() == (0, 2)
    assert sorted(store._shelf.keys()) == sorted(session.id.encode() for session in sessions[1:])


def test_what_is_damaged_is_swept_if_it_was_ours(store: Any) -> None:
    """It is ours if it begins as a record; what somebody else put there may be anything."""
    keys = [session.id.encode() for session in (stored(store), stored(store), stored(store), stored(store))]
    with store._shelf.writing() as shelf:
        whole = shelf.get(keys[0])
        of_a_later_version = pickle.dumps({**pickle.loads(whole), "colour": "red"}, 5)
        damaged = [whole[:-20], whole[:100] + bytes(len(whole) - 100)]
        others = [b"", bytes(100), b"some text", pickle.dumps({"payload": 1}), of_a_later_version]
        for number, value in enumerate(damaged):
            shelf[keys[number]] = value
            shelf[keys[number] + b":touched"] = pickle.dumps((1, 2.0, None))
        for number, value in enumerate(others):
            shelf[b"others%d" % number] = value
    assert store.delete_expired_sessions() == (2, 2)
    assert store.delete_expired_sessions() == (0, 2)
    assert sorted(store._shelf.keys()) == sorted([*keys[2:], *(b"others%d" % number for number in range(len(others)))])


def test_what_a_power_cut_took_is_not_replaced_by_another_session(store: Any, caplog: Any) -> None:
    """The line of a value may outlive the value: the next one would lie where that says."""
    kept, lost = stored(store), stored(store)
    with store._shelf.writing() as shelf:
        shelf[b"empty"] = b""
    os.truncate(store.filename + ".dat", 512)
    other = stored(store, user="carol")
    assert store.load_session(lost.id) is None
    assert store.load_session(kept.id).user == "alice"
    assert sorted(store._shelf.keys()) == sorted([kept.id.encode(), other.id.encode(), b"empty"])
    assert caplog.text.count("ends before") == 1
