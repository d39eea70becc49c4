"""What one store remembers on a session that it loaded or saved."""

from typing import Any


class Snapshot:
    """Where a session stands in its store: enough to know later whether it changed, and whether the record did.

    It pickles and copies as None, so that a copy of a session is a new session to every store.
    """

    __slots__ = ("accessed", "expires", "id", "is_foreign", "is_outdated", "key", "payload", "revision", "store")

    def __init__(
        self,
        store: Any,
        id: str | None,
        key: str,
        payload: bytes,
        revision: int,
        accessed: float,
        expires: float | None,
    ) -> None:
        self.store = store
        self.id = id
        self.key = key
        self.payload = payload  # plain bytes: sealed ones differ at each save
        self.revision = revision
        self.accessed = accessed
        self.expires = expires
        self.is_foreign = False  # True: it stands there as another store wrote it, in a way that is not ours
        self.is_outdated = False  # True: written in an older way, so that a touch writes it anew

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()
