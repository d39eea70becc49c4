"""Files whose owner is not who uses them: two users with a group, and root's maintenance of an application's store."""

import contextlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import session3
from session3.DictSession import DictSession
from session3.errors import ConfigurationError, StoreUnavailable

from ..contract import stored
from ..processes import is_true_in_a_fork

SCHEMES = ["directory", "sqlite"]
ALICE, BOB, GROUP, STRANGER = 65534, 1234, 4321, 1235

needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become two other users"
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user can reach; pytest's own are for who runs it."""
    folder = Path(tempfile.mkdtemp(prefix="session3-users-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module", autouse=True)
def imports(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Have all imported that is used: another user may not be allowed to read where Python is."""
    for scheme in SCHEMES:
        assert everything(f"{scheme}://{tmp_path_factory.mktemp('first')}/sessions")


@pytest.fixture
def shared(folder: Path) -> Path:
    """A folder of the group's, as an administrator makes one."""
    shared = folder / "shared"
    shared.mkdir()
    os.chown(shared, 0, GROUP)
    shared.chmod(0o770)  # no set-group-ID bit: not everybody knows of it
    return shared


def as_user(uid: int, act: Callable[[], Any], *, umask: int = 0o022) -> None:
    """Do something in a process of this user, who has a group of his own and is a member of the group."""

    def become() -> bool:
        os.umask(umask)
        os.setgroups([] if uid == STRANGER else [GROUP])
        os.setgid(uid)
        os.setuid(uid)
        return act() is not False

    assert is_true_in_a_fork(become)


def everything(url: str, **options: Any) -> bool:
    """Each verb, on the sessions that another user left, and on a new one."""
    with session3.open_store(url, **options) as store:
        session: Any = store.load_session("session1")
        if session is None:
            session = DictSession("session1")
        for size in (1, 100_000, 10, 300_000):
            session["n"] = session.get("n", 0) + 1
            session["blob"] = "x" * size
            store.save_session(session)
            session = store.load_session("session1")
        session._set_access_time(0)
        store.save_session(session)
        with store.locked("session1", timeout=1):
            pass
        stored(store)
        store.delete_session(stored(store))
        store.delete_expired_sessions()
        return len(list(store.iter_sessions())) > 1


def modes(top: Path) -> set[tuple[int, int]]:
    """Return mode and group of each file."""
    stats = [path.stat() for path in top.rglob("*") if path.is_file()]
    return {(stat.S_IMODE(found.st_mode), found.st_gid) for found in stats}


@needs_root
@pytest.mark.parametrize("umask", [0o022, 0o077])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_two_users_of_a_group(scheme: str, shared: Path, umask: int) -> None:
    url = f"{scheme}://{shared}/sessions"
    for user in (ALICE, BOB, ALICE, BOB):
        as_user(user, lambda: everything(url, mode=0o660, group=GROUP), umask=umask)
    assert modes(shared) == {(0o660, GROUP)}
    as_user(STRANGER, lambda: _is_refused(url))


@needs_root
@pytest.mark.parametrize("scheme", SCHEMES)
def test_two_users_at_once(scheme: str, shared: Path) -> None:
    url, options = f"{scheme}://{shared}/sessions", {"mode": 0o660, "group": GROUP}
    as_user(ALICE, lambda: everything(url, **options))
    with session3.open_store(url, **options) as store:
        before = store.load_session("session1")["n"]

    def count() -> None:
        with session3.open_store(url, **options) as store:
            for n in range(100):
                with store.locked("session1", timeout=60):
                    session = store.load_session("session1")
                    session["n"] += 1
                    session["blob"] = "x" * (n % 7 * 20_000)
                    store.save_session(session)

    pids = []
    for user in (ALICE, BOB):
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(BaseException):
                as_user(user, count)
                os._exit(0)
            os._exit(1)
        pids.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0]
    with session3.open_store(url, **options) as store:
        assert store.load_session("session1")["n"] == before + 200


@needs_root
@pytest.mark.parametrize("scheme", SCHEMES)
def test_root_s_maintenance_leaves_an_application_its_files(scheme: str, folder: Path) -> None:
    top = folder / "app"
    top.mkdir()
    os.chown(top, ALICE, GROUP)
    url = f"{scheme}://{top}/sessions"

    def maintain() -> bool:
        with session3.open_store(url) as store:
            session: Any = store.load_session("session1") or DictSession("session1")
            for size in (10, 100_000, 1_000_000, 10):  # outgrows its file, and leaves one that is far too large
                session["blob"] = "x" * size
                store.save_session(session)
            expired = DictSession("session2")
            expired._expires = time.time() - 1
            store.save_session(expired)
            stored(store)
            assert store.delete_expired_sessions()[0] == 1
        return True

    assert is_true_in_a_fork(maintain)  # the first to come, as `session3 setup` in a deployment
    as_user(ALICE, lambda: everything(url))
    assert is_true_in_a_fork(maintain)
    as_user(ALICE, lambda: everything(url))
    assert {path.stat().st_uid for path in top.rglob("*")} == {ALICE}


@needs_root
def test_root_saves_beside_an_application_that_has_its_database_open(folder: Path) -> None:
    os.chown(folder, ALICE, GROUP)
    url = f"sqlite://{folder}/sessions"

    def both() -> bool:
        with session3.open_store(url) as store:
            stored(store)
        return everything(url)

    with session3.open_store(url) as store:
        stored(store)
        as_user(ALICE, both)
        stored(store)
    as_user(ALICE, both)


@needs_root
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_group_that_one_is_not_in_is_told(scheme: str, folder: Path) -> None:
    folder.chmod(0o777)

    def save() -> bool:
        with pytest.raises(StoreUnavailable, match="not permitted"):
            stored(session3.open_store(f"{scheme}://{folder}/sessions", group=GROUP))
        return True

    as_user(STRANGER, save)
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def _is_refused(url: str) -> bool:
    with pytest.raises(StoreUnavailable):
        session3.open_store(url, mode=0o660).load_session("session1")
    return True


@pytest.mark.parametrize("scheme", SCHEMES)
class TestOptions:
    @pytest.mark.parametrize("mode", [660, 0o666, 0o770, 0o400, 0, -1, True, "660", 0o60, 0o1660, 432.0])
    def test_a_mode_that_can_t_work_is_refused(self, scheme: str, tmp_path: Path, mode: Any) -> None:
        with pytest.raises(ConfigurationError, match="mode must be 0o600, 0o640 or 0o660"):
            session3.open_store(f"{scheme}://{tmp_path}/sessions", mode=mode)

    @pytest.mark.parametrize("group", ["no-such-group", "", -1, 2**32, True, 1.0, b"root"])
    def test_a_group_that_is_none_is_refused(self, scheme: str, tmp_path: Path, group: Any) -> None:
        with pytest.raises(ConfigurationError, match="group"):
            session3.open_store(f"{scheme}://{tmp_path}/sessions", group=group)

    @pytest.mark.parametrize(("options", "expected"), [({"mode": 0o640}, 0o640), ({"group": os.getgid()}, 0o660)])
    def test_files_have_the_mode(self, scheme: str, tmp_path: Path, options: Any, expected: int) -> None:
        with session3.open_store(f"{scheme}://{tmp_path}/sessions", **options) as store:
            session = stored(store)
            session["blob"] = "x" * 100_000
            store.save_session(session)
            assert modes(tmp_path) == {(expected, os.getgid())}
            if scheme == "directory":
                assert oct((tmp_path / "sessions").stat().st_mode & 0o7777) == oct(
                    0o2000 | expected | expected >> 2 & 0o110
                )


def test_a_database_in_memory_has_no_mode() -> None:
    for option in ({"mode": 0o660}, {"group": 0}):
        with pytest.raises(ConfigurationError, match="in memory"):
            session3.open_store("sqlite://", **option)


@needs_root
@pytest.mark.parametrize("name", ["notes.txt", "id_of_theirs", ".x.new", ".x.2slots.new"])
def test_a_file_that_may_not_be_read_is_in_nobodys_way(folder: Path, name: str) -> None:
    """Somebody else keeps it in a folder of sessions; but who asks for just this one hears that it can't be read."""
    os.chown(folder, ALICE, ALICE)
    (folder / name).touch(0o600)

    def work() -> bool:
        with session3.open_store(f"directory://{folder}") as store:
            found = sorted(stored(store).id for _ in range(3))
            assert sorted(id for id, _ in store.iter_sessions()) == found
            assert store.delete_expired_sessions() == (0, 3)
            store.check()
            store.setup(overwrite=True)
            assert list(store.iter_sessions()) == []
            if not name.startswith("."):
                with pytest.raises(StoreUnavailable):
                    store.load_session(name)
        return True

    as_user(ALICE, work)
    assert os.listdir(folder) == [name]
