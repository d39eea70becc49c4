"""What a failing disk, or too few descriptors, say and leave, where sessions are in files."""

import errno
import os
import resource
import sqlite3
from pathlib import Path
from typing import Any

import pytest

import session3
from session3 import newfiles, slotformat, slots
from session3.DictSession import DictSession
from session3.errors import StoreUnavailable

from ..contract import stored
from ..processes import is_true_in_a_fork

SCHEMES = ["directory", "sqlite"]


@pytest.mark.parametrize("act", ["load", "save", "touch", "delete", "sweep", "iterate", "has"])
def test_an_error_of_reading_is_no_absence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str) -> None:
    """Whichever read of an operation fails, and be it the tenth."""
    store = session3.open_store(f"directory://{tmp_path}/sessions")
    session = stored(store)
    session["blob"] = "x" * 100_000  # takes two reads
    store.save_session(session)
    acts: dict[str, Any] = {
        "load": lambda: store.load_session(session.id),
        "save": lambda: (session.update(n=os.urandom(4)), store.save_session(session)),
        "touch": lambda: store.touch(session.id, store.read(session.id).revision, 2e9, None),  # type: ignore[attr-defined]
        "delete": lambda: store.delete_session(session),
        "sweep": lambda: store.delete_old_sessions(10),
        "iterate": lambda: list(store.iter_sessions()),
        "has": lambda: store.has_session(session.id),
    }
    pread = slotformat.pread
    for number in range(20):
        reads = [0]

        def fail(*arguments: Any, number: int = number, reads: list[int] = reads) -> bytes:
            reads[0] += 1
            if reads[0] > number:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return pread(*arguments)

        for module in (slotformat, slots):
            monkeypatch.setattr(module, "pread", fail)
        try:
            with pytest.raises(StoreUnavailable, match="Input/output error"):
                acts[act]()
        except pytest.fail.Exception:
            assert reads[0] <= number  # it had all that it reads
            break
        finally:
            monkeypatch.undo()
        assert store.has_session(session.id)
    assert number > 0


class TestWhatIsLeft:
    """A first save of SQLite that can't clean up behind itself."""

    def test_is_no_failure_and_goes_with_a_sweep(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*arguments: Any) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        with session3.open_store(f"sqlite://{tmp_path}/sessions") as store:
            unlink = os.unlink
            monkeypatch.setattr(os, "unlink", lambda path: (unlink if not os.path.exists(path) else refuse)(path))
            session = stored(store)
            monkeypatch.undo()
            assert {"sessions.new", "sessions.new.lock"} <= set(os.listdir(tmp_path))
            assert store.has_session(session.id)
            store.delete_expired_sessions()
            assert store.has_session(session.id)
        assert os.listdir(tmp_path) == ["sessions"]

    @pytest.mark.parametrize("contents", [b"a copy of yesterday's", b"SQLite format 3\0".ljust(8192, b"\0")])
    def test_somebody_elses_file_of_that_name_stays(self, tmp_path: Path, contents: bytes) -> None:
        theirs = tmp_path / "sessions.new"
        theirs.write_bytes(contents)
        theirs.chmod(0o600)
        with session3.open_store(f"sqlite://{tmp_path}/sessions") as store:
            with pytest.raises(StoreUnavailable, match=r"sessions\.new is there, and not of our making"):
                stored(store)
            theirs.rename(tmp_path / "away")
            stored(store)
            (tmp_path / "away").rename(theirs)
            store.delete_expired_sessions()
        assert theirs.read_bytes() == contents


class TestMessages:
    def test_sqlite_without_descriptors_says_so(self, tmp_path: Path) -> None:
        url = f"sqlite://{tmp_path}/sessions"
        with session3.open_store(url) as store:
            stored(store)

        def exhaust() -> bool:
            store = session3.open_store(url)
            resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1, 64))
            with pytest.raises(StoreUnavailable, match="too many open files"):
                store.load_session("example1")
            return True

        assert is_true_in_a_fork(exhaust)

    @pytest.mark.parametrize("scheme", SCHEMES)
    def test_a_missing_folder_names_what_was_asked_for(self, scheme: str, tmp_path: Path) -> None:
        if scheme == "directory":
            (tmp_path / "missing").write_text("a file, no folder")
        path = tmp_path / "missing" / "x.db"
        with pytest.raises(StoreUnavailable) as caught:
            session3.open_store(f"{scheme}://{path}").save_session(DictSession("example1"))
        assert f"'{path}'" in str(caught.value) and ".new" not in str(caught.value)

    def test_an_error_of_the_disk_shows_no_id(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A session's file bears its id; the error that is chained does, too, and is for who debugs."""
        store = session3.open_store(f"directory://{tmp_path}/sessions")
        session = stored(store)

        def refuse(path: str, *arguments: Any, **keywords: Any) -> int:
            raise PermissionError(errno.EACCES, "Permission denied", path)

        monkeypatch.setattr(os, "open", refuse)
        for act in (store.load_session, store.delete_session, lambda id: store.save_session(DictSession(id))):
            with pytest.raises(StoreUnavailable, match="Permission denied") as caught:
                act(session.id)
            assert session.id not in str(caught.value)

    def test_a_folder_that_can_t_be_told_is_not_taken_for_empty(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """os.path.exists says False where the disk fails, and then a new database would take the old one's place."""
        with session3.open_store(f"sqlite://{tmp_path}/sessions") as store:
            session = stored(store)
            store._execute("DROP TABLE session3", ())  # type: ignore[attr-defined]
            stat = os.stat

            def fail(path: Any, **keywords: Any) -> os.stat_result:
                if str(path) == f"{tmp_path}/sessions" and keywords == {}:
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                return stat(path, **keywords)

            inode = (tmp_path / "sessions").stat().st_ino
            with monkeypatch.context() as patch:
                patch.setattr(os, "stat", fail)
                with pytest.raises(StoreUnavailable, match="Input/output error"):
                    store.setup()
            assert (tmp_path / "sessions").stat().st_ino == inode
            assert not store.has_session(session.id)


class TestSize:
    """A session's file gets smaller again; a wizard's upload of 10 MB would else stay as long as the session."""

    def test_of_a_file_follows_its_session_down(self, tmp_path: Path) -> None:
        store = session3.open_store(f"directory://{tmp_path}/sessions")
        session = stored(store)
        for size in (10_000_000, 9_000_000, 100):
            session["blob"] = "x" * size
            store.save_session(session)
        path = tmp_path / "sessions" / session.id
        assert path.stat().st_size < 20_000
        other = session3.open_store(f"directory://{tmp_path}/sessions").load_session(session.id)
        assert other["blob"] == "x" * 100
        assert os.listdir(tmp_path / "sessions") == [session.id]

    def test_of_one_that_is_a_little_too_large_stays(self, tmp_path: Path) -> None:
        """To replace a file costs many times what it costs to overwrite it."""
        store = session3.open_store(f"directory://{tmp_path}/sessions")
        session = stored(store)
        inodes = set()
        for size in (1_000_000, 200_000, 900_000, 150_000):
            session["blob"] = "x" * size
            store.save_session(session)
            inodes.add((tmp_path / "sessions" / session.id).stat().st_ino)
        assert len(inodes) == 1

    def test_on_a_full_disk_a_large_file_is_overwritten(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store = session3.open_store(f"directory://{tmp_path}/sessions")
        session = stored(store)
        for letter in "xy":
            session["blob"] = letter * 1_000_000
            store.save_session(session)
        write = newfiles.write

        def fail(fd: int, data: bytes, offset: int, durable: bool = False) -> None:
            if offset == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # only a new file is written from its start
            write(fd, data, offset, durable)

        monkeypatch.setattr("session3.slots.write", fail)
        session["blob"] = "small"
        store.save_session(session)
        assert store.load_session(session.id)["blob"] == "small"
        assert os.listdir(tmp_path / "sessions") == [session.id]


def test_a_damaged_database_is_unavailable_at_each_verb(tmp_path: Path) -> None:
    path = tmp_path / "sessions"
    with session3.open_store(f"sqlite://{path}") as store:
        session = stored(store)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)
    with session3.open_store(f"sqlite://{path}") as store:
        for act in (store.load_session, store.delete_session, store.has_session):
            with pytest.raises(StoreUnavailable):
                act(session.id)
