"""Memory: a look at all sessions, and a sweep, must not need room for all of them."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from session3 import ids

from .filling import drop, empty, fill, open_empty, record, urls
from .sections import Bench, Outcome, Table, Target
from .Worker import Worker

COUNT, QUICK_COUNT = 10**5, 10**4
LIMIT = 20.0  # MB
STORES = ("Directory", "Shelve", "SQLite", "Postgres", "MySQL", "Redis", "Durus")
_HOUR = 3600.0


class Peak(NamedTuple):
    """What one pass over one store took, in MB: the store when it was opened, and the pass above that."""

    store: str
    work: str
    opened: float
    above: float


def run(bench: Bench) -> Outcome:
    count = QUICK_COUNT if bench.is_quick else COUNT
    names = [name for name in STORES if name in urls(bench, 0)]
    peaks: list[Peak] = []
    for done, name in enumerate(names):
        bench.progress(done, len(names))
        peaks.extend(_peaks(bench, name, count))
    bench.progress(len(names), len(names))
    notes = (
        f"{count:,} sessions, in a fresh process: how much its memory (resident) grew as the store was opened and asked"
        " for one session, and the peak above that during iter_sessions(), and during delete_old_sessions() of half of"
        " them."
    )
    rows = [[peak.store, peak.work, f"{peak.opened:.1f} MB", _cell(peak)] for peak in peaks]
    targets = [Target(f"{peak.store}: {peak.work}", peak.above, LIMIT, "MB") for peak in peaks]
    return Outcome("Memory", notes, [Table(["", "", "opened", "peak above that"], rows)], targets, [])


def _peaks(bench: Bench, name: str, count: int) -> Iterator[Peak]:
    url = urls(bench, 1)[name]
    store = open_empty(url)
    keys = [ids.make_id() for _ in range(count)]
    fill(store, record(), keys[: count // 2])
    fill(store, record(age=2 * _HOUR), keys[count // 2 :])
    store.close()
    for work, expected in (("iterate", count), ("sweep", count // 2)):
        found, opened, above = _run(work, url)
        assert found == expected, f"{name}: {found} of {expected} sessions in {work}"
        yield Peak(name, work, opened, above)
    drop(store)
    empty(bench.folder)


def _run(work: str, url: str) -> Any:
    with Worker(work, url) as worker:
        worker.wait_until_ready()
        worker.go()
        return worker.answer()


def _cell(peak: Peak) -> str:
    text = f"{peak.above:.1f} MB"
    return f"{text} ≤{LIMIT:.0f}" if peak.above <= LIMIT else f"**{text}** ≤{LIMIT:.0f}"
