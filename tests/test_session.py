"""Session and DictSession: the meaning of Quixote's own, and what ours add."""

import copy
import functools
import io
import pickle
import urllib.parse
from collections import OrderedDict
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import pytest

from session3.DictSession import DictSession
from session3.errors import FormTokenUsed
from session3.serializers import JSONSerializer
from session3.Session import Session
from session3.SessionManager import SessionManager
from session3.store.VolatileSessionStore import VolatileSessionStore

from .sessions import Clock, Counted, Shop

quixote = pytest.importorskip("quixote", reason="Quixote is missing: pip install 'session3[quixote]'")

Requests = Callable[..., Any]


@pytest.fixture
def requests() -> Iterator[Requests]:
    """Return a function that makes a request Quixote's current one."""
    from quixote.directory import Directory
    from quixote.http_request import HTTPRequest
    from quixote.publish import Publisher, cleanup

    publisher = Publisher(Directory())

    def start(method: str = "GET", content_type: str = "application/x-www-form-urlencoded", **fields: str) -> Any:
        body = urllib.parse.urlencode(fields).encode()
        environ = {
            "REQUEST_METHOD": method,
            "REMOTE_ADDR": "192.0.2.7",
            "CONTENT_TYPE": content_type,
            "CONTENT_LENGTH": str(len(body)),
            "SCRIPT_NAME": "",
            "PATH_INFO": "/",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
        }
        request = HTTPRequest(io.BytesIO(body), environ)
        publisher._set_request(request)
        request.process_inputs()
        return request

    start()
    yield start
    publisher._clear_request()
    cleanup()


def quixotes_own(id: str | None) -> Any:
    from quixote.session import Session

    return Session(id)


# What Quixote's applications and forms rely on holds for all three.
all_alike = pytest.mark.parametrize("make", [quixotes_own, Session, DictSession])
ours = pytest.mark.parametrize("make", [Session, DictSession, Shop])


# -- as Quixote's own ------------------------------------------------------------------------------------------------


def test_every_public_method_and_attribute_of_quixotes_session_is_there(requests: Requests) -> None:
    theirs, our = quixotes_own("example1"), Session("example1")
    assert {name for name in dir(theirs) if not name.startswith("__")} <= set(dir(our))


@all_alike
def test_a_new_session_has_an_id_no_user_and_nothing_to_keep(make: Any, requests: Requests) -> None:
    session = make("example1")
    assert session.id == "example1" and session.user is None and session.get_user() is None
    assert not session.has_info()


@all_alike
def test_set_user_is_what_get_user_returns_and_worth_keeping(make: Any, requests: Requests) -> None:
    session = make(None)
    session.set_user("alice")
    assert session.user == session.get_user() == "alice" and session.has_info()


@ours
@pytest.mark.parametrize("user", ["", 0, False, 0.0, (), {}])
def test_a_user_that_is_false_is_a_user_all_the_same(make: Any, user: Any) -> None:
    """Quixote's own session keeps no such user."""
    session = make(None)
    session.set_user(user)
    assert session.has_info() and "no user" not in str(session)


@all_alike
def test_form_tokens_and_the_csrf_token_are_worth_keeping(make: Any, requests: Requests) -> None:
    one, other = make(None), make(None)
    one.create_form_token()
    other.get_csrf_token()
    assert one.has_info() and other.has_info()


@all_alike
def test_a_form_token_is_there_until_it_is_removed(make: Any, requests: Requests) -> None:
    session = make(None)
    token, other = session.create_form_token(), session.create_form_token()
    assert token != other and session.has_form_token(token) and session.has_form_token(other)
    session.remove_form_token(token)
    assert not session.has_form_token(token) and session.has_form_token(other)


@all_alike
@pytest.mark.parametrize("token", [None, "", "unknown", ["a", "b"]])
def test_an_unknown_form_token_is_not_there_and_cannot_be_removed(make: Any, token: Any, requests: Requests) -> None:
    session = make(None)
    session.create_form_token()
    assert not session.has_form_token(token)
    with pytest.raises(ValueError):
        session.remove_form_token(token)


@all_alike
def test_the_oldest_form_token_goes_first(make: Any, requests: Requests) -> None:
    session = make(None)
    tokens = [session.create_form_token() for _ in range(session.MAX_FORM_TOKENS + 3)]
    assert [session.has_form_token(token) for token in tokens] == [False] * 3 + [True] * session.MAX_FORM_TOKENS


def test_ours_remembers_32_form_tokens() -> None:
    assert Session.MAX_FORM_TOKENS == DictSession.MAX_FORM_TOKENS == 32


@all_alike
def test_start_request_tells_the_user_as_remote_user(make: Any, requests: Requests) -> None:
    request, session = requests(), make(None)
    session.start_request()
    assert "REMOTE_USER" not in request.environ
    session.set_user(42)
    session.start_request()
    assert request.environ["REMOTE_USER"] == "42"


@all_alike
def test_ages_count_from_the_times(make: Any, requests: Requests) -> None:
    session = make(None)
    session._creation_time, session._access_time = 1000.0, 1500.0
    assert session.get_creation_time() == 1000.0 and session.get_access_time() == 1500.0
    assert session.get_creation_age(1600.0) == 600.0 and session.get_access_age(1600.0) == 100.0
    assert session.get_creation_age() > 10**9 and session.get_access_age() > 10**9


@all_alike
def test_the_access_time_moves_only_after_the_resolution(make: Any, requests: Requests) -> None:
    session = make(None)
    session._access_time = before = session.get_access_time() - 100
    session._set_access_time(1000)
    assert session.get_access_time() == before
    session._set_access_time(50)
    assert session.get_access_time() > before + 50


@all_alike
def test_the_csrf_token_stays_the_same_and_differs_between_sessions(make: Any, requests: Requests) -> None:
    session = make(None)
    assert session.get_csrf_token() == session.get_csrf_token() != make(None).get_csrf_token()
    assert len(session.get_csrf_token()) >= 22  # 128 bits in base64


@all_alike
def test_a_csrf_token_is_valid_in_a_post_and_in_its_field(make: Any, requests: Requests) -> None:
    session = make(None)
    token = session.get_csrf_token()
    requests("POST", csrf_token=token)
    assert session.valid_csrf_token() is True and session.valid_csrf_token("other") is False
    requests("POST", other=token)
    assert session.valid_csrf_token() is False and session.valid_csrf_token("other") is True
    for method, fields in [
        ("GET", {"csrf_token": token}),
        ("POST", {}),
        ("POST", {"csrf_token": ""}),
        ("POST", {"csrf_token": token + "x"}),
        ("POST", {"csrf_token": "ü"}),
        ("POST", {"csrf_token": make(None).get_csrf_token()}),
    ]:
        requests(method, **fields)
        assert session.valid_csrf_token() is False


@ours
def test_a_csrf_token_is_not_valid_before_there_is_one(make: Any, requests: Requests) -> None:
    requests("POST", csrf_token="None")
    session = make(None)
    assert session.valid_csrf_token() is False and not session.has_info()


@ours
def test_no_value_of_a_csrf_field_is_an_error(make: Any, requests: Requests) -> None:
    """Quixote gives an object for an uploaded file; a client's charset can make lone surrogates."""
    session = make(None)
    token = session.get_csrf_token()
    for value in (object(), [], [token, "x"], "\udc80", "\ud800" + token):
        request = requests("POST")
        request.form["csrf_token"] = value
        assert session.valid_csrf_token() is False


@all_alike
def test_a_quixote_form_is_accepted_once(make: Any, requests: Requests) -> None:
    from quixote.form import Form

    session = make(None)

    def form() -> Any:
        form = Form()
        form.add_submit("save", "Save")
        return form

    def post(**fields: str) -> Any:
        request = requests("POST", save="Save", **fields)
        request.session = session
        return form()

    from quixote import get_publisher

    get_publisher().config.form_tokens = True
    requests().session = session
    page = form()
    page.render()
    token = page.get_widget(Form.TOKEN_NAME).value
    assert session.has_form_token(token)
    first = post(_form_id=token)
    assert first.is_submitted() and not first.has_errors()
    assert post(_form_id=token).has_errors()
    assert post(_form_id="forged").has_errors()
    assert post().has_errors()


@all_alike
def test_dump_writes_to_a_file(make: Any, requests: Requests) -> None:
    session, out = make("example1"), io.StringIO()
    session.set_user("alice")
    session.dump(out)
    assert "user" in out.getvalue() and "alice" in out.getvalue()
    bare = io.StringIO()
    session.dump(bare, header=False, deep=False)
    assert len(bare.getvalue()) < len(out.getvalue())


# -- ours ------------------------------------------------------------------------------------------------------------


@ours
def test_a_session_can_be_made_outside_a_request_and_then_has_no_address(make: Any) -> None:
    session = make(None)
    assert session.id is None and session.get_remote_address() is None


@ours
def test_nothing_that_a_developer_prints_shows_the_id_or_the_tokens(make: Any) -> None:
    secret = "x7secretsecretsecret"
    session = make(secret)
    session.set_user("alice")
    tokens = [session.create_form_token(), session.get_csrf_token()]
    out = io.StringIO()
    session.dump(out)
    printed = [repr(session), str(session), f"{session}", f"{[session]}", out.getvalue()]
    assert not any(hidden in text for hidden in (secret, *tokens) for text in printed)
    assert type(session).__name__ in repr(session) and "alice" in str(session)
    assert "new" in repr(make(None)) and "no user" in str(make(None))


def test_dump_goes_to_standard_output_and_deep_shows_what_a_subclass_adds(capsys: pytest.CaptureFixture[str]) -> None:
    shop = Shop("example1")
    shop.cart.append("tea")
    shop.dump()
    assert "cart: ['tea']" in capsys.readouterr().out
    shop.dump(deep=False)
    assert "cart" not in capsys.readouterr().out


def test_times_come_from_the_clock_that_the_manager_or_the_store_gave() -> None:
    clock = Clock(5000.0)
    session = Session(None)
    session._clock = clock
    session._creation_time = session._access_time = clock()
    clock.advance(61)
    session._set_access_time(61)
    assert session.get_access_time() == 5000.0  # not more than the resolution
    session._set_access_time(60)
    assert session.get_access_time() == 5061.0 and session.get_creation_age() == 61.0


def test_another_user_gets_another_csrf_token_and_the_same_keeps_it() -> None:
    session = Session(None)
    session.set_user("alice")
    token = session.get_csrf_token()
    session.set_user("alice")
    assert session.get_csrf_token() == token
    session.set_user("bob")
    assert session.get_csrf_token() != token


class User:
    def __init__(self, id: Any, name: str = "") -> None:
        self.id = id
        self.name = name


@pytest.mark.parametrize(
    ("user", "key"),
    [
        (None, None),
        ("alice", "alice"),
        (7, 7),
        (User(7), f"{__name__}.User(7)"),
        (User("u7"), f"{__name__}.User('u7')"),
        (0, 0),
        ("", ""),
    ],
)
def test_the_key_of_a_user_is_itself_or_its_class_and_id(user: Any, key: Any) -> None:
    session = Session(None)
    session.set_user(user)
    assert session.get_user_key() == key


def test_the_key_of_another_user_object_is_its_value() -> None:
    session, other = Session(None), Session(None)
    session.set_user({"name": "alice"})
    other.set_user({"name": "alice"})
    before = session.get_user_key()
    assert isinstance(before, bytes) and before == other.get_user_key()
    session.user["name"] = "bob"
    assert session.get_user_key() != before


# -- what is worth keeping -------------------------------------------------------------------------------------------


@ours
def test_a_crawlers_session_is_not_worth_keeping_defaults_and_all(make: Any) -> None:
    assert not make(None).has_info()


def test_has_info_is_the_first_truthy_of_user_tokens_and_csrf_token() -> None:
    session = Shop(None)
    session.visits = 1
    assert session.has_info() is True
    csrf = session.get_csrf_token()
    assert session.has_info() == csrf
    form = session.create_form_token()
    assert session.has_info() == [form]
    session.set_user("alice")
    assert session.has_info() == "alice"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("visits", 1),
        ("visits", False),
        ("consent", False),
        ("cart", ["tea"]),
        ("cart", ()),
        ("theme", ""),
        ("added", None),
    ],
)
def test_an_attribute_that_differs_from_a_fresh_session_is_worth_keeping_falsy_or_not(name: str, value: Any) -> None:
    session = Shop(None)
    setattr(session, name, value)
    assert session.has_info() is True


@pytest.mark.parametrize(("name", "value"), [("visits", 0), ("cart", []), ("theme", "light"), ("_private", 1)])
def test_an_attribute_that_is_as_in_a_fresh_session_or_private_is_not(name: str, value: Any) -> None:
    session = Shop(None)
    setattr(session, name, value)
    assert not session.has_info()


def test_a_change_inside_an_attribute_is_worth_keeping() -> None:
    session = Shop(None)
    session.cart.append("tea")
    assert session.has_info() is True
    session.cart.pop()
    assert not session.has_info()


def test_the_id_and_a_removed_user_are_not_worth_keeping() -> None:
    session = Session("example1")
    session.set_user("alice")
    session.set_user(None)
    assert not session.has_info()


@pytest.mark.parametrize("value", [1, None, 0, "", []])
def test_an_item_is_worth_keeping_whatever_its_value(value: Any) -> None:
    session = DictSession(None)
    session["key"] = value
    assert session.has_info()
    del session["key"]
    assert not session.has_info()


def test_a_session_is_dirty_until_its_store_knows_it() -> None:
    store = VolatileSessionStore()
    session = DictSession("example1")
    assert session.is_dirty()
    store.save_session(session)
    assert not session.is_dirty()
    session["cart"] = ["tea"]
    assert session.is_dirty()
    store.save_session(session)
    session["cart"].append("milk")
    assert session.is_dirty()
    session["cart"].pop()
    assert not session.is_dirty()


# -- pickles and copies ----------------------------------------------------------------------------------------------


def copies_of(session: Any) -> list[Any]:
    made = [copy.copy(session), copy.deepcopy(session)]
    return made + [pickle.loads(pickle.dumps(session, protocol)) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)]


def test_a_session_pickles_and_copies_whole_as_its_class_with_its_id() -> None:
    shop = Shop("example1")
    shop.set_user("alice")
    shop.visits = 3
    token = shop.create_form_token()
    shop._remote_address, shop._creation_time, shop._access_time = "192.0.2.7", 1.0, 2.0
    for made in copies_of(shop):
        assert type(made) is Shop and made.id == "example1" and made.user == "alice" and made.visits == 3
        assert made.has_form_token(token) and made.get_remote_address() == "192.0.2.7"
        assert (made.get_creation_time(), made.get_access_time()) == (1.0, 2.0)


@ours
def test_a_copy_carries_no_snapshot_and_is_new_to_the_store(make: Any) -> None:
    store = VolatileSessionStore()
    store.save_session(make("example1"))
    session = store.load_session("example1")
    assert session._snapshot is not None
    assert copy.copy(session._snapshot) is copy.deepcopy(session._snapshot) is None
    assert pickle.loads(pickle.dumps(session._snapshot)) is None
    for made in copies_of(session):
        assert made._snapshot is None and made.is_dirty()
        assert not {"_snapshot", "_clock", "_expires", "_used_tokens"}.intersection(made.__dict__)
    assert session._snapshot is not None


def test_what_pickles_older_than_the_class_lack_has_its_default() -> None:
    for session in (Session, DictSession, Shop):
        old = session.__new__(session)
        old.__setstate__({"id": "example1", "user": "alice", "_creation_time": 1.0, "_access_time": 1.0})
        assert old.user == "alice" and old.get_remote_address() is None
        assert old.has_info() == "alice" and not old.has_form_token("x") and old.get_csrf_token()
        assert old.create_form_token()
    shop = Shop.__new__(Shop)
    shop.__setstate__({"id": "example1"})
    assert shop.theme == "light"
    items = DictSession.__new__(DictSession)
    items.__setstate__({"id": "example1"})
    assert len(items) == 0


def test_sessions_do_not_share_what_is_mutable() -> None:
    for make in (Session, DictSession):
        one, other = make.__new__(make), make.__new__(make)
        one.__setstate__({})
        other.__setstate__({})
        one.create_form_token()
        assert not other.has_info()


# -- DictSession -----------------------------------------------------------------------------------------------------


def test_a_dict_session_is_a_mapping() -> None:
    session = DictSession("example1")
    assert isinstance(session, MutableMapping)
    session["a"] = 1
    session.update(b=2, c=3)
    assert session.setdefault("d", 4) == 4 and session.get("x", 5) == 5 and session.pop("c") == 3
    del session["d"]
    assert dict(session) == {"a": 1, "b": 2} and len(session) == 2 and "a" in session and "c" not in session
    assert list(session) == list(session.keys()) == ["a", "b"] and list(session.items()) == [("a", 1), ("b", 2)]
    with pytest.raises(KeyError):
        session["c"]
    with pytest.raises(KeyError):
        del session["c"]
    session.clear()
    assert dict(session) == {}


def test_items_and_attributes_are_distinct() -> None:
    session = DictSession("example1")
    session["user"], session["id"] = "mallory", "other"
    assert session.user is None and session.id == "example1"
    session.set_user("alice")
    assert session["user"] == "mallory"


def test_a_dict_session_is_false_as_long_as_there_is_nothing_in_it() -> None:
    """Quixote's access log asks `if session` before it names the user, who need not have items."""
    works: list[Callable[[DictSession], object]] = [
        lambda session: session.update(a=1),
        lambda session: session.set_user("alice"),
        lambda session: session.set_user(0),
        lambda session: session.create_form_token(),
        lambda session: session.get_csrf_token(),
        lambda session: setattr(session, "theme", "dark"),
    ]
    for work in works:
        session = DictSession("example1")
        assert not session
        work(session)
        assert session


def test_a_dict_session_is_its_items_beside_a_mapping_and_itself_beside_a_session() -> None:
    one, other = DictSession(None), DictSession(None)
    one["a"] = other["a"] = 1
    assert one == {"a": 1} == OrderedDict(a=1) == one and one != {"a": 2} and one != {} and one != [("a", 1)]
    assert one != other and one == one and one != copy.copy(one)
    assert len({one, other}) == 2 and other not in [one]


def test_the_operators_of_a_dict_session() -> None:
    session = DictSession("example1")
    session.update(a=1, b=[2])
    session.accessed = session.modified = False
    assert session | {"b": 3} == {"a": 1, "b": 3} and {"b": 3} | session == {"b": [2], "a": 1}
    assert type(session | session) is type({} | session) is type(session.copy()) is dict
    assert session.copy()["b"] is session["b"] and session.copy() is not session.data
    assert (session.accessed, session.modified) == (True, False)
    for wrong in ([("c", 4)], None, 7):
        with pytest.raises(TypeError):
            session | wrong
        with pytest.raises(TypeError):
            wrong | session
    same = session
    same |= {"c": 4}
    same |= [("d", 5)]
    assert same is session and session.modified and dict(session) == {"a": 1, "b": [2], "c": 4, "d": 5}
    assert session.id == "example1"


# -- merging ---------------------------------------------------------------------------------------------------------


def three(make: Any, prepare: Callable[[Any], object] = lambda session: None) -> tuple[Any, Any, Any]:
    """Return a session that was stored, and as two requests loaded it."""
    base = make("example1")
    prepare(base)
    mine, theirs = pickle.loads(pickle.dumps([base, base]))[0], pickle.loads(pickle.dumps(base))
    return base, mine, theirs


def test_changes_of_different_attributes_both_survive() -> None:
    base, mine, theirs = three(Shop)
    mine.visits, theirs.consent = 5, False
    theirs.new, mine.user = ["new"], "alice"
    merged = Shop.merge(base, mine, theirs)
    assert type(merged) is Shop
    assert (merged.visits, merged.consent, merged.new, merged.user) == (5, False, ["new"], "alice")  # type: ignore[attr-defined]


def test_of_two_changes_of_one_attribute_mine_stands() -> None:
    base, mine, theirs = three(Shop)
    mine.visits, theirs.visits = 5, 6
    assert Shop.merge(base, mine, theirs).visits == 5


def test_a_deleted_attribute_stays_deleted() -> None:
    base, mine, theirs = three(Shop, lambda shop: setattr(shop, "extra", 1))
    del theirs.extra
    assert not hasattr(Shop.merge(base, mine, theirs), "extra")
    base, mine, theirs = three(Shop, lambda shop: setattr(shop, "extra", 1))
    del mine.extra
    assert not hasattr(Shop.merge(base, mine, theirs), "extra")


def test_changes_of_different_items_both_survive() -> None:
    base, mine, theirs = three(DictSession, lambda session: session.update(old=1, gone=1, cart=["tea"]))
    mine["mine"] = 1
    mine["cart"].append("milk")
    theirs["theirs"] = 1
    del theirs["gone"]
    assert dict(DictSession.merge(base, mine, theirs)) == {"old": 1, "cart": ["tea", "milk"], "mine": 1, "theirs": 1}


def test_a_merge_leaves_the_three_as_they_are() -> None:
    base, mine, theirs = three(DictSession)
    mine["a"], theirs["b"] = [1], [2]
    before = [pickle.dumps(session) for session in (base, mine, theirs)]
    DictSession.merge(base, mine, theirs)
    assert [pickle.dumps(session) for session in (base, mine, theirs)] == before


def test_form_tokens_made_by_both_survive_and_those_removed_by_either_are_gone() -> None:
    base, mine, theirs = three(Session, lambda session: [session.create_form_token() for _ in range(3)])
    first, second, third = base._form_tokens
    mine.remove_form_token(first)
    theirs.remove_form_token(second)
    new = {mine.create_form_token(), theirs.create_form_token()}
    merged = Session.merge(base, mine, theirs)
    assert merged._form_tokens[0] == third and set(merged._form_tokens) == {third} | new


def test_no_more_form_tokens_come_out_of_a_merge_than_a_session_may_have() -> None:
    base, mine, theirs = three(Session, lambda session: [session.create_form_token() for _ in range(20)])
    made = [session.create_form_token() for session in [theirs] * 10 + [mine] * 10]
    assert Session.merge(base, mine, theirs)._form_tokens == base._form_tokens[8:] + made


@pytest.mark.parametrize("make", [Session, DictSession])
def test_of_two_requests_that_used_one_form_token_the_second_is_refused(make: Any) -> None:
    base, mine, theirs = three(make, lambda session: session.create_form_token())
    (token,) = base._form_tokens
    theirs.remove_form_token(token)
    mine.remove_form_token(token)
    with pytest.raises(FormTokenUsed):
        make.merge(base, mine, theirs)


def test_the_second_of_two_posts_is_refused_also_when_the_queue_of_tokens_is_full() -> None:
    """Whoever opened 32 forms has a full queue for good; the answer to a failed form makes a token again."""
    base, mine, theirs = three(Session, lambda session: [session.create_form_token() for _ in range(32)])
    token = base._form_tokens[-1]
    theirs.remove_form_token(token)
    theirs.create_form_token()
    mine.remove_form_token(token)
    with pytest.raises(FormTokenUsed):
        Session.merge(base, mine, theirs)


def test_a_token_that_a_full_queue_dropped_was_not_used_twice() -> None:
    base, mine, theirs = three(Session, lambda session: [session.create_form_token() for _ in range(32)])
    oldest = base._form_tokens[0]
    theirs.create_form_token()
    mine.remove_form_token(oldest)
    assert not Session.merge(base, mine, theirs).has_form_token(oldest)


def test_through_a_store_the_second_of_two_posts_is_refused_and_nothing_of_it_is_kept() -> None:
    store = VolatileSessionStore()
    session = DictSession("example1")
    token = session.create_form_token()
    store.save_session(session)
    first, second = store.load_session("example1"), store.load_session("example1")
    for order, request in enumerate((first, second)):
        request.remove_form_token(token)
        request["order"] = order
    store.save_session(first)
    with pytest.raises(FormTokenUsed):
        store.save_session(second)
    assert store.load_session("example1")["order"] == 0
    again = store.load_session("example1")
    again["order"] = 2  # a token that was used once is used
    store.save_session(again)


def test_a_subclass_says_how_its_own_attribute_merges() -> None:
    store = VolatileSessionStore()
    store.save_session(Counted("example1"))
    one, other = store.load_session("example1"), store.load_session("example1")
    one.hits += 2
    one["one"] = 1
    other.hits += 3
    other["other"] = 1
    store.save_session(one)
    store.save_session(other)
    found = store.load_session("example1")
    assert found.hits == 5 and dict(found) == {"one": 1, "other": 1}
    assert other.hits == 5


def test_a_session_that_was_saved_and_goes_on_loses_no_change_of_another() -> None:
    """Its values never went through a pickle, so their bytes may differ where nothing changed."""
    store = VolatileSessionStore()
    session = DictSession("example1")
    tags = {f"tag {number}" for number in range(40)}
    for number in range(5, 40):
        tags.discard(f"tag {number}")
    session["tags"] = tags
    store.save_session(session)
    other = store.load_session("example1")
    other["tags"].add("from the other request")
    store.save_session(other)
    session["mine"] = 1
    store.save_session(session)
    assert "from the other request" in store.load_session("example1")["tags"]


# -- items in an attribute ---------------------------------------------------------------------------------------------


class Untold:
    """Has no truth value, as an array has none."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __bool__(self) -> bool:
        raise ValueError("ambiguous")


def merged(base: Any, mine: Any, theirs: Any, make: Any = Session) -> Any:
    """Return what `data` becomes; an ellipsis is no attribute."""
    sessions = []
    for data in (base, mine, theirs):
        sessions.append(make("example1"))
        sessions[-1].__dict__.pop("data", None)
        if data is not ...:
            sessions[-1].data = data
    return make.merge(*sessions).__dict__.get("data", ...)


@pytest.mark.parametrize("kind", [dict, OrderedDict])
@pytest.mark.parametrize("make", [Session, DictSession])
def test_items_are_merged_one_by_one(make: Any, kind: Any) -> None:
    assert merged(kind(z=1), kind(z=1, a=1), kind(z=1, b=1), make) == {"z": 1, "a": 1, "b": 1}
    assert merged(kind(z=1), kind(a=1), kind(z=1, b=1), make) == {"a": 1, "b": 1}


def test_items_that_two_requests_began_are_merged() -> None:
    assert merged(..., {"a": 1}, {"b": 1}) == {"a": 1, "b": 1}


def test_an_attribute_data_need_hold_no_items() -> None:
    assert merged(Untold(1), Untold(2), Untold(1)).value == 2
    assert merged({"a": 1}, ..., {"a": 1}) is ...


class Unequal(Untold):
    """Compares to an array of answers, as an array and a DataFrame do."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> Any:
        return Unequal(0)


@pytest.mark.parametrize("name", ["data", "prices"])
@pytest.mark.parametrize("make", [Session, Shop])
def test_an_attribute_may_have_an_equality_of_its_own(make: Any, name: str) -> None:
    manager = SessionManager(VolatileSessionStore(), make)
    visit = manager.begin(None)
    setattr(visit.session, name, Unequal(7))
    cookie = manager.finish(visit)
    assert cookie is not None
    visit = manager.begin(cookie.value)
    assert getattr(visit.session, name).value == 7
    assert manager.finish(visit) is None


def test_what_every_visitor_is_given_may_have_one_too() -> None:
    class Priced(SessionManager):
        def new_session(self, id: str | None) -> Any:
            session: Any = super().new_session(id)
            session.data = Unequal(7)
            return session

    manager = Priced(VolatileSessionStore())
    assert manager.finish(manager.begin(None)) is None


# -- what a class works out --------------------------------------------------------------------------------------------


class reify:
    """As Pyramid's: a descriptor that leaves what it made in the instance."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self.make = make

    def __get__(self, session: Any, owner: Any) -> Any:
        made = session.__dict__[self.make.__name__] = self.make(session)
        return made


class Totalled(DictSession):
    @functools.cached_property
    def total(self) -> int:
        return sum(self.data.values())

    @reify
    def average(self) -> float:
        return self.total / len(self.data)


class Fixed(Totalled):
    total = 0  # an attribute again


@pytest.mark.parametrize("options", [{}, {"serializer": JSONSerializer(), "session_class": Totalled}])
def test_what_a_cached_property_made_is_of_one_request(options: Any) -> None:
    manager = SessionManager(VolatileSessionStore(**options), Totalled)
    visit = manager.begin(None)
    session: Any = visit.session
    assert session.total == 0 and manager.finish(visit) is None  # no stranger is stored for it
    visit = manager.begin(None)
    session = visit.session
    session.update(tea=2, milk=4)
    assert (session.total, session.average) == (6, 3)
    cookie = manager.finish(visit)
    assert cookie is not None
    visit = manager.begin(cookie.value)
    session = visit.session
    assert session.total == 6 and not session.is_dirty()
    session["sugar"] = 9
    assert manager.finish(visit) is None
    session = manager.begin(cookie.value).session
    assert (session.total, session.average) == (15, 5)
    assert pickle.loads(pickle.dumps(session)).__dict__.keys().isdisjoint({"total", "average"})


def test_an_attribute_that_was_a_cached_property_of_a_base_class_is_kept() -> None:
    manager = SessionManager(VolatileSessionStore(), Fixed)
    visit = manager.begin(None)
    visit.session.total = 5  # type: ignore[union-attr]
    cookie = manager.finish(visit)
    assert cookie is not None and manager.begin(cookie.value).session.total == 5  # type: ignore[union-attr]


def test_a_cookie_in_bytes_is_no_stranger() -> None:
    for value in (b"x" * 32, bytearray(b"x" * 32)):
        with pytest.raises(TypeError, match="decode"):
            SessionManager(VolatileSessionStore()).begin(value)  # type: ignore[arg-type]
