"""Random requests of two clients, on every store, against the model of what it promises (model.py).

A failure is told as a short story: the fewest steps that Hypothesis found to show it.
"""

import functools
import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    multiple,
    rule,
    run_state_machine_as_test,
)

from session3 import ids
from session3.cookies import REVOKE, CookieChange
from session3.DictSession import DictSession
from session3.errors import SessionDeleted
from session3.SessionManager import SessionManager
from session3.Visit import Visit

from .benches import STORES, Bench
from .model import Copy, Gone, Model, State
from .policy import ABSOLUTE, IDLE, Page, Policy
from .sessions import Clock
from .stores.conftest import ServerClock

#: Time goes in steps of 40 seconds, and all that ends does so 10 seconds or more from any step: a server's own clock,
#: which goes on while an example runs, decides nothing.
STEPS = st.sampled_from([40, 40, 80, 160])
PAUSES = st.sampled_from([0, 40, 80])
LIVES = st.sampled_from([None, 60, 140])
GRACES = st.sampled_from([30, 70])
SOON = 10.0

_revisions = random.Random()
Act = TypeVar("Act", bound=Callable[..., Any])

BOTH = st.booleans()
CLIENTS = st.sampled_from([0, 1])
VALUES = st.integers(0, 2)
USERS = st.sampled_from([None, "alice", "bob"])


class Noted(DictSession):
    """Has an attribute besides its items."""

    note = 0

    def __init__(self, id: str | None) -> None:
        super().__init__(id)
        self.note = 0

    @property
    def state(self) -> State:
        return State(self.user, self.note, self.data)


@dataclass(frozen=True)
class Change:
    """Something that an application does to a session, or the model to a state."""

    verb: str
    key: str
    value: int

    def apply(self, state: Any) -> None:
        if self.verb == "note":
            state.note = self.value
        elif self.verb == "set":
            state.data[self.key] = self.value
        elif self.verb == "delete":
            state.data.pop(self.key, None)
        elif not isinstance(state.data.get(self.key), list):
            state.data[self.key] = [self.value]
        else:
            state.data[self.key].append(self.value)


CHANGES = st.builds(Change, st.sampled_from(["set", "delete", "append", "note"]), st.sampled_from("abc"), VALUES)
End = Change | str
ENDS = st.one_of(CHANGES, st.just("read"), st.sampled_from(["log in", "renew", "log out", "discard"]))
VISITS = st.one_of(CHANGES, st.just("read"), st.sampled_from(["log in", "renew", "log out", "empty"]))


class Request:
    """A session that a client holds, and its copy in the model."""

    def __init__(self, client: Any, session: Noted, copy: Copy) -> None:
        self.client, self.session, self.copy = client, session, copy


def outcome(act: Callable[[], Any]) -> Any:
    try:
        return act()
    except (SessionDeleted, Gone):
        return "it was deleted meanwhile"


def swept(store: Any, minutes: int | None) -> tuple[int, int]:
    """Sweep sessions that were not used for so many minutes, or with None those that have expired."""
    deleted: tuple[int, int]
    deleted = store.delete_expired_sessions() if minutes is None else store.delete_old_sessions(minutes)
    return deleted


def about(seconds: float | None) -> Any:
    return None if seconds is None else pytest.approx(seconds, abs=SOON)


def step(**given: Any) -> Callable[[Act], Act]:
    """A rule after which the machine looks around; not an invariant, which would lengthen each story."""

    def decorate(act: Act) -> Act:
        @functools.wraps(act)
        def act_and_look(self: Any, *names: Any, **arguments: Any) -> Any:
            self.depth += 1
            result = act(self, *names, **arguments)
            self.depth -= 1
            if self.depth == 0:  # a step that consists of others looks around once
                self.look()
            return result

        ruled: Act = rule(**given)(act_and_look)  # type: ignore[no-untyped-call]
        return ruled

    return decorate


class StoreMachine(RuleBasedStateMachine):
    """Two clients, each with its own store object where there can be two, and requests that end later or never."""

    names = Bundle("names")
    requests = Bundle("requests")

    def __init__(self, stores: list[Any], clock: Clock) -> None:
        super().__init__()
        self.depth = 0
        self.stores, self.clock, self.model = stores, clock, Model(clock)
        self.known: list[str] = []
        _revisions.seed(1)
        stores[0].clear()

    def new_name(self) -> str:
        self.known.append(f"id{len(self.known) + 1}")
        return self.known[-1]

    # -- new sessions ------------------------------------------------------------------------------------------------

    def new_session(self, id: str, value: int, life: float | None) -> Noted:
        session = Noted(id)
        session._clock = self.clock
        session._creation_time = session._access_time = self.clock()
        session["a"] = value
        session._expires = None if life is None else self.clock() + life
        return session

    def store_new(self, name: str, value: int, life: float | None, is_checked: bool) -> bool:
        session = self.new_session(name, value, life)
        is_stored = not (is_checked and self.model.is_taken(name))
        if is_checked:
            assert self.stores[0].create_session(session) is is_stored
        else:
            self.stores[0].save_session(session)
        if is_stored:
            self.model.create(name, session.state, session._expires)
        return is_stored

    @initialize(target=names, value=VALUES, life=LIVES)
    def start(self, value: int, life: float | None) -> str:
        return self.create(value, life, True)

    @step(target=names, value=VALUES, life=LIVES, is_checked=BOTH)
    def create(self, value: int, life: float | None, is_checked: bool) -> str:
        name = self.new_name()
        assert self.store_new(name, value, life, is_checked)
        return name

    @step(name=names, value=VALUES, life=LIVES, is_checked=BOTH)
    def create_under_an_old_name(self, name: str, value: int, life: float | None, is_checked: bool) -> None:
        self.store_new(name, value, life, is_checked)

    # -- requests ----------------------------------------------------------------------------------------------------

    @step(target=requests, client=CLIENTS, name=names)
    def load(self, client: int, name: str) -> Any:
        session, copy = self.stores[client].load_session(name), self.model.load(name)
        assert (session is None) == (copy is None)
        if copy is None:
            return multiple()
        request = Request(self.stores[client], session, copy)
        self.agree(request)
        self.use(request)
        return request

    def use(self, request: Request) -> None:
        """What the manager does as a request begins, and where a session has an expiry that an idle timeout gave it."""
        session, copy = request.session, request.copy
        session._set_access_time(SOON)
        if self.clock() - copy.accessed > SOON:
            copy.accessed = self.clock()
            if copy.expires is not None:
                session._expires = copy.expires = self.clock() + 140

    @step(request=requests, change=CHANGES)
    def change(self, request: Request, change: Change) -> None:
        change.apply(request.session)
        change.apply(request.copy.state)

    @step(request=requests, change=CHANGES)
    def change_and_save(self, request: Request, change: Change) -> None:
        self.change(request, change)
        self.save(request)

    @step(request=requests, life=LIVES)
    def set_expiry(self, request: Request, life: float | None) -> None:
        request.session._expires = request.copy.expires = None if life is None else self.clock() + life

    @step(after=PAUSES, client=CLIENTS, name=names)
    def read(self, after: int, client: int, name: str) -> None:
        self.advance(after)
        request = self.load(client, name)
        if isinstance(request, Request):
            self.save(request)

    @step(target=names, name=names, pauses=st.tuples(PAUSES, PAUSES), ends=st.tuples(ENDS, ENDS), is_crossed=BOTH)
    def overlap(self, name: str, pauses: tuple[int, int], ends: tuple[End, End], is_crossed: bool) -> Any:
        """Two requests at once, after a pause, and one between them; crossed, the one that began first ends last."""
        before, between = pauses
        self.advance(before)
        requests = [self.load(0, name)]
        self.advance(between)
        requests.append(self.load(1, name))
        found = [request for request in requests if isinstance(request, Request)]
        if is_crossed:
            found.reverse()
        new_names = [self.end(request, how) for request, how in zip(found, ends, strict=False)]
        return multiple(*(name for name in new_names if isinstance(name, str)))

    def end(self, request: Request, how: End) -> Any:
        if isinstance(how, Change):
            return self.change_and_save(request, how)
        if how == "log in":
            return self.log_in(request, "alice")
        if how == "renew":
            return self.renew(request, 30)
        return {"read": self.save, "log out": self.log_out, "discard": self.discard}[how](request)

    @step(request=requests)
    def save(self, request: Request) -> None:
        session, copy = request.session, request.copy
        assert session.is_dirty() == copy.is_changed
        assert outcome(lambda: request.client.save_session(session)) == outcome(lambda: self.model.save(copy))
        self.agree(request)

    @step(target=requests, request=consumes(requests))
    def discard(self, request: Request) -> Any:
        discarded = outcome(lambda: request.client.discard_session(request.session))
        assert discarded == outcome(lambda: self.model.discard(request.copy))
        self.agree(request)
        return multiple() if discarded is True else request

    # -- the end of sessions -----------------------------------------------------------------------------------------

    @step(request=consumes(requests))
    def log_out(self, request: Request) -> None:
        request.client.delete_session(request.session)
        self.model.delete(request.copy.id)

    @step(client=CLIENTS, name=names)
    def delete(self, client: int, name: str) -> None:
        self.stores[client].delete_session(name)
        self.model.delete(name)

    @step(target=names, request=requests, user=USERS)
    def log_in(self, request: Request, user: str | None) -> Any:
        request.session.user = request.copy.state.user = user
        return self.move(request, None)

    @step(target=names, request=requests, grace=GRACES)
    def renew(self, request: Request, grace: float) -> Any:
        return self.move(request, grace)

    def move(self, request: Request, grace: float | None) -> Any:
        new = self.new_name()
        moved = outcome(lambda: request.client.move_session(request.session, new, grace))
        assert moved == outcome(lambda: self.model.move(request.copy, new, grace))
        self.agree(request)
        return new if moved is True else multiple()

    @step(request=requests, name=names)
    def move_to_a_name_that_is_taken(self, request: Request, name: str) -> None:
        if name in self.model.rows:
            assert not request.client.move_session(request.session, name)
            self.agree(request)

    # -- time --------------------------------------------------------------------------------------------------------

    @step(seconds=STEPS)
    def advance(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @step(after=PAUSES, client=CLIENTS, minutes=st.sampled_from([None, 1, 3]))
    def sweep(self, after: int, client: int, minutes: int | None) -> None:
        self.advance(after)
        assert swept(self.stores[client], minutes) == self.model.sweep(minutes and minutes * 60)

    # -- what holds at any time --------------------------------------------------------------------------------------

    def agree(self, request: Request) -> None:
        """The request's session is as the model has it."""
        session, copy = request.session, request.copy
        assert (session.id, session.state) == (copy.id, copy.state)
        assert session._access_time == about(copy.accessed)
        assert session._expires == about(copy.expires)

    def look(self) -> None:
        """Each name leads where it should."""
        for number, name in enumerate(self.known):
            store = self.stores[number % 2]
            session, copy = store.load_session(name), self.model.load(name)
            assert (session is None) == (copy is None)
            assert store.has_session(name) == (copy is not None)
            assert store.was_rotated(name) == self.model.was_rotated(name)
            if copy is not None:
                self.agree(Request(store, session, copy))

    def teardown(self) -> None:
        for store in self.stores:
            live = self.model.live()
            stored = {str(ids.hash_id(id)) if store.hash_ids else id: row.state for id, row in live.items()}
            assert {str(key): session.state for key, session in store.iter_sessions()} == stored


# -- browsers --------------------------------------------------------------------------------------------------------


class Numbered(SessionManager):
    """Gives the id that the machine says."""

    new_id = ""

    def _make_session_id(self) -> str:
        return self.new_id


class Tab:
    """A request of a browser: a visit of the manager, and its page in the model."""

    def __init__(self, browser: int, visit: Visit, page: Page) -> None:
        self.browser, self.visit, self.page = browser, visit, page


class BrowserMachine(RuleBasedStateMachine):
    """Two browsers with a cookie jar each, at a site of two processes, and requests that end later or never."""

    tabs = Bundle("tabs")

    def __init__(self, stores: list[Any], clock: Clock) -> None:
        super().__init__()
        self.depth = 0
        self.managers = [Numbered(store, Noted, idle_timeout=IDLE, absolute_timeout=ABSOLUTE) for store in stores]
        self.clock, self.policy = clock, Policy(Model(clock))
        self.jars: list[CookieChange] = [REVOKE, REVOKE]
        self.before = [REVOKE, REVOKE]
        self.drop_at = [0.0, 0.0]
        self.known: list[str] = []
        _revisions.seed(1)
        stores[0].clear()

    # -- requests ----------------------------------------------------------------------------------------------------

    @step(target=tabs, browser=CLIENTS)
    def begin(self, browser: int) -> Tab:
        is_dropped = self.clock() >= self.drop_at[browser]
        return self.begin_with(browser, None if is_dropped else self.jars[browser].value)

    @step(target=tabs, browser=CLIENTS)
    def begin_before_the_last_cookie_came(self, browser: int) -> Tab:
        return self.begin_with(browser, self.before[browser].value)

    def begin_with(self, browser: int, cookie: str | None) -> Tab:
        tab = Tab(browser, self.managers[browser].begin(cookie), self.policy.begin(cookie))
        self.agree(tab)
        return tab

    @step(tab=tabs, change=CHANGES)
    def change(self, tab: Tab, change: Change) -> None:
        for state in (tab.visit.session, tab.page.state):
            if state is not None:
                change.apply(state)

    @step(tab=tabs, user=USERS)
    def log_in(self, tab: Tab, user: str | None) -> None:
        for state in (tab.visit.session, tab.page.state):
            if state is not None:
                state.user = user

    @step(tab=tabs)
    def log_out(self, tab: Tab) -> None:
        tab.visit.end_session()
        tab.page.log_out()

    @step(tab=tabs)
    def start_afresh(self, tab: Tab) -> None:
        self.log_out(tab)
        manager = self.managers[tab.browser]
        tab.visit.session = manager.new_session(None)
        manager._introduce(tab.visit.session, tab.visit)
        tab.page.fresh, tab.page.since = State(), self.clock()

    @step(tab=tabs, grace=GRACES)
    def renew(self, tab: Tab, grace: float) -> None:
        tab.visit.cycle_session(grace)
        tab.page.grace = grace

    @step(tab=consumes(tabs))
    def finish(self, tab: Tab) -> None:
        self.known.append(f"cookie{len(self.known) + 1:03}")
        manager = self.managers[tab.browser]
        manager.new_id = self.policy.new_id = self.known[-1]
        self.agree(tab)
        change = manager.finish(tab.visit)
        expected = self.policy.finish(tab.page)
        assert (change and change.value) == (expected and expected.value)
        if change is not None:
            assert expected is not None and change.max_age == about(expected.max_age)
            self.before[tab.browser], self.jars[tab.browser] = self.jars[tab.browser], change
            self.drop_at[tab.browser] = self.clock() + (change.max_age or 0)

    @step(tab=consumes(tabs))
    def fail(self, tab: Tab) -> None:
        self.managers[tab.browser].abort(tab.visit)

    @step(after=PAUSES, browser=CLIENTS)
    def read(self, after: int, browser: int) -> None:
        self.advance(after)
        self.finish(self.begin(browser))

    @step(browser=CLIENTS, change=CHANGES)
    def write(self, browser: int, change: Change) -> None:
        tab = self.begin(browser)
        self.change(tab, change)
        self.finish(tab)

    @step(browser=CLIENTS, user=USERS)
    def log_in_at_once(self, browser: int, user: str | None) -> None:
        tab = self.begin(browser)
        self.log_in(tab, user)
        self.finish(tab)

    @step(browser=CLIENTS, grace=GRACES)
    def renew_at_once(self, browser: int, grace: float) -> None:
        tab = self.begin(browser)
        self.renew(tab, grace)
        self.finish(tab)

    @step(browser=CLIENTS, pause=PAUSES, ends=st.tuples(VISITS, VISITS))
    def overlap(self, browser: int, pause: int, ends: tuple[End, End]) -> None:
        """Two requests of one page, after a pause."""
        self.advance(pause)
        tabs = [self.begin(browser) for _ in ends]
        for tab, how in zip(tabs, ends, strict=True):
            self.act(tab, how)
            self.finish(tab)

    def act(self, tab: Tab, how: End) -> None:
        if isinstance(how, Change):
            self.change(tab, how)
        elif how == "log in":
            self.log_in(tab, "alice")
        elif how == "renew":
            self.renew(tab, 30)
        elif how == "log out":
            self.log_out(tab)
        elif how == "empty":
            states: list[Any] = [tab.visit.session, tab.page.state]
            for state in (state for state in states if state is not None):
                state.user, state.note, state.data = None, 0, {}

    # -- cookies -----------------------------------------------------------------------------------------------------

    @step(browser=CLIENTS)
    def plant_the_cookie_of_the_other(self, browser: int) -> None:
        self.jars[browser], self.drop_at[browser] = self.jars[1 - browser], math.inf

    @step(browser=CLIENTS, cookie=st.sampled_from(["made-up-by-somebody", "../cookie001", "cookie999", "*del*"]))
    def make_up_a_cookie(self, browser: int, cookie: str) -> None:
        self.jars[browser], self.drop_at[browser] = CookieChange(cookie), math.inf

    # -- time --------------------------------------------------------------------------------------------------------

    @step(seconds=STEPS)
    def advance(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @step(after=PAUSES, minutes=st.sampled_from([None, 1, 3]))
    def sweep(self, after: int, minutes: int | None) -> None:
        self.advance(after)
        assert swept(self.managers[0].store, minutes) == self.policy.model.sweep(minutes and minutes * 60)

    # -- what holds at any time --------------------------------------------------------------------------------------

    def agree(self, tab: Tab) -> None:
        session: Any = tab.visit.session
        assert (None if session is None else session.state) == tab.page.state

    def look(self) -> None:
        """Each cookie that was ever issued, or planted, lets in whom it should."""
        cookies = {*self.known, *(jar.value for jar in self.jars if jar.value is not None)}
        for number, cookie in enumerate(sorted(cookies)):
            manager = self.managers[number % 2]
            tab = Tab(0, manager.begin(cookie), self.policy.begin(cookie))
            self.agree(tab)
            manager.abort(tab.visit)

    def teardown(self) -> None:
        stored = [session.state for _, session in self.managers[0].store.iter_sessions()]
        live = [row.state for row in self.policy.model.live().values()]
        assert sorted(map(repr, stored)) == sorted(map(repr, live))


# -- the searches ----------------------------------------------------------------------------------------------------


#: On which stores browsers are let in, and with how many examples: what the manager asks of them is the same.
BROWSED = {"memory": 300, "sqlite, signed, ids hashed": 40, "redis": 15, "postgresql": 15}


@pytest.fixture
def clock() -> ServerClock:
    clock = ServerClock(float(int(time.time())))
    clock.age_records = lambda seconds: None
    return clock


@pytest.fixture(autouse=True)
def the_same_revisions_in_each_run(monkeypatch: pytest.MonkeyPatch) -> None:
    # One that starts at random follows an old one once in 30,000 times.
    monkeypatch.setattr("secrets.randbits", _revisions.getrandbits)


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path, clock: ServerClock) -> Iterator[Bench]:
    bench = Bench(request, tmp_path, clock)
    with bench.stack:
        yield bench


def search(machine: Callable[[], RuleBasedStateMachine], examples: int) -> None:
    """Look for a story that the machine can't explain; the same ones in each run."""
    limits = settings(
        max_examples=examples, stateful_step_count=30, derandomize=True, database=None, deadline=None,
        report_multiple_bugs=False, suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(machine, settings=limits)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", STORES)
def test_a_store_does_what_the_model_does(bench: Bench, clock: ServerClock, name: str) -> None:
    open_both, examples = STORES[name]
    stores = open_both(bench)
    search(lambda: StoreMachine(stores, clock), examples)


@pytest.mark.parametrize(("name", "examples"), BROWSED.items())
def test_a_manager_does_what_its_policy_says(bench: Bench, clock: ServerClock, name: str, examples: int) -> None:
    stores = STORES[name][0](bench)
    search(lambda: BrowserMachine(stores, clock), examples)
