"""A signal's exception at any moment of a move, an emptying, a logout, a save that merges, beside what others did.

After it the id that the browser has leads to the session as it was, or as it was to be, with what others changed; no
session is under an id that nobody has; and a logout is final.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from session3 import open_store
from session3.DictSession import DictSession
from session3.ids import make_id

from .interruptions import Interruption, interrupt, quiet

_POINTS = 60  # of each call, about


def _login(store: Any, session: Any, new: str) -> None:
    session.user = "bob"
    store.move_session(session, new)


def _renew(store: Any, session: Any, new: str) -> None:
    session["mine"] = 1
    store.move_session(session, new, 10)


def _empty(store: Any, session: Any, new: str) -> None:
    session.user = None
    session.data.clear()
    store.discard_session(session)


def _save(store: Any, session: Any, new: str) -> None:
    session["mine"] = 1
    store.save_session(session)


def _arrive(store: Any, session: Any, new: str) -> None:
    store.note_arrival(session)


def _log_out(store: Any, session: Any, new: str) -> None:
    store.delete_session(session)


def _write(store: Any, session: Any, new: str) -> None:
    session["other"] = 1
    store.save_session(session)


def _nothing(store: Any, session: Any, new: str) -> None:
    pass


Act = Callable[[Any, Any, str], None]
ACTS = [_login, _renew, _empty, _save, _arrive, _log_out]
#: What another request did since the session was loaded.
BESIDE = [_nothing, _write, _renew, _empty]


@pytest.fixture(params=["memory", "directory", "sqlite"])
def store(request: Any, tmp_path: Path) -> Iterator[Any]:
    url = "memory://" if request.param == "memory" else f"{request.param}://{tmp_path}/sessions"
    with open_store(url) as opened:
        yield opened


class Told:
    """A call that is interrupted at one point after the other."""

    def __init__(self, store: Any, act: Act, beside: Act) -> None:
        self.store, self.act, self.beside = store, act, beside

    def at(self, number: int) -> Interruption | None:
        """Interrupt the call at this bytecode, and look what it left; None if it has not so many."""
        self.store.clear()
        session: Any = DictSession(make_id())
        session.user, session["n"] = "alice", 1
        self.store.save_session(session)
        if self.act is _arrive:
            self.store.move_session(session, make_id(), 10)
        session, other = (self.store.load_session(session.id) for _ in range(2))
        self.id = session.id
        self.beside(self.store, other, make_id())
        new = make_id()
        interruption = interrupt(lambda: self.act(self.store, session, new), number)
        # After the last step of a login its caller has only not been told, as where an answer is lost.
        if interruption is not None and not (self.act is _login and session.id == new):
            try:
                self.look(self.store.load_session(self.id))
            except AssertionError as error:
                raise AssertionError(f"after an exception at {interruption.place}: {error}") from error
        return interruption

    def look(self, found: Any) -> None:
        live = [session for _, session in self.store.iter_sessions()]
        assert len(live) == (found is not None), "there is a session that the browser's id does not lead to"
        if found is None:
            assert self.act in (_empty, _log_out) or self.beside is _empty
            return
        if self.beside is _write:
            assert found["other"] == 1
        if self.beside is not _empty:
            assert found.user == "alice" and found["n"] == 1
        found["next"] = 1
        self.store.save_session(found)
        assert self.store.load_session(self.id)["next"] == 1
        self.store.delete_session(self.id)
        assert list(self.store.iter_sessions()) == []


@pytest.mark.parametrize("beside", BESIDE)
@pytest.mark.parametrize("act", ACTS)
def test_what_is_interrupted_leaves_the_session_where_the_browser_finds_it(store: Any, act: Act, beside: Act) -> None:
    told = Told(store, act, beside)
    with quiet():
        number, high = 1, 1
        while told.at(high) is not None:
            high *= 2
        while told.at(number) is not None:
            number += high // _POINTS + 1
    assert number > 1
