"""A file that takes another's place belongs to whom that belonged; what bears its name as a link leads on to it."""

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from session3 import open_store
from session3.DictSession import DictSession
from session3.disk import take_over
from session3.errors import ConfigurationError, StoreUnavailable
from session3.shelf import open_shelf
from session3.store.ShelveSessionStore import ShelveSessionStore

from .contract import stored
from .processes import Child
from .sessions import Clock
from .test_shelf import fill, make_old, two_file_ndbm

__all__ = ["two_file_ndbm"]

APPLICATION, GROUP = 65534, 1234

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: to give files away, and to become somebody else")


@pytest.fixture(autouse=True)
def no_mask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder that others can look into, as they can't into pytest's."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def facts(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)


def all_facts(folder: Path) -> dict[str, tuple[int, int, int]]:
    return {path.name: facts(path) for path in folder.iterdir()}


def give_all(folder: Path, uid: int, gid: int, mode: int) -> None:
    for path in folder.iterdir():
        os.chown(path, uid, gid)
        path.chmod(mode)


def as_user(uid: int, gid: int, act: Callable[[], object], groups: tuple[int, ...] = ()) -> str:
    """Run it as somebody else; return the error's text, or ""."""
    out, into = os.pipe()
    "".encode("latin1")  # what Python imports late the other one may not be able to read

    def run(report: Any) -> None:
        os.setgroups(groups)
        os.setgid(gid)
        os.setuid(uid)
        try:
            act()
        except Exception as error:
            os.write(into, repr(error).encode())
        report(1)

    with Child(run) as child:
        child.report()
    os.close(into)
    with os.fdopen(out) as told:
        return told.read()


def one_to_sweep(store: Any, clock: Clock) -> DictSession:
    """Let the next sweep write a new index."""
    kept = stored(store)
    stored(store, _expires=clock() + 1)
    clock.advance(2)
    store.close()
    return kept  # type: ignore[no-any-return]


# -- shelves ---------------------------------------------------------------------------------------------------------


@needs_root
@pytest.mark.parametrize(("uid", "gid", "mode"), [(APPLICATION, APPLICATION, 0o600), (APPLICATION, GROUP, 0o660)])
def test_a_sweep_by_root_leaves_a_shelf_to_the_application(
    tmp_path: Path, clock: Clock, uid: int, gid: int, mode: int
) -> None:
    (folder := tmp_path / "own").mkdir()
    store = ShelveSessionStore(folder / "s", clock=clock)
    kept = one_to_sweep(store, clock)
    give_all(folder, uid, gid, mode)
    assert store.delete_expired_sessions() == (1, 1)
    store._shelf.compact()
    store.close()
    assert all_facts(folder) == {"s.dat": (uid, gid, mode), "s.dir": (uid, gid, mode)}
    os.chown(folder, uid, gid)

    def use() -> None:
        with ShelveSessionStore(folder / "s", clock=clock) as own:
            assert own.load_session(kept.id or "").user == "alice"
            stored(own)
            own.delete_session(kept)
            own.delete_expired_sessions()

    assert as_user(uid, gid, use) == ""


@needs_root
def test_what_a_killed_root_left_of_a_new_index_is_in_nobodys_way(tmp_path: Path, clock: Clock) -> None:
    (folder := tmp_path / "own").mkdir()
    store = ShelveSessionStore(folder / "s", clock=clock)
    one_to_sweep(store, clock)
    give_all(folder, APPLICATION, GROUP, 0o600)
    os.chown(folder, APPLICATION, GROUP)
    (folder / "s.dir.tmp").write_bytes(b"half of an index")
    (folder / "s.dir.tmp").chmod(0o600)
    assert (
        as_user(APPLICATION, GROUP, lambda: ShelveSessionStore(folder / "s", clock=clock).delete_expired_sessions())
        == ""
    )
    assert sorted(all_facts(folder)) == ["s.dat", "s.dir"]


@needs_root
@pytest.mark.parametrize("folder_mode", [0o2770, 0o770])
def test_two_users_share_a_shelf(tmp_path: Path, clock: Clock, folder_mode: int) -> None:
    (folder := tmp_path / "shared").mkdir()
    os.chown(folder, 0, GROUP)
    folder.chmod(folder_mode)

    def use() -> None:
        store = ShelveSessionStore(folder / "s", mode=0o660, group=GROUP, clock=clock)
        for _ in range(3):
            stored(store)
            stored(store, _expires=clock() + 1)
        clock.advance(2)
        assert store.delete_expired_sessions()[0] == 3
        store._shelf.compact()

    for uid in (2001, 2002, 2001, 2002):
        assert as_user(uid, uid, use, groups=(GROUP,)) == ""
        assert {(gid, mode) for _, gid, mode in all_facts(folder).values()} == {(GROUP, 0o660)}
    assert as_user(2003, 2003, use) != ""


@needs_root
def test_a_group_that_can_not_be_given_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    (folder := tmp_path / "own").mkdir()
    folder.chmod(0o777)
    told = as_user(2001, 2001, lambda: stored(ShelveSessionStore(folder / "s", mode=0o660, group=GROUP)))
    assert "StoreUnavailable" in told and "not permitted" in told
    assert list(folder.iterdir()) == []


@needs_root
def test_a_group_that_can_not_be_kept_gives_nothing_to_another(tmp_path: Path) -> None:
    (old := tmp_path / "old").touch()
    os.chown(old, 2001, GROUP)
    (folder := tmp_path / "own").mkdir()
    folder.chmod(0o777)
    for mode, expected in ((0o660, 0o600), (0o640, 0o600), (0o600, 0o600)):
        old.chmod(mode)
        found = old.stat()

        def replace(found: os.stat_result = found) -> None:
            with open(folder / "new", "w") as file:
                os.chmod(folder / "new", 0o600)
                take_over(file.fileno(), found)

        assert as_user(2002, 2002, replace) == ""
        assert facts(folder / "new") == (2002, 2002, expected)
        (folder / "new").unlink()


def test_a_mode_holds_whatever_the_mask(tmp_path: Path) -> None:
    os.umask(0o077)
    stored(ShelveSessionStore(tmp_path / "s", mode=0o660))
    assert {mode for _, _, mode in all_facts(tmp_path).values()} == {0o660}


@pytest.mark.parametrize("option", [
    {"mode": "0660"}, {"mode": True}, {"mode": 0o060}, {"mode": 0o1660}, {"mode": -1}, {"mode": 432.0},
    {"group": "no-such-group"}, {"group": -1}, {"group": True}, {"group": b"root"}, {"group": 1.0},
])  # fmt: skip
@pytest.mark.parametrize("scheme", ["shelve", "durus"])
def test_a_mode_or_a_group_that_is_none_is_refused_at_once(tmp_path: Path, option: dict[str, Any], scheme: str) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(option))):
        open_store(f"{scheme}://{tmp_path}/s", **option)
    assert list(tmp_path.iterdir()) == []


@needs_root
def test_a_database_that_is_converted_keeps_its_owner(tmp_path: Path, two_file_ndbm: None) -> None:
    make_old(str(tmp_path / "s"), "dbm.ndbm", {b"key": b"value"})
    give_all(tmp_path, APPLICATION, GROUP, 0o640)
    fill(str(tmp_path / "s"), {b"new": b"value"})
    assert all_facts(tmp_path) == dict.fromkeys(["s.dat", "s.dir"], (APPLICATION, GROUP, 0o640))


# -- links -----------------------------------------------------------------------------------------------------------


def test_a_shelf_behind_links_is_one_shelf(tmp_path: Path, clock: Clock) -> None:
    for name in ("shared", "release1", "release2"):
        (tmp_path / name).mkdir()
    real = ShelveSessionStore(tmp_path / "shared" / "s", clock=clock)
    kept = one_to_sweep(real, clock)
    apps = []
    for release in ("release1", "release2"):
        for end in (".dat", ".dir"):
            (tmp_path / release / f"s{end}").symlink_to(f"../shared/s{end}")
        apps.append(ShelveSessionStore(tmp_path / release / "s", clock=clock))
    for app in apps:
        app.delete_session(stored(app))
        app.delete_expired_sessions()
        new = stored(app)
        app._shelf.compact()
        assert all(each.load_session(new.id) and each.load_session(kept.id or "") for each in (real, *apps))
    assert all(
        (tmp_path / release / f"s{end}").is_symlink()
        for release in ("release1", "release2")
        for end in (".dat", ".dir")
    )
    assert sorted(path.name for path in (tmp_path / "shared").iterdir()) == ["s.dat", "s.dir"]


def test_links_that_lead_to_no_file_yet_are_followed(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    for end in (".dat", ".dir"):
        (tmp_path / f"s{end}").symlink_to(tmp_path / "shared" / f"other{end}")
    session = stored(ShelveSessionStore(tmp_path / "s"))
    assert ShelveSessionStore(tmp_path / "shared" / "other").has_session(session.id)
    assert (tmp_path / "s.dat").is_symlink() and (tmp_path / "s.dir").is_symlink()


def test_a_link_to_an_old_database_leads_to_what_it_became(tmp_path: Path, two_file_ndbm: None) -> None:
    (tmp_path / "shared").mkdir()
    make_old(str(tmp_path / "shared" / "s"), "dbm.ndbm", {b"key": b"value"})
    for end in (".pag", ".dir"):
        (tmp_path / f"s{end}").symlink_to(tmp_path / "shared" / f"s{end}")
    fill(str(tmp_path / "s"), {b"new": b"1"})
    assert sorted(path.name for path in (tmp_path / "shared").iterdir()) == ["s.dat", "s.dir"]
    for base in (tmp_path / "s", tmp_path / "shared" / "s"):
        assert open_shelf(base).get(b"key") == b"value" and open_shelf(base).get(b"new") == b"1"


def test_what_is_in_the_way_of_a_group_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"s\.dat|no such|No such"):
        stored(ShelveSessionStore(tmp_path / "missing" / "s", mode=0o660))
