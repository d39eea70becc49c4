"""A power cut takes what was not synced, page by page, in any order: no visitor gets another one's session.

The disk is a model: what a shelf writes is noted, call by call, and at any moment the lights go out. Of each file, what
came before its last fsync is there; of each page that was written since, the old contents or the new ones; and the size
is the old one or the new one. More cuts by hand: `python -m tests.test_power_cuts 4000`.
"""

from __future__ import annotations

import functools
import logging
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from session3 import disk
from session3.DictSession import DictSession
from session3.store.ShelveSessionStore import ShelveSessionStore

from .sessions import Clock

PAGE = 4096
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "signed": {"secret_key": "0123456789abcdef0123"},
    "hashed": {"hash_ids": True},
    "durable": {"durable": True},
}


class Disk:
    """Notes what is done to files, and tells what a power cut leaves of them."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.files: dict[int, File] = {}  # by inode
        self.names: dict[str, File] = {}
        self.renamed: dict[str, File] | None = None  # the names before, while the folder is not synced
        self.at_each: Callable[[], object] | None = None
        wrapped: dict[str, Callable[..., None]] = {
            "pwrite": self._write,
            "ftruncate": self._truncate,
            "fsync": self._sync,
            "replace": self._rename,
        }
        for name, note in wrapped.items():
            patch.setattr(os, name, self._noting(getattr(os, name), note))
        create = disk.create_private
        for module in ("session3.dumbfile", "session3.ShelfTransaction"):
            patch.setattr(f"{module}.create_private", lambda path: self._created(path, create(path)))

    def _noting(self, real: Callable[..., Any], note: Callable[..., None]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            result = real(*args)
            note(*args)
            if self.at_each is not None:
                self.at_each()
            return result

        return call

    def _created(self, path: str, file: Any) -> Any:
        self.files[os.fstat(file).st_ino] = self.names[path] = File()
        return file

    def _file(self, fd: int) -> File | None:
        return self.files.get(os.fstat(fd).st_ino)

    def _write(self, fd: int, data: Any, position: int) -> None:
        file = self._file(fd)
        assert file is not None
        data = bytes(data)
        file.now[len(file.now) :] = bytes(max(0, position - len(file.now)))
        file.now[position : position + len(data)] = data
        file.dirty.update(range(position // PAGE, (position + len(data) + PAGE - 1) // PAGE))

    def _truncate(self, fd: int, size: int) -> None:
        file = self._file(fd)
        assert file is not None
        file.dirty.update(range(size // PAGE, len(file.now) // PAGE + 1))
        file.now[size:] = bytes(max(0, size - len(file.now)))

    def _sync(self, fd: int) -> None:
        file = self._file(fd)
        if file is None:
            self.renamed = None  # the folder
        else:
            file.synced, file.dirty = bytes(file.now), set()

    def _rename(self, old: str, new: str) -> None:
        self.renamed = self.renamed or dict(self.names)
        self.names[new] = self.names.pop(old)

    def cut(self, rng: random.Random, folder: str) -> None:
        """Write what is left into another folder."""
        names = self.renamed if self.renamed is not None and rng.random() < 0.5 else self.names
        for path, file in names.items():
            Path(folder, os.path.basename(path)).write_bytes(file.left(rng))


class File:
    def __init__(self) -> None:
        self.synced, self.now, self.dirty = b"", bytearray(), set[int]()

    def left(self, rng: random.Random) -> bytes:
        chance = rng.choice([0.1, 0.5, 0.9])
        size = rng.choice([len(self.synced), len(self.now)]) if self.dirty else len(self.now)
        left = bytearray(self.synced[:size].ljust(size, b"\0"))
        for page in self.dirty:
            if rng.random() < chance:
                part = slice(page * PAGE, min((page + 1) * PAGE, size))
                left[part] = bytes(self.now[part]).ljust(max(0, part.stop - part.start), b"\0")
        return bytes(left[:size])


@contextmanager
def working(folder: str, options: dict[str, Any], seed: int) -> Iterator[tuple[Disk, Iterator[dict[str, str | None]]]]:
    """A store on a disk that is watched, and its life: after each step, whose each session is that must be there."""
    with pytest.MonkeyPatch.context() as patch:
        watched = Disk(patch)
        store = ShelveSessionStore(os.path.join(folder, "s"), clock=Clock(1e9), **options)
        store._shelf.compact_above, store._shelf.spare_lines = 20_000, 30
        yield watched, live(store, random.Random(seed))
        store.close()


def live(store: ShelveSessionStore, rng: random.Random) -> Iterator[dict[str, str | None]]:
    sessions: dict[str, DictSession] = {}
    for number in range(100_000):
        ids = list(sessions)
        act = rng.random()
        if act < 0.3 or not ids:
            session = DictSession(f"session{number:05}")
            session.set_user(f"user of {session.id}")
        else:
            session = sessions[rng.choice(ids)]
        if act < 0.6:
            session["blob"] = rng.randbytes(rng.choice([10, 400, 3000])).hex()
            store.save_session(session)
            sessions[session.id or ""] = session
        elif act < 0.7 and ids:
            store.delete_session(sessions.pop(session.id or ""))
        elif act < 0.8 and ids:
            del sessions[session.id or ""]
            assert store.move_session(session, f"session{number:05}m", rng.choice([None, 60.0]))
            sessions[session.id or ""] = session
        elif act < 0.97:
            store.clock.advance(100)  # type: ignore[attr-defined]
            session._access_time = store.clock()
            store.save_session(session)
        else:
            store.delete_expired_sessions()
        yield {id: session.user for id, session in sessions.items()}


class Judge:
    """Cuts the power now and then, and counts what is found afterwards."""

    def __init__(self, disk: Disk, options: dict[str, Any], rng: random.Random) -> None:
        self.disk, self.options, self.rng = disk, options, rng
        self.users: dict[str, str | None] = {}  # of all ids that ever were
        self.cuts = self.found = self.wrong = self.lost = 0

    def look_now_and_then(self, chance: float) -> None:
        if self.rng.random() < chance:
            self.look({})

    def look(self, expected: dict[str, str | None]) -> None:
        """Open what a cut leaves; `expected` is what has to be there if nothing that was saved may be missing."""
        with tempfile.TemporaryDirectory() as folder:
            self.disk.cut(self.rng, folder)
            with ShelveSessionStore(os.path.join(folder, "s"), clock=Clock(1e9), **self.options) as store:
                users = {id: getattr(store.load_session(id), "user", None) for id in self.users}
        self.cuts += 1
        self.found += sum(user is not None for user in users.values())
        self.wrong += sum(user is not None and user != self.users[id] for id, user in users.items())
        self.lost += sum(users[id] != user for id, user in expected.items())


def cut(options: dict[str, Any], cuts: int, seed: int) -> Judge:
    rng = random.Random(seed)
    total = Judge(Disk.__new__(Disk), options, rng)
    while total.cuts < cuts:
        with tempfile.TemporaryDirectory() as folder, working(folder, options, rng.getrandbits(32)) as (watched, steps):
            judge = Judge(watched, options, rng)
            for number, expected in enumerate(steps):
                judge.users.update(expected)
                if number > 40 and rng.random() < 0.3:
                    judge.look(expected)
                if number == 40:  # from now on also in the midst of a step
                    watched.at_each = functools.partial(judge.look_now_and_then, 0.1)
                if number == 150:
                    break
        for name in ("cuts", "found", "wrong", "lost"):
            setattr(total, name, getattr(total, name) + getattr(judge, name))
    return total


@pytest.mark.parametrize("name", OPTIONS)
def test_nobody_gets_the_session_of_another_visitor(name: str) -> None:
    judge = cut(OPTIONS[name], 150, 1)
    assert judge.found > 1000 and judge.wrong == 0
    assert judge.lost == 0 or name != "durable"


if __name__ == "__main__":
    logging.disable()
    for name, options in OPTIONS.items():
        judge = cut(options, int(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else 1)
        print(f"{name}: {judge.cuts} cuts, {judge.found} found, {judge.wrong} of another visitor, {judge.lost} lost")
