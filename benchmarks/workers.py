"""What other processes do for the benchmark: `python -m benchmarks.workers FUNCTION ARGUMENT...`.

A function is a generator: it prepares, yields, and when it is told to go works, and yields its answer.
"""

import json
import select
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from session3 import open_store


def count_up(url: str, id: str, item: str, times: str) -> Iterator[Any]:
    """Add one to an item of a session so many times, in a request each; answer with when it began and ended."""
    with open_store(url) as store:
        _count(store, id, item)
        yield None
        begun = time.monotonic()
        for _ in range(int(times)):
            _count(store, id, item)
        yield begun, time.monotonic()


def _count(store: Any, id: str, item: str) -> None:
    session = store.load_session(id)
    session[item] = session.get(item, 0) + 1
    store.save_session(session)


def write_until_told(url: str, *keys: str) -> Iterator[Any]:
    """Save sessions in turn, until the next line of input; answer with the longest wait, and how many saves it was."""
    with open_store(url) as store:
        sessions: list[Any] = [store.load_session(key) for key in keys]
        longest, saves = 0.0, 0
        yield None
        while not select.select([sys.stdin], [], [], 0)[0]:
            session = sessions[saves % len(sessions)]
            session["visits"] = saves + 2  # what is stored has 1
            begun = time.perf_counter()
            store.save_session(session)
            longest = max(longest, time.perf_counter() - begun)
            saves += 1
        yield longest, saves


def iterate(url: str) -> Iterator[Any]:
    """Look at all sessions; answer with how many there were, and the memory that it took."""
    yield from _measured(url, lambda store: sum(1 for _ in store.iter_sessions()))


def sweep(url: str) -> Iterator[Any]:
    """Delete the sessions that were not used for an hour; answer with how many, and the memory that it took."""
    yield from _measured(url, lambda store: store.delete_old_sessions(60)[0])


def _measured(url: str, work: Callable[[Any], int]) -> Iterator[Any]:
    yield None
    before = _memory("VmRSS")
    with open_store(url) as store:
        store.has_session("nobody")  # connections and indexes are there then
        opened = _memory("VmRSS")
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # the peak starts anew
        count = work(store)
        yield count, opened - before, _memory("VmHWM") - opened


def _memory(name: str) -> float:
    """Return a size of this process, in MB. Not getrusage's, whose peak may be that of the parent before exec."""
    with open("/proc/self/status") as file:
        lines = dict(line.split(":", 1) for line in file)
    return int(lines[name].split()[0]) * 1024 / 1e6


def main() -> None:
    work = globals()[sys.argv[1]](*sys.argv[2:])
    next(work)
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(next(work)))
    work.close()


if __name__ == "__main__":
    main()
