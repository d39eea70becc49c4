import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from session3 import ids, slots
from session3.DictSession import DictSession
from session3.errors import LockTimeout, SessionDeleted, StoreUnavailable
from session3.Session import Session
from session3.store import directoryfiles
from session3.store.DirectorySessionStore import DirectorySessionStore

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
from ..processes import is_true_in_a_fork
from ..sessions import Bomb, Clock, Shop


@pytest.fixture
def make_store(tmp_path: Path, clock: Clock) -> Any:
    return lambda **options: DirectorySessionStore(tmp_path / "sessions", clock=clock, **options)


@pytest.fixture
def store(make_store: Any) -> Any:
    with make_store() as store:
        yield store


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    return f"directory://{tmp_path}/sessions"


@pytest.fixture
def open_at(clock: Clock) -> Any:
    def open(path: Path, make_parent: bool = False) -> DirectorySessionStore:
        if make_parent:
            path.parent.mkdir()
        return DirectorySessionStore(path, clock=clock)

    return open


class TestDirectorySessionStore(
    RecordContract, IterationContract, SweepContract, SetupContract, ThreadContract, ProcessContract, CrashContract
):
    pass


class TestSealedDirectorySessionStore(SealContract):
    pass


class TestDirectoryFiles(FileContract):
    pass


def names(store: Any) -> list[str]:
    return sorted(path.name for path in Path(store.directory).iterdir())


def test_a_file_bears_its_sessions_id_and_nothing_else_is_there(store: Any, make_store: Any) -> None:
    session = stored(store)
    for size in (10, 10_000, 100_000, 10):  # outgrows its slots on the way
        session["blob"] = "x" * size
        store.save_session(session)
    assert names(store) == [session.id]
    assert oct(Path(store.directory).stat().st_mode & 0o777) == "0o700"
    hashing = make_store(hash_ids=True)
    other = stored(hashing)
    assert names(store) == sorted([session.id, ids.hash_id(other.id)])
    store.delete_session(session)
    hashing.delete_session(other)
    assert names(store) == []


def test_what_is_no_file_is_somebody_elses(store: Any) -> None:
    session = stored(store)
    Path(store.directory, "backup").mkdir()
    assert store.load_session("backup") is None and not store.has_session("backup")
    Path(store.directory, "link").symlink_to(Path(store.directory, session.id))
    os.mkfifo(Path(store.directory, "fifo"))
    assert [id for id, _ in store.iter_sessions()] == [session.id]
    assert store.delete_old_sessions(0.1) == (0, 1)
    store.setup(overwrite=True)
    assert names(store) == ["backup", "fifo", "link"]


def test_files_of_others_survive_a_mistake(store: Any, clock: Clock) -> None:
    session = stored(store)
    for name in ("README.md", "Makefile", "thesis.tex"):
        Path(store.directory, name).write_text("precious")
    clock.advance(3600)
    store.setup(overwrite=True)
    assert store.delete_old_sessions(0) == (0, 0)
    assert names(store) == ["Makefile", "README.md", "thesis.tex"]
    assert not store.has_session(session.id)


@pytest.mark.parametrize(
    ("name", "mode", "contents"),
    [
        ("id_rsa", 0o600, b"-----BEGIN OPENSSH PRIVATE KEY-----"),
        ("secret_key", 0o600, b"x" * 5000),
        ("credentials", 0o644, b"[default]"),  # as long as a name of 3.4.1
        ("empty", 0o644, b""),
    ],
)
def test_a_private_file_of_another_program_stays(
    store: Any, clock: Clock, name: str, mode: int, contents: bytes
) -> None:
    stored(store)
    path = Path(store.directory, name)
    path.write_bytes(contents)
    path.chmod(mode)
    clock.advance(3600)
    assert store.delete_old_sessions(10) == (1, 0)
    store.setup(overwrite=True)
    assert path.read_bytes() == contents


def test_the_folder_is_made_at_once_on_request(tmp_path: Path) -> None:
    DirectorySessionStore(tmp_path / "new", create=True)
    assert oct((tmp_path / "new").stat().st_mode & 0o777) == "0o700"


@pytest.mark.parametrize("contents", [b"", b"\0", b"\x80\x04", b"2slots\r\n", b"\0" * 5000])
def test_a_damaged_file_is_absent_until_it_is_swept(
    store: Any, clock: Clock, contents: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    session = stored(store)
    path = Path(store.directory, session.id)
    path.write_bytes(contents)
    for _ in range(2):
        assert store.load_session(session.id) is None
    assert len(caplog.records) == 1 and ids.short_hash(session.id) in caplog.text
    assert list(store.iter_sessions()) == []
    assert store.delete_old_sessions(10)[0] == 0
    clock.advance(601)
    assert store.delete_old_sessions(10) == (1, 0)
    assert names(store) == []


@pytest.mark.parametrize("act", ["sweep", "setup"])
def test_a_file_whose_slots_are_damaged_hangs_nobody(store: Any, clock: Clock, act: str) -> None:
    session = stored(store)
    with Path(store.directory, session.id).open("r+b") as file:
        file.seek(4136)
        file.write(b"\xff" * 4)
    clock.advance(3600)
    if act == "sweep":
        assert is_true_in_a_fork(lambda: store.delete_old_sessions(10) == (1, 0))
    else:
        assert is_true_in_a_fork(lambda: store.setup(overwrite=True) is None)
    assert names(store) == []


def test_a_damaged_file_is_overwritten_by_a_new_session(store: Any) -> None:
    session = stored(store)
    Path(store.directory, session.id).write_bytes(b"garbage")
    fresh = DictSession(session.id)
    fresh["n"] = 1
    store.save_session(fresh)
    assert store.load_session(session.id)["n"] == 1


@pytest.mark.parametrize("act", ["sweep", "setup"])
def test_a_file_that_may_not_be_opened_keeps_no_other(
    store: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    refused = sorted(f"{before}{stored(store).id}{after}" for before, after in [("", ""), slots.TEMPORARY])
    for _ in range(20):
        stored(store)
    for name in (refused[0], ".gone.2slots.new"):
        Path(store.directory, name).write_bytes(b"")
    clock.advance(3600)
    open_file = os.open

    def refuse(path: Any, *arguments: Any, **keywords: Any) -> int:
        if os.path.basename(path) in refused:
            raise PermissionError(13, "Permission denied")
        return open_file(path, *arguments, **keywords)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StoreUnavailable, match="Permission denied"):
        store.delete_old_sessions(10) if act == "sweep" else store.setup(overwrite=True)
    assert names(store) == refused


def test_a_damaged_lock_is_free(store: Any) -> None:
    with store.locked("session1") as lock:
        Path(store.directory, lock._key).write_bytes(b"")
        with store.locked("session1", timeout=0), pytest.raises(LockTimeout), store.locked("session1", timeout=0):
            pass
    assert names(store) == [lock._key]


def test_what_a_killed_process_left_is_swept(store: Any) -> None:
    session = stored(store)
    Path(store.directory, f".{session.id}.2slots.new").write_bytes(b"half a sess")
    Path(store.directory, ".gone.2slots.new").write_bytes(b"")
    Path(store.directory, f".{session.id}.new").write_bytes(b"")  # as 4.0.0a1 named them
    Path(store.directory, ".gone.new").write_bytes(Path(store.directory, session.id).read_bytes()[:5000])
    assert store.delete_old_sessions(10) == (0, 1)
    assert names(store) == [session.id]


def touch(store: Any, id: str, clock: Clock) -> None:
    assert store.touch(id, store.read(id).revision, clock(), None)


def save(store: Any, id: str, clock: Clock) -> None:
    session = store.load_session(id)
    session["n"] = 1
    store.save_session(session)


def outgrow(store: Any, id: str, clock: Clock) -> None:
    session = store.load_session(id)
    session["blob"] = "x" * 100_000
    store.save_session(session)


def replace_damaged(store: Any, id: str, clock: Clock) -> None:
    store.save_session(DictSession(id))


@pytest.mark.parametrize("use", [touch, save, outgrow, replace_damaged])
def test_a_session_that_is_used_during_the_sweep_stays(
    store: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch, use: Any
) -> None:
    """After the sweep has looked at it, before it has locked it."""
    session, old = stored(store), stored(store)
    if use is replace_damaged:
        Path(store.directory, session.id).write_bytes(b"")
    clock.advance(100)
    writing = store._writing

    def use_and_write(key: str) -> Any:
        if key == session.id:
            monkeypatch.undo()
            use(store, session.id, clock)
        return writing(key)

    monkeypatch.setattr(store, "_writing", use_and_write)
    assert store.delete_old_sessions(1) == (1, 0)
    assert store._writing == writing
    assert store.has_session(session.id) and not store.has_session(old.id)


class TestFolderOfSession341:
    """Its files are bare pickles, protocol 4, named by 11 characters."""

    def plant(self, store: Any, session_class: Any = Session, **more: Any) -> str:
        old = session_class.__new__(session_class)
        id = "aZ09_-bcdef"
        old.__dict__ = {
            "id": id, "user": "alice", "_remote_address": "192.0.2.1", "_creation_time": 1.7e9,
            "_access_time": 1.7e9 + 9, "_form_tokens": ["0123456789abcdef"], **more,
        }  # fmt: skip
        Path(store.directory).mkdir(exist_ok=True)
        Path(store.directory, id).write_bytes(pickle.dumps(old, 4))
        assert b"_csrf_token" not in Path(store.directory, id).read_bytes()
        return id

    def test_is_read_and_rewritten_at_the_next_save(self, store: Any) -> None:
        id = self.plant(store, Shop, cart=["tea"])
        loaded = store.load_session(id)
        assert type(loaded) is Shop and (loaded.id, loaded.user, loaded.cart) == (id, "alice", ["tea"])
        assert loaded.get_creation_time() == 1.7e9 and loaded.get_remote_address() == "192.0.2.1"
        assert loaded.has_form_token("0123456789abcdef") and loaded._csrf_token is None
        assert [found for found, _ in store.iter_sessions()] == [id]
        store.save_session(loaded)
        assert not Path(store.directory, id).read_bytes().startswith(b"\x80")
        again = store.load_session(id)
        assert again.cart == ["tea"] and again.get_creation_time() == 1.7e9
        assert names(store) == [id]

    def test_one_that_is_removed_while_it_is_read_is_absent(self, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        id, read = self.plant(store), directoryfiles.read_upstream

        def read_late(path: str) -> Any:
            Path(path).unlink()
            return read(path)

        monkeypatch.setattr("session3.store.DirectorySessionStore.read_upstream", read_late)
        assert store.load_session(id) is None

    def test_keeps_the_items_of_a_dict_session(self, store: Any) -> None:
        loaded = store.load_session(self.plant(store, DictSession, data={"cart": ["tea"]}))
        assert dict(loaded) == {"cart": ["tea"]}

    def test_merges_two_requests(self, store: Any) -> None:
        id = self.plant(store, DictSession, data={})
        one, other = store.load_session(id), store.load_session(id)
        one["a"], other["b"] = 1, 2
        store.save_session(one)
        store.save_session(other)
        assert dict(store.load_session(id)) == {"a": 1, "b": 2}

    def test_is_logged_out_by_a_logout(self, store: Any) -> None:
        id = self.plant(store)
        late, session = store.load_session(id), store.load_session(id)
        store.delete_session(session)
        late.user = "bob"
        with pytest.raises(SessionDeleted):
            store.save_session(late)
        assert names(store) == []

    def test_is_read_where_ids_are_hashed(self, make_store: Any) -> None:
        store = make_store(hash_ids=True)
        id = self.plant(store, DictSession, data={"n": 1})
        one, other = store.load_session(id), store.load_session(id)
        one["a"], other["b"] = 1, 2
        store.save_session(one)
        store.save_session(other)
        assert dict(store.load_session(id)) == {"n": 1, "a": 1, "b": 2} and store.has_session(id)
        moved = store.load_session(id)
        store.move_session(moved, "a-new-session-id")
        assert store.load_session(id) is None
        assert str(ids.hash_id("a-new-session-id")) in names(store)
        assert store.was_rotated(id) and not store.was_rotated("a-new-session-id")
        store.delete_session(self.plant(store))
        assert store.load_session("aZ09_-bcdef") is None

    def test_goes_by_its_age(self, store: Any, clock: Clock) -> None:
        id = self.plant(store)
        assert store.delete_old_sessions(10) == (0, 1)
        os.utime(Path(store.directory, id), (0, clock() - 601))
        assert store.delete_old_sessions(10) == (1, 0)

    @pytest.mark.parametrize("option", ["secret_key", "encryption_key"])
    def test_is_not_read_where_payloads_are_sealed(self, make_store: Any, option: str) -> None:
        store = make_store(**{option: "0123456789abcdef0123"})
        Bomb.exploded.clear()
        assert store.load_session(self.plant(store, user=Bomb())) is None
        assert Bomb.exploded == []
