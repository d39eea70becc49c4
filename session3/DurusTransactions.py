"""Work on a Durus connection, one transaction at a time: from any thread, after a fork, with a server that went away.

>>> import tempfile
>>> from session3.durusfiles import DurusFile
>>> transactions = DurusTransactions(DurusFile(tempfile.mkdtemp() + "/some.durus"))
>>> transactions.run(lambda root, again: root.setdefault("colour", "red"))
'red'
>>> transactions.close()

Threads: safe, under one lock. Processes: a connection is never used in a process that it was forked into. There, and
after it broke, another one is opened, if we were given what opens it; else every further call is a DurusFailure.
"""

import math
import os
import random
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from .durusstorages import (
    Interrupted,
    break_off,
    came_from_outside,
    close,
    end_pack,
    forget,
    free,
    import_durus,
    is_in_place,
    pin,
    start_pack,
    watch,
)
from .errors import ConfigurationError, SessionError

T = TypeVar("T")

_MAX_CONFLICTS = 100  # some in a row are usual among processes that write without a pause
_LONGEST_WAIT = 0.002  # seconds

_OPENERS = "session3.durusfiles"  # whose errors are known; one of an application's own may raise anything

_forking = threading.Lock()


class DurusFailure(Exception):
    """What stands under the connection failed; the message tells how, and the cause is chained where there is one."""


class DurusTransactions:
    """Runs functions on the root of a Connection, or of those that a callable without arguments opens."""

    #: Seconds after which a read looks again whether the file still bears its name.
    LOOK_AGAIN = 0.1

    _clock = staticmethod(time.monotonic)
    _look_at = -math.inf

    def __init__(self, source: Any) -> None:
        import_durus()
        from durus.connection import Connection
        from durus.error import ConflictError

        self._conflict = ConflictError
        self._opener: Callable[[], Any] | None = None
        self._connection: Any = None
        self._broken: Exception | None = None
        self._pid = os.getpid()
        self._lock = threading.RLock()
        if isinstance(source, Connection):
            self._adopt(source)
        elif callable(source):
            self._opener = source
        else:
            kind = type(source).__name__  # and no more: it may be a URL
            raise ConfigurationError(f"needs a Connection of Durus, or a callable that opens one, not a {kind}")

    def _adopt(self, connection: Any) -> None:
        if connection.changed:
            raise ConfigurationError("this connection has changes of its own; give sessions one that is theirs alone")
        if type(connection.get_storage()).__name__ == "SqliteStorage":
            connection.get_storage().new_oid()  # skips the last number in the file, that Durus would give again
        watch(connection.get_storage())
        pin(connection)
        self._connection = connection

    @property
    def storage(self) -> Any:
        """The storage of the connection that is open, or None."""
        return None if self._connection is None else self._connection.get_storage()

    def run(
        self, work: Callable[[Any, bool], T], *, creates: bool = True, only_reads: bool = False, tries: int = 2
    ) -> T:
        """Return what `work(root, again)` returns, after committing what it changed; DurusFailure if that can't be.

        It is called again, from scratch, where another process was first, and once more on another connection where
        the first one broke: then `again` tells that an earlier try may have been committed. If it creates nothing, and
        there is no file yet, it gets None for a root. If it only reads, it may see for LOOK_AGAIN what a file held that
        was removed or replaced.
        """
        self._notice_fork()
        with self._lock:
            # To ask is a tenth of what a read takes. What would be lost, were it written, is asked for each time.
            if self._connection is not None and not (only_reads and self._clock() < self._look_at):
                self._notice_other_file()
            if not creates and self._connection is None and not self._is_there():
                return work(None, False)
            again = False
            while True:
                try:
                    return self._try(work, again)
                except _Lost as lost:
                    tries -= 1
                    if tries == 0 or self._opener is None:
                        raise DurusFailure(_describe(lost.cause)) from lost.cause
                    again = again or lost.was_committing

    def _try(self, work: Callable[[Any, bool], T], again: bool) -> T:
        """Run on one connection; raises _Lost, and lets go of it, if that fails."""
        connection = self._connection or self._open()
        committing = False
        try:
            for _ in range(_MAX_CONFLICTS):
                try:
                    connection.abort()  # see what other processes did
                    result = work(connection.get_root(), again)
                    if connection.changed:
                        committing = True
                        connection.commit()
                    return result
                except self._conflict:
                    committing = False
                    time.sleep(random.uniform(0, _LONGEST_WAIT))
        except Exception as error:
            if came_from_outside(error):
                self._drop(InterruptedError(repr(error)))
                raise
            self._drop(error)
            raise _Lost(error, committing) from error
        except Interrupted as interrupted:
            self._drop(InterruptedError(repr(interrupted.cause)))
            raise interrupted.cause from None
        except BaseException as error:  # in the middle of a reply, perhaps
            self._drop(InterruptedError(repr(error)))
            raise
        raise DurusFailure(f"{_MAX_CONFLICTS} conflicts with other writers in a row")

    def free(self) -> None:
        """Free the memory of all that was loaded. Durus keeps thousands of objects, and a walk needs none twice."""
        with self._lock:
            if self._connection is not None and self._pid == os.getpid():
                try:
                    free(self._connection)
                except BaseException as error:  # what is half freed would pass for a damaged record
                    self._drop(InterruptedError(repr(error)))
                    raise

    def pack(self) -> None:
        """Drop what nothing leads to any more; other threads, and clients of a server, work on meanwhile."""
        storage, steps = self.run(lambda root, again: (self.storage, start_pack(self.storage)))

        def step(root: Any, again: bool) -> bool:
            if self.storage is not storage:
                raise DurusFailure("the connection was closed while it packed")
            is_at_end = next(steps, _done) is _done
            pin(self._connection)  # the last step has put another file in place
            return not is_at_end

        is_done = False
        try:
            while self.run(step, tries=1):
                pass
            is_done = True
        finally:
            with self._lock:
                end_pack(storage, steps, is_done=is_done)

    def close(self) -> None:
        """Close the connection if it was ours; the next call opens another one."""
        if self._opener is not None:
            self._notice_fork()
            with self._lock:
                connection, self._connection = self._connection, None
                if connection is not None:
                    close(connection.get_storage())

    # -- connections -------------------------------------------------------------------------------------------------

    def _is_there(self) -> bool:
        try:
            return bool(getattr(self._opener, "exists", lambda: True)())
        except OSError as error:  # no permission is no absence
            if came_from_outside(error):
                raise
            raise DurusFailure(_describe(error)) from error

    def _open(self) -> Any:
        if self._opener is None:
            assert self._broken is not None
            raise DurusFailure(
                f"its connection broke, and one that was handed in can't be opened again ({_describe(self._broken)})"
            ) from self._broken
        try:
            connection = self._opener()
            watch(connection.get_storage())
            pin(connection)
        except SessionError:
            raise
        except Exception as error:
            if type(self._opener).__module__ == _OPENERS and came_from_outside(error):
                raise
            raise DurusFailure(_describe(error)) from error
        self._connection = connection  # not before: an interruption must not leave one that is half made ready
        return connection

    def _drop(self, error: Exception) -> None:
        connection, self._connection = self._connection, None
        break_off(connection.get_storage())
        if self._opener is None:
            # Not closed: it is not ours. Not used: its file or its server may be in the middle of something.
            self._broken = error
        else:
            close(connection.get_storage())

    def _notice_other_file(self) -> None:
        """Let go of a file that does not bear its name any more: what is written to it would be lost."""
        try:
            if is_in_place(self._connection):
                self._look_at = self._clock() + self.LOOK_AGAIN
                return
        except OSError as error:
            if came_from_outside(error):
                raise
            raise DurusFailure(_describe(error)) from error
        if self._opener is None:
            raise DurusFailure("its file was removed or replaced; a connection that was handed in stays on the old one")
        storage, self._connection = self.storage, None
        close(storage)

    def _notice_fork(self) -> None:
        if self._pid == os.getpid():
            return
        if self._opener is None:
            raise DurusFailure("its connection was opened before a fork: to write through it would destroy the data")
        with _forking:
            if self._pid != os.getpid():
                self._lock = threading.RLock()  # a thread that is not here may have held the other one
                connection, self._connection = self._connection, None
                if connection is not None:
                    forget(connection)
                self._pid = os.getpid()


class _Lost(Exception):
    """The connection broke, perhaps while it was committing."""

    def __init__(self, cause: Exception, was_committing: bool) -> None:
        super().__init__()
        self.cause = cause
        self.was_committing = was_committing


_done = object()


def _describe(error: BaseException) -> str:
    # Some of Durus's errors can't be turned into a str; those of the system name their file only in theirs.
    words = [str(error)] if isinstance(error, OSError) else map(str, error.args)
    return ": ".join([type(error).__name__, *words])
