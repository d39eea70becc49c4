"""Switching hash_ids on over live data: records under plain ids are found, and filed under hashes in time."""

from pathlib import Path
from typing import Any

import pytest

import session3
from session3 import ids
from session3.Accepted import Accepted
from session3.DictSession import DictSession
from session3.errors import ConfigurationError, SessionDeleted
from session3.SessionManager import SessionManager

from .sessions import Clock
from .test_accepts import SCHEMES, Place, save

KEY = "the key of this test, long enough"
ACCEPTS = [Accepted(hash_ids=False)]


@pytest.fixture(params=SCHEMES)
def place(request: Any, tmp_path: Path, clock: Clock) -> Place:
    return Place(request.param, tmp_path, clock)


@pytest.fixture(params=[{}, {"secret_key": KEY}], ids=["plain", "signed"])
def options(request: Any) -> Any:
    return request.param


def hashed(place: Place, options: Any, **more: Any) -> Any:
    return place.open(hash_ids=True, accepts=ACCEPTS, **options, **more)


def live_keys(store: Any) -> list[str]:
    return [key for key, record in store.scan() if record.forward is None]


def request(store: Any, id: str, **items: Any) -> str:
    """Return the id that the browser has afterwards."""
    manager = SessionManager(store, DictSession)
    begun: Any = manager.begin(id)
    assert begun.session.user == "alice"
    if items:
        begun.session.update(items)
    change: Any = manager.finish(begun)
    return id if change is None else str(change.value)


def renewed(store: Any, id: str) -> str:
    """Return the id that the browser has after a request that only reads, of a site that renews ids."""
    manager = SessionManager(store, DictSession, renew_after=600)
    begun: Any = manager.begin(id)
    assert begun.session.user == "alice"
    change: Any = manager.finish(begun)
    return id if change is None else str(change.value)


def test_who_comes_by_gets_a_new_id_that_is_hashed(place: Place, options: Any) -> None:
    id = place.use(options, save)
    with hashed(place, options) as store:
        assert request(store, id) == id  # no touch is due yet
        place.clock.advance(3600)
        new = request(store, id)
        assert new != id and live_keys(store) == [str(ids.hash_id(new))]
        assert request(store, id) == new  # another request of the same page
        assert new not in str([record.forward for _, record in store.scan()])
        place.clock.advance(3600)
        assert store.load_session(id) is None and request(store, new) == new
    with place.open(hash_ids=True, **options) as store:
        assert store.load_session(new)["cart"] == [{"tea": 1}]


def test_who_changes_something_gets_one_too(place: Place, options: Any) -> None:
    id = place.use(options, save)
    with hashed(place, options) as store:
        new = request(store, id, n=1)
        assert new != id and store.load_session(new)["n"] == 1
        assert live_keys(store) == [str(ids.hash_id(new))]


def test_without_a_manager_it_stays_where_it_is(place: Place, options: Any) -> None:
    id = place.use(options, save)
    with hashed(place, options) as store:
        one, other = store.load_session(id), store.load_session(id)
        one["a"], other["b"] = 1, 2
        store.save_session(one)
        store.save_session(other)
        assert store.load_session(id).data == {"a": 1, "b": 2, "cart": [{"tea": 1}]}
        assert live_keys(store) == [id]


def test_requests_in_flight_lose_nothing(place: Place, options: Any) -> None:
    id = place.use(options, save)
    place.clock.advance(3600)
    with hashed(place, options) as store:
        one = store.load_session(id)
        new = request(store, id, b=2)
        one["a"] = 1
        store.save_session(one)
        assert store.load_session(new).data == {"a": 1, "b": 2, "cart": [{"tea": 1}]}


@pytest.mark.parametrize("by", ["id", "session"])
@pytest.mark.parametrize("is_moved", [False, True])
def test_a_logout_is_final(place: Place, options: Any, by: str, is_moved: bool) -> None:
    id = place.use(options, save)
    place.clock.advance(3600)
    with hashed(place, options) as store:
        session = store.load_session(id)
        late = store.load_session(id)
        if is_moved:
            request(store, id)
        store.delete_session(id if by == "id" else session)
        assert not store.has_session(id) and live_keys(store) == []
        late["n"] = 2
        with pytest.raises(SessionDeleted):
            store.save_session(late)


def test_a_login_moves_it_to_a_new_hash(place: Place, options: Any) -> None:
    id = place.use(options, save)
    with hashed(place, options) as store:
        manager = SessionManager(store, DictSession)
        begun: Any = manager.begin(id)
        begun.session.set_user("bob")
        change: Any = manager.finish(begun)
        assert change.value != id and store.load_session(id) is None
        assert live_keys(store) == [str(ids.hash_id(change.value))] and store.was_rotated(id)


def test_who_read_the_store_gets_in_by_no_key_of_it(place: Place, options: Any) -> None:
    with hashed(place, options) as store:
        id = save(store)
        assert store.load_session(str(ids.hash_id(id))) is None
        store.delete_session(str(ids.hash_id(id)))
        assert store.has_session(id)


def test_an_old_id_is_nobody_after_its_grace_whatever_is_renewed_later(place: Place, options: Any) -> None:
    id = place.use(options, save)
    place.clock.advance(3600)
    with hashed(place, options) as store:
        second = renewed(store, id)
        place.clock.advance(1)
        assert renewed(store, second) == second and store.has_session(id)
        place.clock.advance(60)
        assert not store.has_session(id)
        place.clock.advance(600)
        assert renewed(store, second) != second
        assert store.has_session(second) and not store.has_session(id) and store.load_session(id) is None


def test_a_renewal_that_the_browser_has_not_heard_of_is_followed(place: Place, options: Any) -> None:
    id = place.use(options, save)
    place.clock.advance(3600)
    new = place.use(options, lambda store: renewed(store, id))
    with hashed(place, options) as store:
        assert new != id and store.load_session(id).user == "alice"
        assert renewed(store, new) == new
        place.clock.advance(60)
        assert store.load_session(id) is None and store.load_session(new).user == "alice"


def test_how_many_are_left_is_told(place: Place, options: Any) -> None:
    kept = [place.use(options, save) for _ in range(3)]
    place.clock.advance(3600)
    with hashed(place, options) as store:
        assert store.reseal(look_only=True) == (0, 3) and store.reseal() == (0, 3)
        for left, id in zip((2, 1, 0), kept, strict=True):
            request(store, id)
            assert store.reseal() == (0, left)


def test_a_known_session_costs_one_read_and_plain_ids_end(place: Place, count_verbs: Any) -> None:
    id = place.use({}, save)
    accepts = [Accepted(hash_ids=False, until=place.clock() + 100)]
    with place.open(hash_ids=True, accepts=accepts) as store:
        new = save(store)
        counts = count_verbs(store)
        assert store.load_session(new) is not None and counts == {"read": 1}
        assert store.load_session(id) is not None
        place.clock.advance(101)
        assert store.load_session(id) is None


def test_no_other_switch_of_places_is_read() -> None:
    for options in ({}, {"hash_ids": True}):
        with pytest.raises(ConfigurationError, match="hash_ids=False is for a store"):
            session3.open_store("memory://", accepts=[Accepted(hash_ids=True)], **options)
    with pytest.raises(ConfigurationError, match="hash_ids=False is for a store"):
        session3.open_store("memory://", accepts=ACCEPTS)
