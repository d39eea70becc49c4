"""Threads and forked processes that start together, count their errors, and are ended when they hang."""

import os
import select
import threading
from collections.abc import Callable
from typing import Any

from ..processes import Child

PATIENCE = 120.0  # seconds, after which what has not answered is counted as hung


def in_threads(work: Callable[[int], int], count: int) -> tuple[int, int]:
    """Run `work(number)` in so many threads at once. Returns the sum of its answers, and how many hung."""
    barrier, answers = threading.Barrier(count), [0] * count

    def run(number: int) -> None:
        barrier.wait()
        answers[number] = work(number)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    return sum(answers), sum(thread.is_alive() for thread in threads)


def in_processes(work: Callable[[int], int], count: int) -> tuple[int, int]:
    """Run `work(number)` in so many forked processes at once. Returns the sum of its answers, and how many hung."""
    ready, go = os.pipe()

    def run(number: int) -> Callable[[Any], None]:
        def start(report: Any) -> None:
            os.read(ready, 1)
            report(work(number))

        return start

    children = [Child(run(number)) for number in range(count)]
    os.write(go, b"x" * count)
    total = hung = 0
    for child in children:
        with child:
            if is_reporting(child):
                total += child.report()
            else:
                hung += 1
    os.close(ready)
    os.close(go)
    return total, hung


def is_reporting(child: Child) -> bool:
    """Wait for a report; False if it does not come."""
    return bool(select.select([child._read], [], [], PATIENCE)[0])


def errors_in(act: Callable[[], object]) -> int:
    """Do it, and return 1 if it raised."""
    try:
        act()
    except Exception as error:  # what it is, is what the table is about
        return note(error)
    return 0


def note(error: Exception) -> int:
    """Say what was raised, and count it."""
    os.write(2, f"\n{type(error).__name__}: {error}\n".encode())
    return 1
