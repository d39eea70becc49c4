"""Who a session's user is: told from others by class and id, in every process, whatever his class's code does."""

import dataclasses
import decimal
import enum
import io
import os
import subprocess
import sys
import uuid
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session3.DictSession import DictSession
from session3.record import user_key_text
from session3.Session import Session
from session3.SessionManager import SessionManager
from session3.store.DirectorySessionStore import DirectorySessionStore
from session3.store.SessionStore import SessionStore
from session3.store.SQLiteSessionStore import SQLiteSessionStore
from session3.store.VolatileSessionStore import VolatileSessionStore


class Person:
    def __init__(self, id: Any) -> None:
        self.id = id


class Customer(Person):
    pass


class Admin(Person):
    pass


class Number(int):
    pass


class OtherNumber(int):
    pass


class Name(str):
    def __eq__(self, other: object) -> bool:
        raise ZeroDivisionError

    __hash__ = str.__hash__

    def __repr__(self) -> str:
        raise ZeroDivisionError

    __str__ = __repr__


class Role(enum.Enum):
    GUEST = 1
    ADMIN = 2


class Level(enum.IntEnum):
    GUEST = 1


@dataclasses.dataclass
class Member:
    name: str
    groups: frozenset[str]


Point = namedtuple("Point", "x y")


class Detached:
    """An ORM's object: its id can be read while its database session is open."""

    is_open = True

    def __init__(self, number: int) -> None:
        self.number = number
        self.loaded: list[str] = []

    @property
    def id(self) -> int:
        if not Detached.is_open:
            raise LookupError("is not bound to a Session")
        return self.number


def raising(name: str, error: type[BaseException] = ZeroDivisionError) -> Any:
    """Return a user whose class raises where `name` is asked for."""

    def fail(*args: Any) -> Any:
        raise error

    kind: Any = property(fail) if name in ("id", "__class__", "__dict__") else fail
    made = type("Raising", (), {name: kind})()
    return made


FAILING = [
    "id",
    "__class__",
    "__reduce__",
    "__reduce_ex__",
    "__getstate__",
    "__eq__",
    "__hash__",
    "__bool__",
    "__len__",
]
FAILING += ["__str__", "__repr__", "__getattr__", "__getattribute__", "__dict__", "__format__"]


def key_of(user: Any) -> Any:
    session = Session(None)
    session.set_user(user)
    return session.get_user_key()


def all_different(users: list[Any]) -> bool:
    keys = [key_of(user) for user in users]
    texts = [user_key_text(key) for key in keys]
    return all(a != b for i, a in enumerate(keys) for b in keys[:i]) and len(set(texts)) == len(texts)


def test_what_python_calls_equal_are_different_users() -> None:
    """And no name is another user's key."""
    groups: list[list[Any]] = [
        [1, True, 1.0, decimal.Decimal(1), Number(1), OtherNumber(1), Level.GUEST, Role.GUEST, b"1", (1,), Person(1)],
        [Customer(1), Admin(1), Customer("1"), Customer(True), Customer(b"1"), Customer((1,)), Customer(Role.GUEST)],
        ["alice", b"alice", Name("alice"), Person("alice"), ("alice",), {"alice"}, ["alice"], {"alice": 1}],
        [uuid.UUID(int=1), str(uuid.UUID(int=1)), Person(uuid.UUID(int=1)), Person(str(uuid.UUID(int=1)))],
        [Point(1, 2), (1, 2), [1, 2]],
        [
            10**400,
            10**401,
            "x" * 500,
            "y" * 500,
            "sha256:" + "0" * 64,
            Person("x" * 500),
            Person("y" * 500),
            Person(10**5000),
        ],
    ]
    for users in groups:
        assert all_different(users), users
    for user in (Customer(1), Name("alice"), (1,), b"1", uuid.UUID(int=1), {"a": 1}, 10**400, "x" * 500, True):
        as_text = user_key_text(key_of(user))
        assert user_key_text(key_of(as_text)) != as_text


@pytest.mark.parametrize(
    ("user", "text"),
    [
        ("alice", "alice"),
        ("Žofia", "Žofia"),
        ("", ""),
        (7, "7"),
        (0, "0"),
        (-3, "-3"),
        (Customer(7), f"{__name__}.Customer(7)"),
        (Customer("c7"), f"{__name__}.Customer('c7')"),
        (Customer(uuid.UUID(int=7)), f"{__name__}.Customer(UUID('{uuid.UUID(int=7)}'))"),
        (uuid.UUID(int=7), f"UUID('{uuid.UUID(int=7)}')"),
        (Customer(("de", 7)), f"{__name__}.Customer(tuple('de', 7))"),
        (Customer(decimal.Decimal("7.0")), f"{__name__}.Customer(Decimal('7.0'))"),
        (Level.GUEST, f"{__name__}.Level(1)"),
    ],
)
def test_people_can_read_the_key_that_a_record_keeps(user: Any, text: str) -> None:
    assert user_key_text(key_of(user)) == text


def test_an_id_that_is_none_or_a_method_tells_nothing() -> None:
    """An object that was never stored, and an API of getters."""

    class Getter:
        def __init__(self, name: str) -> None:
            self.name = name

        def id(self) -> str:
            return self.name

    unsaved, other = Customer(None), Customer(None)
    other.name = "bob"  # type: ignore[attr-defined]
    assert key_of(unsaved) != key_of(other)
    assert key_of(Getter("alice")) == key_of(Getter("alice")) != key_of(Getter("bob"))


@pytest.mark.parametrize("error", [ZeroDivisionError, AttributeError, LookupError, RecursionError, MemoryError])
@pytest.mark.parametrize("name", FAILING)
def test_no_code_of_a_users_class_fails_a_request(name: str, error: type[BaseException]) -> None:
    session = DictSession(None)
    user = raising(name, error)
    session.set_user(user)
    assert session.has_info()
    assert session.get_user_key() is not None and session.get_user_key() == session.get_user_key()
    assert user_key_text(session.get_user_key())
    assert "user" in str(session) and session
    session.dump(io.StringIO())
    session.set_user("alice")
    session.set_user(None)
    assert not session.has_info()


def test_what_a_signal_raises_goes_through() -> None:
    with pytest.raises(KeyboardInterrupt):
        key_of(raising("id", KeyboardInterrupt))


@pytest.fixture(params=["memory", "files", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SessionStore]:
    made: dict[str, Callable[[], SessionStore]] = {
        "memory": VolatileSessionStore,
        "files": lambda: DirectorySessionStore(str(tmp_path / "sessions"), create=True),
        "sqlite": lambda: SQLiteSessionStore(str(tmp_path / "sessions.db")),
    }
    with made[request.param]() as store:
        yield store


def logged_in(manager: SessionManager, user: Any) -> str:
    visit = manager.begin(None)
    assert visit.session is not None
    visit.session.set_user(user)
    change = manager.finish(visit)
    assert change is not None and change.value is not None
    return change.value


def with_request(manager: SessionManager, cookie: str, work: Callable[[Any], object]) -> str:
    """Do something in a request, and return the cookie that the browser has afterwards."""
    visit = manager.begin(cookie)
    assert visit.session is not None and visit.loaded is visit.session
    work(visit.session)
    change = manager.finish(visit)
    return cookie if change is None or change.value is None else change.value


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Customer(1), Admin(1)),
        (Customer("1"), Admin("1")),
        (1, "1"),
        (1, True),
        (0, False),
        (Number(1), OtherNumber(1)),
        ("alice", Name("alice")),
        ("x)", Customer("x")),
        (Role.GUEST, Role.ADMIN),
        (Customer(uuid.UUID(int=1)), Customer(uuid.UUID(int=2))),
        (0, ""),
    ],
)
def test_a_login_as_another_kind_of_user_gets_another_id_and_other_tokens(
    store: SessionStore, before: Any, after: Any
) -> None:
    manager = SessionManager(store, DictSession)
    stolen = logged_in(manager, before)
    tokens: list[str] = []
    with_request(manager, stolen, lambda s: tokens.extend([s.get_csrf_token(), s.create_form_token()]))
    new = with_request(manager, stolen, lambda s: s.set_user(after))
    assert new != stolen
    assert manager.begin(stolen).loaded is None
    session = manager.begin(new).session
    assert session is not None and session.get_csrf_token() != tokens[0] and not session.has_form_token(tokens[1])


@pytest.mark.parametrize(
    "make", [lambda: Customer(uuid.UUID(int=1)), lambda: Member("a", frozenset("abcdefgh")), lambda: Level.GUEST]
)
def test_the_same_user_set_again_is_the_same(store: SessionStore, make: Callable[[], Any]) -> None:
    manager = SessionManager(store, DictSession)
    cookie = logged_in(manager, make())
    token: list[str] = []
    assert with_request(manager, cookie, lambda s: token.append(s.get_csrf_token())) == cookie
    assert with_request(manager, cookie, lambda s: s.set_user(make())) == cookie
    assert with_request(manager, cookie, lambda s: setattr(s, "user", make())) == cookie
    session = manager.begin(cookie).session
    assert session is not None and session.get_csrf_token() == token[0]


@pytest.mark.parametrize("user", [0, "", False, 0.0, ()])
def test_a_false_user_can_log_in_and_out(store: SessionStore, user: Any) -> None:
    manager = SessionManager(store, DictSession)
    cookie = logged_in(manager, user)
    assert manager.begin(cookie).session.user == user  # type: ignore[union-attr]
    visit = manager.begin(cookie)
    visit.session.set_user(None)  # type: ignore[union-attr]
    manager.finish(visit)
    assert manager.begin(cookie).loaded is None


@pytest.fixture
def detached() -> Any:
    Detached.is_open = True
    yield Detached
    Detached.is_open = True


@pytest.mark.parametrize("at_load", [True, False])
@pytest.mark.parametrize("at_end", [True, False])
def test_a_user_whose_id_can_not_be_read_now_and_then_stays_who_he_is(
    store: SessionStore, detached: Any, at_load: bool, at_end: bool
) -> None:
    manager = SessionManager(store, DictSession)
    cookie = logged_in(manager, Detached(7))

    def work(session: Any) -> None:
        Detached.is_open = at_end
        session["page"] = session.get("page", 0) + 1
        session.user.loaded.append("name")  # as a lazy attribute is loaded
        session.set_user(session.user)

    for page in (1, 2, 3):
        Detached.is_open = at_load
        assert with_request(manager, cookie, work) == cookie
        session: Any = manager.begin(cookie).session
        assert session["page"] == page
    visit = manager.begin(cookie)
    visit.end_session()
    manager.finish(visit)
    assert manager.begin(cookie).loaded is None


def test_an_id_that_can_not_be_read_hides_no_login(store: SessionStore, detached: Any) -> None:
    manager = SessionManager(store, DictSession)
    cookie = logged_in(manager, Detached(7))
    Detached.is_open = False
    assert with_request(manager, cookie, lambda s: s.set_user(Detached(8))) != cookie


def test_a_user_who_is_read_anew_is_who_was_stored_though_the_stored_id_can_not_be_read(
    store: SessionStore, detached: Any
) -> None:
    def read_anew(number: int) -> Any:
        def work(session: Any) -> None:
            Detached.is_open = True  # from here on, as a database session is open in the page
            session.set_user(Detached(number))
            Detached.is_open = False

        return work

    manager = SessionManager(store, DictSession)
    cookie = logged_in(manager, Detached(7))
    for _ in range(3):
        Detached.is_open = False
        assert with_request(manager, cookie, read_anew(7)) == cookie
    assert with_request(manager, cookie, read_anew(8)) != cookie


def test_a_merge_keeps_the_tokens_of_a_user_whose_id_can_not_be_read(store: SessionStore, detached: Any) -> None:
    manager = SessionManager(store, DictSession)
    cookie = logged_in(manager, Detached(7))
    Detached.is_open = False
    visits = [manager.begin(cookie) for _ in range(2)]
    tokens = [visit.session.get_csrf_token() for visit in visits]  # type: ignore[union-attr]
    assert [manager.finish(visit) for visit in visits] == [None, None]
    session = manager.begin(cookie).session
    assert session is not None and [session.is_csrf_token(token) for token in tokens] == [True, True]


def test_what_an_override_returns_is_taken_as_a_value(store: SessionStore) -> None:
    manager = SessionManager(store, WithGroups)
    cookie = logged_in(manager, "alice")
    assert with_request(manager, cookie, lambda s: s.groups.append("admins")) != cookie


class WithGroups(DictSession):
    def __init__(self, id: str | None) -> None:
        super().__init__(id)
        self.groups: list[str] = []

    def get_user_key(self) -> Any:
        return self.groups  # the same list, changed in place


def test_a_key_is_the_same_under_every_hash_seed() -> None:
    code = (
        "from tests.test_users import Customer, Member, Role, Point, key_of; import uuid, datetime\n"
        "names = frozenset(f'group {n}' for n in range(50))\n"
        "users = [Member('a', names), Customer(names), {'b': set(names), 'a': {1: names}}, (names,), Point(names, 1),\n"
        "         Customer(uuid.UUID(int=7)), Customer(Role.ADMIN), [names, {'x': names}], datetime.date(2026, 1, 1)]\n"
        "print([key_of(user) for user in users])"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parent.parent,
        ).stdout
        for seed in ("0", "1", "2", "3")
    }
    assert len(printed) == 1


def test_the_order_of_sets_and_dicts_is_no_part_of_a_key_and_that_of_lists_is() -> None:
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    assert key_of({8, 0}) == key_of({0, 8})
    assert key_of([1, 2]) != key_of([2, 1])
    assert key_of(OrderedDict(a=1)) != key_of({"a": 1})


def test_users_that_hold_themselves_or_very_much_have_keys_too() -> None:
    ring: list[Any] = [1]
    ring.append(ring)
    other: list[Any] = [2]
    other.append(other)
    large = [list(range(1000)) for _ in range(100)]
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    assert key_of(ring) == key_of(ring) != key_of(other)
    assert key_of(large) == key_of([list(range(1000)) for _ in range(100)]) != key_of(large[1:])
    assert key_of(deep) is not None


_atoms = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary() | st.uuids()
_values = st.recursive(
    _atoms | st.decimals(allow_nan=False) | st.dates(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner) | st.frozensets(_atoms),
    max_leaves=10,
)


@given(_values, _values)
def test_keys_are_stable_texts_and_tell_users_apart(one: Any, other: Any) -> None:
    import pickle

    again = pickle.loads(pickle.dumps(one))
    for kind in (lambda value: value, Customer):
        assert key_of(kind(one)) == key_of(kind(again))
        text = user_key_text(key_of(kind(one)))
        assert one is None or (text is not None and len(text) <= 200 and text.isprintable())
        if repr(one) != repr(other) and one != other:
            assert key_of(kind(one)) != key_of(kind(other))


@pytest.mark.parametrize(
    ("user", "shown"),
    [
        ("alice", "alice"),
        ("Žofia", "Žofia"),
        (7, "7"),
        ("", ""),
        ("a\r\nX-Admin: 1\x00\x1b[0m", "a\\r\\nX-Admin: 1\\x00\\x1b[0m"),
        ("a\u2028b\ud800", "a\\u2028b\\ud800"),
        (raising("__str__"), None),
        (raising("id"), None),
    ],
)
def test_remote_user_is_text_on_one_line(user: Any, shown: str | None) -> None:
    quixote = pytest.importorskip("quixote")
    from quixote.directory import Directory
    from quixote.http_request import HTTPRequest
    from quixote.publish import Publisher, cleanup

    publisher = Publisher(Directory())
    try:
        request = HTTPRequest(io.BytesIO(), {"REQUEST_METHOD": "GET", "SERVER_NAME": "x", "SERVER_PORT": "80"})
        publisher._set_request(request)
        session = Session(None)
        session.set_user(user)
        session.start_request()
        assert quixote.get_request() is request
        text = request.environ["REMOTE_USER"]
        assert text.isprintable() and (shown is None or text == shown)
    finally:
        publisher._clear_request()
        cleanup()
