"""A folder of sessions that others use, too: what is theirs is not unpickled, not removed, and in nobody's way."""

import fcntl
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from session3 import ids
from session3.DictSession import DictSession
from session3.errors import StoreUnavailable
from session3.Session import Session
from session3.store.DirectorySessionStore import DirectorySessionStore

from ..contract import stored
from ..processes import is_true_in_a_fork
from ..sessions import Bomb, Clock, Shop

_HASH = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"


class Order:
    """Something of an application's own, in a file that bears its id."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.user = "alice"


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> DirectorySessionStore:
    Bomb.exploded.clear()
    return DirectorySessionStore(tmp_path / "shared", create=True, clock=clock)


#: Name, mode and contents.
THEIRS = [
    ("model.pkl", 0o644, pickle.dumps(Bomb(), 4)),
    ("model_v2.pk", 0o600, pickle.dumps(Bomb(), 4)),
    ("order_12345", 0o644, pickle.dumps(Order("order_12345"), 4)),
    ("settings_x1", 0o600, pickle.dumps({"id": "settings_x1", "user": 1}, 4)),
    (_HASH, 0o600, pickle.dumps(Bomb(), 4)),
    (_HASH, 0o644, b""),
    ("__init__.py", 0o644, b""),
    ("placeholder", 0o644, b""),
    ("placeholder", 0o600, b""),
    ("zeros", 0o600, bytes(5000)),
    ("two", 0o600, b"2"),
    (".x.new", 0o600, b"anybody's"),
    (".x.new", 0o644, b""),
    (".bashrc.new", 0o600, b"alias"),
]


@pytest.mark.parametrize(("name", "mode", "contents"), THEIRS)
def test_stays_and_is_not_unpickled(
    store: DirectorySessionStore, clock: Clock, name: str, mode: int, contents: bytes
) -> None:
    path = Path(store.directory, name)
    path.write_bytes(contents)
    path.chmod(mode)
    os.utime(path, (0, 0))
    store.setup()  # no StoreExists
    session = stored(store)
    clock.advance(3600)
    assert [id for id, _ in store.iter_sessions()] == [session.id]
    assert store.load_session(name) is None and not store.has_session(name)
    assert store.delete_expired_sessions() == (0, 1)
    assert store.delete_old_sessions(10) == (1, 0)
    store.setup(overwrite=True)
    assert path.read_bytes() == contents and Bomb.exploded == []


@pytest.mark.parametrize("act", ["load_session", "delete_session", "has_session"])
def test_a_pipe_under_a_name_of_ours_is_no_session(store: Any, act: str) -> None:
    id = ids.make_id()
    os.mkfifo(os.path.join(store.directory, id))
    assert not getattr(store, act)(id)
    assert os.listdir(store.directory) == [id]


@pytest.mark.parametrize("contents", [b"precious" * 1000, pickle.dumps(Bomb(), 4)])
def test_a_session_under_the_name_of_anothers_file_is_refused(store: Any, contents: bytes) -> None:
    path = Path(store.directory, "placeholder")
    path.write_bytes(contents)
    store.delete_session("placeholder")
    with pytest.raises(StoreUnavailable, match=f"session {ids.short_hash('placeholder')}: its name is another file's"):
        store.save_session(DictSession("placeholder"))
    assert path.read_bytes() == contents and Bomb.exploded == []


def test_a_file_that_another_program_has_locked_is_not_waited_for(store: Any) -> None:
    stored(store)

    def sweep() -> bool:
        store.delete_old_sessions(0)
        store.setup(overwrite=True)
        return True

    for name in ("database", ".database.new"):
        path = Path(store.directory, name)
        path.write_bytes(b"in use")
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            assert is_true_in_a_fork(sweep)
        assert path.read_bytes() == b"in use"


class TestLinks:
    """A link under a session's name may lead to what only we may read."""

    @pytest.fixture
    def private(self, tmp_path: Path, clock: Clock) -> Any:
        return DirectorySessionStore(tmp_path / "private", clock=clock)

    def test_what_it_leads_to_is_not_read_and_not_written(self, store: Any, private: Any) -> None:
        session = stored(private)
        target = Path(private.directory, session.id)
        before = target.read_bytes()
        Path(store.directory, "planted1").symlink_to(target)
        assert store.load_session("planted1") is None
        store.delete_session("planted1")
        with pytest.raises(StoreUnavailable, match="another file's"):
            store.save_session(DictSession("planted1"))
        assert Path(store.directory, "planted1").is_symlink() and target.read_bytes() == before

    def test_a_pickle_behind_one_is_not_unpickled(self, store: Any, tmp_path: Path) -> None:
        old = Session.__new__(Session)
        old.__dict__.update(id="aZ09_-bcdef", user=Bomb())
        Path(tmp_path, "old").write_bytes(pickle.dumps(old, 4))
        Path(store.directory, "aZ09_-bcdef").symlink_to(tmp_path / "old")
        assert store.load_session("aZ09_-bcdef") is None and Bomb.exploded == []

    def test_a_temporary_name_that_is_one_is_not_written_through(self, store: Any, tmp_path: Path) -> None:
        session = stored(store)
        (tmp_path / "precious").write_text("precious")
        Path(store.directory, f".{session.id}.2slots.new").symlink_to(tmp_path / "precious")
        session["blob"] = "x" * 100_000
        with pytest.raises(StoreUnavailable):
            store.save_session(session)
        assert (tmp_path / "precious").read_text() == "precious"

    def test_the_folder_may_be_one_and_lead_to_what_is_not_there_yet(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "real")
        session = stored(DirectorySessionStore(tmp_path / "link"))
        assert DirectorySessionStore(tmp_path / "real").has_session(session.id)

    def test_what_is_no_file_keeps_nobody_waiting(self, store: Any) -> None:
        os.mkfifo(Path(store.directory, "pipeline"))
        Path(store.directory, "folder01").mkdir()

        def ask() -> bool:
            return store.load_session("pipeline") is None and store.load_session("folder01") is None

        assert is_true_in_a_fork(ask)


class TestSessionsOf341:
    def plant(self, store: Any, session: Any, id: str) -> Path:
        session.__dict__ = {
            "id": id, "user": "alice", "_remote_address": None, "_creation_time": 1.7e9, "_access_time": 1.7e9,
            "_form_tokens": [], **session.__dict__,
        }  # fmt: skip
        path = Path(store.directory, id)
        path.write_bytes(pickle.dumps(session, 4))
        os.utime(path, (0, 0))
        return path

    @pytest.mark.parametrize("session_class", [Session, DictSession, Shop])
    @pytest.mark.parametrize("id", ["aZ09_-bcdef", "aZ09_-bcdefghijklmno_w"])
    def test_is_a_session(self, store: Any, session_class: Any, id: str) -> None:
        path = self.plant(store, session_class.__new__(session_class), id)
        assert store.load_session(id).user == "alice"
        assert [found for found, _ in store.iter_sessions()] == [id]
        assert store.delete_old_sessions(10) == (1, 0) and not path.exists()

    def test_an_applications_class_is_known_by_its_id(self, store: Any) -> None:
        """A copy under another name is a backup; a session's own class is known by itself."""
        self.plant(store, Shop.__new__(Shop), "aZ09_-bcdef").rename(Path(store.directory, "copy_of_one"))
        assert store.load_session("copy_of_one") is None
        assert store.delete_old_sessions(10) == (0, 0)

    def test_a_name_that_is_no_id_is_somebody_elses(self, store: Any) -> None:
        path = self.plant(store, Session.__new__(Session), "backup.of.sessions")
        assert store.load_session("backup.of.sessions") is None and list(store.iter_sessions()) == []
        assert store.delete_old_sessions(10) == (0, 0) and path.exists()

    def test_a_pickle_that_is_cut_short_is_unpickled_nowhere(self, store: Any) -> None:
        old = Shop.__new__(Shop)
        old.cart = [Bomb()]
        path = self.plant(store, old, "aZ09_-bcdef")
        path.write_bytes(path.read_bytes()[:40])
        assert store.load_session("aZ09_-bcdef") is None and Bomb.exploded == []
