"""One request at a time on a session, for applications that want that: a lock with an owner and a lease.

It is a record of its own beside the session's, so that every store of records has it. It is advisory: who does not ask
for it reads and saves as ever.
"""

import _thread
import hashlib
import logging
import os
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from .. import ids
from ..errors import LockTimeout
from ..record import Record, first_revision, next_revision

if TYPE_CHECKING:
    from .RecordStore import RecordStore

log = logging.getLogger("session3")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05  # seconds between two tries
_ENDED = ("Z", "X")  # states of a process that is no more, though nobody has waited for it yet
#: Seconds for which a lock that is held is kept beyond its lease: a sweep's clock may have been set forward.
_KEPT = 86400.0


def uptime() -> float:
    """Return seconds since this machine was started, by the clock that nobody sets."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class SessionLock:
    """What `SessionStore.locked` returns: a context manager, for one use by one thread.

    Among the processes of one machine a lease goes by the clock that nobody sets, unless the store has its server's;
    else it goes by the store's. Who is interrupted as he takes, renews or frees the lock leaves none: what may be
    stored of ours is known before it is written, and freed at the latest as this object goes.
    """

    def __init__(self, store: "RecordStore", session_key: str, timeout: float, lease: float) -> None:
        self._revisions: list[int] = []  # of our records, of which one may be stored
        self._pid = 0
        self._store = store
        self._name = ids.short_hash(session_key)
        # A dot is in no cookie, so that no client can name a lock.
        self._key = "lock." + hashlib.sha256(session_key.encode()).hexdigest()[:40]
        self._timeout = timeout
        self._lease = lease

    def __enter__(self) -> "SessionLock":
        self._pid = os.getpid()
        try:
            self._wait()
            return self
        except BaseException:
            with suppress(Exception):  # what interrupted us counts for more; and it is tried again as we go
                self._free()
            raise

    def __exit__(self, *exception: object) -> None:
        if self._pid != os.getpid():
            return  # it is the lock of the process that we were forked from
        if self._revisions and not self._free():
            log.warning("%r: the lock on session %s was lost before it was released", self._store, self._name)

    def __del__(self) -> None:
        # Where an exception came just before `__exit__`, or after `__enter__`.
        if self._revisions and self._pid == os.getpid():
            with suppress(Exception):  # Python may be ending
                # In another thread: this one may be in the midst of anything, with a lock of the store's.
                _thread.start_new_thread(_free_forgotten, (self._store, self._key, self._revisions))

    def renew(self) -> bool:
        """Start the lease anew; False if the lock was lost meanwhile, since the lease had ended, or is our parent's."""
        return self._pid == os.getpid() and self._write(self._lease)

    def _wait(self) -> None:
        deadline, pause = time.monotonic() + self._timeout, _FIRST_PAUSE
        while not self._try():
            left = deadline - time.monotonic()
            if left <= 0:
                raise LockTimeout(f"{self._store!r}: session {self._name} was locked for {self._timeout:g} seconds")
            # At random, so that those who wait do not knock all at once.
            time.sleep(min(left, pause * random.uniform(0.5, 1)))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _try(self) -> bool:
        record = _record(self._store, first_revision(), self._lease)
        self._expect(record.revision)
        if self._store.insert(self._key, record):
            return True
        current = self._store.read(self._key)
        if current is not None and current.revision == record.revision:
            return True  # only the reply was lost
        self._revisions.clear()
        if current is None:
            # Swept since; or damaged, and only that is removed, since what has a forward stays.
            return self._store.remove(self._key) and self._try()
        return _is_free(self._store, current) and self._replace(current.revision, self._lease)

    def _free(self) -> bool:
        is_freed = self._write(lease=0)
        self._revisions.clear()
        return is_freed

    def _write(self, lease: float) -> bool:
        """Replace our record; False if it is not there any more."""
        return any(self._replace(revision, lease) for revision in tuple(self._revisions))

    def _replace(self, before: int, lease: float) -> bool:
        record = _record(self._store, next_revision(before), lease)
        self._expect(record.revision)
        is_ours = self._store.replace(self._key, record, before)
        if not is_ours:
            current = self._store.read(self._key)
            is_ours = current is not None and current.revision == record.revision  # only the reply was lost
        if is_ours:
            del self._revisions[:-1]
        else:
            self._revisions.remove(record.revision)
        return is_ours

    def _expect(self, revision: int) -> None:
        _held[revision] = self
        self._revisions.append(revision)


#: The locks of this process by the revisions that they may have stored.
_held: "WeakValueDictionary[int, SessionLock]" = WeakValueDictionary()


def _record(store: "RecordStore", revision: int, lease: float) -> Record:
    now = store.clock()
    # Also the time of access, so that no sweep finds a lock old that is held.
    kept = now + lease + _KEPT if lease else now
    # Not beside the holder: 4.0.0a1, at work beside us in a deploy, would not know any more that he is dead.
    end = f"{uptime() + lease!r} {lease!r}".encode()
    return Record(end, revision, now, kept, kept, expires=kept, user_key=_holder(), forward="")


def _free_forgotten(store: "RecordStore", key: str, revisions: Sequence[int]) -> None:
    with suppress(Exception):
        for revision in revisions:
            store.replace(key, _record(store, next_revision(revision), 0), revision)


def _is_free(store: "RecordStore", current: Record) -> bool:
    """Tell whether a lock can be taken from who has it: his lease is over, or he is no more."""
    now, theirs, ours = store.clock(), (current.user_key or "").split(), _holder().split()
    try:
        end, lease = map(float, current.payload.split())
    except ValueError:  # of release 4.0.0a1, which kept the end of the lease as the record's
        is_over = current.is_expired(now) or current.expires == current.created
        return is_over or _is_dead(current.user_key or "")
    is_over = now >= current.created + lease
    if ours and theirs[:1] == ours[:1] and not store.has_server_clock:
        is_over = uptime() >= end
    is_forgotten = bool(ours) and theirs == ours and current.revision not in _held
    return lease == 0 or is_over or is_forgotten or _is_dead(current.user_key or "")


def _holder() -> str:
    """Return what tells this process from all others of this machine, as far as it can be told."""
    with suppress(OSError), open("/proc/sys/kernel/random/boot_id") as boot:
        space = os.readlink("/proc/self/ns/pid")  # where process numbers count
        return f"{boot.read().strip()} {space} {os.getpid()} {_state_of(os.getpid())[1]}"
    return ""


def _is_dead(holder: str) -> bool:
    """Tell whether the holder was a process of this machine that is no more; elsewhere the lease has to end."""
    ours, theirs = _holder().split(), holder.split()
    if len(theirs) != 4 or ours[:2] != theirs[:2]:
        return False
    try:
        state, start = _state_of(int(theirs[2]))
    except (FileNotFoundError, ProcessLookupError):
        return not _is_running(int(theirs[2]))
    except (OSError, ValueError):
        return False
    return start != theirs[3] or state in _ENDED


def _is_running(pid: int) -> bool:
    """Tell whether there is a process of this number; /proc may hide those of other users (hidepid)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # there is one, of another user
    return True


def _state_of(pid: int) -> tuple[str, str]:
    """Return a process's state, and when it started, in ticks since the boot: fields 3 and 22."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return fields[0], fields[19]
