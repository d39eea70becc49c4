"""Stores of three methods, as they were written for session3 3.4.1, for Quixote's own manager, or for none."""

import contextlib
import copy
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from session3.backends import for_store
from session3.cookies import REVOKE
from session3.DictSession import DictSession
from session3.errors import ConfigurationError, StoreUnavailable
from session3.Session import Session
from session3.SessionManager import SessionManager
from session3.store.SessionStore import SessionStore

from .sessions import Clock


class Pickles(SessionStore):
    """As 3.4.1's folders: whole sessions, pickled; what is not there can't be deleted."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.sessions: dict[str, bytes] = {}
        if clock is not None:
            self.clock = clock

    def load_session(self, id: str, default: Any = None) -> Any:
        return pickle.loads(self.sessions[id]) if id in self.sessions else default

    def save_session(self, session: Session) -> None:
        assert session.id is not None
        self.sessions[session.id] = pickle.dumps(session, 4)

    def delete_session(self, session: Any) -> None:
        if session.id not in self.sessions:
            raise FileNotFoundError(session.id)
        del self.sessions[session.id]


class KeepsObjects(SessionStore):
    """As 3.4.1's memory: the objects themselves."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.sessions: dict[str, Session] = {}
        if clock is not None:
            self.clock = clock

    def load_session(self, id: str, default: Any = None) -> Any:
        return self.sessions.get(id, default)

    def save_session(self, session: Session) -> None:
        assert session.id is not None
        self.sessions[session.id] = session

    def delete_session(self, session: Any) -> None:
        del self.sessions[session.id]


class SaysHasBySession(KeepsObjects):
    def has_session(self, id: str) -> Any:
        return self.load_session(id, None)  # as the base class of 3.4.1


class TakesNoDefault(KeepsObjects):
    def load_session(self, id: str) -> Any:  # type: ignore[override]
        return self.sessions.get(id)


class RaisesKeyError(KeepsObjects):
    def load_session(self, id: str) -> Any:  # type: ignore[override]
        return self.sessions[id]


class ReturnsCopies(KeepsObjects):
    def load_session(self, id: str, default: Any = None) -> Any:
        return copy.copy(self.sessions.get(id, default))


class OfNoBase:
    """Quixote's contract by its shape: a session's id is deleted, a KeyError is none."""

    def __init__(self) -> None:
        self.sessions: dict[str, bytes] = {}
        self.log: list[str] = []

    def load_session(self, id: str) -> Any:
        return pickle.loads(self.sessions[id])

    def save_session(self, session: Session) -> None:
        assert session.id is not None
        self.sessions[session.id] = pickle.dumps(session)

    def delete_session(self, session_id: str) -> None:
        del self.sessions[session_id]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self.sessions))

    def transaction_commit(self, session: Any) -> None:
        self.log.append("commit")

    def transaction_abort(self, session: Any) -> None:
        self.log.append("abort")


class OfNoBaseBySession(OfNoBase):
    def delete_session(self, session: Any) -> None:
        del self.sessions[session.id]


def of_quixotes_base() -> Any:
    pytest.importorskip("quixote")
    from quixote.session import SessionStore as QuixotesStore

    class OfQuixotesBase(QuixotesStore):  # type: ignore[misc]
        def __init__(self) -> None:
            self.sessions: dict[str, Any] = {}

        def load_session(self, id: str) -> Any:
            return self.sessions.get(id)

        def save_session(self, session: Any) -> None:
            self.sessions[session.id] = session

        def delete_session(self, session_id: str) -> None:
            self.sessions.pop(session_id, None)

        def __iter__(self) -> Iterator[str]:
            return iter(list(self.sessions))

    return OfQuixotesBase()


KINDS: list[Any] = [
    Pickles, KeepsObjects, SaysHasBySession, TakesNoDefault, RaisesKeyError, ReturnsCopies, OfNoBase,
    OfNoBaseBySession, of_quixotes_base,
]  # fmt: skip


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kept_in(request: pytest.FixtureRequest) -> Any:
    return request.param()


@pytest.fixture
def manager(kept_in: Any) -> SessionManager:
    return SessionManager(kept_in, DictSession)


def logged_in(manager: SessionManager, user: Any = "alice") -> str:
    visit = manager.begin(None)
    session: Any = visit.session
    session.set_user(user)
    change = manager.finish(visit)
    assert change is not None and change.value is not None
    return change.value


def session_of(manager: SessionManager, cookie: str) -> Any:
    return manager.begin(cookie).session


def test_a_session_is_kept_changed_and_found(manager: SessionManager) -> None:
    cookie = logged_in(manager)
    visit = manager.begin(cookie)
    session: Any = visit.session
    session["cart"] = ["tea"]
    assert manager.finish(visit) is None
    assert session_of(manager, cookie)["cart"] == ["tea"]
    assert session_of(manager, "a" * 32).id is None


def test_a_failed_request_leaves_no_trace(manager: SessionManager) -> None:
    cookie = logged_in(manager)
    visit = manager.begin(cookie)
    session: Any = visit.session
    session["cart"] = ["tea"]
    session.set_user("mallory")
    manager.abort(visit)
    assert dict(session_of(manager, cookie)) == {} and session_of(manager, cookie).user == "alice"


def test_a_login_moves_it_and_the_old_id_is_nobody(manager: SessionManager, kept_in: Any) -> None:
    old = logged_in(manager)
    visit = manager.begin(old)
    visit.session.set_user("bob")  # type: ignore[union-attr]
    change = manager.finish(visit)
    assert change is not None and change.value not in (None, old)
    assert session_of(manager, str(change.value)).user == "bob"
    assert list(kept_in.sessions) == [change.value]


def test_a_renewal_and_a_cycle_move_it(kept_in: Any) -> None:
    manager = SessionManager(kept_in, DictSession, renew_after=1e-9)
    old = logged_in(manager)
    change = manager.finish(manager.begin(old))
    assert change is not None and list(kept_in.sessions) == [change.value] != [old]
    manager.renew_after = None
    visit = manager.begin(change.value)
    visit.cycle_session(10)
    again = manager.finish(visit)
    assert again is not None and list(kept_in.sessions) == [again.value] != [change.value]
    assert session_of(manager, str(again.value)).user == "alice"


def test_a_logout_deletes_it_and_a_second_one_finds_nothing(manager: SessionManager, kept_in: Any) -> None:
    cookie = logged_in(manager)
    visits = [manager.begin(cookie) for _ in range(2)]
    for visit in visits:
        visit.end_session()
        assert manager.finish(visit) == REVOKE
    assert not kept_in.sessions


def test_one_that_is_emptied_is_deleted(manager: SessionManager, kept_in: Any) -> None:
    cookie = logged_in(manager)
    visit = manager.begin(cookie)
    visit.session.set_user(None)  # type: ignore[union-attr]
    assert manager.finish(visit) == REVOKE
    assert not kept_in.sessions


def test_what_was_deleted_meanwhile_stays_deleted(manager: SessionManager, kept_in: Any) -> None:
    cookie = logged_in(manager)
    for work in (
        lambda session: session.__setitem__("a", 1),
        lambda session: session.set_user("bob"),
        lambda session: session.set_user(None),
        lambda session: None,
    ):
        cookie = logged_in(manager)
        visit = manager.begin(cookie)
        work(visit.session)
        kept_in.sessions.clear()
        assert manager.finish(visit) is None
        assert not kept_in.sessions


class Fails(Pickles):
    """Out of reach for the write after so many others; a `late` one is done, and only its reply is lost."""

    def __init__(self, writes: int = 1000, late: bool = False) -> None:
        super().__init__()
        self.left, self.late = writes, late

    def _write(self, write: Any, session: Any) -> None:
        self.left -= 1
        if self.left != -1 or self.late:
            write(session)
        if self.left == -1:
            raise StoreUnavailable("the server went away")

    def save_session(self, session: Session) -> None:
        self._write(super().save_session, session)

    def delete_session(self, session: Any) -> None:
        self._write(super().delete_session, session)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("writes", [0, 1])
@pytest.mark.parametrize("login", [True, False])
def test_an_outage_in_a_move_leaves_one_session_and_its_cookie(login: bool, writes: int, late: bool) -> None:
    store = Fails(late=late)
    manager = SessionManager(store, DictSession)
    cookie = logged_in(manager)
    visit = manager.begin(cookie)
    session: Any = visit.session
    session["a"] = 1
    if login:
        session.set_user("bob")
    else:
        visit.cycle_session(10)
    store.left = writes
    if late and writes == 1:  # the old one was deleted, and only the reply is lost
        change = manager.finish(visit)
        assert change is not None and list(store.sessions) == [change.value] != [cookie]
        return
    with pytest.raises(StoreUnavailable):
        manager.finish(visit)
    assert session.id == cookie and session._id_time is None
    assert list(store.sessions) == [cookie]
    assert manager.begin(cookie).session.user == "alice"  # type: ignore[union-attr]


def test_an_outage_as_a_session_is_created_leaves_none() -> None:
    store = Fails(0, late=True)
    with pytest.raises(StoreUnavailable):
        logged_in(SessionManager(store, DictSession))
    assert not store.sessions


def test_what_is_stored_and_is_no_session_is_nobody(caplog: pytest.LogCaptureFixture) -> None:
    store = KeepsObjects()
    store.sessions["a" * 32] = {"user": "alice"}  # type: ignore[assignment]
    manager = SessionManager(store, DictSession)
    visit = manager.begin("a" * 32)
    assert visit.loaded is None and manager.finish(visit) is None
    assert "is a dict, and no DictSession" in caplog.text and "a" * 32 not in caplog.text


def test_a_manager_is_a_mapping_over_it(manager: SessionManager, kept_in: Any) -> None:
    cookie = logged_in(manager)
    assert cookie in manager and "a" * 32 not in manager and manager.get("a" * 32) is None
    assert manager[cookie].user == "alice"
    del manager[cookie]
    assert cookie not in manager and not kept_in.sessions
    with pytest.raises(KeyError):
        del manager[cookie]


def test_an_idle_timeout_ends_it(kept_in: Any) -> None:
    clock = Clock(1e9)
    manager = SessionManager(kept_in, DictSession, idle_timeout=100)
    manager.store.clock = clock
    cookie = logged_in(manager)
    clock.advance(99)
    assert session_of(manager, cookie).user == "alice"
    clock.advance(2)
    assert session_of(manager, cookie).user is None


def test_djangos_api_is_there_too(kept_in: Any) -> None:
    sessions = for_store(kept_in)
    session = sessions()
    session["cart"] = ["tea"]
    session.save()
    key = session.session_key
    again = sessions(key)
    again["cart"].append("milk")
    assert sessions(key)["cart"] == ["tea"]
    again.save()
    again.cycle_key()
    assert not again.exists(key) and sessions(again.session_key)["cart"] == ["tea", "milk"]
    again.flush()
    assert sessions().exists("a" * 32) is False and sessions("a" * 32).get("cart") is None


def test_what_it_can_iterate_over_is_swept() -> None:
    class Iterates(Pickles):
        def iter_sessions(self) -> Iterator[tuple[str, Any]]:
            for id in list(self.sessions):
                yield id, self.load_session(id)

    clock = Clock(1e9)
    store = Iterates(clock)
    manager = SessionManager(store, DictSession)
    old = logged_in(manager)
    clock.advance(601)
    new = logged_in(manager)
    assert store.delete_old_sessions(10) == (1, 1)
    assert list(store.sessions) == list(store) == [new] != [old]


def test_an_adopted_store_is_told_of_transactions_and_shows_what_else_it_has() -> None:
    inner = OfNoBase()
    manager = SessionManager(inner, DictSession)  # type: ignore[arg-type]
    cookie = logged_in(manager)
    manager.abort(manager.begin(cookie))
    assert inner.log == ["commit", "abort"]
    store: Any = manager.store
    assert store.log is inner.log and store.inner is inner and list(store) == [cookie]
    assert not store.is_thread_safe and not store.is_multiprocess_safe
    with pytest.raises(AttributeError):
        store.nothing  # noqa: B018
    with pytest.raises(NotImplementedError):
        store.delete_expired_sessions()


def test_an_adopted_store_is_set_up_and_swept_as_it_can() -> None:
    class Sweeps(OfNoBase):
        def setup(self) -> None:
            self.log.append("setup")

        def delete_old_sessions(self, minutes: float) -> None:
            self.log.append(f"sweep {minutes}")

    inner = Sweeps()
    store = SessionManager(inner, DictSession).store  # type: ignore[arg-type]
    store.setup()
    assert store.delete_old_sessions(5) == (0, 0) and inner.log == ["setup", "sweep 5"]
    manager = SessionManager(OfNoBase(), DictSession)  # type: ignore[arg-type]
    manager.store.setup()
    logged_in(manager)
    assert manager.store.delete_old_sessions(5) == (0, 1) and manager.store.delete_old_sessions(-1) == (1, 0)


def test_an_adopted_store_is_asked_whether_it_is_ready_and_for_what_else_the_contract_has() -> None:
    class Asked(OfNoBase):
        def check(self) -> None:
            raise StoreUnavailable("it is full")

        def delete_expired_sessions(self) -> None:
            self.log.append("swept")

        def locked(self, id: str, timeout: float, lease: float) -> Any:
            return contextlib.nullcontext((id, timeout, lease))

    inner: Any = Asked()
    store = SessionManager(inner).store
    with pytest.raises(StoreUnavailable, match="it is full"):
        store.check()
    assert store.delete_expired_sessions() == (0, 0) and inner.log == ["swept"]
    with store.locked("session1", lease=5.0) as lock:
        assert lock == ("session1", 10.0, 5.0)
    plain: Any = OfNoBase()
    SessionManager(plain).store.check()
    with pytest.raises(NotImplementedError, match="AdoptedStore"):
        SessionManager(plain).store.delete_expired_sessions()
    with pytest.raises(NotImplementedError, match="AdoptedStore"):
        SessionManager(plain).store.locked("session1")


@pytest.mark.parametrize("store", [{}, None, 7, object(), [], lambda: None])
def test_what_has_not_the_three_methods_is_no_store(store: Any) -> None:
    with pytest.raises(ConfigurationError, match="is no store"):
        SessionManager(store)


class TestQuixotesOwnManager:
    """Its BaseSessionManager over stores of ours."""

    @pytest.fixture
    def base(self) -> Any:
        pytest.importorskip("quixote")
        from quixote.session import BaseSessionManager

        return BaseSessionManager

    @pytest.mark.parametrize("kind", ["memory", "directory", "sqlite", "shelve"])
    def test_a_store_of_ours_fits(self, base: Any, kind: str, tmp_path: Any) -> None:
        import session3

        options = {"create": True} if kind == "directory" else {}
        store = session3.open_store("memory://" if kind == "memory" else f"{kind}://{tmp_path}/sessions", **options)
        manager = base(session_class=DictSession, session_store=store)
        assert list(manager) == [] and manager.get(None) is None and None not in manager
        session = DictSession("example1")
        session["a"] = 1
        manager["example1"] = session
        assert "example1" in manager and manager.get("example1")["a"] == 1
        assert [each.id for each in manager] == ["example1"] and list(store) == ["example1"]
        manager.commit_changes(session)
        manager.abort_changes(None)
        del manager["example1"]
        assert list(manager) == []
        del manager[None]  # as it logs out a visitor whose session was never stored

    def test_a_site_runs_on_it(self, base: Any, tmp_path: Any) -> None:
        import io

        import quixote
        from quixote.directory import Directory
        from quixote.http_request import HTTPRequest
        from quixote.publish import Publisher, cleanup

        import session3

        class Site(Directory):  # type: ignore[misc]
            _q_exports = ["login", "user", "logout"]

            def login(self) -> str:
                quixote.get_session().set_user("alice")
                return "in"

            def user(self) -> str:
                return str(quixote.get_user())

            def logout(self) -> str:
                quixote.get_session_manager().expire_session()
                return "out"

        class Manager(base):  # type: ignore[misc]
            ACCESS_TIME_RESOLUTION = 1

            def set_session_cookie(self, session_id: str, **attributes: Any) -> str:
                quixote.get_response().set_cookie("QX_session", session_id, **attributes)
                return "QX_session"

        store = session3.open_store(f"directory://{tmp_path}/sessions", create=True)
        publisher = Publisher(Site(), session_manager=Manager(session_class=DictSession, session_store=store))
        jar: dict[str, str] = {}

        def ask(page: str) -> str:
            cookie = "; ".join(f'{name}="{value}"' for name, value in jar.items())
            environ = {"REQUEST_METHOD": "GET", "PATH_INFO": page, "SCRIPT_NAME": "", "SERVER_NAME": "x"}
            environ |= {"SERVER_PORT": "80", "HTTP_COOKIE": cookie}
            request = HTTPRequest(io.BytesIO(), environ)
            response = publisher.process_request(request)
            for name, attributes in response.cookies.items():
                jar[name] = attributes["value"]
            return "".join(
                chunk.decode() if isinstance(chunk, bytes) else chunk for chunk in response.generate_body_chunks()
            )

        try:
            assert ask("/user") == "None" and ask("/logout") == "out"
            assert [ask("/login"), ask("/user"), ask("/logout"), ask("/user")] == ["in", "alice", "out", "None"]
        finally:
            cleanup()
        assert list(store) == []
