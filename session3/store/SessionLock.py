"""One request at a time on a session, for applications that want that: a lock with an owner and a lease.

It is a record of its own beside the session's, so that every store of records has it. It is advisory: who does not ask
for it reads and saves as ever.
"""

import hashlib
import logging
import os
import random
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from .. import ids
from ..errors import LockTimeout
from ..record import Record, first_revision, next_revision

if TYPE_CHECKING:
    from .RecordStore import RecordStore

log = logging.getLogger("session3")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05  # seconds between two tries
_ENDED = ("Z", "X")  # states of a process that is no more, though nobody has waited for it yet


class SessionLock:
    """What `SessionStore.locked` returns: a context manager, for one use by one thread."""

    def __init__(self, store: "RecordStore", session_key: str, timeout: float, lease: float) -> None:
        self._store = store
        self._name = ids.short_hash(session_key)
        # A dot is in no cookie, so that no client can name a lock.
        self._key = "lock." + hashlib.sha256(session_key.encode()).hexdigest()[:40]
        self._timeout = timeout
        self._lease = lease
        self._revision: int | None = None
        self._pid = 0

    def __enter__(self) -> "SessionLock":
        self._pid = os.getpid()
        deadline, pause = time.monotonic() + self._timeout, _FIRST_PAUSE
        while not self._try():
            left = deadline - time.monotonic()
            if left <= 0:
                raise LockTimeout(f"{self._store!r}: session {self._name} was locked for {self._timeout:g} seconds")
            # At random, so that those who wait do not knock all at once.
            time.sleep(min(left, pause * random.uniform(0.5, 1)))
            pause = min(2 * pause, _LONGEST_PAUSE)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._pid != os.getpid():
            return  # it is the lock of the process that we were forked from
        if self._revision is not None and not self._write(lease=0):
            log.warning("%r: the lock on session %s was lost before it was released", self._store, self._name)
        self._revision = None

    def renew(self) -> bool:
        """Start the lease anew; False if the lock was lost meanwhile, since the lease had ended, or is our parent's."""
        return self._pid == os.getpid() and self._write(self._lease)

    def _try(self) -> bool:
        record = self._record(first_revision(), self._lease)
        if self._store.insert(self._key, record):
            self._revision = record.revision
            return True
        current = self._store.read(self._key)
        if current is None:
            # Swept since; or damaged, and only that is removed, since what has a forward stays.
            return self._store.remove(self._key) and self._try()
        if current.revision != record.revision:  # else it is our own, and only the reply was lost
            if not (current.is_expired(self._store.clock()) or _is_dead(current.user_key or "")):
                return False
            record = record._replace(revision=next_revision(current.revision))
            if not self._store.replace(self._key, record, current.revision):
                return False
        self._revision = record.revision
        return True

    def _write(self, lease: float) -> bool:
        if self._revision is None:
            return False
        record = self._record(next_revision(self._revision), lease)
        if not self._store.replace(self._key, record, self._revision):
            return False
        self._revision = record.revision
        return True

    def _record(self, revision: int, lease: float) -> Record:
        now = self._store.clock()
        end = now + lease  # also the time of access, so that no sweep finds a lock old that is held
        return Record(b"", revision, now, end, end, expires=end, user_key=_holder(), forward="")


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
