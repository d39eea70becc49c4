"""A shelf on a disk that fails: an error of reading is no absence, what fails leaves nothing, check() tells before."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from session3 import dumbfile
from session3.errors import StoreUnavailable
from session3.shelf import ShelfError, open_shelf
from session3.store import shelverecord
from session3.store.ShelveSessionStore import ShelveSessionStore

from ..contract import new_id, stored
from ..sessions import Clock
from ..test_owners import as_user, needs_root
from ..test_owners import tmp_path as open_path

__all__ = ["open_path"]


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Any:
    with ShelveSessionStore(tmp_path / "s", clock=clock) as store:
        yield store


class Failing:
    """Lets the nth of some calls of `os` fail, and all that follow; `left` is below zero if it came to that."""

    def __init__(self, patch: pytest.MonkeyPatch, nth: int, number: int, *names: str) -> None:
        self.left = nth
        self.error = OSError(number, os.strerror(number))
        for name in names:
            patch.setattr(os, name, self._failing(getattr(os, name)))

    def _failing(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise self.error
            return real(*args, **kwargs)

        return call


# -- reading ---------------------------------------------------------------------------------------------------------


def read_acts(store: Any, session: Any) -> dict[str, Callable[[], object]]:
    def save() -> None:
        session["n"] = 1
        store.save_session(session)

    def touch() -> None:
        session._access_time += 1000
        assert store.refresh_session(session)

    return {
        "load": lambda: store.load_session(session.id).user,
        "has": lambda: store.has_session(session.id) or 1 / 0,
        "save": save,
        "touch": touch,
        "discard": lambda: store.discard_session(session) or 1 / 0,
        "move": lambda: store.move_session(session, new_id()) or 1 / 0,
        "iter": lambda: len(list(store.iter_sessions())) == 2 or 1 / 0,
        "sweep": lambda: store.delete_expired_sessions() == (0, 2) or 1 / 0,
        "setup": lambda: store.create(),
    }


@pytest.mark.parametrize("was_closed", [False, True])
@pytest.mark.parametrize("name", ["load", "has", "save", "touch", "discard", "move", "iter", "sweep", "setup"])
def test_an_error_of_reading_is_no_absence(
    tmp_path: Path, clock: Clock, name: str, was_closed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for nth in range(200):
        store = ShelveSessionStore(tmp_path / f"{nth}", clock=clock)
        stored(store)
        session = stored(store)
        session._access_time += 100
        store.save_session(session)  # a note of the touch is there, too
        session = store.load_session(session.id)
        if was_closed:
            store.close()
        with monkeypatch.context() as patch:
            failing = Failing(patch, nth, errno.EIO, "pread", "stat", "fstat")
            try:
                read_acts(store, session)[name]()
            except StoreUnavailable as error:
                assert "Input/output" in str(error)
        assert store.load_session(session.id) is not None or name in ("discard", "move")
        store.close()
        if failing.left >= 0:
            break
    assert nth < 199


def test_a_head_that_can_not_be_read_is_no_absence(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What flavour of database is there is told by its first bytes."""
    Path(store.filename).write_bytes(b"SQLite format 3\0" + bytes(100))

    def fail(path: Any, *args: Any, real: Any = open) -> Any:
        if str(path) == store.filename:
            raise OSError(errno.EIO, "Input/output error")
        return real(path, *args)

    monkeypatch.setattr("builtins.open", fail)
    with pytest.raises(StoreUnavailable, match="Input/output"):
        store.load_session("session1")


# -- notes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [bytes, lambda size: b"", lambda size: b"\x80\x05", lambda size: b"?" * size])
def test_a_note_that_a_power_cut_took_leaves_the_one_before(store: Any, clock: Clock, damage: Any) -> None:
    session = stored(store, _expires=clock() + 50)
    for n in (1, 2, 3):
        session._access_time, session._expires = clock() + n * 10, clock() + 50 + n * 10
        assert store.refresh_session(session)
    name = session.id.encode() + shelverecord.TOUCHED
    for expected in (2, 1, 0):
        lines = Path(store.filename + ".dir").read_bytes().splitlines()
        places = [entry[1] for entry in map(dumbfile.parse_line, lines) if entry and entry[0] == name]
        with open(store.filename + ".dat", "r+b") as file:
            position, size = places[expected]
            file.seek(position)
            file.write(damage(size).ljust(size, b"\0"))
        found = store.load_session(session.id)
        assert found.get_access_time() == (clock() + expected * 10 if expected else found.get_creation_time())
        assert found._expires == clock() + 50 + expected * 10


def test_a_note_about_another_revision_says_nothing(store: Any, clock: Clock) -> None:
    session = stored(store)
    session._access_time = clock() + 10
    assert store.refresh_session(session)
    session["n"] = 1
    session._access_time = clock()
    store.save_session(session)
    assert store.load_session(session.id).get_access_time() == clock()


# -- writing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_compaction_that_fails_leaves_the_shelf_as_it_was(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for nth in range(200):
        base = str(tmp_path / f"{nth}")
        shelf = open_shelf(base)
        items = {b"%d" % n: b"value %d" % n * 100 for n in range(10)}
        for _ in range(3):
            with shelf.writing() as transaction:
                for key, value in items.items():
                    transaction[key] = value
        before = os.path.getsize(base + ".dat")
        with monkeypatch.context() as patch:
            failing = Failing(patch, nth, number, "pwrite", "fsync", "replace")
            try:
                shelf.compact()
            except ShelfError as error:
                assert "can't be compacted" in str(error) and os.strerror(number) in str(error)
        assert {key: shelf.get(key) for key in shelf.keys()} == items
        assert sorted(name for name in os.listdir(tmp_path) if name.startswith(f"{nth}.")) == [
            f"{nth}.dat",
            f"{nth}.dir",
        ]
        assert os.path.getsize(base + ".dat") <= before + (10 * 1024 if failing.left < 0 else 0)
        shelf.compact()
        assert {key: shelf.get(key) for key in shelf.keys()} == items
        shelf.close()
        if failing.left >= 0:
            break
    assert 10 < nth < 199


def test_a_save_that_fails_takes_no_room(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    session = stored(store)
    before, write = os.path.getsize(store.filename + ".dat"), os.pwrite

    def full(fd: int, data: Any, position: int) -> int:
        if len(data) > 1000:
            write(fd, bytes(data)[:1000], position)
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data, position)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        session["blob"] = "x" * 10_000
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match="No space"):
                store.save_session(session)
    assert os.path.getsize(store.filename + ".dat") == before
    store.save_session(session)
    assert store.load_session(session.id)["blob"] == "x" * 10_000


def write(act: str, store: Any, session: Any) -> None:
    match act:
        case "first":
            stored(store)
        case "save":
            session["n"] = 1
            store.save_session(session)
        case "touch":
            session._access_time += 100
            store.refresh_session(session)
        case "delete":
            store.delete_session(session)
        case _:
            store.move_session(session, new_id(), None if act == "move" else 60.0)


def test_a_sync_that_fails_is_told_where_it_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `durable` no save, delete, touch or rotation returns whose effect may not be on the disk."""
    for act in ("first", "save", "touch", "delete", "move", "renew"):
        for nth in range(100):
            store = ShelveSessionStore(tmp_path / f"{act}{nth}", durable=True)
            session = stored(store) if act != "first" else None
            with monkeypatch.context() as patch:
                failing = Failing(patch, nth, errno.EIO, "fsync")
                try:
                    write(act, store, session)
                    assert failing.left >= 0, f"{act}: the failure of sync {nth} was not told"
                except StoreUnavailable:
                    assert failing.left < 0
            store.close()
            if failing.left >= 0:
                break
        assert 1 < nth < 99


def test_a_sweep_takes_what_a_killed_writer_left(store: Any) -> None:
    stored(store)
    Path(store.filename + ".dir.tmp").write_bytes(b"half of an index")
    store.delete_expired_sessions()
    assert not os.path.exists(store.filename + ".dir.tmp")


# -- check -----------------------------------------------------------------------------------------------------------


def test_check_makes_nothing_and_says_what_is_wrong(store: Any, tmp_path: Path) -> None:
    store.check()
    assert list(tmp_path.iterdir()) == []
    stored(store)
    store.check()
    store.close()
    store.check()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.dat", "s.dir"]
    with pytest.raises(StoreUnavailable, match="missing"):
        ShelveSessionStore(tmp_path / "missing" / "s").check()
    Path(store.filename + ".dir").write_bytes(b"a letter to a friend\n")
    with pytest.raises(StoreUnavailable, match="no index"):
        store.check()
    (tmp_path / "text").write_bytes(b"a letter to a friend\n")
    with pytest.raises(StoreUnavailable, match="no database"):
        ShelveSessionStore(tmp_path / "text").check()


def test_check_says_that_nothing_can_be_locked(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(store)

    def refuse(fd: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("session3.locks.lock", refuse)
    with pytest.raises(StoreUnavailable, match="No locks"):
        store.check()


@needs_root
def test_check_says_that_permission_is_missing(open_path: Path) -> None:
    (folder := open_path / "own").mkdir()
    store = ShelveSessionStore(folder / "s")
    assert "ermission" in as_user(2001, 2001, store.check)
    stored(store)
    store.close()
    folder.chmod(0o777)
    assert "ermission" in as_user(2001, 2001, store.check)
    (folder / "s.dat").chmod(0o666)
    assert "ermission" in as_user(2001, 2001, store.check)
    (folder / "s.dir").chmod(0o666)
    assert as_user(2001, 2001, store.check) == ""
    folder.chmod(0o755)  # a new index could not take the place of the old one
    assert "ermission" in as_user(2001, 2001, store.check)


# -- the end of a program --------------------------------------------------------------------------------------------

END = """
import sys, threading, session3
from session3.DictSession import DictSession
store = session3.open_store(sys.argv[1])
for n in range(20):
    session = DictSession(f"session{n}")
    session["n"] = n
    store.save_session(session)
kept = [store, store.load_session("session1")]
def work():
    while True:
        store.delete_old_sessions(1e6)
        session["n"] += 1
        store.save_session(session)
        store.load_session("session2")
        rounds.release()
if sys.argv[2] == "busy":
    rounds = threading.Semaphore(0)
    for _ in range(3):
        threading.Thread(target=work, daemon=True).start()
    for _ in range(20):
        rounds.acquire()
"""


@pytest.mark.parametrize("work", ["busy", "idle"])
@pytest.mark.parametrize("scheme", ["shelve", "durus"])
def test_a_program_ends_without_a_word(tmp_path: Path, scheme: str, work: str) -> None:
    if scheme == "durus":
        pytest.importorskip("durus", reason="needs Durus: pip install 'session3[durus]'")
    for n in range(3):
        run = subprocess.run(
            [sys.executable, "-c", END, f"{scheme}://{tmp_path}/{n}", work], capture_output=True, text=True, timeout=60
        )
        assert (run.returncode, run.stderr, run.stdout) == (0, "", "")
