"""File systems without hard links: exFAT, vfat, the shared folders of virtual machines, gcsfuse."""

import contextlib
import errno
import itertools
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import session3
from session3 import slots
from session3.DictSession import DictSession
from session3.disk import NO_LINKS

from ..contract import stored
from ..processes import Child

SCHEMES = ["directory", "sqlite"]


def refuse(number: int) -> Any:
    def link(*arguments: Any, **keywords: Any) -> None:
        raise OSError(number, os.strerror(number))

    return link


@pytest.fixture(params=sorted(set(NO_LINKS)), ids=lambda number: errno.errorcode[number])
def without_links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", refuse(request.param))


@pytest.fixture(params=[True, False], ids=["unnamed", "named"])
def maker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", refuse(errno.EPERM))
    if not request.param:
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that has no hard links, by a driver that needs no module of the kernel's."""
    if not all(map(shutil.which, ("mkfs.exfat", "mount.exfat-fuse", "losetup"))):
        pytest.skip("needs exFAT: apt-get install exfatprogs exfat-fuse")
    image, disk = tmp_path / "image", tmp_path / "disk"
    disk.mkdir()
    with image.open("wb") as file:
        file.truncate(20_000_000)
    subprocess.run(["mkfs.exfat", image], check=True, capture_output=True)
    loop = subprocess.run(["losetup", "-f", "--show", image], capture_output=True, text=True, check=False)
    if loop.returncode:
        pytest.skip("only root may mount a file system, and a container may lack the right")
    device = loop.stdout.strip()
    try:
        if subprocess.run(["mount.exfat-fuse", device, disk], capture_output=True, check=False).returncode:
            pytest.skip("may not mount a file system here")
        yield disk
        subprocess.run(["umount", disk], check=True)
    finally:
        subprocess.run(["losetup", "-d", device], check=True)


def use(url: str) -> None:
    with session3.open_store(url) as store:
        session = stored(store)
        for size in (1, 100_000, 1):
            session["blob"] = "x" * size
            store.save_session(session)
            session = store.load_session(session.id)
            assert len(session["blob"]) == size
        assert not store.create_session(DictSession(session.id))
        store.delete_session(session)
        assert store.load_session(session.id) is None
        with store.locked(session.id):
            stored(store)


@pytest.mark.usefixtures("without_links")
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_store_works_as_ever(scheme: str, tmp_path: Path) -> None:
    use(f"{scheme}://{tmp_path}/sessions")
    names = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert not [name for name in names if name.endswith((".new", ".lock"))]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_on_a_real_one(scheme: str, disk: Path) -> None:
    with pytest.raises(OSError):
        (disk / "file").touch()
        os.link(disk / "file", disk / "link")
    use(f"{scheme}://{disk}/sessions")


@pytest.mark.usefixtures("maker")
def test_of_processes_that_create_one_name_at_once_one_succeeds(tmp_path: Path) -> None:
    for number in range(25):
        path = str(tmp_path / f"session-{number}")
        waiting, start = os.pipe()

        def create(report: Any, path: str = path, waiting: int = waiting, start: int = start) -> None:
            os.close(start)
            os.read(waiting, 1)
            body = b"%d" % os.getpid() * 5000
            report(int(slots.create(path, 1, body)))

        with contextlib.ExitStack() as stack:
            children = [stack.enter_context(Child(create)) for _ in range(4)]
            os.close(start)
            os.close(waiting)
            made = [child.pid for child in children if child.report()]
        slot = slots.read(path)
        assert len(made) == 1 and slot is not None and slot.body == b"%d" % made[0] * 5000
        assert os.listdir(tmp_path) == [f"session-{number}"]
        os.unlink(path)


@pytest.mark.usefixtures("maker")
def test_who_creates_beside_who_deletes_and_sweeps(tmp_path: Path) -> None:
    """Each create that returned True was deleted once; nobody's file was taken for another's, or overwritten."""
    path = str(tmp_path / "session")
    temporary = slots.temporary_name(path)

    def create(report: Any) -> None:
        made = 0
        for number in range(400):
            made += slots.create(path, 1, b"%d" % number)
        report(made)

    def delete(report: Any) -> None:
        deleted = 0
        for _ in range(1500):
            slots.sweep_temporary(temporary)
            with slots.writing(path) as file:
                if file is not None:
                    assert file.slot is not None
                    file.unlink()
                    deleted += 1
        report(deleted)

    with Child(create) as one, Child(create) as two, Child(delete) as three:
        made = one.report() + two.report()
        deleted = three.report()
    assert made == deleted + os.path.exists(path)
    assert set(os.listdir(tmp_path)) <= {"session"}


@pytest.mark.usefixtures("maker")
def test_kill_9_while_a_file_is_made_leaves_all_of_it_or_nothing(tmp_path: Path) -> None:
    for count in range(1, 11):

        def make(report: Any) -> None:
            for number in itertools.count():
                slots.create(str(tmp_path / f"session-{number}"), 1, b"x" * 20_000)
                report(number)

        with Child(make) as child:
            for _ in range(count):
                child.report()
            last = child.kill() or 0
        for number in range(last + 1):
            slot = slots.read(str(tmp_path / f"session-{number}"))
            assert slot is not None and slot.body == b"x" * 20_000
        for name in os.listdir(tmp_path):
            if name.startswith("."):
                slots.sweep_temporary(str(tmp_path / name))
            else:
                assert slots.read(str(tmp_path / name)) is not None
                os.unlink(tmp_path / name)
        assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kills", [20])
def test_kill_9_while_a_database_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills: int) -> None:
    monkeypatch.setattr(os, "link", refuse(errno.EPERM))
    path = tmp_path / "sessions"

    def save(report: Any) -> None:
        report(0)
        stored(session3.open_store(f"sqlite://{path}"))
        report(1)
        signal.pause()

    for number in range(kills):
        with Child(save) as child:
            child.report()
            signal.sigtimedwait([], number * 0.0005)
            is_saved = child.kill() == 1
        with session3.open_store(f"sqlite://{path}") as store:
            stored(store)
            assert len(list(store.iter_sessions())) >= 1 + is_saved
            store.delete_expired_sessions()
        assert set(os.listdir(tmp_path)) == {"sessions"}
        path.unlink()
