"""Which files in a folder are sessions besides whole two-slot files: those of session3 3.4.1, and damaged ones.

A folder may have been given by mistake, or be shared with other programs: nothing of theirs is unpickled or removed.

>>> import tempfile
>>> with tempfile.NamedTemporaryFile() as file:  # empty, as a power cut may leave one, but under a name of its own
...     leftover(file.fileno(), "placeholder", 0o600)
"""

import os
import re
import stat
from contextlib import suppress

from .. import slotformat, slots
from ..access import MODE, Access
from ..Descriptor import opened
from ..disk import is_file, is_taken
from ..ids import is_upstream_id
from ..LockedFile import BINARY, NO_LINK, LockedFile
from ..record import Record

#: How the files of session3 3.4.1 start, a bare pickle of protocol 4.
UPSTREAM = b"\x80\x04"

_HEAD = 65536  # bytes of a pickle that are looked at: more than what comes before a session's own attributes
_OPCODES = 2000  # of it
#: What 3.4.1's Session has, before whatever an application's class adds.
_ATTRIBUTES = {"id", "user", "_remote_address", "_creation_time", "_access_time", "_form_tokens"}

#: What this release makes, ids and locks; and hashes.
_own_key = re.compile(r"[a-z2-7]{32}|lock\.[0-9a-f]{40}").fullmatch
_hash = re.compile(r"[0-9a-f]{64}").fullmatch


def is_issued(name: str) -> bool:
    """Tell whether this release makes such names; an application's own ids are of any kind."""
    return _own_key(name) is not None or _hash(name) is not None


def is_nobody_elses(name: str) -> bool:
    """Tell whether a name alone says that this release made it; others may use hashes."""
    return _own_key(name) is not None


def is_barred(path: str) -> bool:
    """Tell whether a file is one that we may not read, and under a name that only an application could have given.

    Most likely it is somebody else's. Who asks for that very session is told that it can't be read.
    """
    return not is_issued(os.path.basename(path)) and is_taken(path) and not os.access(path, os.R_OK)


def check_folder(folder: str, access: Access) -> None:
    """Raise OSError if no file can be made, locked and written in a folder; what it makes does not stay."""
    path = os.path.join(folder, ".check".join(slots.TEMPORARY))
    try:
        with LockedFile(path, os.O_CREAT | NO_LINK, access.mode) as file:
            assert file is not None
            access.give(file.fd, folder)
            slotformat.pwrite(file.fd, b"x", 0)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(path)


def read_upstream(path: str) -> Record | None:
    """Return what a file of 3.4.1 holds; None if it is none, with nothing of it unpickled. Raises OSError."""
    if not is_file(path):
        return None
    fd = opened(path, os.O_RDONLY | BINARY | NO_LINK)
    if not is_upstream(fd, os.path.basename(path)):
        return None
    stat = os.fstat(fd)
    payload = b"".join(iter(lambda: os.read(fd, 1 << 20), b""))
    return Record(payload, stat.st_mtime_ns, stat.st_mtime, stat.st_mtime, stat.st_mtime)


def is_upstream(fd: int, name: str) -> bool:
    """Tell whether a file is a session of 3.4.1: its name is such an id, and it is a pickle of a Session."""
    head = slotformat.pread(fd, len(UPSTREAM), 0) if is_upstream_id(name) else b""
    return head == UPSTREAM and _is_session(slotformat.pread(fd, _HEAD, 0), name)


def _is_session(pickle: bytes, name: str) -> bool:
    """Tell it by the class that a pickle names, or, of an application's own class, by a Session's attributes."""
    import pickletools  # here, since few folders have such files, and it takes 5 ms

    texts: list[str] = []
    is_object = False
    try:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(pickle)):
            if isinstance(argument, str):
                texts.append(argument)
            elif opcode.name == "STACK_GLOBAL" and not is_object:
                is_object = len(texts) == 2
                if not is_object or texts[0].partition(".")[0] == "session3":
                    return is_object
            if number > _OPCODES or _ATTRIBUTES.issubset(texts):
                break
    except (ValueError, UnicodeDecodeError):  # cut short, or no pickle
        pass
    return is_object and _ATTRIBUTES.issubset(texts) and name in texts


def leftover(fd: int, name: str, mode: int, *, reads_upstream: bool = True) -> Record | None:
    """Return for a file of ours that is damaged, or of 3.4.1, a record as old as the file; None if it is another's.

    `mode`: what files have that this store makes.
    """
    if not is_ours(fd, name, mode) and not (reads_upstream and is_upstream(fd, name)):
        return None
    modified = os.fstat(fd).st_mtime
    return Record(b"", 0, modified, modified, modified, forward="")


def is_ours(fd: int, name: str, mode: int) -> bool:
    """Tell whether a damaged file was made by this release: it starts as one, or can be what a power cut left."""
    if slotformat.is_start(fd):
        return True
    if not is_issued(name) or not has_mode(fd, mode):
        return False
    is_empty = slotformat.may_be_slots(fd)
    return is_empty or (is_nobody_elses(name) and slotformat.pread(fd, len(UPSTREAM), 0) == UPSTREAM)


def may_go(fd: int, name: str, mode: int) -> bool:
    """Tell whether a damaged file may go that somebody names as a session: that name, or the contents, must be ours."""
    is_possible = has_mode(fd, mode) and (is_issued(name) or slotformat.may_be_slots(fd))
    return is_possible or slotformat.is_start(fd) or is_upstream(fd, name)


def has_mode(fd: int, mode: int) -> bool:
    found = os.fstat(fd).st_mode
    return stat.S_ISREG(found) and stat.S_IMODE(found) in (MODE, mode)
