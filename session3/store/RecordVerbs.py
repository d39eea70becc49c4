"""What a store of records gives; everything else is shared."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator

from ..record import Record


class RecordVerbs(ABC):
    """The nine verbs. Each is atomic for every thread and process that the store's flags promise.

    They raise StoreUnavailable when the store fails, and nothing else; a record that is damaged as a whole (the
    store's own format does not hold) is absent, and left to the sweep.
    """

    #: True if ages are counted by the clock of a server, which nobody on this machine sets.
    has_server_clock = False

    @abstractmethod
    def read(self, key: str) -> Record | None:
        """Return the record under `key`, expired or not; None if there is none or it is damaged."""

    @abstractmethod
    def insert(self, key: str, record: Record) -> bool:
        """Store a record under a key that has none; False, and nothing done, if it has one."""

    @abstractmethod
    def replace(self, key: str, record: Record, revision: int) -> bool:
        """Store a record in place of the one with this revision; False, and nothing done, if that is gone."""

    @abstractmethod
    def remove(self, key: str, revision: int | None = None) -> bool:
        """Remove the session under `key`, if its revision is this one where one is given; tell whether it was.

        What a rotation left behind (a record with `forward`) stays, so that a logout can follow it.
        """

    @abstractmethod
    def touch(self, key: str, revision: int, accessed: float, expires: float | None) -> bool:
        """Move the access time of the session with this revision forward, and with it its expiry unless None.

        False, and nothing done, if that is gone or was written since: who wrote it used it later, and may have said
        when it expires. Where the access time is later already, both stay; a store without a server's clock lets one
        give way that is still to come (Record.touched). Never creates, never changes payload or revision, never writes
        the payload again.
        """

    @abstractmethod
    def scan(self) -> Iterator[tuple[str, Record]]:
        """Yield (key, record) of every record, lazily, in bounded memory, while others may write."""

    @abstractmethod
    def sweep(self, unused_for: float | None) -> tuple[int, int]:
        """Delete the records that are due (Record.is_due); return (deleted, sessions left). Batches; blocks nobody."""

    def place(self) -> Hashable | None:
        """Return what stores that lead to the same records have in common, and no others; None where nobody knows.

        Asked only where a session comes from one store object and goes to another: the second one then knows it.
        """
        return None

    @abstractmethod
    def create(self) -> None:
        """Create what the store needs; what is there stays."""

    @abstractmethod
    def clear(self) -> None:
        """Delete all records, and nothing that is somebody else's."""
