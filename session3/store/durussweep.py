"""The sweep of a Durus database: three kinds of transactions, one that looks, and those that delete and set right.

These meet only what is due: to have looked at a session that somebody saves would be a conflict, each time.
"""

from collections.abc import Callable
from typing import Any

from ..DurusTransactions import DurusTransactions
from . import durusrecord
from .OldDurusSessions import OldDurusSessions

_GONE = object()  # None may be what a damaged record is
_BATCH = 500  # records that a sweep looks at, or deletes, in one transaction


class _Batch:
    """The records of one look, as far as a sweep has something to do with them."""

    def __init__(self, now: float, unused_for: float | None) -> None:
        self._now = now
        self._unused_for = unused_for
        self.last = ""
        self.due: set[str] = set()
        self.ahead: set[str] = set()
        self.left = 0

    def look(self, root: Any, again: bool) -> "_Batch":
        """Return the next batch; its `last` is empty after the end."""
        found, now = _Batch(self._now, self._unused_for), self._now
        for key, one in durusrecord.page(root, self.last, _BATCH):
            found.last = key
            if durusrecord.is_due(one, now, self._unused_for):
                found.due.add(key)
            else:
                found.left += durusrecord.is_session(one, now)
                if durusrecord.is_ahead(one, now, self._unused_for):
                    found.ahead.add(key)
        return found

    def delete(self, root: Any, again: bool) -> int:
        tree = durusrecord.tree(root)
        found = {key: tree.get(key, _GONE) for key in self.due}
        still = [
            key
            for key, one in found.items()
            if one is not _GONE and durusrecord.is_due(one, self._now, self._unused_for)
        ]
        for key in still:
            del tree[key]
        return len(self.due) if again else len(still)

    def set_right(self, root: Any, again: bool) -> None:
        tree = durusrecord.tree(root)
        for key in self.ahead:
            record = durusrecord.look(tree[key]) if key in tree else None
            if record is not None and record.is_ahead(self._now):
                tree[key].update(record.set_right(self._now)._asdict())


def sweep(
    transactions: DurusTransactions, old: Callable[[Any], OldDurusSessions], now: float, unused_for: float | None
) -> tuple[int, int]:
    batch, deleted, left = _Batch(now, unused_for), 0, 0
    while (batch := transactions.run(batch.look, creates=False)).last:
        if batch.due:
            deleted += transactions.run(batch.delete, creates=False)
        if batch.ahead:
            transactions.run(batch.set_right, creates=False)
        left += batch.left
        transactions.free()
    gone, kept = transactions.run(lambda root, again: old(root).sweep(now, unused_for), creates=False)
    return deleted + gone, left + kept
