"""Pages that are made at the same time, each with the session's first CSRF token: all of them can be posted."""

import io
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from session3.DictSession import DictSession
from session3.serializers import JSONSerializer
from session3.SessionManager import SessionManager
from session3.store.DirectorySessionStore import DirectorySessionStore
from session3.store.RecordStore import RecordStore
from session3.store.SQLiteSessionStore import SQLiteSessionStore
from session3.store.VolatileSessionStore import VolatileSessionStore
from session3.Visit import Visit

STORES: dict[str, Any] = {
    "memory": lambda path: VolatileSessionStore(),
    "json": lambda path: VolatileSessionStore(serializer=JSONSerializer()),
    "files, signed, hashed": lambda path: DirectorySessionStore(
        str(path / "files"), create=True, secret_key="kx7dm3qpz94vbn2w8rty", hash_ids=True
    ),
    "sqlite": lambda path: SQLiteSessionStore(str(path / "sessions.db")),
}


@pytest.fixture(params=list(STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RecordStore]:
    with STORES[request.param](tmp_path) as store:
        yield store


@pytest.fixture
def manager(store: RecordStore) -> SessionManager:
    return SessionManager(store, DictSession)


def kept(manager: SessionManager, user: Any = None) -> str:
    visit = manager.begin(None)
    session: Any = visit.session
    session["cart"] = ["tea"]
    if user is not None:
        session.set_user(user)
    change = manager.finish(visit)
    assert change is not None and change.value is not None
    return change.value


def accepted(manager: SessionManager, cookie: str, tokens: list[str]) -> list[bool]:
    session = manager.begin(cookie).session
    assert session is not None
    return [session.is_csrf_token(token) for token in tokens]


@pytest.mark.parametrize("pages", [2, 3, 8])
def test_each_pages_token_is_valid(manager: SessionManager, pages: int) -> None:
    cookie = kept(manager)
    visits = [manager.begin(cookie) for _ in range(pages)]
    tokens = [visit.session.get_csrf_token() for visit in visits]  # type: ignore[union-attr]
    for visit in visits:
        assert manager.finish(visit) is None
    assert accepted(manager, cookie, tokens) == [True] * pages
    assert accepted(manager, cookie, ["", "None", tokens[0][:-1], tokens[0] + "x"]) == [False] * 4
    later = manager.begin(cookie).session
    assert later is not None and later.get_csrf_token() == tokens[0]  # one for all from here on


def test_there_is_a_limit(manager: SessionManager) -> None:
    cookie = kept(manager)
    visits = [manager.begin(cookie) for _ in range(DictSession.MAX_FORM_TOKENS + 3)]
    tokens = [visit.session.get_csrf_token() for visit in visits]  # type: ignore[union-attr]
    for visit in visits:
        manager.finish(visit)
    assert sum(accepted(manager, cookie, tokens)) == DictSession.MAX_FORM_TOKENS


@pytest.mark.parametrize("rotate_on_login", [True, False])
@pytest.mark.parametrize("login_first", [True, False])
def test_a_login_ends_them_all(store: RecordStore, rotate_on_login: bool, login_first: bool) -> None:
    """Those, too, that are made beside it by who planted the id."""
    manager = SessionManager(store, DictSession, rotate_on_login=rotate_on_login)
    cookie = kept(manager)
    visits = [manager.begin(cookie) for _ in range(2)]
    tokens = [visit.session.get_csrf_token() for visit in visits]  # type: ignore[union-attr]
    for visit in visits:
        manager.finish(visit)
    planted, login = manager.begin(cookie), manager.begin(cookie)
    planted.session._set_csrf_tokens([])  # type: ignore[union-attr]
    tokens.append(planted.session.get_csrf_token())  # type: ignore[union-attr]
    login.session.set_user("alice")  # type: ignore[union-attr]
    own = login.session.get_csrf_token()  # type: ignore[union-attr]
    new = cookie
    for visit in (login, planted) if login_first else (planted, login):
        change = manager.finish(visit)
        new = change.value if change is not None and change.value is not None else new
    assert accepted(manager, new, [*tokens, own]) == [False, False, False, True]


def test_of_two_logins_at_once_as_one_user_both_pages_can_be_posted(store: RecordStore) -> None:
    manager = SessionManager(store, DictSession, rotate_on_login=False)
    cookie = kept(manager)
    visits, tokens = [manager.begin(cookie) for _ in range(2)], []
    for visit in visits:
        visit.session.set_user("alice")  # type: ignore[union-attr]
        tokens.append(visit.session.get_csrf_token())  # type: ignore[union-attr]
    for visit in visits:
        manager.finish(visit)
    assert accepted(manager, cookie, tokens) == [True, True]


def test_a_renewal_keeps_them(store: RecordStore) -> None:
    manager = SessionManager(store, DictSession)
    cookie = kept(manager, "alice")
    visits = [manager.begin(cookie) for _ in range(2)]
    tokens = [visit.session.get_csrf_token() for visit in visits]  # type: ignore[union-attr]
    visits[0].cycle_session(10)
    changes = [manager.finish(visit) for visit in visits]
    new = next(change.value for change in changes if change is not None and change.value is not None)
    assert accepted(manager, new, tokens) == [True, True]


def test_a_logout_and_login_on_one_object_ends_them(manager: SessionManager) -> None:
    cookie = kept(manager, "alice")
    visits = [manager.begin(cookie) for _ in range(2)]
    tokens = [visit.session.get_csrf_token() for visit in visits]  # type: ignore[union-attr]
    for visit in visits:
        manager.finish(visit)
    visit = manager.begin(cookie)
    session: Any = visit.session
    session.set_user(None)
    assert not any(session.is_csrf_token(token) for token in tokens)
    session.set_user("alice")
    session.get_csrf_token()
    manager.finish(visit)
    assert accepted(manager, cookie, tokens) == [False, False]


def test_quixotes_forms_take_each_of_them(manager: SessionManager) -> None:
    pytest.importorskip("quixote")
    from quixote.directory import Directory
    from quixote.http_request import HTTPRequest
    from quixote.publish import Publisher, cleanup

    cookie = kept(manager)
    visits = [manager.begin(cookie) for _ in range(2)]
    tokens = [visit.session.get_csrf_token() for visit in visits]  # type: ignore[union-attr]
    for visit in visits:
        manager.finish(visit)
    publisher = Publisher(Directory())
    try:
        for token in tokens:
            body = urllib.parse.urlencode({"csrf_token": token}).encode()
            environ = {
                "REQUEST_METHOD": "POST",
                "CONTENT_TYPE": "application/x-www-form-urlencoded",
                "CONTENT_LENGTH": str(len(body)),
                "SERVER_NAME": "localhost",
                "SERVER_PORT": "80",
            }
            request = HTTPRequest(io.BytesIO(body), environ)
            publisher._set_request(request)
            request.process_inputs()
            session = manager.begin(cookie).session
            assert session is not None and session.valid_csrf_token()
            publisher._clear_request()
    finally:
        cleanup()


def test_a_session_of_an_earlier_version_has_none_of_the_others(manager: SessionManager) -> None:
    session = DictSession("example1")
    session.get_csrf_token()
    assert "_other_csrf_tokens" not in session.__dict__ and "_other_csrf_tokens" not in session.__getstate__()


WORKS = ["token", "alice", "bob", "token alice", "alice token", "bob token", "item", "cycle token", "nothing"]


def work(visit: Visit, words: str) -> str | None:
    """Do what the words say, and return the token of the page: made by the user that the request ends with."""
    session: Any = visit.session
    token = None
    for word in words.split():
        if word == "token":
            token = session.get_csrf_token()
        elif word in ("alice", "bob"):
            token = token if session.user == word else None
            session.set_user(word)
        elif word == "item":
            session["item"] = 1
        elif word == "cycle":
            visit.cycle_session(10)
    return token


@pytest.mark.parametrize("rotate_on_login", [True, False])
@pytest.mark.parametrize("user", [None, "alice"])
@pytest.mark.parametrize("first", WORKS)
def test_in_every_pair_of_requests_a_token_is_valid_for_its_user_only(
    user: str | None, first: str, rotate_on_login: bool
) -> None:
    for second in WORKS:
        for order in (1, -1):
            manager = SessionManager(VolatileSessionStore(), DictSession, rotate_on_login=rotate_on_login)
            cookies = [kept(manager, user)]
            visits = [manager.begin(cookies[0]) for _ in range(2)]
            pages = [(work(visit, words), visit.session) for visit, words in zip(visits, (first, second), strict=True)]
            made = [(token, session.user) for token, session in pages if session is not None and token is not None]
            for visit in visits[::order]:
                change = manager.finish(visit)
                cookies += [change.value] if change is not None and change.value is not None else []
            for cookie in cookies:
                session = manager.begin(cookie).session
                for token, owner in made:
                    assert session is not None
                    assert not session.is_csrf_token(token) or session.user == owner, (second, order)
                    if cookie == cookies[-1] and not {"alice", "bob"}.intersection([*first.split(), *second.split()]):
                        assert session.is_csrf_token(token), (second, order)
