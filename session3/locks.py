"""Whole-file locks between processes: the one place that knows the platform.

    >>> import tempfile
    >>> with tempfile.TemporaryFile() as file, locked(file.fileno()):
    ...     pass    # no other process is in here with the same file

A lock is exclusive and advisory, waits as long as it must, and goes away with the
process that holds it, however that ends. It belongs to the open file: another
`os.open` of the same file, in this process too, waits for it, while a descriptor that
came through a fork shares it, and its `unlock` would open the parent's lock: reopen
after a fork. Threads that share a descriptor need a lock of their own beside it.
"""

# Not portalocker: its import takes 77 ms, and it pulls in redis where that is installed.
from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

if sys.platform == "win32":
    import msvcrt

    # Windows enforces its locks: a byte that no file reaches leaves readers alone. Its
    # C library takes the place as a 32-bit number.
    FAR = 0x7FFF_FFFE

    def lock(fd: int) -> None:
        """Wait until this open file holds the file's exclusive lock."""
        while True:
            os.lseek(fd, FAR, os.SEEK_SET)
            try:
                return msvcrt.locking(fd, msvcrt.LK_LOCK, 1)
            except OSError as error:
                # LK_LOCK itself gives up, with "deadlock", after ten seconds
                if error.errno != 36:
                    raise

    def unlock(fd: int) -> None:
        """Release the lock that `lock` took."""
        os.lseek(fd, FAR, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def lock(fd: int) -> None:
        """Wait until this open file holds the file's exclusive lock."""
        # flock, not lockf: a POSIX record lock is lost when the process closes any
        # other descriptor of the file. Python itself retries after a signal (PEP 475).
        fcntl.flock(fd, fcntl.LOCK_EX)

    def unlock(fd: int) -> None:
        """Release the lock that `lock` took."""
        fcntl.flock(fd, fcntl.LOCK_UN)


@contextmanager
def locked(fd: int) -> Iterator[None]:
    """Hold the lock for a block."""
    lock(fd)
    try:
        yield
    finally:
        unlock(fd)
