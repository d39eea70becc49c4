"""Records in the tables of a server that has a clock of its own."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from ..record import Record
from .asciikeys import from_ascii, to_ascii
from .SQLSessionStore import TIMES, SQLSessionStore

_YEAR = 365 * 86400.0
#: Seconds from now, beyond which a server's calendar may end; MySQL's does with the year 9999.
PAST, FUTURE = -1000 * _YEAR, 7000 * _YEAR


class ServerTimes(SQLSessionStore):
    """Times are ages to the server, which adds its own clock, and it is told with each record that is read: the clocks
    of two machines never meet.
    """

    has_server_clock = True

    # -- the dialect -------------------------------------------------------------------------------------------------

    #: The server's time.
    NOW = "now()"
    #: What is read of a record, for `_record_of`: the payload, and the {head}.
    ROW: str
    #: How a time is read, for `_seconds`; a text in hex; and a text behind a letter. NULL stays NULL.
    TIME: str
    HEX: str
    MARKED: str

    def __init__(self, table: str, **options: Any) -> None:
        self.RECORD = self.ROW.format(head=self._head())
        super().__init__(table, **options)

    def _parameters(self, record: Record) -> Sequence[Any]:
        now, age = self.clock(), self._age
        return (
            record.payload,
            record.revision,
            age(record.created - now),
            age(record.modified - now),
            age(record.accessed - now),
            None if record.expires is None else age(record.expires - now),
            to_ascii(record.user_key),
            record.forward,
        )

    def _age(self, seconds: float) -> float:
        """Return seconds from now, or the nearest that a server can count, as the TIME_PARAMETER takes them."""
        return seconds if PAST < seconds < FUTURE else nearest(seconds)

    def _head(self) -> str:
        """Return the SQL for all of a record but its payload, as one text, and the server's time before it.

        To a driver each column costs as much as what is in it: PyMySQL takes 10 µs for one, and a GET takes 80.
        """
        always = [self.TIME.format(self.NOW), "revision", *(self.TIME.format(column) for column in TIMES[:3])]
        optional = {"e": self.TIME.format("expires"), "f": "forward", "u": self.HEX.format("user_key")}
        marked = [self.MARKED.format(f"'{letter}'", value) for letter, value in optional.items()]
        return ", ".join([*always, *marked])

    def _record_from(self, payload: bytes, head: str) -> Record:
        now, revision, created, modified, accessed, *optional = head.split("|")
        seconds = self._seconds
        lead = self.clock() - seconds(now)
        there = {part[0]: part[1:] for part in optional}
        return Record(
            payload,
            int(revision),
            lead + seconds(created),
            lead + seconds(modified),
            lead + seconds(accessed),
            lead + seconds(there["e"]) if "e" in there else None,
            from_ascii(bytes.fromhex(there["u"]).decode()) if "u" in there else None,
            there.get("f"),
        )

    @abstractmethod
    def _seconds(self, time: str) -> float:
        """Return a time as the server wrote it, in seconds since any moment."""

    def touch(self, key: str, revision: int, accessed: float, expires: float | None) -> bool:
        now = self.clock()
        expiry = None if expires is None else self._age(expires - now)
        return super().touch(key, revision, self._age(accessed - now), expiry)


def nearest(seconds: float) -> float:
    return min(max(seconds, PAST), FUTURE)
