"""What one store remembers on a session that it loaded or saved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .record import Record


class Snapshot:
    """Where a session stands in its store: enough to know later whether it changed, and whether the record did.

    It pickles and copies as None, so that a copy of a session is a new session to every store.
    """

    __slots__ = ("accessed", "expires", "id", "key", "payload", "revision", "store")

    def __init__(self, store: Any, id: str | None, key: str, payload: bytes, record: Record) -> None:
        self.store = store
        self.id = id
        self.key = key
        self.payload = payload  # plain bytes: sealed ones differ at each save
        self.revision = record.revision
        self.accessed = record.accessed
        self.expires = record.expires

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()
