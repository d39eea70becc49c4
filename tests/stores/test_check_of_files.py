"""What `check` says of stores in files: what the first request would find out, and nothing stays of it."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import session3
from session3 import locks
from session3.errors import ConfigurationError, StoreNotSetUp, StoreUnavailable

from ..contract import stored
from ..processes import is_true_in_a_fork

SCHEMES = ["directory", "sqlite"]
NOBODY = 65534

needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user, or mount"
)


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="session3-check-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def state(top: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_size, path.stat().st_mode) for path in top.rglob("*")}


def check(store: Any, top: Path) -> None:
    """Check a store, which leaves the disk as it was."""
    store.close()
    before = state(top)
    try:
        store.check()
    finally:
        store.close()
        assert state(top) == before


@pytest.mark.parametrize("url", ["memory://", "sqlite://"])
def test_what_is_in_memory_is_there(url: str) -> None:
    store: Any = session3.open_store(url)
    store.check()


@pytest.mark.parametrize("scheme", SCHEMES)
class TestFiles:
    def test_one_that_works(self, scheme: str, folder: Path) -> None:
        store: Any = session3.open_store(f"{scheme}://{folder}/sessions")
        check(store, folder)  # it is made at the first save
        session = stored(store)
        check(store, folder)
        (folder / "link").symlink_to(folder / "sessions")
        check(session3.open_store(f"{scheme}://{folder}/link"), folder)
        assert store.has_session(session.id)

    def test_a_folder_that_is_missing(self, scheme: str, folder: Path) -> None:
        store = session3.open_store(f"{scheme}://{folder}/missing/sessions")
        if scheme == "directory":  # it is made, too
            check(store, folder)
        else:
            with pytest.raises(StoreUnavailable, match=r"can't be made: no such file or directory: .*/missing"):
                check(store, folder)

    def test_what_is_of_another_kind(self, scheme: str, folder: Path) -> None:
        if scheme == "directory":
            (folder / "sessions").write_text("a file")
        else:
            (folder / "sessions").mkdir()
        with pytest.raises(StoreUnavailable):
            check(session3.open_store(f"{scheme}://{folder}/sessions"), folder)

    @needs_root
    @pytest.mark.parametrize("is_there", [False, True])
    def test_one_that_another_user_has(self, scheme: str, folder: Path, is_there: bool) -> None:
        store = session3.open_store(f"{scheme}://{folder}/sessions")
        if is_there:
            stored(store)
        store.close()

        def ask() -> bool:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            with pytest.raises(StoreUnavailable, match=r"(?i)permission denied"):
                check(store, folder)
            return True

        assert is_true_in_a_fork(ask)

    @needs_root
    @pytest.mark.parametrize("is_there", [False, True])
    def test_a_read_only_file_system(self, scheme: str, folder: Path, is_there: bool) -> None:
        with _mounted(folder) as remount:
            store = session3.open_store(f"{scheme}://{folder}/sessions")
            if is_there:
                stored(store)
            store.close()
            remount("ro")
            with pytest.raises(StoreUnavailable, match=r"(?i)read-?only"):
                check(store, folder)

    @needs_root
    def test_a_group_that_one_is_not_in(self, scheme: str, folder: Path) -> None:
        folder.chmod(0o777)

        def ask() -> bool:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            with pytest.raises(ConfigurationError, match="not in the group 4321"):
                check(session3.open_store(f"{scheme}://{folder}/sessions", group=4321), folder)
            return True

        assert is_true_in_a_fork(ask)


@contextlib.contextmanager
def _mounted(folder: Path) -> Iterator[Callable[[str], None]]:
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("may not mount a file system here")

    def remount(how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", folder], check=True)

    try:
        yield remount
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_folder_without_locks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(locks, "lock", refuse)
    store = session3.open_store(f"directory://{folder}/sessions", create=True)
    with pytest.raises(StoreUnavailable, match="No locks available"):
        check(store, folder)


def test_a_file_that_is_no_database(folder: Path) -> None:
    (folder / "sessions").write_bytes(b"these are not the bytes of a database" * 100)
    with pytest.raises(StoreUnavailable, match="not a database"):
        check(session3.open_store(f"sqlite://{folder}/sessions"), folder)


def test_somebody_elses_database_stays_in_its_mode(folder: Path) -> None:
    with contextlib.closing(sqlite3.connect(folder / "sessions")) as connection:
        connection.execute("CREATE TABLE orders (n)")
        check(session3.open_store(f"sqlite://{folder}/sessions"), folder)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_a_table_of_another_shape(folder: Path) -> None:
    with contextlib.closing(sqlite3.connect(folder / "sessions")) as connection:
        connection.execute("CREATE TABLE session3 (id TEXT, data BLOB)")
    with pytest.raises(StoreNotSetUp, match="its table session3 is of another shape"):
        check(session3.open_store(f"sqlite://{folder}/sessions"), folder)
