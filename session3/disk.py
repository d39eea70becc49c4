"""What a power cut leaves: only what the disk was told to keep."""

import os


def sync_folder(path: str) -> None:
    """Make the names in the file's folder survive a power cut."""
    if os.name == "posix":  # elsewhere a folder can't be opened
        fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
