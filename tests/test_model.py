"""Random requests of two clients, on every store, against the model of what it promises (model.py).

A failure is told as a short story: the fewest steps that Hypothesis found to show it.
"""

import contextlib
import functools
import random
import time
from collections.abc import Callable, Iterator
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

from session3 import ids, open_store
from session3.DictSession import DictSession
from session3.errors import SessionDeleted

from .model import Copy, Gone, Model, State
from .sessions import Clock
from .stores.conftest import ServerClock

#: Time goes in steps of 40 seconds, and all that ends does so 20 seconds from any step: a server's own clock, which
#: goes on while an example runs, decides nothing.
STEPS = st.sampled_from([40, 40, 80, 160])
LIVES = st.sampled_from([None, 60, 140])
GRACES = st.sampled_from([20, 60])
SOON = 10.0

#: A store follows no more than these, one after the other.
MOST_FORWARDS = 7

_revisions = random.Random()
Act = TypeVar("Act", bound=Callable[..., Any])

CLIENTS = st.sampled_from([0, 1])
VALUES = st.integers(0, 2)
CHANGES = st.tuples(st.sampled_from(["set", "delete", "append", "note", "expire"]), st.sampled_from("abc"), VALUES)


class Noted(DictSession):
    """Has an attribute besides its items."""

    note = 0

    def __init__(self, id: str | None) -> None:
        super().__init__(id)
        self.note = 0

    @property
    def state(self) -> State:
        return State(self.user, self.note, self.data)


class Request:
    """A session that a client holds, and its copy in the model."""

    def __init__(self, client: Any, session: Noted, copy: Copy) -> None:
        self.client, self.session, self.copy = client, session, copy


def outcome(act: Callable[[], Any]) -> Any:
    try:
        return act()
    except (SessionDeleted, Gone):
        return "it was deleted meanwhile"


def about(seconds: float | None) -> Any:
    return None if seconds is None else pytest.approx(seconds, abs=SOON)


def step(**given: Any) -> Callable[[Act], Act]:
    """A rule after which the machine looks around; not an invariant, which would lengthen each story."""

    def decorate(act: Act) -> Act:
        @functools.wraps(act)
        def act_and_look(self: Any, *names: Any, **arguments: Any) -> Any:
            result = act(self, *names, **arguments)
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

    @step(target=names, value=VALUES, life=LIVES, is_checked=st.booleans())
    def create(self, value: int, life: float | None, is_checked: bool) -> str:
        name = self.new_name()
        assert self.store_new(name, value, life, is_checked)
        return name

    @step(name=names, value=VALUES, life=LIVES, is_checked=st.booleans())
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

    @step(target=requests, name=names)
    def load_for_both(self, name: str) -> Any:
        loaded = [self.load(client, name) for client in (0, 1)]
        return multiple(*(request for request in loaded if isinstance(request, Request)))

    @step(request=requests, change=CHANGES)
    def change(self, request: Request, change: tuple[str, str, int]) -> None:
        verb, key, value = change
        if verb == "expire":
            request.session._expires = request.copy.expires = self.clock() + 60 + 40 * value
        else:
            for state in (request.session, request.copy.state):
                getattr(self, f"_{verb}")(state, key, value)

    @step(request=requests, change=CHANGES)
    def change_and_save(self, request: Request, change: tuple[str, str, int]) -> None:
        self.change(request, change)
        self.save(request)

    def _set(self, state: Any, key: str, value: int) -> None:
        state.data[key] = value

    def _delete(self, state: Any, key: str, value: int) -> None:
        state.data.pop(key, None)

    def _append(self, state: Any, key: str, value: int) -> None:
        if not isinstance(state.data.get(key), list):
            state.data[key] = []
        state.data[key].append(value)

    def _note(self, state: Any, key: str, value: int) -> None:
        state.note = value

    @step(client=CLIENTS, name=names)
    def read(self, client: int, name: str) -> None:
        request = self.load(client, name)
        if isinstance(request, Request):
            self.save(request)

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

    @step(target=names, request=requests, user=st.sampled_from([None, "alice", "bob"]))
    def log_in(self, request: Request, user: str | None) -> Any:
        request.session.user = request.copy.state.user = user
        return self.move(request, None)

    @step(target=names, request=requests, grace=GRACES)
    def renew(self, request: Request, grace: float) -> Any:
        if sum(self.model.is_forward(name) for name in self.known) >= MOST_FORWARDS:
            return multiple()
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

    @step(client=CLIENTS, minutes=st.sampled_from([None, 1, 3]))
    def sweep(self, client: int, minutes: int | None) -> None:
        """Delete those that were not used for so many minutes, or with None those that have expired."""
        store = self.stores[client]
        swept = store.delete_expired_sessions() if minutes is None else store.delete_old_sessions(minutes)
        assert swept == self.model.sweep(None if minutes is None else minutes * 60)

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


# -- the stores ------------------------------------------------------------------------------------------------------

SECRET = "a key of at least sixteen characters"


class Bench:
    """Where a test gets its store from; what it opens is closed after the test."""

    def __init__(self, request: pytest.FixtureRequest, folder: Path, clock: ServerClock) -> None:
        self.fixture, self.folder, self.clock = request.getfixturevalue, folder, clock
        self.stack = contextlib.ExitStack()

    def open(self, url: str, **options: Any) -> Any:
        return self.stack.enter_context(open_store(url, clock=self.clock, **options))

    def age_table(self, store: Any, aged: str) -> None:
        """Let the times in a table go back as the clock advances, since its server has a clock of its own."""
        columns = ("created", "modified", "accessed", "expires")
        sql = ", ".join(f"{column} = {column} - {aged}" for column in columns)
        self.clock.age_records = lambda seconds: store._change(f"UPDATE {store._name} SET {sql}", (seconds,) * 4)


def memory(bench: Bench) -> list[Any]:
    one, other = bench.open("memory://"), bench.open("memory://")
    other._records = one._records
    return [one, other]


def on_files(kind: str, **options: Any) -> Callable[[Bench], list[Any]]:
    return lambda bench: [bench.open(f"{kind}://{bench.folder}/sessions", **options) for _ in range(2)]


def durus_file(bench: Bench) -> list[Any]:
    pytest.importorskip("durus", reason="needs Durus: pip install 'session3[durus]'")
    return [bench.open(f"durus://{bench.folder}/sessions")] * 2  # a file is for one at a time


def durus_server(bench: Bench) -> list[Any]:
    pytest.importorskip("durus", reason="needs Durus: pip install 'session3[durus]'")
    from .durus_server import DurusServer

    url = bench.stack.enter_context(DurusServer()).url
    return [bench.open(url), bench.open(url)]


def redis_server(bench: Bench) -> list[Any]:
    pytest.importorskip("redis", reason="needs redis-py: pip install 'session3[redis]'")
    from .redis_server import RedisServer

    # One, since two would measure two distances to the server's clock, some milliseconds apart.
    return [bench.open(bench.stack.enter_context(RedisServer()).url)] * 2


def postgresql(bench: Bench) -> list[Any]:
    pytest.importorskip("psycopg2", reason="needs psycopg2: pip install 'session3[postgres]'")
    return on_table(bench, f"{bench.fixture('postgres').url}?table=model", "%s * interval '1 second'")


def mysql(bench: Bench) -> list[Any]:
    pytest.importorskip("pymysql", reason="needs PyMySQL: pip install 'session3[mysql]'")
    return on_table(bench, f"{bench.fixture('mariadb').url}?table=model", "INTERVAL %s SECOND")


def on_table(bench: Bench, url: str, aged: str) -> list[Any]:
    stores = [bench.open(url) for _ in range(2)]
    stores[0].setup(overwrite=True)
    bench.stack.callback(stores[0]._change, "DROP TABLE model", ())
    bench.age_table(stores[0], aged)
    return stores


#: With how many examples: those that ask a server are slower.
STORES: dict[str, tuple[Callable[[Bench], list[Any]], int]] = {
    "memory": (memory, 500),
    "directory": (on_files("directory"), 100),
    "shelve": (on_files("shelve"), 100),
    "sqlite": (on_files("sqlite"), 100),
    "sqlite, signed, ids hashed": (on_files("sqlite", secret_key=SECRET, hash_ids=True), 100),
    "durus file": (durus_file, 100),
    "durus server": (durus_server, 25),
    "redis": (redis_server, 25),
    "postgresql": (postgresql, 25),
    "mysql": (mysql, 25),
}


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
        max_examples=examples, stateful_step_count=40, derandomize=True, database=None, deadline=None,
        report_multiple_bugs=False, suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(machine, settings=limits)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", STORES)
def test_a_store_does_what_the_model_does(bench: Bench, clock: ServerClock, name: str) -> None:
    open_both, examples = STORES[name]
    stores = open_both(bench)
    search(lambda: StoreMachine(stores, clock), examples)
