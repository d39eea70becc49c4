"""`durable=True`: what a power cut would take is written through; by default nothing waits for the disk."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from session3 import open_store, slots
from session3.DictSession import DictSession
from session3.errors import ConfigurationError
from session3.store.DirectorySessionStore import DirectorySessionStore
from session3.store.ShelveSessionStore import ShelveSessionStore
from session3.store.SQLiteSessionStore import SQLiteSessionStore

from .sessions import Clock


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was written through, in order: "file" or "folder"."""
    kinds: list[str] = []
    fsync = os.fsync

    def note(fd: int) -> None:
        kinds.append("folder" if os.path.isdir(f"/proc/self/fd/{fd}") else "file")
        fsync(fd)

    monkeypatch.setattr(os, "fsync", note)
    return kinds


def cost(synced: list[str], act: Callable[[], object]) -> list[str]:
    synced.clear()
    act()
    return synced.copy()


def in_turn(store: Any, synced: list[str], clock: Clock) -> dict[str, list[str]]:
    """What each step in the life of a session writes through."""
    costs = {}
    session = DictSession("session1")
    session["n"] = 1
    store.create()
    costs["create"] = cost(synced, lambda: store.create_session(session))
    for name, value in (("overwrite", 2), ("outgrow", "x" * 20_000)):
        session["n"] = value
        costs[name] = cost(synced, lambda: store.save_session(session))
    clock.advance(100)
    session._access_time = clock()
    costs["touch"] = cost(synced, lambda: store.save_session(session))
    costs["read"] = cost(synced, lambda: store.load_session("session1"))
    costs["rotate"] = cost(synced, lambda: store.move_session(session, "session2"))
    costs["delete"] = cost(synced, lambda: store.delete_session("session2"))
    return costs


def test_directory(tmp_path: Path, synced: list[str], clock: Clock) -> None:
    store = DirectorySessionStore(tmp_path / "sessions", durable=True, clock=clock)
    assert in_turn(store, synced, clock) == {
        "create": ["file", "folder"], "overwrite": ["file"], "outgrow": ["file", "folder"], "touch": [], "read": [],
        "rotate": ["file", "folder", "file"], "delete": ["folder"],
    }  # fmt: skip


def test_directory_without_unnamed_files(
    tmp_path: Path, synced: list[str], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    assert cost(synced, lambda: slots.create(f"{tmp_path}/file", 1, b"x", durable=True)) == ["file", "folder"]


def test_its_folder_survives(tmp_path: Path, synced: list[str]) -> None:
    assert cost(synced, lambda: DirectorySessionStore(tmp_path / "a", create=True, durable=True)) == ["folder"]


def test_the_folders_above_it_survive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def note(fd: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", note)
    above = os.path.realpath(tmp_path)
    DirectorySessionStore(tmp_path / "a" / "b" / "c", create=True, durable=True)
    assert sorted(synced) == [above, f"{above}/a", f"{above}/a/b"]


def test_shelve(tmp_path: Path, synced: list[str], clock: Clock) -> None:
    store = ShelveSessionStore(tmp_path / "sessions", durable=True, clock=clock)
    write = ["file", "file"]  # the value, and then the line that counts
    assert in_turn(store, synced, clock) == {
        "create": write, "overwrite": write, "outgrow": write, "touch": write, "read": [],
        "rotate": write * 2, "delete": write,
    }  # fmt: skip


@pytest.mark.parametrize("kind", [DirectorySessionStore, ShelveSessionStore])
def test_by_default_nothing_waits(tmp_path: Path, synced: list[str], clock: Clock, kind: Any) -> None:
    costs = in_turn(kind(tmp_path / "sessions", clock=clock), synced, clock)
    assert set(map(tuple, costs.values())) == {()}


@pytest.mark.parametrize(("options", "level"), [({}, 1), ({"durable": True}, 2)])
def test_sqlite(tmp_path: Path, options: dict[str, Any], level: int) -> None:
    """FULL is 2: SQLite writes its log through at each commit."""
    found = []
    with SQLiteSessionStore(tmp_path / "sessions.db", **options) as store:
        store.save_session(DictSession("session1"))

        def look() -> None:
            with store._connections.guard():
                connection = store._connections.get()
                found.append(connection.execute("PRAGMA synchronous").fetchone()[0])

        look()
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        store.close()
        look()
    assert found == [level] * 3


def test_the_name_of_a_new_sqlite_file_survives(tmp_path: Path, synced: list[str]) -> None:
    assert cost(synced, SQLiteSessionStore(tmp_path / "a.db", durable=True).create) == ["folder"]
    assert cost(synced, SQLiteSessionStore(tmp_path / "b.db").create) == []


def test_memory_is_not_durable() -> None:
    with pytest.raises(ConfigurationError, match="memory"):
        SQLiteSessionStore(":memory:", durable=True)


@pytest.mark.parametrize("scheme", ["directory", "shelve", "sqlite"])
def test_open_store_takes_it(tmp_path: Path, scheme: str) -> None:
    with open_store(f"{scheme}://{tmp_path}/sessions", durable=True) as store:
        store.save_session(DictSession("session1"))
        assert store.has_session("session1")


def test_an_outgrown_file_is_whole_though_the_disk_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"{tmp_path}/file"
    slots.create(path, 1, b"old")

    def fail(fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"), slots.writing(path, durable=True) as file:
        assert file is not None
        file.overwrite(2, b"x" * 20_000)
    slot = slots.read(path)
    assert slot is not None and slot.body == b"old"
    assert os.listdir(tmp_path) == ["file"]
