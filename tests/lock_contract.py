"""What `store.locked` promises on every store of records."""

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from session3.DictSession import DictSession
from session3.errors import LockTimeout, StoreUnavailable
from session3.ids import is_cookie_id
from session3.record import Record
from session3.store import SessionLock

from .processes import Child, is_true_in_a_fork
from .sessions import Clock


def id_of(store: Any) -> str:
    session = DictSession("session-to-lock")
    session["n"] = 0
    store.save_session(session)
    return "session-to-lock"


def add_one(store: Any, id: str) -> None:
    session = store.load_session(id)
    session["n"] += 1
    store.save_session(session)


class LockContract:
    """Fixtures as for the others: `store` and `clock`."""

    @pytest.fixture(autouse=True)
    def uptime(self, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Clock:
        """The clock of the machine that nobody sets: it goes as the store's does, unless a test sets that one."""
        uptime = Clock(1000.0)
        start = clock.now
        monkeypatch.setattr(SessionLock, "uptime", lambda: uptime.now + clock.now - start)
        return uptime

    def test_one_thread_at_a_time(self, store: Any) -> None:
        id, barrier, inside = id_of(store), threading.Barrier(4), [0]
        seen = []

        def work() -> None:
            barrier.wait()
            for _ in range(10):
                with store.locked(id, timeout=60):
                    inside[0] += 1
                    seen.append(inside[0])
                    add_one(store, id)
                    inside[0] -= 1

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == [1] * 40
        assert store.load_session(id)["n"] == 40

    def test_who_waits_too_long_is_told(self, store: Any) -> None:
        id = id_of(store)
        with store.locked(id):
            for seconds in (0, 0.02):
                with pytest.raises(LockTimeout) as caught, store.locked(id, timeout=seconds):
                    pass
                assert f"locked for {seconds:g} seconds" in str(caught.value) and id not in str(caught.value)
            with store.locked("another-session", timeout=0):
                pass
        with store.locked(id, timeout=0):
            pass

    def test_an_error_frees_it(self, store: Any) -> None:
        id = id_of(store)
        with pytest.raises(ZeroDivisionError), store.locked(id):
            raise ZeroDivisionError
        with store.locked(id, timeout=0):
            pass

    def test_the_end_of_the_lease_frees_it(self, store: Any, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
        id = id_of(store)
        with store.locked(id, lease=60) as mine:
            clock.advance(40)
            assert mine.renew()
            clock.advance(40)
            with pytest.raises(LockTimeout), store.locked(id, timeout=0):
                pass
            clock.advance(21)
            with store.locked(id, timeout=0):
                assert not mine.renew()
        assert caplog.text.count("was lost before it was released") == 1
        assert caplog.records[-1].levelno == logging.WARNING and id not in caplog.text
        with store.locked(id, timeout=0):
            pass

    def test_it_frees_nobody_elses(self, store: Any, clock: Clock) -> None:
        id = id_of(store)
        late = store.locked(id, lease=1)
        late.__enter__()
        clock.advance(2)
        with store.locked(id, timeout=0):
            late.__exit__(None, None, None)
            with pytest.raises(LockTimeout), store.locked(id, timeout=0):
                pass

    def test_nothing_else_sees_it(self, store: Any, clock: Clock) -> None:
        id = id_of(store)
        with store.locked(id) as lock:
            assert not is_cookie_id(lock._key)
            assert store.load_session(lock._key) is None and not store.has_session(lock._key)
            assert sum(1 for _ in store.iter_sessions()) == 1
            assert store.delete_expired_sessions()[1] == 1
            clock.advance(30)
            assert store.delete_old_sessions(1)[1] == 1
            store.delete_session(lock._key)
            store.save_session(store.load_session(id))
            with pytest.raises(LockTimeout), store.locked(id, timeout=0):
                pass
        store.delete_session(id)
        clock.advance(1)
        store.delete_expired_sessions()
        assert list(store.scan()) == []
        store.setup()  # holds no sessions

    @pytest.mark.parametrize("step", [3600, -3600, 30 * 86400, -30 * 86400])
    @pytest.mark.parametrize("sweeps", [False, True])
    def test_a_clock_that_is_set_lets_nobody_in_and_keeps_nobody_out(
        self, store: Any, clock: Clock, uptime: Clock, step: float, sweeps: bool
    ) -> None:
        """Of the stores of this machine; those on servers go by the server's clock, which is not ours to set."""
        if store.has_server_clock:
            return
        id = id_of(store)
        with store.locked(id, lease=60) as mine:
            clock.advance(step)
            uptime.advance(-step)
            if sweeps and step == 3600:
                store.delete_expired_sessions()
                store.delete_old_sessions(30)
            for _ in range(2):
                with pytest.raises(LockTimeout), store.locked(id, timeout=0):
                    pass
                assert mine.renew()
        with store.locked(id, timeout=0):
            uptime.advance(59)
            with pytest.raises(LockTimeout), store.locked(id, timeout=0):
                pass
            uptime.advance(1)
            with store.locked(id, timeout=0):
                pass
        clock.advance(-step)
        uptime.advance(step)
        with store.locked(id, timeout=0):
            pass

    @pytest.mark.parametrize("verb", ["insert", "replace"])
    def test_a_write_whose_reply_was_lost_knows_itself(
        self, store: Any, monkeypatch: pytest.MonkeyPatch, verb: str
    ) -> None:
        """A driver's second try is told that the record is not as it was: it was the first one that changed it."""
        id = id_of(store)
        real = getattr(store, verb)

        def lose_reply(*arguments: Any) -> bool:
            real(*arguments)
            return False

        with store.locked(id, timeout=0):
            pass
        if verb == "insert":
            id = "another-session"
        with monkeypatch.context() as patch:
            patch.setattr(store, verb, lose_reply)
            with store.locked(id, timeout=0) as lock:
                assert lock.renew() and lock.renew()
                patch.setattr(store, verb, real)
                with pytest.raises(LockTimeout), store.locked(id, timeout=0):
                    pass
                patch.setattr(store, verb, lose_reply)
        with store.locked(id, timeout=0):
            pass

    @pytest.mark.parametrize("verb", ["insert", "replace"])
    @pytest.mark.parametrize("moment", ["before", "after"])
    @pytest.mark.parametrize("error", [KeyboardInterrupt, StoreUnavailable])
    def test_who_is_interrupted_gives_it_back(
        self, store: Any, monkeypatch: pytest.MonkeyPatch, verb: str, moment: str, error: type[BaseException]
    ) -> None:
        id = id_of(store)
        if verb == "replace":
            with store.locked(id):
                pass
        real, calls = getattr(store, verb), [0]

        def interrupt(*arguments: Any) -> Any:
            calls[0] += 1
            if calls[0] > 1:
                return real(*arguments)
            if moment == "after":
                real(*arguments)
            raise error

        with monkeypatch.context() as patch, pytest.raises(error):
            patch.setattr(store, verb, interrupt)
            store.locked(id).__enter__()
        with store.locked(id, timeout=0):
            pass

    def test_a_lock_that_was_forgotten_is_free(self, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """A signal's exception can come between taking it and the block, and before the end of the block has begun."""
        id = id_of(store)
        forgotten = store.locked(id, timeout=0)
        forgotten.__enter__()
        with pytest.raises(LockTimeout), store.locked(id, timeout=0):
            pass
        free, is_freed = SessionLock._free_forgotten, threading.Event()

        def free_and_tell(*arguments: Any) -> None:
            free(*arguments)
            is_freed.set()

        monkeypatch.setattr(SessionLock, "_free_forgotten", free_and_tell)
        del forgotten
        assert is_freed.wait(30)  # for other processes, too
        with store.locked(id, timeout=0):
            pass

    def test_a_lock_of_an_earlier_release(self, store: Any, clock: Clock) -> None:
        """4.0.0a1 kept the end of the lease as the record's, and nowhere else."""
        id, now = id_of(store), clock()
        with store.locked(id) as lock:
            key = lock._key
        record = store.read(key)
        for holder, lease, is_free in [("", 60.0, False), ("", 0.0, True), (record.user_key, 60.0, False)]:
            end, revision = now + lease, record.revision + 1
            older = Record(b"", revision, now, end, end, expires=end, user_key=holder, forward="")
            assert store.replace(key, older, store.read(key).revision)
            if not is_free:
                with pytest.raises(LockTimeout), store.locked(id, timeout=0):
                    pass
                clock.advance(61)
                now = clock()
            with store.locked(id, timeout=0):
                pass
            record = store.read(key)

    def test_an_earlier_release_can_tell_who_has_it(self, store: Any) -> None:
        """4.0.0a1 may be at work beside us in a deploy: it knows a holder who is dead, and a lock that was freed."""
        id = id_of(store)
        with store.locked(id) as lock:
            held = store.read(lock._key)
            assert held.user_key == SessionLock._holder()
            assert held.expires > store.clock()
        freed = store.read(lock._key)
        assert freed is None or freed.expires == freed.created

    def test_what_can_be_no_id_has_no_lock(self, store: Any) -> None:
        with pytest.raises(ValueError, match="id must be"):
            store.locked("../etc/passwd")


@contextlib.contextmanager
def holder(store: Any, id: str) -> Iterator[Child]:
    """A process that holds a session's lock until it is killed."""

    def hold(report: Any) -> None:
        with store.locked(id, lease=10_000):
            report(1)
            threading.Event().wait()

    with Child(hold) as child:
        assert child.report() == 1
        yield child


class ProcessLockContract:
    """For stores that several processes share."""

    def test_a_killed_holder_frees_it_at_once(self, store: Any) -> None:
        id = id_of(store)

        with holder(store, id) as child:
            with pytest.raises(LockTimeout), store.locked(id, timeout=0):
                pass
            child.kill()
            with store.locked(id, timeout=30):
                add_one(store, id)
        assert store.load_session(id)["n"] == 1

    def test_a_forked_child_leaves_its_parents_lock_alone(self, store: Any) -> None:
        id = id_of(store)
        with store.locked(id) as lock:

            def leave() -> bool:
                is_renewed = lock.renew()
                lock.__exit__(None, None, None)
                return not is_renewed

            assert is_true_in_a_fork(leave)
            with pytest.raises(LockTimeout), store.locked(id, timeout=0):
                pass
            assert lock.renew()

    def test_a_killed_holder_frees_it_before_anybody_waits_for_it(self, store: Any) -> None:
        id = id_of(store)

        with holder(store, id) as child:
            os.kill(child.pid, signal.SIGKILL)
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie from now on
            with store.locked(id, timeout=0):
                pass

    @pytest.mark.parametrize("is_anothers", [False, True])
    def test_a_holder_that_proc_hides_is_alive(
        self, store: Any, monkeypatch: pytest.MonkeyPatch, is_anothers: bool
    ) -> None:
        """Mounted with hidepid, /proc shows the processes of other users to nobody."""
        id, state_of = id_of(store), SessionLock._state_of

        def show_ours(pid: int) -> tuple[str, str]:
            if pid != os.getpid():
                raise FileNotFoundError
            return state_of(pid)

        def refuse(pid: int, number: int) -> None:
            raise PermissionError

        with holder(store, id) as child:
            monkeypatch.setattr(SessionLock, "_state_of", show_ours)
            with monkeypatch.context() as patch:
                if is_anothers:
                    patch.setattr(os, "kill", refuse)
                with pytest.raises(LockTimeout), store.locked(id, timeout=0):
                    pass
            child.kill()
            with store.locked(id, timeout=0):
                pass
