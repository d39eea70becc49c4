"""Which thread and which process has which connection."""

import gc
import subprocess
import sys
from collections.abc import Callable

import pytest

from session3.connections import PerThread, Shared
from session3.errors import StoreUnavailable

from .processes import ROOT, is_true_in_a_fork, is_true_in_a_fork_of_c


class Connection:
    closed = 0

    def close(self) -> None:
        Connection.closed += 1


@pytest.mark.parametrize("asks", [is_true_in_a_fork, is_true_in_a_fork_of_c])
def test_a_forked_child_opens_its_own_and_closes_none(asks: Callable[[Callable[[], bool]], bool]) -> None:
    """Also one that was forked in C, as by uWSGI, where none of Python's hooks is called."""
    connections = PerThread(Connection)
    parents = connections.get()

    def is_another() -> bool:
        own, before = connections.get(), Connection.closed
        gc.collect()
        return own is not parents and Connection.closed == before

    assert asks(is_another)
    assert connections.get() is parents


@pytest.mark.parametrize("asks", [is_true_in_a_fork, is_true_in_a_fork_of_c])
def test_one_that_is_shared_is_of_no_use_in_a_forked_child(asks: Callable[[Callable[[], bool]], bool]) -> None:
    shared = Shared(Connection(), "a store")

    def is_refused() -> bool:
        with pytest.raises(StoreUnavailable, match="forked"), shared.guard():
            pass
        return True

    assert asks(is_refused)


_CHILD_ENDS = """
import os
from session3.connections import PerThread

connections = PerThread(lambda: open(1, "wb", closefd=False))
connections.get().write(b"closed")  # is told when it is closed, and not before
if os.fork():
    os.wait()
    os._exit(0)
"""


def test_a_forked_child_closes_none_as_it_ends() -> None:
    """As Python usually ends, which lets go of all that there is."""
    run = subprocess.run([sys.executable, "-W", "error", "-c", _CHILD_ENDS], cwd=ROOT, capture_output=True, check=True)
    assert (run.stdout, run.stderr) == (b"", b"")
