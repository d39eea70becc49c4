"""Eight threads use one store object for everything at once."""

import random
from typing import Any

from session3.DictSession import DictSession
from session3.errors import SessionDeleted
from session3.ids import make_id

from .cases import Case, Figures, Kind
from .crews import errors_in, in_threads

SITUATION = "8 threads on one store object, 2,000 mixed operations"
CREW = 8


def applies(kind: Kind) -> bool:
    return True


def run(case: Case, long: bool) -> Figures:
    each = (2000 if long else 240) // CREW
    store = case.emptied()
    total, hung = in_threads(lambda number: _Thread(case, store, number).work(each), CREW)
    wrong, errors = divmod(total, 10_000)
    store.close()
    text = f"{wrong} wrong, {errors} errors, {hung} hung of {each * CREW}"
    return Figures(text, wrong == errors == hung == 0)


class _Thread:
    """One thread's sessions, and what it must find in them."""

    def __init__(self, case: Case, store: Any, number: int) -> None:
        self.store, self.number, self.random = store, number, random.Random(number)
        self.known: dict[str, int] = {}
        self.wrong = 0
        acts = [self.create, self.load, self.change, self.has]
        if case.kind.has_records:
            acts += [self.touch, self.delete, self.rotate, self.sweep]
        self.acts = acts

    def work(self, times: int) -> int:
        errors = errors_in(self.create)
        for _ in range(times):
            errors += errors_in(self.random.choice(self.acts))
        return self.wrong * 10_000 + errors

    def any_id(self) -> str:
        if not self.known:
            self.create()
        return self.random.choice(list(self.known))

    def loaded(self, id: str) -> Any:
        session = self.store.load_session(id)
        self.wrong += session is None or (session["owner"], session["n"]) != (self.number, self.known[id])
        return session

    def create(self) -> None:
        session = DictSession(make_id())
        session.update(owner=self.number, n=0, blob="x" * self.random.randrange(2000))
        self.store.save_session(session)
        self.known[str(session.id)] = 0

    def load(self) -> None:
        self.loaded(self.any_id())

    def change(self) -> None:
        id = self.any_id()
        session = self.loaded(id)
        session["n"] = n = self.known.pop(id) + 1
        self.store.save_session(session)
        self.known[str(session.id)] = n

    def has(self) -> None:
        self.wrong += not self.store.has_session(self.any_id())

    def touch(self) -> None:
        session = self.loaded(self.any_id())
        session._access_time += 1
        self.store.save_session(session)

    def delete(self) -> None:
        id = self.any_id()
        late = self.loaded(id)
        self.store.delete_session(id)
        del self.known[id]
        late["late"] = True
        try:
            self.store.save_session(late)
        except SessionDeleted:
            return
        self.wrong += 1

    def rotate(self) -> None:
        id = self.any_id()
        session = self.loaded(id)
        self.store.move_session(session, make_id())
        self.known[str(session.id)] = self.known.pop(id)
        self.wrong += self.store.has_session(id)

    def sweep(self) -> None:
        self.store.delete_expired_sessions()
