"""Throughput: processes that load, change and save at the same time."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from session3 import ids
from session3.DictSession import DictSession
from tests.durus_server import DurusServer
from tests.processes import run_together

from .contenders import DATA
from .filling import drop, is_asked_for, open_empty, urls
from .sections import Bench, Chart, Outcome, Points, Table
from .Worker import Worker

PROCESSES = (1, 2, 4, 8)
#: Requests that the processes share, so that each measurement takes about a second.
REQUESTS = {"Directory": 12_000, "SQLite": 6000, "Postgres": 2000, "MySQL": 2000, "Redis": 4000, "Durus server": 1600}
QUICK = 8  # times fewer
APART, TOGETHER = "a session each", "one session"


def run(bench: Bench) -> Outcome:
    places = urls(bench, 1)
    if is_asked_for(bench, "Durus server"):
        places["Durus server"] = bench.stack.enter_context(DurusServer()).url
    names = [name for name in REQUESTS if name in places]
    rates: dict[tuple[str, str], Points] = {}
    done, of = 0, len(names) * 2 * len(PROCESSES)
    for name in names:
        store = open_empty(places[name])
        for sessions in (APART, TOGETHER):
            points = rates[name, sessions] = []
            for count in PROCESSES:
                requests = REQUESTS[name] // (QUICK if bench.is_quick else 1) // count
                points.append((count, _rate(store, places[name], count, requests, sessions == TOGETHER)))
                done += 1
                bench.progress(done, of)
        drop(store)
    notes = (
        "Requests a second: each loads a session, changes it and saves it. So many processes start together, and share"
        " a fixed number of requests; no update was lost. Where all of them change one session, each conflict is a"
        " merge and another save."
    )
    charts = [_chart(names, rates, sessions) for sessions in (APART, TOGETHER)]
    return Outcome("Throughput", notes, [_table(names, rates)], [], charts)


def _rate(store: Any, url: str, count: int, requests: int, is_together: bool) -> float:
    """Return how many requests a second so many processes did; each adds to an item of its own."""
    keys = _store_sessions(store, 1 if is_together else count) * (count if is_together else 1)
    items = [f"count{number}" for number in range(count)]
    with ExitStack() as stack:
        workers = [
            stack.enter_context(Worker("count_up", url, key, item, requests))
            for key, item in zip(keys, items, strict=True)
        ]
        answers = run_together(*workers)
    for key, item in zip(keys, items, strict=True):
        found = store.load_session(key)[item]
        assert found == requests + 1, f"{url}: {found} updates of {requests + 1}"  # one of them to warm up
    began, ended = zip(*answers, strict=True)
    rate: float = count * requests / (max(ended) - min(began))
    return rate


def _store_sessions(store: Any, count: int) -> list[str]:
    keys = [ids.make_id() for _ in range(count)]
    for key in keys:
        session = DictSession(key)
        session.update(DATA)
        store.save_session(session)
    return keys


def _table(names: Sequence[str], rates: dict[tuple[str, str], Points]) -> Table:
    rows = [
        [name, sessions, *(f"{rate:,.0f}" for _, rate in rates[name, sessions])]
        for name in names
        for sessions in (APART, TOGETHER)
    ]
    return Table(["", "", *_heads()], rows)


def _heads() -> Iterator[str]:
    for count in PROCESSES:
        yield "1 process" if count == 1 else f"{count} processes"


def _chart(names: Sequence[str], rates: dict[tuple[str, str], Points], sessions: str) -> Chart:
    series = {name: rates[name, sessions] for name in names}
    name = "throughput-" + ("one" if sessions == TOGETHER else "each")
    return Chart(name, f"Throughput, {sessions}", "processes", "requests a second", series, is_log_y=True)
