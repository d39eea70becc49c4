"""The advisories of other session libraries as tests of ours; each class is a lesson, and says where it was learned."""

import json
import pickle
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from session3 import ids, open_store
from session3.backends import for_store
from session3.backends.base import CreateError, UpdateError
from session3.backends.signed_cookies import SessionStore as DjangoCookieSession
from session3.cookies import REVOKE
from session3.DictSession import DictSession
from session3.errors import SessionConflict
from session3.record import Record
from session3.SessionManager import SessionManager
from session3.store.SignedCookieSessionStore import SignedCookieSessionStore

from .contract import new_id
from .sessions import Bomb, Clock
from .test_session_manager import begin, logged_in

SECRET = "a key of at least sixteen characters"
ON_FILES = ["directory", "shelve", "sqlite"]
EMBEDDED = ["memory", *ON_FILES]
#: What a cookie may hold to get at the file `planted/outside1`, from the folder of the store.
PATHS = [
    "../../planted/outside1",
    "..%2f..%2fplanted%2foutside1",
    "..\\..\\planted\\outside1",
    "./../../planted/outside1",
    "{}/outside1",
]


@pytest.fixture
def clock() -> Clock:
    return Clock(float(int(time.time()) + 1000))  # a whole number: what is added to it leaves no dust


@pytest.fixture(params=EMBEDDED)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make_store(kind: str, tmp_path: Path, clock: Clock) -> Iterator[Any]:
    made: list[Any] = []

    def make(**options: Any) -> Any:
        made.append(open_store(store_url(kind, tmp_path / "site"), clock=clock, **options))
        if kind == "memory":
            made[-1]._records = made[0]._records  # the same memory, opened again
        return made[-1]

    (tmp_path / "site").mkdir()
    yield make
    for store in made:
        store.close()


def store_url(kind: str, folder: Path) -> str:
    return "memory://" if kind == "memory" else f"{kind}://{folder}/sessions"


@pytest.fixture
def store(make_store: Any) -> Any:
    return make_store()


@pytest.fixture
def manager(store: Any) -> SessionManager:
    return SessionManager(store, DictSession)


@pytest.fixture
def planted(tmp_path: Path, clock: Clock) -> Path:
    """A folder beside the store's, with a file that it would read if it were its own."""
    with open_store(f"directory://{tmp_path}/planted", clock=clock) as elsewhere:
        session = DictSession("outside1")
        session.user = "root"
        elsewhere.save_session(session)
    return tmp_path / "planted"


@pytest.fixture
def make_site() -> Iterator[Any]:
    quixote = pytest.importorskip("quixote", reason="needs Quixote: pip install 'session3[quixote]'")
    from .test_quixote import Site

    def make(manager: SessionManager) -> Any:
        quixote.cleanup()
        return Site(manager)

    yield make
    quixote.cleanup()


def session() -> Any:
    import quixote

    return quixote.get_session()


def log_in() -> None:
    session().set_user("alice")


def expire() -> None:
    import quixote

    quixote.get_session_manager().expire_session()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def user_of(manager: SessionManager, cookie: str | None) -> Any:
    return begin(manager, cookie)[1].user


def is_empty(store: Any) -> bool:
    return list(store.scan()) == []


@pytest.mark.parametrize("path", PATHS)
class TestACookieIsNoFileName:
    """CVE-2008-0252 (CherryPy): a cookie's value was a file's name. GO-2024-2730 (gorilla/sessions): so was an id."""

    def test_no_cookie_reads_writes_or_deletes_outside(
        self, manager: SessionManager, store: Any, planted: Path, path: str
    ) -> None:
        cookie, before = path.format(planted), contents(planted)
        visit, session = begin(manager, cookie)
        assert session.user is None
        session["n"] = 1
        change = manager.finish(visit)
        assert change is not None and ids.is_cookie_id(change.value) and change.value != cookie
        visit, _ = begin(manager, cookie)
        visit.end_session()
        manager.finish(visit)
        assert contents(planted) == before

    def test_no_id_from_code_does_either(self, store: Any, planted: Path, path: str) -> None:
        id, before = path.format(planted), contents(planted)
        store.save_session(DictSession("inside1"))  # now the folder is there that the path goes through
        assert store.load_session(id) is None and not store.has_session(id)
        store.delete_session(id)
        for save in (store.save_session, store.create_session):
            with pytest.raises(ValueError, match="letters, digits"):
                save(DictSession(id))
        with pytest.raises(ValueError, match="letters, digits"):
            store.move_session(store.load_session("inside1"), id)
        assert contents(planted) == before and store.has_session("inside1")


class TestNothingIsUnpickledThatFailsItsSeal:
    """CVE-2013-7489 (Beaker): who could write to the store could run code, since it was pickle by default."""

    @pytest.mark.parametrize("option", ["secret_key", "encryption_key"])
    def test_a_pickle_in_the_store_is_not_opened(self, make_store: Any, clock: Clock, option: str) -> None:
        if option == "encryption_key":
            pytest.importorskip("cryptography", reason="needs cryptography: pip install 'session3[crypto]'")
        store = make_store(**{option: SECRET})
        stolen = store.codec.seal("another1", pickle.dumps(Bomb()))  # it is not bound to the key below
        signature = stolen.partition(b".")[0]
        for payload in (pickle.dumps(Bomb()), stolen, signature + b"." + pickle.dumps(Bomb())):
            cookie = new_id()
            store.insert(cookie, Record(payload, 1, clock(), clock(), clock()))
            explodes_nothing(SessionManager(store, DictSession), cookie)

    def test_without_a_key_the_plain_pickle_is(self, store: Any, clock: Clock) -> None:
        """What the others are held against: this payload would do harm if it were opened."""
        cookie = new_id()
        store.insert(cookie, Record(pickle.dumps(Bomb()), 1, clock(), clock(), clock()))
        with pytest.raises(AssertionError):
            explodes_nothing(SessionManager(store, DictSession), cookie)

    def test_a_cookie_that_is_the_session_is_never_a_pickle(self, clock: Clock) -> None:
        store = SignedCookieSessionStore(SECRET, clock=clock)
        times = store._seal(store._open(cookie_of(store))._replace(plain=pickle.dumps(Bomb())))  # type: ignore[union-attr]
        explodes_nothing(SessionManager(store, DictSession), times)


def explodes_nothing(manager: SessionManager, cookie: str) -> None:
    Bomb.exploded.clear()
    visit, session = begin(manager, cookie)
    session["n"] = 1
    manager.finish(visit)
    assert Bomb.exploded == []
    assert session.user is None and session.id != cookie


def cookie_of(store: SignedCookieSessionStore, **items: Any) -> str:
    session = DictSession(None)
    session.user = "alice"
    session.data.update(items)
    store.save_session(session)
    assert session.id is not None
    return session.id


class TestAnUnknownKeyOrALogoutCreatesNothing:
    """CVE-2015-5143 (Django): each unknown key made a row. CVE-2015-5963, CVE-2015-5964: so did each logout."""

    def test_an_unknown_cookie(self, manager: SessionManager, store: Any) -> None:
        for _ in range(3):
            visit, session = begin(manager, new_id())
            assert session.get("cart") is None
            assert manager.finish(visit) is None
        assert is_empty(store)

    def test_a_logout_with_an_unknown_cookie(self, manager: SessionManager, store: Any) -> None:
        visit, _ = begin(manager, new_id())
        visit.end_session()
        assert manager.finish(visit) == REVOKE
        assert is_empty(store)

    def test_a_logout_over_http(self, store: Any, make_site: Any) -> None:
        import quixote

        site = make_site(SessionManager(store, DictSession))
        for cookie in (None, new_id(), site.get(log_in).session_id):
            for page in (expire, lambda: quixote.get_session_manager().clear_session() and None):
                assert site.get(page, cookie).status == 200
        assert is_empty(store)

    def test_djangos_api(self, store: Any) -> None:
        cls = for_store(store)
        for key in (new_id(), None):
            session = cls(key)
            assert session.get("cart") is None and session.session_key is None
            cls(key).flush()
        assert is_empty(store)


class TestAStolenStoreOpensNoSession:
    """CVE-2019-16782 (Rack), CVE-2019-25025 (activerecord-session_store): the id was looked up, and kept, in plain."""

    def test_what_is_stored_holds_no_cookie_and_is_none(self, make_store: Any, tmp_path: Path) -> None:
        store = make_store(hash_ids=True)
        manager = SessionManager(store, DictSession)
        old = logged_in(manager)
        visit, _ = begin(manager, old)
        visit.cycle_session(grace=10)
        change = manager.finish(visit)
        assert change is not None and change.value is not None
        stolen = list(store.scan())
        assert [user_of(manager, key) for key, _ in stolen] == [None, None]
        assert (user_of(manager, old), user_of(manager, change.value)) == ("alice", "alice")
        store.close()
        in_store = b"".join([repr(stolen).encode(), *contents(tmp_path).values()])
        assert old.encode() not in in_store and change.value.encode() not in in_store


class TestSharedCachesServeNobodyAnotherSession:
    """CVE-2023-30861 (Flask): a refreshed cookie without Vary. CVE-2026-27205: a look with `in` was no access.

    CVE-2026-35192 (Django): a session that is saved at each request, without Vary.
    """

    LOOKS = {
        "item": lambda: session().get("cart") and None,
        "in": lambda: ("cart" in session()) and None,
        "len": lambda: f"{len(session())}",
        "user": lambda: session().user,
        "none": lambda: None,
    }

    @pytest.mark.parametrize("look", LOOKS)
    def test_a_page_of_a_session_varies_however_it_was_looked_at(self, manager: Any, make_site: Any, look: str) -> None:
        site = make_site(manager)
        response = site.get(self.LOOKS[look], site.get(log_in).session_id)
        assert response.cookies == []
        assert response.headers["Vary"] == "Cookie"

    @pytest.mark.parametrize("end", ["log in", "refresh", "change", "log out", "empty", "not found"])
    def test_a_response_that_sets_the_cookie_is_kept_by_none(
        self, store: Any, make_site: Any, clock: Clock, end: str
    ) -> None:
        from quixote.errors import TraversalError

        def not_found() -> None:
            log_in()
            raise TraversalError("no such page")

        pages: dict[str, Any] = {
            "log in": log_in, "log out": expire, "not found": not_found, "refresh": lambda: None,
            "change": lambda: session().update(n=1), "empty": lambda: session().set_user(None),
        }  # fmt: skip
        site = make_site(SessionManager(store, DictSession, idle_timeout=100))
        cookie = None if end in ("log in", "not found") else site.get(log_in).session_id
        clock.advance(50)
        response = site.get(pages[end], cookie)
        assert len(response.cookies) == 1
        assert response.headers["Vary"] == "Cookie"
        assert "private" in response.headers["Cache-Control"]


class TestAnUploadedFileIsNoSession:
    """CVE-2024-2044 (pgAdmin 4): the cookie chose a path, and what was there was unpickled before it was checked."""

    @pytest.mark.parametrize("path", PATHS)
    def test_outside_of_the_store(self, store: Any, tmp_path: Path, path: str) -> None:
        upload = tmp_path / "planted"
        upload.mkdir()
        (upload / "outside1").write_bytes(pickle.dumps(Bomb(), 4))
        store.save_session(DictSession("inside1"))
        explodes_nothing(SessionManager(store, DictSession), path.format(upload))

    @pytest.mark.parametrize("kind", ["directory"])
    def test_in_the_folder_itself_where_there_is_a_key(self, make_store: Any, tmp_path: Path) -> None:
        store = make_store(secret_key=SECRET)
        store.save_session(DictSession("inside1"))
        (tmp_path / "site" / "sessions" / "a2345678901").write_bytes(pickle.dumps(Bomb(), 4))
        explodes_nothing(SessionManager(store, DictSession), "a2345678901")


class TestADeletedSessionIsNotRestored:
    """CVE-2025-46336 (rack-session): a request in flight wrote back the session that a logout had deleted."""

    @pytest.mark.parametrize("late_change", ["item", "user", "cycle", "nothing"])
    def test_by_a_request_in_flight(self, manager: SessionManager, store: Any, clock: Clock, late_change: str) -> None:
        cookie = logged_in(manager, n=1)
        late, session = begin(manager, cookie)
        clock.advance(100)
        logout, _ = begin(manager, cookie)
        logout.end_session()
        assert manager.finish(logout) == REVOKE
        if late_change == "cycle":
            late.cycle_session(grace=10)
        elif late_change == "user":
            session.user = "bob"
        elif late_change == "item":
            session["n"] = 2
        session._set_access_time(1)
        assert manager.finish(late) is None  # the browser's cookie is left alone
        assert is_empty(store)

    def test_over_http(self, manager: SessionManager, store: Any, make_site: Any) -> None:
        site = make_site(manager)
        cookie = site.get(log_in).session_id

        def page() -> str:
            session()["n"] = 1
            logout, _ = begin(manager, cookie)
            logout.end_session()
            manager.finish(logout)
            return "the page goes out"

        response = site.get(page, cookie)
        assert (response.status, response.body, response.cookies) == (200, "the page goes out", [])
        assert is_empty(store)

    @pytest.mark.parametrize("verb", ["save", "cycle_key"])
    def test_in_djangos_api(self, store: Any, verb: str) -> None:
        cls = for_store(store)
        session = cls()
        session["n"] = 1
        session.save()
        late = cls(session.session_key)
        late["n"] = 2
        session.flush()
        with pytest.raises(UpdateError):
            getattr(late, verb)()
        assert is_empty(store)


class TestNoWeakerDecoderIsTried:
    """CVE-2026-39324 (rack-session): what failed to decrypt was taken by a decoder that asks for no signature."""

    @pytest.mark.parametrize("option", ["secret_key", "encryption_key"])
    def test_an_unsigned_record_is_not_taken(self, make_store: Any, option: str) -> None:
        if option == "encryption_key":
            pytest.importorskip("cryptography", reason="needs cryptography: pip install 'session3[crypto]'")
        weaker = [{}] if option == "secret_key" else [{}, {"secret_key": SECRET}]
        for options in weaker:
            cookie = logged_in(SessionManager(make_store(**options), DictSession))
            assert user_of(SessionManager(make_store(**options), DictSession), cookie) == "alice"
            assert user_of(SessionManager(make_store(**{option: SECRET}), DictSession), cookie) is None

    def test_a_cookie_without_its_signature(self, clock: Clock) -> None:
        store = SignedCookieSessionStore(SECRET, clock=clock)
        cookie = cookie_of(store)
        payload = cookie.rpartition(".")[0]
        forgeries = [
            payload, payload + ".", cookie[:-1], cookie + "A", f"{payload}.{cookie_of(store, n=1).rpartition('.')[2]}",
            cookie_of(SignedCookieSessionStore(SECRET * 2, clock=clock)),
        ]  # fmt: skip
        assert user_of(SessionManager(store, DictSession), cookie) == "alice"
        for forged in forgeries:
            assert user_of(SessionManager(store, DictSession), forged) is None

    def test_djangos_cookie_without_its_signature(self) -> None:
        class Signed(DjangoCookieSession):
            secret_key = SECRET

        session = Signed()
        session["user"] = "alice"
        session.save()
        key = str(session.session_key)
        assert Signed(key)["user"] == "alice"
        for forged in (key.rpartition(".")[0], json.dumps({"user": "alice"}), key[:-1]):
            assert dict(Signed(forged).items()) == {}


class TestAnExpiredSessionIsNotServed:
    """tower-sessions 0.4.3: an expired session was served until something deleted it. Here no sweep comes by."""

    def test_from_the_moment_on_at_which_it_expires(self, store: Any, clock: Clock) -> None:
        manager = SessionManager(store, DictSession, idle_timeout=100)
        cookie = logged_in(manager)
        clock.advance(99.5)
        assert user_of(manager, cookie) == "alice"
        clock.advance(0.5)
        assert user_of(manager, cookie) is None
        assert store.load_session(cookie) is None and not store.has_session(cookie)
        assert list(store.iter_sessions()) == [] and not is_empty(store)

    def test_in_djangos_api(self, store: Any, clock: Clock) -> None:
        cls = for_store(store, cookie_age=100)
        session = cls()
        session["n"] = 1
        session.save()
        clock.advance(99)
        assert cls(session.session_key)["n"] == 1
        clock.advance(1)
        assert dict(cls(session.session_key).items()) == {} and not cls().exists(str(session.session_key))


class Unlucky(SessionManager):
    """Its random source gives these ids first."""

    given: list[str]

    def _make_session_id(self) -> str:
        return self.given.pop(0) if self.given else super()._make_session_id()


class TestAnIdThatIsTakenIsNotGivenAgain:
    """tower-sessions 0.12.0: a new session replaced the one that had its id; 0.12.1: so did one whose id changed."""

    @pytest.fixture
    def unlucky(self, store: Any) -> Unlucky:
        manager = Unlucky(store, DictSession)
        manager.given = []
        return manager

    def test_at_the_first_save(self, unlucky: Unlucky, store: Any) -> None:
        victim = logged_in(unlucky)
        unlucky.given = [victim, victim]
        other = logged_in(unlucky, user="bob")
        assert other != victim and unlucky.given == []
        assert (user_of(unlucky, victim), user_of(unlucky, other)) == ("alice", "bob")

    @pytest.mark.parametrize("cause", ["login", "renewal"])
    def test_at_a_change_of_id(self, unlucky: Unlucky, store: Any, cause: str) -> None:
        victim, mine = logged_in(unlucky), logged_in(unlucky, user=None, n=1)
        unlucky.given = [victim, mine]
        visit, session = begin(unlucky, mine)
        if cause == "login":
            session.user = "bob"
        else:
            visit.cycle_session(grace=10)
        change = unlucky.finish(visit)
        assert change is not None and change.value not in (None, victim, mine)
        assert user_of(unlucky, victim) == "alice"
        assert begin(unlucky, change.value)[1]["n"] == 1

    def test_an_old_id_is_not_given_again_while_it_is_remembered(self, unlucky: Unlucky) -> None:
        old = logged_in(unlucky, user=None, n=1)
        visit, session = begin(unlucky, old)
        session.user = "alice"
        unlucky.finish(visit)
        unlucky.given = [old]
        assert logged_in(unlucky, user="bob") != old

    def test_in_djangos_api(self, store: Any) -> None:
        victim = DictSession(new_id())
        victim["whose"] = "alice's"
        store.save_session(victim)

        class Stuck(for_store(store)):  # type: ignore[misc]
            def _get_new_session_key(self) -> str:
                return str(victim.id)

        mine = Stuck()
        mine["whose"] = "bob's"
        with pytest.raises(SessionConflict):
            mine.save()
        mine._session_key = victim.id
        with pytest.raises(CreateError):
            mine.save(must_create=True)
        own = for_store(store)()
        own.save()
        with pytest.raises(SessionConflict):
            Stuck(own.session_key).cycle_key()
        assert store.load_session(victim.id)["whose"] == "alice's"


class TestFixation:
    """aiohttp-session #272: the id that a visitor came with, made up or planted, was that of the login."""

    def test_an_id_that_we_did_not_issue_is_not_adopted(self, manager: SessionManager, store: Any) -> None:
        planted = new_id()
        visit, session = begin(manager, planted)
        session.user = "alice"
        change = manager.finish(visit)
        assert change is not None and change.value not in (None, planted)
        assert user_of(manager, planted) is None and not store.has_session(planted)

    def test_an_id_from_before_the_login_is_worthless_after_it(self, manager: SessionManager, store: Any) -> None:
        planted = logged_in(manager, user=None, cart=["tea"])
        attacker, his = begin(manager, planted)  # holds it in a request, too
        visit, session = begin(manager, planted)
        session.user = "alice"
        manager.finish(visit)
        assert user_of(manager, planted) is None
        his["n"] = 1
        assert manager.finish(attacker) is None
        assert [session.data for _, session in store.iter_sessions()] == [{"cart": ["tea"]}]

    def test_djangos_cycle_key_leaves_nothing_under_the_old_key(self, store: Any) -> None:
        cls = for_store(store)
        planted = cls()
        planted["cart"] = ["tea"]
        planted.save()
        session = cls(planted.session_key)
        session["user"] = "alice"
        session.cycle_key()
        assert dict(cls(planted.session_key).items()) == {} and not cls().exists(str(planted.session_key))
        assert cls(session.session_key)["user"] == "alice"

    def test_an_unknown_key_is_not_adopted_by_djangos_api(self, store: Any) -> None:
        cls = for_store(store)
        session, planted = cls("planted-by-somebody"), "planted-by-somebody"
        assert session.get("n") is None
        session["n"] = 1
        session.save()
        assert session.session_key not in (None, planted) and not store.has_session(planted)


class TestACookieThatIsKeptForEverEnds:
    """aiohttp-session before 2.7.0: only the browser was told when a cookie ends, and nobody looked at the server."""

    @pytest.mark.parametrize("timeout", ["idle_timeout", "absolute_timeout"])
    def test_in_a_store(self, store: Any, clock: Clock, timeout: str) -> None:
        self.ends(SessionManager(store, DictSession, **{timeout: 100}), clock)  # type: ignore[arg-type]

    @pytest.mark.parametrize("timeout", ["idle_timeout", "absolute_timeout"])
    def test_in_a_cookie(self, clock: Clock, timeout: str) -> None:
        cookies = SignedCookieSessionStore(SECRET, clock=clock)
        self.ends(SessionManager(cookies, DictSession, **{timeout: 100}), clock)  # type: ignore[arg-type]

    def ends(self, manager: SessionManager, clock: Clock) -> None:
        visit, session = begin(manager, None)
        session.user = "alice"
        change = manager.finish(visit)
        assert change is not None and change.max_age == 100
        clock.advance(99)
        assert user_of(manager, change.value) == "alice"
        clock.advance(2)
        assert user_of(manager, change.value) is None

    def test_in_djangos_cookie(self, clock: Clock) -> None:
        class Signed(DjangoCookieSession):
            secret_key = SECRET
            cookie_age = 100

        Signed.clock = clock
        session = Signed()
        session["user"] = "alice"
        session.save()
        clock.advance(98)
        assert Signed(session.session_key).get("user") == "alice"
        clock.advance(3)
        assert Signed(session.session_key).get("user") is None
