"""How a site makes its sessions, and what becomes of those that were stored when it made them otherwise."""

import logging
from pathlib import Path
from typing import Any

import pytest

from session3.cookies import REVOKE
from session3.DictSession import DictSession
from session3.errors import StoreUnavailable
from session3.Session import Session
from session3.SessionManager import SessionManager
from session3.store.DirectorySessionStore import DirectorySessionStore
from session3.store.SessionStore import SessionStore
from session3.store.SQLiteSessionStore import SQLiteSessionStore
from session3.store.VolatileSessionStore import VolatileSessionStore
from session3.Visit import Visit

from .sessions import Clock
from .test_older_stores import KeepsObjects, Pickles


class Cart(DictSession):
    def __init__(self, id: str | None, theme: str = "light") -> None:
        super().__init__(id)
        self.theme = theme
        self.wishes: list[str] = []


class Asks(Cart):
    def is_dirty(self) -> bool:
        return bool(self.has_info())  # as Quixote's documentation advises


class Clean(Cart):
    def is_dirty(self) -> bool:
        return False  # as Quixote's own sessions say


class Other(Session):
    pass


class NeedsMore(DictSession):
    def __init__(self, id: str | None, started: float) -> None:
        super().__init__(id)
        self.started = started


@pytest.fixture(params=["memory", "files", "sqlite", "pickles", "objects"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "files":
        return DirectorySessionStore(str(tmp_path / "sessions"), create=True, hash_ids=True)
    if request.param == "sqlite":
        return SQLiteSessionStore(str(tmp_path / "sessions.db"))
    made: dict[str, Any] = {"memory": VolatileSessionStore, "pickles": Pickles, "objects": KeepsObjects}
    return made[request.param]()


@pytest.fixture(autouse=True)
def closed(store: Any) -> Any:
    yield
    store.close()


def kept(manager: SessionManager, **attributes: Any) -> str:
    visit = manager.begin(None)
    session: Any = visit.session
    session.set_user("alice")
    for name, value in attributes.items():
        setattr(session, name, value)
    change = manager.finish(visit)
    assert change is not None and change.value is not None
    return change.value


def loaded_in(visit: Visit) -> Any:
    assert visit.loaded is visit.session
    return visit.session


class TestAClassThatWasChanged:
    @pytest.mark.parametrize("before, after", [(Session, DictSession), (Session, Cart), (DictSession, Cart)])
    def test_a_session_of_a_base_class_becomes_one_of_the_sites(
        self, store: SessionStore, before: type[Session], after: Any
    ) -> None:
        cookie = kept(SessionManager(store, before), note="hello")
        token = SessionManager(store, before).begin(cookie).session.get_remote_address()  # type: ignore[union-attr]
        manager = SessionManager(store, after)
        for page in (1, 2):
            visit = manager.begin(cookie)
            session: Any = loaded_in(visit)
            assert type(session) is after
            assert (session.user, session.note, session.id) == ("alice", "hello", cookie)
            assert session.get_remote_address() == token and session.get_creation_age() >= 0
            assert dict(session) == ({} if page == 1 else {"page": 1})
            session["page"] = page
            if after is Cart:
                assert session.theme == "light"
                session.wishes.append("tea")
                assert len(session.wishes) == page
            assert manager.finish(visit) is None
        assert type(store.load_session(cookie)) is after

    def test_two_requests_at_once_change_it_both(self, tmp_path: Path) -> None:
        store = SQLiteSessionStore(str(tmp_path / "sessions.db"))
        cookie = kept(SessionManager(store, Session))
        manager = SessionManager(store, Cart)
        visits = [manager.begin(cookie) for _ in range(2)]
        for n, visit in enumerate(visits):
            visit.session[f"item {n}"] = n  # type: ignore[index]
            manager.finish(visit)
        assert dict(manager.begin(cookie).session) == {"item 0": 0, "item 1": 1}  # type: ignore[call-overload]
        store.close()

    def test_a_logout_and_a_login_of_it_work(self, store: SessionStore) -> None:
        manager = SessionManager(store, Cart)
        cookie = kept(SessionManager(store, Session))
        visit = manager.begin(cookie)
        visit.session.set_user("bob")  # type: ignore[union-attr]
        change = manager.finish(visit)
        assert change is not None and change.value not in (None, cookie) and cookie not in manager
        visit = manager.begin(change.value)
        visit.end_session()
        manager.finish(visit)
        assert change.value not in manager

    def test_a_session_of_another_class_is_absent_and_said_so(
        self, store: SessionStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        cookie = kept(SessionManager(store, Other))
        manager = SessionManager(store, Cart)
        with caplog.at_level(logging.ERROR, "session3"):
            visit = manager.begin(cookie)
        assert visit.loaded is None and type(visit.session) is Cart and visit.session.user is None
        assert "Other" in caplog.text and "Cart" in caplog.text and cookie not in caplog.text
        assert manager.finish(visit) is None
        assert SessionManager(store, Other).begin(cookie).session.user == "alice"  # type: ignore[union-attr]

    def test_a_session_of_a_subclass_stays_what_it_is(self, store: SessionStore) -> None:
        """As after a step back to the code of yesterday."""
        cookie = kept(SessionManager(store, Cart), theme="dark")
        for session_class in (Session, DictSession):
            visit = SessionManager(store, session_class).begin(cookie)
            assert type(visit.session) is Cart and visit.session.theme == "dark"


class TestAManagerThatMakesSessionsItsOwnWay:
    def test_a_class_that_needs_more_than_an_id(self, store: SessionStore) -> None:
        clock = Clock(1e9)

        class Mine(SessionManager):
            session_class = NeedsMore

            def new_session(self, id: str | None) -> Session:
                clock.advance(1)
                return NeedsMore(id, clock())

        manager = Mine(store)
        for _ in range(2):  # strangers, each given another attribute: nothing is stored
            assert manager.finish(manager.begin(None)) is None
        cookie = kept(manager)
        visit = manager.begin(cookie)
        session: Any = visit.session
        started = session.started
        session.set_user(None)
        session["a"] = 1
        assert manager.finish(visit) is not None  # another id, since nobody is logged in any more
        assert started > 1e9

    @pytest.mark.parametrize("hook", ["new_session", "_create_session", "get_session"])
    @pytest.mark.parametrize(
        "give",
        [
            lambda session: setattr(session, "language", "en"),
            lambda session: session.__setitem__("language", ["en", {"de": 1}]),
            lambda session: session.set_user("guest"),
            lambda session: setattr(session, "user", ("guest", 1)),
            lambda session: setattr(session, "stamp", object()),
            lambda session: setattr(session, "call", lambda: 1),
            lambda session: setattr(session, "wishes", ["tea"]),
        ],
        ids=["attribute", "item", "user", "user object", "no value", "no pickle", "list"],
    )
    def test_what_every_visitor_is_given_stores_no_stranger(self, hook: str, give: Any) -> None:
        def given(self: SessionManager, *args: Any) -> Session:
            session = getattr(super(manager_class, self), hook)(*args)
            if session._snapshot is None:
                give(session)
            return session  # type: ignore[no-any-return]

        manager_class = type("Mine", (SessionManager,), {hook: given, "session_class": Cart})
        store = VolatileSessionStore()
        manager = manager_class(store)
        visit = manager.begin(None)
        assert manager.finish(visit) is None
        assert list(store) == []

    def test_a_change_of_what_was_given_is_kept(self, store: SessionStore) -> None:
        class Mine(SessionManager):
            session_class = Cart

            def new_session(self, id: str | None) -> Session:
                session = super().new_session(id)
                session.wishes = ["tea"]  # type: ignore[attr-defined]
                session["seen"] = []  # type: ignore[index]
                session.set_user("guest")
                return session

        manager = Mine(store)
        works: list[Any] = [
            lambda session: session.wishes.append("milk"),
            lambda session: session["seen"].append("page"),
            lambda session: session.set_user("alice"),
            lambda session: setattr(session, "theme", ""),
            lambda session: session.__delitem__("seen"),
            lambda session: session.create_form_token(),
        ]
        for work in works:
            visit = manager.begin(None)
            work(visit.session)
            change = manager.finish(visit)
            assert change is not None and change.value is not None
            assert manager.begin(change.value).loaded is not None

    def test_a_stored_session_that_is_as_new_again_is_dropped(self, store: SessionStore) -> None:
        class Mine(SessionManager):
            session_class = Cart

            def new_session(self, id: str | None) -> Session:
                session = super().new_session(id)
                session["language"] = "en"  # type: ignore[index]
                return session

        manager = Mine(store)
        cookie = kept(manager)
        visit = manager.begin(cookie)
        visit.session.set_user(None)  # type: ignore[union-attr]
        manager.finish(visit)
        assert cookie not in manager

    def test_a_session_that_an_application_puts_in_place_is_compared_with_its_class(self, store: SessionStore) -> None:
        manager = SessionManager(store, Cart)
        visit = manager.begin(None)
        visit.session = Cart(None)
        assert manager.finish(visit) is None
        visit = manager.begin(None)
        visit.session = NeedsMore(None, 7.0)  # nobody can say what a new one would be like: it is kept
        change = manager.finish(visit)
        assert change is not None and change.value is not None

    def test_the_hook_is_not_asked_for_a_session_that_was_only_read(self) -> None:
        made: list[Session] = []

        class Mine(SessionManager):
            session_class = Asks

            def new_session(self, id: str | None) -> Session:
                made.append(session := super().new_session(id))
                return session

        manager = Mine(VolatileSessionStore())
        visit = manager.begin(None)
        visit.session.wishes.append("tea")  # type: ignore[union-attr]
        change = manager.finish(visit)
        assert change is not None and len(made) == 1
        assert manager.finish(manager.begin(change.value)) is None
        assert len(made) == 1
        visit = manager.begin(change.value)
        visit.session.wishes.clear()  # type: ignore[union-attr]
        assert manager.finish(visit) == REVOKE
        assert len(made) == 2  # once, to see that it is as a new one is


@pytest.mark.parametrize("session_class", [Asks, Clean])
class TestAClassWhoseIsDirtyIsQuixotes:
    """Quixote's documentation advises an alias of has_info, and its own sessions are never dirty."""

    def test_a_logout_by_set_user_holds(self, store: SessionStore, session_class: type[Cart]) -> None:
        manager = SessionManager(store, session_class)
        cookie = kept(manager)
        visit = manager.begin(cookie)
        assert visit.session is not None
        visit.session.set_user(None)
        assert manager.finish(visit) == REVOKE
        assert manager.begin(cookie).session.user is None  # type: ignore[union-attr]

    def test_what_is_emptied_goes(self, store: SessionStore, session_class: type[Cart]) -> None:
        manager = SessionManager(store, session_class)
        cookie = kept(manager, wishes=["tea"])
        visit = manager.begin(cookie)
        session: Any = visit.session
        session.set_user(None)
        session.wishes.clear()
        assert manager.finish(visit) == REVOKE
        assert manager.begin(cookie).session.wishes == []  # type: ignore[union-attr]

    def test_a_change_beside_a_renewal_that_fails_is_no_success(
        self, session_class: type[Cart], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = Clock(1e9)
        manager = SessionManager(store := VolatileSessionStore(clock=clock), session_class, renew_after=60)
        cookie = kept(manager)
        clock.advance(61)
        visit = manager.begin(cookie)
        visit.session["a"] = 1  # type: ignore[index]

        def fail(*args: Any) -> None:
            raise StoreUnavailable("out of reach")

        monkeypatch.setattr(store, "move_session", fail)
        with pytest.raises(StoreUnavailable):
            manager.finish(visit)
