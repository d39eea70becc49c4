"""The sweep of a Durus database: two kinds of transactions, one that looks and one that deletes."""

from collections.abc import Callable
from typing import Any

from ..DurusTransactions import DurusTransactions
from . import durusrecord
from .OldDurusSessions import OldDurusSessions

_GONE = object()  # None may be what a damaged record is
_BATCH = 500  # records that a sweep looks at, or deletes, in one transaction


def sweep(
    transactions: DurusTransactions, old: Callable[[Any], OldDurusSessions], now: float, unused_for: float | None
) -> tuple[int, int]:
    ahead: set[str] = set()

    def look(root: Any, again: bool) -> tuple[str, set[str], int]:
        page = durusrecord.page(root, last, _BATCH)
        due = {key for key, found in page if durusrecord.is_due(found, now, unused_for)}
        ahead.update(key for key, found in page if key not in due and durusrecord.is_ahead(found, now, unused_for))
        left = sum(key not in due and durusrecord.is_session(found, now) for key, found in page)
        return (page[-1][0] if page else ""), due, left

    # A transaction of its own, which meets only what is due: to have looked at a session that somebody saves would
    # be a conflict, each time.
    def delete(root: Any, again: bool) -> int:
        tree = durusrecord.tree(root)
        found = {key: tree.get(key, _GONE) for key in due}
        still = [key for key, one in found.items() if one is not _GONE and durusrecord.is_due(one, now, unused_for)]
        for key in still:
            del tree[key]
        return len(due) if again else len(still)

    def set_right(root: Any, again: bool) -> None:
        tree = durusrecord.tree(root)
        for key in ahead:
            record = durusrecord.look(tree[key]) if key in tree else None
            if record is not None and record.is_ahead(now):
                tree[key].update(record.set_right(now)._asdict())

    last, deleted, left = "", 0, 0
    while True:
        last, due, kept = transactions.run(look, creates=False)
        if not last:
            gone, kept = transactions.run(lambda root, again: old(root).sweep(now, unused_for), creates=False)
            return deleted + gone, left + kept
        if due:
            deleted += transactions.run(delete, creates=False)
        if ahead:
            transactions.run(set_right, creates=False)
            ahead.clear()
        left += kept
        transactions.free()
