"""Purge: what it costs to delete what has expired, and how long a writer waits meanwhile."""

import os
import random
import statistics
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

from session3 import ids
from tests.durus_server import DurusServer

from .filling import drop, empty, fill, is_asked_for, open_empty, record, urls
from .sections import Bench, Outcome, Table, Target
from .Worker import Worker

COUNT, QUICK_COUNT = 10**5, 10**4
_SLOW = {"Durus": 5, "Durus server": 5}  # so many times fewer sessions: it takes 200 µs to delete one of them
_PAIRS = 3  # purges of each kind, whose medians are shown; of files, which are slow to make, one
RATIO_LIMIT, WAIT_LIMIT = 1.3, 50.0  # times the bare loop or statement; ms
_HOUR = 3600.0
_WRITTEN = 50  # sessions that the writer saves in turn
_EXPIRES_AT, _EXPIRES = 4096 + 16 + 24, struct.Struct("<d")  # in a file of one slot


class Crowd:
    """A store of live sessions, and as many expired ones, for one purge."""

    def __init__(self, url: str, count: int) -> None:
        self.url = url
        self.store = open_empty(url)
        keys = [ids.make_id() for _ in range(count)]
        self.live, self._expired = keys[::2], keys[1::2]
        fill(self.store, record(), self.live)
        fill(self.store, record(age=2 * _HOUR, lifetime=_HOUR), self._expired)
        self.store.close()  # a connection of Durus would have in memory what it stored
        self.store.has_session(self.live[0])

    def time(self, purge: Callable[[Any], Any]) -> float:
        begun = time.perf_counter()
        purge(self.store)
        taken = time.perf_counter() - begun
        assert not self.store.read(self._expired[0]), f"{self.url}: not all that has expired was deleted"
        assert self.store.has_session(self.live[0]), f"{self.url}: a live session was deleted"
        return taken


class Wait(NamedTuple):
    """The longest of a writer's saves, in ms, and how many there were."""

    longest: float
    saves: int


class Purge(NamedTuple):
    """What was measured on one store: seconds of our purges and of the bare ones, in pairs, and waits."""

    name: str
    pairs: list[tuple[float, float]]
    alone: Wait | None = None
    beside: Wait | None = None

    @property
    def ours(self) -> float:
        return statistics.median(ours for ours, _ in self.pairs)

    @property
    def bare(self) -> float:
        return statistics.median(bare for _, bare in self.pairs)

    @property
    def ratio(self) -> float:
        return statistics.median(ours / bare for ours, bare in self.pairs)


def run(bench: Bench) -> Outcome:
    count = QUICK_COUNT if bench.is_quick else COUNT
    # All are made before the first one is purged: a disk is slow to make files where it has just deleted many.
    places = [urls(bench, number) for number in range(1, 2 * _PAIRS + 2)]
    names = [name for name in _BARE if name in places[0] or (name == "Durus server" and is_asked_for(bench, name))]
    purges = []
    for done, name in enumerate(names):
        bench.progress(done, len(names))
        pairs = 1 if bench.is_quick or name == "Directory" else _PAIRS
        with ExitStack() as stack:
            if name == "Durus server":
                own = [stack.enter_context(DurusServer()).url for _ in range(2 * pairs + 1)]
            else:
                own = [place[name] for place in places[: 2 * pairs + 1]]
            crowds = [Crowd(url, count // _SLOW.get(name, 1)) for url in own]
            purges.append(_measure(name, crowds))
    empty(bench.folder)
    bench.progress(len(names), len(names))
    notes = (
        f"`delete_expired_sessions()` over {count:,} sessions, half of them expired, beside what is written by hand for"
        " an equal copy: a loop over files, a DELETE statement and a count of what is left, a walk and a commit; the"
        f" medians of {_PAIRS} pairs, of files and in a quick run one. On another copy another process saves sessions"
        " meanwhile: its longest wait, in ms, and of how many saves, is beside that of as long a time without a purge."
        " Durus has a fifth of the sessions; its file is for one. Redis expires by itself, and has nothing to purge."
    )
    head = ["", "bare, s", "session3, s", "ratio", "longest wait", "without a purge"]
    return Outcome("Purge", notes, [Table(head, [_row(purge) for purge in purges])], list(_targets(purges)), [])


def _measure(name: str, crowds: list[Crowd]) -> Purge:
    """Purge equal stores: in pairs, one our way and one the bare way, in any order; the last one beside a writer."""
    *paired, last = crowds
    pairs = []
    for ours, bare in zip(paired[::2], paired[1::2], strict=True):
        turns = [(ours, _purge), (bare, _BARE[name])]
        random.shuffle(turns)
        seconds = {id(crowd): crowd.time(purge) for crowd, purge in turns}
        pairs.append((seconds[id(ours)], seconds[id(bare)]))
    measured = Purge(name, pairs)
    if name != "Durus":  # a file of one process
        alone = _wait(last, lambda: time.sleep(measured.ours))
        measured = measured._replace(alone=alone, beside=_wait(last, lambda: last.time(_purge)))
    for crowd in crowds:
        drop(crowd.store)
    return measured


def _wait(crowd: Crowd, work: Callable[[], Any]) -> Wait:
    with Worker("write_until_told", crowd.url, *crowd.live[:_WRITTEN]) as writer:
        writer.wait_until_ready()
        writer.go()
        work()
        writer.go()  # enough
        longest, saves = writer.answer()
        return Wait(longest * 1000, saves)


# -- ours, and bare --------------------------------------------------------------------------------------------------


def _purge(store: Any) -> None:
    store.delete_expired_sessions()


def _purge_files(store: Any) -> None:
    now = time.time()
    with os.scandir(store.directory) as entries:
        for entry in entries:
            fd = os.open(entry.path, os.O_RDONLY)
            [expires] = _EXPIRES.unpack(os.pread(fd, _EXPIRES.size, _EXPIRES_AT))
            os.close(fd)
            if expires <= now:
                os.unlink(entry.path)


def _purge_sqlite(store: Any) -> None:
    store._change(f"DELETE FROM {store._table} WHERE expires <= ?", (time.time(),))
    store._query(f"SELECT count(*) FROM {store._table} WHERE forward IS NULL", ())


def _purge_on_server(store: Any) -> None:
    store._change(f"DELETE FROM {store._table} WHERE expires <= {store.NOW}", ())
    store._query(f"SELECT count(*) FROM {store._table} WHERE forward IS NULL", ())


def _purge_durus(store: Any) -> None:
    now = time.time()

    def work(root: Any, again: bool) -> None:
        tree = root["session3"]
        for key in [key for key, found in tree.items() if found["expires"] <= now and not found["touched"]]:
            del tree[key]

    store._transactions.run(work)


_BARE: dict[str, Callable[[Any], None]] = {
    "Directory": _purge_files,
    "SQLite": _purge_sqlite,
    "Postgres": _purge_on_server,
    "MySQL": _purge_on_server,
    "Durus": _purge_durus,
    "Durus server": _purge_durus,
}


# -- the tables ------------------------------------------------------------------------------------------------------


def _row(purge: Purge) -> list[str]:
    seconds = [f"{taken:.2f}" for taken in (purge.bare, purge.ours)]
    ratio = _cell(f"x{purge.ratio:.2f}", purge.ratio, RATIO_LIMIT)
    if purge.alone is None or purge.beside is None:
        return [purge.name, *seconds, ratio, "", ""]
    text = f"{purge.beside.longest:.1f} ({purge.beside.saves:,})"
    waits = [_cell(text, purge.beside.longest, WAIT_LIMIT), f"{purge.alone.longest:.1f} ({purge.alone.saves:,})"]
    return [purge.name, *seconds, ratio, *waits]


def _cell(text: str, figure: float, limit: float) -> str:
    return f"{text} ≤{limit:g}" if figure <= limit else f"**{text}** ≤{limit:g}"


def _targets(purges: list[Purge]) -> Iterator[Target]:
    for purge in purges:
        yield Target(f"{purge.name}: purge", purge.ratio, RATIO_LIMIT)
        if purge.beside is not None:
            yield Target(f"{purge.name}: longest wait during a purge", purge.beside.longest, WAIT_LIMIT, "ms")
