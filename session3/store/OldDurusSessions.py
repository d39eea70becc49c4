"""What session3 3.4.1 left in a Durus database: whole sessions, in a dict of their own, until each is rewritten."""

import hashlib
from collections.abc import Callable
from typing import Any

from ..codec import SessionCodec
from ..errors import SerializationError
from ..record import Record, user_key_text
from ..Session import Session
from .durusrecord import DAMAGE
from .shelverecord import UNSIGNED

#: In the root of a database.
NAME = "sessions"


class OldDurusSessions:
    """The old sessions under a root, as records; made anew in each transaction. `report` is told what can't be read.

    `reads_unsealed`: whether they may be opened, though they bear no seal.
    """

    def __init__(
        self, root: Any, codec: SessionCodec, report: Callable[[str, str], None], reads_unsealed: bool
    ) -> None:
        self._reads_unsealed = reads_unsealed
        self._root = root
        self._codec = codec
        self._report = report
        self._held = None if root is None else root.get(NAME)
        try:
            # All of them are loaded. What is there may be somebody else's, too.
            is_dict = type(self._held).__name__ == "PersistentDict"
            self._sessions: dict[str, Any] = self._held.data if self._held is not None and is_dict else {}
        except DAMAGE as error:
            report(NAME, f"and all the others of session3 3.4.1 can't be loaded: {error!r}")
            self._sessions = {}

    def keys(self) -> list[str]:
        return [key for key, found in self._sessions.items() if isinstance(found, Session) and found.id == key]

    def look(self, key: str) -> Record | None:
        """Return a record without its payload, whatever a seal would say."""
        found = self._sessions.get(key)
        if not isinstance(found, Session) or found.id != key:
            return None
        created, accessed = found._creation_time, found._access_time
        # It is never written again: whatever replaces it has another revision.
        digest = hashlib.sha256(f"{created!r} {accessed!r}".encode()).digest()
        revision = int.from_bytes(digest[:7], "big") + 1
        return Record(b"", revision, created, accessed, accessed, user_key=user_key_text(found.get_user_key()))

    def get(self, key: str) -> Record | None:
        record = self.look(key)
        if record is None:
            return None
        if not self._reads_unsealed:
            self._report(key, UNSIGNED)
            return None
        try:
            return record._replace(payload=self._codec.seal(key, self._codec.dump(self._sessions[key])))
        except SerializationError as error:
            self._report(key, f"of session3 3.4.1 can't be taken over: {error}")
            return None

    def remove(self, key: str) -> None:
        assert self._held is not None
        del self._held[key]
        if not self._held.data:
            del self._root[NAME]

    def sweep(self, now: float, unused_for: float | None) -> tuple[int, int]:
        records = {key: record for key in self.keys() if (record := self.look(key))}
        due = [key for key, record in records.items() if record.is_due(now, unused_for)]
        for key in due:
            self.remove(key)
        return len(due), len(records) - len(due)
