"""A Durus file that is removed, replaced, linked, or packed by root: a store keeps to the name that it was given."""

import gc
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import session3
from session3.durusfiles import DurusFile, open_file, open_sqlite
from session3.DurusTransactions import DurusTransactions
from session3.errors import ConfigurationError, StoreNotSetUp, StoreUnavailable
from session3.store.DurusSessionStore import DurusSessionStore

from ..contract import stored
from ..test_owners import APPLICATION, GROUP, all_facts, as_user, give_all, needs_root, tmp_path

__all__ = ["tmp_path"]

pytest.importorskip("durus", reason="needs Durus: pip install 'session3[durus]'")

KINDS = pytest.mark.parametrize("sqlite", [False, True], ids=["file", "sqlite"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "own").mkdir()
    return tmp_path / "own" / "s"


@pytest.fixture
def made() -> Iterator[list[DurusSessionStore]]:
    stores: list[DurusSessionStore] = []
    yield stores
    for store in stores:
        store.close()


@KINDS
def test_a_relative_url_is_resolved_at_once(path: Path, sqlite: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    with session3.open_store("durus:///./s") as store:
        session = stored(store)
        store.close()
        monkeypatch.chdir("/")
        assert store.load_session(session.id).user == "alice"
        assert str(path) in repr(store)


# -- removed and replaced --------------------------------------------------------------------------------------------


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DurusTransactions, "LOOK_AGAIN", 0)


@KINDS
def test_a_read_looks_again_after_a_moment_and_a_write_at_once(
    path: Path, sqlite: bool, made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(DurusTransactions, "_clock", staticmethod(lambda: now[0]))
    store = DurusSessionStore(DurusFile(str(path), sqlite=sqlite))
    made.append(store)
    kept = stored(store)
    store.close()
    backup = path.read_bytes()

    def replaced() -> None:
        (path.parent / "new").write_bytes(backup)
        os.replace(path.parent / "new", path)

    lost = stored(store)
    assert store.has_session(lost.id)
    replaced()
    assert store.has_session(lost.id)
    now[0] += DurusTransactions.LOOK_AGAIN
    assert not store.has_session(lost.id) and store.has_session(kept.id)
    lost = stored(store)
    replaced()
    new = stored(store)
    store.close()
    assert store.has_session(new.id) and store.has_session(kept.id) and not store.has_session(lost.id)


@KINDS
@pytest.mark.usefixtures("at_once")
def test_a_file_that_was_removed_is_begun_anew(path: Path, sqlite: bool, made: Any) -> None:
    store = DurusSessionStore(DurusFile(str(path), sqlite=sqlite))
    made.append(store)
    old = stored(store)
    path.unlink()
    assert store.load_session(old.id) is None
    assert not path.exists()  # a look creates nothing
    new = stored(store)
    store.close()
    assert store.has_session(new.id) and not store.has_session(old.id)


@KINDS
@pytest.mark.usefixtures("at_once")
def test_a_backup_that_was_put_in_place_is_what_counts(path: Path, sqlite: bool, made: Any) -> None:
    store = DurusSessionStore(DurusFile(str(path), sqlite=sqlite))
    made.append(store)
    kept = stored(store)
    store.close()
    backup = path.read_bytes()
    lost = stored(store)
    (path.parent / "new").write_bytes(backup)
    os.replace(path.parent / "new", path)
    assert store.load_session(kept.id).user == "alice" and not store.has_session(lost.id)
    new = stored(store)
    store.close()
    assert store.has_session(new.id) and store.has_session(kept.id)


@KINDS
@pytest.mark.usefixtures("at_once")
def test_a_connection_that_was_handed_in_says_that_its_file_is_gone(path: Path, sqlite: bool) -> None:
    connection = (open_sqlite if sqlite else open_file)(path)
    store = DurusSessionStore(connection)
    session = stored(store)
    os.rename(path, path.with_name("moved"))
    for act in (
        lambda: store.load_session(session.id),
        lambda: stored(store),
        store.clear,
        store.delete_expired_sessions,
    ):
        with pytest.raises(StoreUnavailable, match="removed or replaced"):
            act()
    os.rename(path.with_name("moved"), path)
    assert store.load_session(session.id).user == "alice"
    connection.get_storage().close()


def test_a_relative_name_of_a_connection_that_was_handed_in(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from durus.connection import Connection
    from durus.file_storage import FileStorage

    monkeypatch.chdir(path.parent)
    connection = Connection(FileStorage("s"))
    store = DurusSessionStore(connection)
    monkeypatch.chdir("/")
    session = stored(store)
    store.pack()
    assert store.load_session(session.id).user == "alice"
    assert [each.name for each in path.parent.iterdir()] == ["s"]
    connection.get_storage().close()


# -- links, owners, modes --------------------------------------------------------------------------------------------


@KINDS
def test_a_pack_through_a_link_leaves_the_link(path: Path, sqlite: bool, made: Any) -> None:
    link = path.parent.parent / "link"
    link.symlink_to(path)
    store = DurusSessionStore(DurusFile(str(link), sqlite=sqlite))
    made.append(store)
    session = stored(store)
    store.pack()
    new = stored(store)
    store.close()
    assert link.is_symlink() and [each.name for each in path.parent.iterdir()] == ["s"]
    real = DurusSessionStore(DurusFile(str(path)))
    made.append(real)
    assert real.has_session(session.id) and real.has_session(new.id)


def test_a_pack_through_a_link_that_durus_opened(path: Path) -> None:
    from durus.connection import Connection
    from durus.file_storage import FileStorage

    stored(first := DurusSessionStore(DurusFile(str(path))))
    first.close()
    link = path.parent.parent / "link"
    link.symlink_to(path)
    connection = Connection(FileStorage(str(link)))
    store = DurusSessionStore(connection)
    store.pack()
    stored(store)
    assert link.is_symlink() and len(list(store.iter_sessions())) == 2
    connection.get_storage().close()


@needs_root
@KINDS
@pytest.mark.parametrize("mode", [0o600, 0o660])
def test_a_pack_by_root_leaves_the_file_to_the_application(path: Path, sqlite: bool, mode: int, made: Any) -> None:
    store = DurusSessionStore(DurusFile(str(path), sqlite=sqlite))
    made.append(store)
    session = stored(store)
    give_all(path.parent, APPLICATION, GROUP, mode)
    os.chown(path.parent, APPLICATION, GROUP)
    if not sqlite:
        (path.parent / "s.pack").touch(mode=0o600)  # left by a killed root
    store.pack()
    store.close()
    assert all_facts(path.parent) == {"s": (APPLICATION, GROUP, mode)}

    def use() -> None:
        with DurusSessionStore(DurusFile(str(path))) as own:
            assert own.load_session(session.id or "").user == "alice"
            stored(own)
            own.pack()

    assert as_user(APPLICATION, GROUP, use) == ""
    assert all_facts(path.parent) == {"s": (APPLICATION, GROUP, mode)}


@KINDS
def test_a_mode_can_be_chosen(path: Path, sqlite: bool) -> None:
    with DurusSessionStore(DurusFile(str(path), sqlite=sqlite), mode=0o660) as store:
        stored(store)
        store.pack()
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    with pytest.raises(ConfigurationError, match="DurusFile"):
        DurusSessionStore(lambda: None, mode=0o660)


# -- packs that fail -------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # Durus does not close what it packs into
@pytest.mark.parametrize("is_handed_in", [False, True])
def test_a_pack_that_fails_leaves_nothing(path: Path, is_handed_in: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each of its writes, and of its syncs."""
    with DurusSessionStore(DurusFile(str(path))) as first:
        session = stored(first)
    for step in range(100):
        connection = open_file(path) if is_handed_in else None
        store = DurusSessionStore(connection or DurusFile(str(path)))
        left = [step]

        def full(*args: Any, real: Any, left: list[int] = left) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(28, "No space left on device")
            return real(*args)

        with monkeypatch.context() as patch:
            for name in ("write", "fsync", "flush"):
                real = getattr(__import__("durus.file", fromlist=["File"]).File, name)
                patch.setattr(f"durus.file.File.{name}", lambda *args, real=real: full(*args, real=real))
            try:
                store.pack()
            except StoreUnavailable as error:
                assert "No space" in str(error)
        assert [each.name for each in path.parent.iterdir()] == ["s"]
        if connection is not None:
            connection.get_storage().close()
        store.close()
        with DurusSessionStore(DurusFile(str(path))) as again:
            assert again.has_session(session.id)
            again.pack()
        gc.collect()  # while what Durus leaves open is ignored
        if left[0] >= 0:
            break
    assert 4 < step < 99


# -- check -----------------------------------------------------------------------------------------------------------


@KINDS
def test_check_says_what_is_wrong_and_makes_nothing(path: Path, sqlite: bool) -> None:
    store = DurusSessionStore(DurusFile(str(path), sqlite=sqlite))
    store.check()
    assert list(path.parent.iterdir()) == []
    stored(store)
    store.check()
    store.close()
    store.check()
    assert store._transactions.storage is None
    with pytest.raises(StoreUnavailable, match="missing"):
        DurusSessionStore(DurusFile(str(path.parent / "missing" / "s"), sqlite=sqlite)).check()
    path.write_bytes(b"a letter to a friend")
    with pytest.raises(StoreUnavailable, match=str(path)):
        store.check()
    assert path.read_bytes() == b"a letter to a friend"


def test_check_says_that_something_else_is_there(path: Path) -> None:
    connection = open_file(path)
    connection.get_root()["session3"] = "not ours"
    connection.commit()
    connection.get_storage().close()
    with DurusSessionStore(DurusFile(str(path))) as store, pytest.raises(StoreNotSetUp, match="something else"):
        store.check()


@needs_root
@KINDS
def test_check_says_that_permission_is_missing(path: Path, sqlite: bool) -> None:
    stored(store := DurusSessionStore(DurusFile(str(path), sqlite=sqlite)))
    store.close()
    assert "ermission" in as_user(2001, 2001, store.check)
    path.unlink()
    assert "ermission" in as_user(2001, 2001, store.check)


@KINDS
def test_a_foreign_thing_in_place_of_the_tree_is_no_empty_store(path: Path, sqlite: bool) -> None:
    """What an application itself keeps under our name is not overwritten."""
    connection = (open_sqlite if sqlite else open_file)(path)
    connection.get_root()["session3"] = "not ours"
    connection.commit()
    connection.get_storage().close()
    with DurusSessionStore(DurusFile(str(path))) as store:
        with pytest.raises(StoreUnavailable):
            store.load_session("session1")
        with pytest.raises(StoreUnavailable):
            stored(store)
