"""SQLite over a fork: who inherits a connection, or what SQLite knows of a file, loses what it saves."""

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from session3.errors import StoreUnavailable
from session3.store import SQLiteConnections as module
from session3.store.SQLiteConnections import SQLiteConnections
from session3.store.SQLiteSessionStore import SQLiteSessionStore

from ..contract import stored
from ..interruptions import interrupt
from ..processes import ROOT, Child, is_true_in_a_fork, is_true_in_a_fork_of_c


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions"


@pytest.fixture
def store(path: Path) -> Iterator[SQLiteSessionStore]:
    with SQLiteSessionStore(path) as store:
        yield store


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def saved(path: Path) -> int:
    with SQLiteSessionStore(path) as another:
        return len(list(another.iter_sessions()))


def test_a_child_saves_on_after_its_parent_closed_the_store(
    store: SQLiteSessionStore, path: Path, pipe: tuple[int, int]
) -> None:
    stored(store)

    def save_twice(report: Any) -> None:
        stored(store)
        report(1)
        os.read(pipe[0], 1)
        stored(store)
        report(2)

    with Child(save_twice) as child:
        child.report()
        store.close()
        os.write(pipe[1], b"!")
        child.report()
    assert saved(path) == 3


_DAEMON = """
import os, sys
from session3.DictSession import DictSession
from session3.store.SQLiteSessionStore import SQLiteSessionStore

store = SQLiteSessionStore(sys.argv[1])
store.save_session(DictSession("parents1"))
read, write = os.pipe()
if os.fork() == 0:
    os.close(write)
    store.save_session(DictSession("childs01"))
    print("saved", flush=True)
    os.read(read, 1)  # until the parent is no more
    store.save_session(DictSession("childs02"))
"""


def test_a_child_saves_on_after_its_parent_exited(path: Path) -> None:
    """As a daemon does, whose parent ends as Python usually does: it closes what is open."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", _DAEMON, path], cwd=ROOT, capture_output=True, text=True, check=True
    )  # returns when the child has ended, too: it has the same output
    assert (run.stdout, run.stderr) == ("saved\n", "")
    assert saved(path) == 3


def test_workers_of_one_parent_lose_nothing(store: SQLiteSessionStore, path: Path, pipe: tuple[int, int]) -> None:
    session = stored(store)

    def worker(name: str) -> Any:
        def add(report: Any) -> None:
            store.has_session(session.id)
            report(0)
            os.read(pipe[0], 1)
            for n in range(20):
                loaded = store.load_session(session.id)
                loaded[f"{name}{n}"] = n
                store.save_session(loaded)
            report(1)

        return Child(add)

    with worker("a") as one, worker("b") as two, worker("c") as three:
        for child in (one, two, three):
            child.report()
            store.close()
        os.write(pipe[1], b"!!!")
        for child in (one, two, three):
            child.report()
    with SQLiteSessionStore(path) as another:
        assert len(another.load_session(session.id)) == 60


def test_forks_beside_threads_that_save(store: SQLiteSessionStore, path: Path) -> None:
    stop, counts = threading.Event(), [0, 0, 0]

    def save(number: int) -> None:
        while not stop.is_set():
            stored(store)
            counts[number] += 1

    def save_two(report: Any) -> None:
        stored(store)
        stored(store)
        report(1)

    threads = [threading.Thread(target=save, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(30):
            with Child(save_two) as child:
                assert child.report() == 1
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert saved(path) == sum(counts) + 60


def test_a_fork_waits_for_who_works_on_a_database_in_memory() -> None:
    """SQLite has locks for the whole process, and who is forked while one is held would wait for it for ever."""
    store = SQLiteSessionStore(":memory:")
    has_lock = threading.Event()

    def use() -> None:
        with store._connections.guard():
            has_lock.set()
            while not module._forker:
                pass
            done.append(True)

    done: list[bool] = []
    thread = threading.Thread(target=use)
    thread.start()
    has_lock.wait()
    assert is_true_in_a_fork(lambda: done == [True])
    thread.join()
    assert store.has_session(stored(store).id)  # and goes on


def test_a_fork_does_not_wait_for_who_waits_for_another_writer(store: SQLiteSessionStore, path: Path) -> None:
    stored(store)
    waits = threading.Event()

    class Waiting(SQLiteSessionStore):
        def _execute(self, sql: str, parameters: Any) -> Any:
            waits.set()
            return super()._execute(sql, parameters)

    writer = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    with contextlib.closing(writer), Waiting(path) as waiting:
        writer.execute("BEGIN IMMEDIATE")
        thread = threading.Thread(target=lambda: stored(waiting))
        thread.start()
        waits.wait()
        assert is_true_in_a_fork(lambda: True)
        assert thread.is_alive()
        writer.execute("COMMIT")
        thread.join()
    assert saved(path) == 2


def test_a_fork_waits_for_a_connection_that_is_being_opened() -> None:
    opening, go = threading.Event(), threading.Event()

    def open() -> sqlite3.Connection:
        opening.set()
        go.wait()
        return sqlite3.connect(":memory:", check_same_thread=False)

    connections = SQLiteConnections("a store", open, lambda: 1)

    def use() -> None:
        with connections.guard():
            connections.get().execute("SELECT 1").fetchone()

    def let_go_when_somebody_forks() -> None:
        while not module._forker:
            pass
        go.set()

    threads = [threading.Thread(target=work) for work in (use, let_go_when_somebody_forks)]
    for thread in threads:
        thread.start()
    opening.wait()
    assert is_true_in_a_fork(lambda: go.is_set() and not module._places)
    for thread in threads:
        thread.join()


class TestForkInC:
    """Behind Python's back: no hook closes what is open."""

    @staticmethod
    def is_refused(store: SQLiteSessionStore) -> bool:
        with pytest.raises(StoreUnavailable, match=r"SQLiteSessionStore\(.*close the store before"):
            stored(store)
        return True

    def test_a_child_is_refused_what_its_parent_has_open(self, store: SQLiteSessionStore, path: Path) -> None:
        """Under another name, too, and for good; another database it may use."""
        stored(store)
        link = path.with_name("link")
        link.symlink_to(path)

        def ask() -> bool:
            other = SQLiteSessionStore(path.with_name("other"))
            return all(
                [self.is_refused(store), self.is_refused(store), self.is_refused(SQLiteSessionStore(link)),
                 other.has_session(stored(other).id), is_true_in_a_fork(lambda: self.is_refused(store))]
            )  # fmt: skip

        assert is_true_in_a_fork_of_c(ask)
        stored(store)
        assert saved(path) == 2
        assert saved(path.with_name("other")) == 1

    def test_a_child_of_who_closed_the_store_saves(self, store: SQLiteSessionStore, path: Path) -> None:
        stored(store)
        store.close()
        assert is_true_in_a_fork_of_c(lambda: stored(store) is not None)
        assert saved(path) == 2


_DAEMON_THREAD = """
import sys, threading
from session3.DictSession import DictSession
from session3.store.SQLiteSessionStore import SQLiteSessionStore

def save():
    while True:
        session["n"] = session.get("n", 0) + 1
        store.save_session(session)
        has_saved.set()

store, session, has_saved = SQLiteSessionStore(sys.argv[1]), DictSession("example1"), threading.Event()
threading.Thread(target=save, daemon=True).start()
has_saved.wait()
"""


def test_a_process_ends_though_a_daemon_thread_is_in_a_statement(path: Path) -> None:
    for _ in range(5):
        command = [sys.executable, "-W", "error", "-c", _DAEMON_THREAD, str(path)]
        assert subprocess.run(command, cwd=ROOT, timeout=60, check=False).returncode == 0


def test_a_connection_that_waited_for_the_fork_is_none_that_was_open(
    store: SQLiteSessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(store)
    place = module._Place((0, store._connections._file()), threading.RLock())  # type: ignore[union-attr]
    monkeypatch.setattr(place, "close", lambda: None)  # it became known just after all others were closed
    module._places.add(place)
    try:
        assert is_true_in_a_fork(lambda: stored(store) is not None)
    finally:
        module._places.discard(place)


@pytest.mark.parametrize("is_in_memory", [False, True])
def test_a_signal_s_exception_leaves_no_lock(store: SQLiteSessionStore, is_in_memory: bool) -> None:
    """At any moment of a load; else the next fork of another thread would wait for ever, and who shares it, too."""
    store = SQLiteSessionStore(":memory:") if is_in_memory else store

    class Timeout(BaseException):
        pass

    def time_out(number: int, frame: Any) -> None:
        raise Timeout

    session, chance, timeouts = stored(store), random.Random(7), 0
    lock = store._connections.guard()
    before = signal.signal(signal.SIGALRM, time_out)
    try:
        while timeouts < 1000:
            with contextlib.suppress(Timeout):
                signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-5, 2e-4))
                with contextlib.suppress(Exception):  # a timeout in the midst of decoding passes for damage
                    while True:
                        store.load_session(session.id)
            timeouts += 1
            assert not module._is_owned(lock)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert store.has_session(session.id)


def test_a_signal_s_handler_may_load_while_another_thread_forks(store: SQLiteSessionStore) -> None:
    session = stored(store)
    forked: list[bool] = []

    def load_once_somebody_forks(number: int, frame: Any) -> None:
        while not module._forker:
            pass
        assert store.has_session(session.id)

    thread = threading.Thread(target=lambda: forked.append(is_true_in_a_fork(lambda: store.has_session(session.id))))
    before = signal.signal(signal.SIGUSR1, load_once_somebody_forks)
    try:
        with store._connections.guard():
            store._connections.get()
            thread.start()
            signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    thread.join()
    assert forked == [True]


def test_a_signal_s_exception_at_a_fork_changes_nothing_of_it(
    store: SQLiteSessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, ignored = stored(store), list[Any]()
    monkeypatch.setattr(sys, "unraisablehook", lambda told: ignored.append(told.exc_type))  # Python forks all the same
    uses, is_waited_for = threading.Event(), threading.Event()

    def use() -> None:
        with store._connections.guard():
            store._connections.get()
            uses.set()
            while not module._forker:
                pass
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
            is_waited_for.wait(1)  # until the signal has come, which sets it

    def interrupt(number: int, frame: Any) -> None:
        is_waited_for.set()
        raise InterruptedError

    before = signal.signal(signal.SIGUSR1, interrupt)
    thread = threading.Thread(target=use)
    thread.start()
    uses.wait()
    try:
        assert is_true_in_a_fork(lambda: store.has_session(session.id))
    finally:
        signal.signal(signal.SIGUSR1, before)
    thread.join()
    assert ignored == [InterruptedError]
    assert not module._forker and store.has_session(session.id)


def test_a_signal_s_exception_at_any_moment_of_a_fork_leaves_no_lock(store: SQLiteSessionStore) -> None:
    """Python forks all the same; a lock that was taken for it and is not freed keeps the next one waiting for ever."""
    in_memory = SQLiteSessionStore(":memory:")
    sessions = [(each, stored(each)) for each in (store, in_memory)]

    def look() -> None:
        assert all(each.has_session(session.id) for each, session in sessions)
        module._before_fork()
        module._after_in_parent()

    def be_interrupted(number: int) -> bool:
        found = interrupt(module._before_fork, number)
        second = interrupt(module._after_in_parent, number)
        module._after_in_parent()
        return found is not None or second is not None

    number = 1
    while be_interrupted(number):
        assert not module._forker and not module._taken
        look()
        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        thread.join(30)
        assert not thread.is_alive()
        number += 1
    assert number > 10
