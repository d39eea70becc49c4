"""What a store of records promises, without bytes, locks and drivers: what test_model.py holds the stores against.

A session is its state: the user, a note, and items. A row is what is stored under an id; a copy is what a request
loaded from it. Times stand still until the clock is moved.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import count, pairwise
from typing import Any

from session3.record import EMPTIED, ROTATED, TOMBSTONE_SECONDS, UNSEEN_SECONDS

_ABSENT: Any = object()


class Gone(Exception):
    """A change came too late: the session was deleted."""


@dataclass
class State:
    user: str | None = None
    note: int = 0
    data: dict[str, Any] = field(default_factory=dict)

    def is_same(self, other: "State") -> bool:
        # The order of the items is kept, so it is a part of the state.
        return self == other and list(self.data) == list(other.data)

    def is_empty(self) -> bool:
        return self == State()


def merge(base: dict[str, Any], mine: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """Per key: the later save wins, and what it left alone follows the other."""
    merged = {}
    for key in dict.fromkeys([*theirs, *mine]):
        is_mine = mine.get(key, _ABSENT) != base.get(key, _ABSENT)
        value = mine.get(key, _ABSENT) if is_mine else theirs.get(key, _ABSENT)
        if value is not _ABSENT:
            merged[key] = value
    return merged


def merge_states(base: State, mine: State, theirs: State) -> State:
    outer = merge(*({"user": state.user, "note": state.note} for state in (base, mine, theirs)))
    return State(**outer, data=merge(base.data, mine.data, theirs.data))


@dataclass
class Row:
    """`version` changes with each write; `origin` is another one where an id came back after its session ended."""

    state: State
    version: int
    origin: int
    created: float
    accessed: float
    modified: float
    expires: float | None
    #: None on a session; where a renewed id leads; ROTATED on an id that a change of user made nobody's; EMPTIED on one
    #: whose session became empty, and may come back with a change of a request in flight.
    forward: str | None = None
    #: Since when its id is in use; None: it has yet to be seen.
    seen: float | None = 0.0
    #: On what a renewal left: for how long the old id leads on as of the arrival of the new one.
    grace: float = 0.0


@dataclass
class Copy:
    """A loaded session: where it was, what it was (`row`), and what became of it in the request."""

    id: str
    row: Row
    state: State
    accessed: float
    expires: float | None
    seen: float | None
    came_back: bool = False

    @classmethod
    def of(cls, id: str, row: Row) -> "Copy":
        row = deepcopy(row)
        return cls(id, row, deepcopy(row.state), row.accessed, row.expires, row.seen)

    @property
    def is_changed(self) -> bool:
        return not self.state.is_same(self.row.state)


class Model:
    """The store; each method is one call of it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.rows: dict[str, Row] = {}
        self._numbers = count(1)

    # -- reading -----------------------------------------------------------------------------------------------------

    def path(self, id: str) -> list[tuple[str, Row]]:
        """Return what an id leads to, step by step, for a request in flight; nothing if it ends in nothing."""
        row = self.rows.get(id)
        if row is None or self._is_over(row):
            return []
        if row.forward in (None, ROTATED, EMPTIED):
            return [(id, row)]
        rest = self.path(row.forward)
        return [(id, row), *rest] if rest else []

    def find(self, id: str) -> tuple[str, Row] | None:
        """Return the session that a request in flight would meet, emptied or not, and where it is."""
        path = self.path(id)
        return path[-1] if path and path[-1][1].forward != ROTATED else None

    def load(self, id: str) -> Copy | None:
        path = self.path(id)
        if not path or path[-1][1].forward is not None or self._ends(path):
            return None
        return Copy.of(*path[-1])

    def was_rotated(self, id: str) -> bool:
        return self.rotated_at(id) is not None

    def rotated_at(self, id: str) -> float | None:
        path = self.path(id)
        ends = self._ends(path)
        if path and path[-1][1].forward == ROTATED:
            ends.append(path[-1][1].modified)
        return max(ends, default=None)

    def _ends(self, path: list[tuple[str, Row]]) -> list[float]:
        """Return when what renewals left on a way led new requests on for the last time, as far as that is past."""
        ended = []
        for (_, row), (_, following) in pairwise(path):
            until = row.modified + max(UNSEEN_SECONDS, row.grace)
            if following.seen is not None:
                until = min(until, max(following.seen, row.modified) + row.grace)
            if until <= self.clock():
                ended.append(until)
        return ended

    def note_arrival(self, copy: Copy) -> None:
        if copy.row.seen is None and (copy.is_changed or self._is_current(copy)):
            copy.seen = self.clock()
            if not copy.is_changed:
                self._write(copy, copy.id, copy.row.origin)

    def is_taken(self, id: str) -> bool:
        return id in self.rows and not self._is_over(self.rows[id])

    def live(self) -> dict[str, Row]:
        return {id: row for id, row in self.rows.items() if row.forward is None and not self._is_over(row)}

    def _is_over(self, row: Row) -> bool:
        return row.expires is not None and row.expires <= self.clock()

    # -- writing -----------------------------------------------------------------------------------------------------

    def create(self, id: str, state: State, expires: float | None, since: float | None = None) -> Copy:
        """A new session, over whatever is there. Over a live session it is one more change of that."""
        there = self.rows.get(id)
        origin = there.origin if there is not None and id in self.live() else next(self._numbers)
        now = self.clock()
        since = now if since is None else since
        self.rows[id] = Row(deepcopy(state), next(self._numbers), origin, since, since, now, expires, seen=since)
        return Copy.of(id, self.rows[id])

    def save(self, copy: Copy) -> None:
        if copy.is_changed:
            self._swap(copy)
        elif copy.accessed > copy.row.accessed:
            self._touch(copy)

    def _swap(self, copy: Copy) -> None:
        copy.accessed = max(copy.accessed, self.clock())
        if not self._is_current(copy):
            self._catch_up(copy)
        if copy.is_changed:
            copy.accessed = max(copy.accessed, self.clock())
            self._write(copy, copy.id, copy.row.origin)

    def _touch(self, copy: Copy) -> None:
        row = self.rows.get(copy.id)
        if row is None or row.version != copy.row.version:
            return  # who wrote it meanwhile used it later
        if copy.accessed >= row.accessed:
            row.accessed = copy.accessed
            if copy.expires not in (None, copy.row.expires):
                row.expires = copy.expires
        copy.row.accessed, copy.row.expires = copy.accessed, copy.expires

    def _is_current(self, copy: Copy) -> bool:
        row = self.rows.get(copy.id)
        return row is not None and row.version == copy.row.version

    def _catch_up(self, copy: Copy) -> None:
        found = self.find(copy.id)
        if found is None or self.rows[copy.id].origin != copy.row.origin:
            raise Gone
        copy.came_back = copy.came_back or found[1].forward == EMPTIED
        theirs = Copy.of(*found)
        copy.state = merge_states(copy.row.state, copy.state, theirs.state)
        copy.accessed = max(copy.accessed, theirs.accessed)
        if theirs.id != copy.id or theirs.seen is not None:
            copy.seen = theirs.seen  # of the id that it has now; or somebody else has come with it
        copy.id, copy.row = theirs.id, theirs.row

    def _write(self, copy: Copy, id: str, origin: int) -> None:
        version, created, state = next(self._numbers), copy.row.created, deepcopy(copy.state)
        row = Row(state, version, origin, created, copy.accessed, self.clock(), copy.expires, seen=copy.seen)
        self.rows[id], copy.row = row, deepcopy(row)

    def delete(self, id: str) -> None:
        row = self.rows.get(id)
        if row is not None and row.forward is None:
            del self.rows[id]  # also one that has expired, and that nobody has swept yet
        elif found := self.find(id):
            if found[1].forward == EMPTIED:  # it can't come back any more; what is left of it, the next sweep takes
                past = self.clock() - TOMBSTONE_SECONDS
                found[1].forward, found[1].version, found[1].expires = ROTATED, next(self._numbers), past
                found[1].accessed = found[1].modified = past - TOMBSTONE_SECONDS
            else:
                del self.rows[found[0]]

    def discard(self, copy: Copy) -> bool:
        if self._is_current(copy):
            self._write(copy, copy.id, copy.row.origin)
            row = self.rows[copy.id]
            row.forward, row.expires = EMPTIED, self.clock() + TOMBSTONE_SECONDS
            return True
        self._catch_up(copy)
        return False

    def move(self, copy: Copy, new_id: str, grace: float | None) -> bool:
        if new_id in self.rows:
            return False
        old_id, user, seen = copy.id, copy.row.state.user, copy.seen
        try:
            if not self._is_current(copy):
                self._catch_up(copy)
                if copy.came_back and copy.state.is_empty():
                    raise Gone  # there is nothing to move
            if grace is not None and copy.id != old_id:
                self.save(copy)  # another request renewed it first, and once is enough
                return True
        except Gone:
            # Another request logged in first; this login stands, too.
            if grace is not None or copy.state.user in (None, user) or not self._is_rotated(copy.id):
                raise
        else:
            now = self.clock()
            until = now + TOMBSTONE_SECONDS
            if grace is not None:
                until += max(UNSEEN_SECONDS, grace)
            forward, since = ROTATED if grace is None else new_id, now if seen is None else seen
            used = now + (grace or 0)  # as a sweep counts
            left = Row(State(), next(self._numbers), copy.row.origin, now, used, now, until, forward, since, grace or 0)
            self.rows[copy.id] = left
        copy.seen = None if grace is not None else self.clock()
        self._write(copy, new_id, next(self._numbers))
        copy.id = new_id
        return True

    def _is_rotated(self, id: str) -> bool:
        path = self.path(id)
        return bool(path) and path[-1][1].forward == ROTATED

    def sweep(self, unused_for: float | None) -> tuple[int, int]:
        due = [id for id, row in self.rows.items() if self._is_due(row, unused_for)]
        for id in due:
            del self.rows[id]
        return len(due), len(self.live())

    def _is_due(self, row: Row, unused_for: float | None) -> bool:
        if unused_for is None:
            return self._is_over(row)
        return max(row.accessed, row.modified) < self.clock() - unused_for
