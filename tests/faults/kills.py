"""Writers are killed with kill -9 at any moment, while two others read."""

import contextlib
import random
from collections.abc import Iterator
from typing import Any

from session3.DictSession import DictSession

from ..processes import Child
from .cases import Case, Figures, Kind
from .crews import is_reporting

SITUATION = "writer killed with kill -9, 200 times, beside two readers"
ID = "session-of-all"
_FILES = {"directory": {ID}, "sqlite": {"sessions", "sessions-wal", "sessions-shm"}}
_SHELF = {"sessions.dat", "sessions.dir"}


def applies(kind: Kind) -> bool:
    return kind.has_records and kind.is_kept


def run(case: Case, long: bool) -> Figures:
    kills = 200 if long else 15
    store = case.emptied()
    session = DictSession(ID)
    session.update(n=0, blob=[])
    store.save_session(session)
    store.close()
    lost = hung = 0
    with _readers(case) as readers:
        for _ in range(kills):
            saved = _write_and_be_killed(case)
            hung += saved is None
            with case.open() as after:
                found = after.load_session(ID)
                lost += found is None or found["n"] < (saved or 0)
        dead = sum(not _is_alive(reader) for reader in readers)
    store = case.open()
    store.delete_expired_sessions()
    strangers = [id for id, _ in store.iter_sessions() if id != ID]
    store.close()
    litter = len(strangers) + _litter(case)
    failed = f"{dead} failed" if readers else "no readers"  # where one process at a time may use the store
    text = f"{lost} lost, {hung} hung, {failed}, {litter} litter of {kills}"
    return Figures(text, lost == hung == dead == litter == 0)


def _write_and_be_killed(case: Case) -> int | None:
    """Return the last number that a save returned for; None if the writer hung."""
    with Child(lambda report: _write(case, report)) as writer:
        saved = None
        for _ in range(random.randrange(1, 30)):
            if not is_reporting(writer):
                return None
            saved = writer.report()
        return writer.kill() or saved


def _write(case: Case, report: Any) -> None:
    store = case.open()
    while True:
        session = store.load_session(ID)
        session["n"] += 1
        session["blob"] = [session["n"]] * random.randrange(3000)
        store.save_session(session)
        report(session["n"])


@contextlib.contextmanager
def _readers(case: Case) -> Iterator[list[Child]]:
    with contextlib.ExitStack() as stack:
        count = 2 if case.kind.is_shared else 0
        yield [stack.enter_context(Child(lambda report: _read(case, report))) for _ in range(count)]


def _read(case: Case, report: Any) -> None:
    """Read for ever; die of a session that is missing, torn, or older than before."""
    store, last = case.open(), 0
    while True:
        session = store.load_session(ID)
        assert session is not None, "missing"
        assert set(session["blob"]) <= {session["n"]}, "torn"
        assert session["n"] >= last, "older than before"
        last = session["n"]
        report(last)


def _is_alive(reader: Child) -> bool:
    try:
        return is_reporting(reader) and reader.report() >= 0 and reader.kill() is not None
    except AssertionError:  # it died of what it found, and said so
        return False


def _litter(case: Case) -> int:
    """Count the files that do not belong to the one session."""
    expected = _SHELF if "shel" in case.kind.name.lower() else _FILES.get(case.kind.scheme)
    if not case.kind.is_in_files or expected is None or case.kind.name.startswith("Durus"):
        return 0
    folder = case.folder / "sessions" if case.kind.scheme == "directory" else case.folder
    return len({path.name for path in folder.iterdir()} - expected)
