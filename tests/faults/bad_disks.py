"""The disk is full, or read-only, or not for us."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from session3.DictSession import DictSession
from session3.errors import StoreUnavailable

from ..processes import Child
from .cases import Case, Figures, Kind

SITUATION = "full disk, read-only file system, no permission"
ID = "session-of-all"
_GOOD = "told, old session loads"
_CAUSES = ("no space", "full", "read-only", "readonly", "permission", "denied")


def applies(kind: Kind) -> bool:
    return kind.is_in_files


def missing() -> str:
    if os.geteuid() != 0:
        return "needs root: to mount a small file system, and to become nobody"
    with tempfile.TemporaryDirectory() as folder:
        if _mount("-t", "tmpfs", "-o", "size=64k", "tmpfs", folder):
            subprocess.run(["umount", folder], check=True)
            return ""
    return "needs the right to mount a small file system (a container may lack it)"


def run(case: Case, long: bool) -> Figures:
    del long  # there is one of each
    results = {}
    for disk in (_full, _read_only, _forbidden):
        with _small_disk() as folder, case.kind.start(case.kind, folder / "own") as there:
            results[disk.__name__.strip("_")] = disk(there, folder)
    wrong = {name: result for name, result in results.items() if result != _GOOD}
    return Figures(
        f"{len(results) - len(wrong)} of {len(results)} told, old session loads {wrong or ''}".rstrip(), not wrong
    )


def _full(case: Case, folder: Path) -> str:
    store = _with_a_session(case)
    with contextlib.suppress(OSError), open(folder / "filler", "wb") as filler:
        while True:
            filler.write(bytes(4096))
            filler.flush()
    told = _save(store, os.urandom(300_000))  # nothing that a store could compress
    found = _found(store)
    os.unlink(folder / "filler")
    store.close()
    return _verdict(told, found)


def _read_only(case: Case, folder: Path) -> str:
    _with_a_session(case).close()
    assert _mount("-o", "remount,ro", str(folder))
    store = case.open()
    told = _save(store, b"x")
    while_read_only = _found(store)
    store.close()
    assert _mount("-o", "remount,rw", str(folder))
    with case.open() as store:
        return _verdict(told, _found(store) if while_read_only is None else while_read_only)


def _forbidden(case: Case, folder: Path) -> str:
    _with_a_session(case).close()
    os.chmod(folder / "own", 0o700)

    def try_it(report: Callable[[int], None]) -> None:
        os.setuid(pwd.getpwnam("nobody").pw_uid)
        report(int(_save(case.open(), b"x") == "named"))

    with Child(try_it) as child:
        told = "named" if child.report() else "no error, or one that says nothing"
    with case.open() as store:
        return _verdict(told, _found(store))


def _with_a_session(case: Case) -> Any:
    store = case.open()
    session = DictSession(ID)
    session["n"] = 1
    store.save_session(session)
    return store


def _save(store: Any, blob: bytes) -> str:
    """Return "named" if the save fails with an error that names the cause."""
    session = DictSession(ID)
    try:
        session = store.load_session(ID)
        session["blob"] = blob
        store.save_session(session)
    except StoreUnavailable as error:
        return "named" if any(cause in str(error).lower() for cause in _CAUSES) else f"unclear ({error})"
    return "no error"


def _found(store: Any) -> bool | None:
    """Tell whether the session is as it was; None if the store says that it can't be read now."""
    try:
        session = store.load_session(ID)
    except StoreUnavailable:
        return None
    return session is not None and dict(session) == {"n": 1}


def _verdict(told: str, found: bool | None) -> str:
    return _GOOD if told == "named" and found else f"{told}, old session {'loads' if found else 'is lost'}"


@contextlib.contextmanager
def _small_disk() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="session3-disk-"))
    assert _mount("-t", "tmpfs", "-o", "size=1m,mode=755", "tmpfs", str(folder))
    (folder / "own").mkdir()
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        shutil.rmtree(folder, ignore_errors=True)


def _mount(*arguments: str) -> bool:
    if shutil.which("mount") is None:
        return False
    return subprocess.run(["mount", *arguments], capture_output=True).returncode == 0
