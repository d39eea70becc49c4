"""Who may use the files that a store makes: their owner, and a group where one is to share them.

>>> access = access_of(0o660, None)
>>> oct(access.mode), oct(access.folder_mode)
('0o660', '0o2770')
"""

import os
from contextlib import suppress
from typing import NamedTuple

from .errors import ConfigurationError

MODE = 0o600


class Access(NamedTuple):
    """The mode of files; `gid`: their group, None for the one that the system gives them."""

    mode: int = MODE
    gid: int | None = None

    @property
    def folder_mode(self) -> int:
        """Return the mode of a folder of such files: who may read may search, and what others make is the group's."""
        return self.mode | (self.mode & 0o444) >> 2 | (0o2000 if self.mode & 0o070 else 0)

    def give(self, fd: int, folder: str) -> None:
        """Give a new file in a folder to whom it is for; it was made for its owner only."""
        self._give(fd, folder, self.mode, MODE)

    def give_folder(self, fd: int, above: str) -> None:
        """Do the same with a new folder."""
        self._give(fd, above, self.folder_mode, 0o700)

    def check(self) -> None:
        """Raise ConfigurationError if this process can't give files to the group."""
        if self.gid is None or os.geteuid() == 0:
            return
        if self.gid not in (os.getegid(), *os.getgroups()):
            raise ConfigurationError(f"this process is not in the group {self.gid}, which its files are to have")

    def _give(self, fd: int, above: str, mode: int, mode_now: int) -> None:
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            # Of root's maintenance the application's user must be able to read what it leaves.
            stat = os.stat(above)
            if stat.st_uid != 0:
                with suppress(PermissionError):  # a file server may take root for nobody
                    os.fchown(fd, stat.st_uid, stat.st_gid)
        if self.gid is not None:
            os.fchown(fd, -1, self.gid)
        if mode != mode_now:
            os.chmod(fd, mode)


def access_of(mode: int | None, group: str | int | None) -> Access:
    """Return it as a store's `mode` and `group` say: 0o600 where neither is given, 0o660 for a group.

    Raises ConfigurationError.
    """
    if mode is None:
        mode = MODE if group is None else 0o660
    elif type(mode) is not int or mode & ~0o660 or mode & MODE != MODE:
        raise ConfigurationError(
            f"mode must be 0o600, 0o640 or 0o660, not {_shown(mode)}: a session is its owner's, and at most its group's"
        )
    return Access(mode, None if group is None else _gid(group))


def _shown(mode: object) -> str:
    return oct(mode) if type(mode) is int else type(mode).__name__


def _gid(group: object) -> int:
    if type(group) is int and 0 <= group < 2**32 - 1:
        return group
    if type(group) is not str:
        raise ConfigurationError(f"group must be a group's name or number, not {group!r}")
    try:
        import grp

        return grp.getgrnam(group).gr_gid
    except (ImportError, KeyError):
        raise ConfigurationError(f"there is no group {group!r} on this machine") from None
