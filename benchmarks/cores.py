"""Which processor cores a section works on."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


@contextmanager
def apart(servers: Iterable[Any]) -> Iterator[None]:
    """Keep this process on one core for a block, and the servers on the others; on one core, or no Linux, do nothing.

    Enter it before connections are opened. Left alone, the system puts the server's process of one connection onto our
    core, and that of another connection elsewhere, for a whole run. A message between two cores takes twice as long as
    one within a core, so that it is luck which of two contenders looks faster.
    """
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    own = set(sorted(cores)[:1])
    if cores == own:
        yield
        return
    pids = [server.process.pid for server in servers if server is not None]
    try:
        _put(pids, cores - own)
        os.sched_setaffinity(0, own)
        yield
    finally:
        os.sched_setaffinity(0, cores)
        _put(pids, cores)


def _put(pids: Iterable[int], cores: set[int]) -> None:
    for pid in pids:
        with suppress(OSError):  # it has ended meanwhile
            for thread in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(thread.name), cores)
                _put(map(int, (thread / "children").read_text().split()), cores)
