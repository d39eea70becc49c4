"""One notion of "the same": what the store's own serializer would bring back. Merges, second saves, `has_info`."""

import json
from typing import Any

import pytest

import session3
from session3 import ids
from session3.backends import for_store
from session3.DictSession import DictSession
from session3.merge import Sameness, three_way
from session3.serializers import JSONSerializer, PickleSerializer
from session3.Session import Session

from .sessions import Shop

SECRET = "a key of this test, long enough"


class PlainJSON:
    """A serializer of an application's own: tuples come back as lists, and keys as texts."""

    keeps_classes = False

    def dumps(self, value: Any) -> bytes:
        return json.dumps(value, default=sorted).encode()

    def loads(self, data: bytes) -> Any:
        return json.loads(data)


class Packed(DictSession):
    """Keeps a text in another form, until it is asked for."""

    def __init__(self, id: str | None, text: str = "") -> None:
        super().__init__(id)
        self._packed: str | None = text[::-1]

    @property
    def text(self) -> str:
        if self._packed is not None:
            self._text: str = self._packed[::-1]
            self._packed = None
        return self._text

    @text.setter
    def text(self, text: str) -> None:
        self._text, self._packed = text, None

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        if state["_packed"] is None:
            state["_packed"] = state.pop("_text")[::-1]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)


SERIALIZERS = [PickleSerializer, JSONSerializer, PlainJSON]
OPTIONS: list[dict[str, Any]] = [{}, {"secret_key": SECRET}, {"hash_ids": True}]
SCHEMES = ["memory", "directory", "sqlite", "shelve", "durus"]


@pytest.fixture(params=SERIALIZERS, ids=lambda made: made.__name__)
def serializer(request: Any) -> Any:
    return request.param()


@pytest.fixture(params=OPTIONS, ids=lambda options: next(iter(options), "plain"))
def store(request: Any, serializer: Any) -> Any:
    return session3.open_store("memory://", serializer=serializer, **request.param)


def put(store: Any, session: Any = None, **items: Any) -> Any:
    session = DictSession(ids.make_id()) if session is None else session
    session.user = "alice"
    session.data.update(items)
    store.save_session(session)
    return session


# -- a session object that is saved twice ----------------------------------------------------------------------------


def twice() -> list[Any]:
    tea = "".join(["te", "a"])
    pot = ["green"]
    return [["tea", "tea"], [tea, tea], {"a": pot, "b": pot}, [pot, pot], {"to": {"tea", "milk", "oats"}}, [(1, 2)] * 2]


@pytest.mark.parametrize("number", range(len(twice())))
def test_a_second_save_takes_back_nothing_that_it_did_not_touch(store: Any, number: int) -> None:
    cart: Any = twice()[number]
    session = put(store, cart=cart)
    other = store.load_session(session.id)
    other["cart"] = ["changed by another request"]
    store.save_session(other)
    session["n"] = 2
    store.save_session(session)
    again = store.load_session(session.id)
    assert (again["n"], again["cart"]) == (2, ["changed by another request"])
    assert session["cart"] == ["changed by another request"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_second_save_takes_back_nothing_on_any_store(scheme: str, tmp_path: Any) -> None:
    url = "memory://" if scheme == "memory" else f"{scheme}://{tmp_path}/sessions"
    with session3.open_store(url, serializer=JSONSerializer()) as store:
        session = put(store, cart=["tea", "tea"])
        other = store.load_session(session.id)
        other["cart"].append("milk")
        store.save_session(other)
        session["n"] = 2
        store.save_session(session)
        assert store.load_session(session.id).data == {"n": 2, "cart": ["tea", "tea", "milk"]}


def test_to_assign_an_equal_value_is_no_change(store: Any) -> None:
    for number, value in enumerate(twice()):
        session = put(store, cart=value)
        mine, other = store.load_session(session.id), store.load_session(session.id)
        other["cart"] = ["changed"]
        store.save_session(other)
        mine["cart"] = twice()[number]
        mine["n"] = 1
        store.save_session(mine)
        assert store.load_session(session.id)["cart"] == ["changed"]


def test_a_set_of_another_history_is_the_same() -> None:
    words = {f"word {number}" for number in range(100)}
    others = {f"word {number}" for number in range(99, -1, -1)}
    for size in range(400):
        others.add(f"other {size}")
    others -= {f"other {size}" for size in range(400)}
    same = Sameness(PickleSerializer())
    assert not same.differs({"words": words}, {"words": others})
    assert same.differs({"words": words}, {"words": others | {"one more"}})


def test_texts_are_compared_whoever_else_has_the_same_object_but_lists_are_not() -> None:
    same, tea, pot = Sameness(PickleSerializer()), "".join(["te", "a"]), ["green"]
    assert not same.differs([tea, tea], [tea, "".join(["te", "a"])])
    assert same.differs([tea, tea], [tea, tea.encode()]) and same.differs([tea], ["milk"])
    assert same.differs([pot, pot], [pot, ["green"]])  # to append to one of them is another thing


def test_attributes_of_a_session_are_compared_as_stored(serializer: Any) -> None:
    store: Any = session3.open_store("memory://", serializer=serializer, session_class=Shop)
    session = Shop(ids.make_id())
    session.cart, session.user = ["tea", "tea"], "alice"
    store.save_session(session)
    other = store.load_session(session.id)
    other.cart.append("milk")
    store.save_session(other)
    session.visits = 7
    store.save_session(session)
    again = store.load_session(session.id)
    assert (again.visits, again.cart) == (7, ["tea", "tea", "milk"])


def test_keys_are_compared_as_they_come_back() -> None:
    store = session3.open_store("memory://", serializer=PlainJSON())
    session: Any = put(store, prices={1: 5})
    session[7] = ["seven"]
    store.save_session(session)
    other = store.load_session(session.id)
    other["7"].append("changed")
    store.save_session(other)
    session["n"] = 1
    store.save_session(session)
    assert store.load_session(session.id)["7"] == ["seven", "changed"]
    assert session[7] == ["seven", "changed"]


def test_what_a_getstate_of_its_own_keeps_is_what_is_compared(serializer: Any) -> None:
    store = session3.open_store("memory://", serializer=serializer, session_class=Packed)
    session = put(store, Packed(ids.make_id(), "old"))
    mine, other = store.load_session(session.id), store.load_session(session.id)
    other.text = "new"
    store.save_session(other)
    assert mine.text == "old"  # looked at, not changed
    mine["n"] = 1
    store.save_session(mine)
    again = store.load_session(session.id)
    assert (again.text, again["n"], mine.text) == ("new", 1, "new")


def test_what_an_application_holds_goes_on_to_be_the_sessions(store: Any) -> None:
    session = put(store, cart=["tea"])
    mine, other = store.load_session(session.id), store.load_session(session.id)
    cart = mine["cart"]
    other["color"] = "red"
    store.save_session(other)
    mine["n"] = 1
    store.save_session(mine)
    cart.append("milk")
    store.save_session(mine)
    assert store.load_session(session.id)["cart"] == ["tea", "milk"]


def test_form_tokens_are_merged_beside_a_second_save(store: Any) -> None:
    session = put(store, cart=["tea", "tea"])
    one = session.create_form_token()
    store.save_session(session)
    other = store.load_session(session.id)
    other.remove_form_token(one)
    two = other.create_form_token()
    store.save_session(other)
    three = session.create_form_token()
    store.save_session(session)
    again = store.load_session(session.id)
    assert again._form_tokens == [two, three]


# -- others ----------------------------------------------------------------------------------------------------------


def test_djangos_api_takes_back_nothing_either(store: Any) -> None:
    api = for_store(store)
    one = api()
    one["cart"] = ["tea", "tea"]
    one.save()
    other = api(one.session_key)
    other["cart"].append("milk")
    other.save()
    one["n"] = 1
    one.save()
    assert dict(api(one.session_key)) == {"cart": ["tea", "tea", "milk"], "n": 1}


class Listed(Session):
    def __init__(self, id: str | None) -> None:
        super().__init__(id)
        word = "".join(["te", "a"])
        self.shown = [word, word]


def test_a_loaded_session_that_is_as_a_fresh_one_has_no_info(serializer: Any) -> None:
    store: Any = session3.open_store("memory://", serializer=serializer, session_class=Listed)
    session = Listed(ids.make_id())
    store.save_session(session)
    assert not session.has_info() and not store.load_session(session.id).has_info()
    session.shown = ["tea"]
    store.save_session(session)
    assert store.load_session(session.id).has_info()


def test_a_merge_without_stores_compares_as_pickle_does() -> None:
    base, mine, theirs = Shop("example1"), Shop("example1"), Shop("example1")
    mine.visits, theirs.cart = 1, ["tea"]
    merged = Shop.merge(base, mine, theirs)
    assert (merged.visits, merged.cart) == (1, ["tea"])
    assert three_way({"a": 1}, {"a": 1}, {"a": 2}) == {"a": 2}


def test_a_serializer_that_refuses_a_key_leaves_it_to_the_save_to_say_so() -> None:
    assert Sameness(PlainJSON()).key((1, 2)) == (1, 2)
