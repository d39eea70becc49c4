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
from .test_accepts import SCHEMES, Place, save, visit

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


def test_who_comes_by_is_filed_under_the_hash(place: Place, options: Any) -> None:
    id = place.use(options, save)
    place.clock.advance(3600)
    with hashed(place, options) as store:
        visit(store, id)
        assert live_keys(store) == [str(ids.hash_id(id))]
        visit(store, id)
    with place.open(hash_ids=True, **options) as store:
        visit(store, id)


def test_a_save_files_it_under_the_hash(place: Place, options: Any) -> None:
    id = place.use(options, save)
    with hashed(place, options) as store:
        session = store.load_session(id)
        session["n"] = 1
        store.save_session(session)
        session["n"] = 2
        store.save_session(session)
        assert live_keys(store) == [str(ids.hash_id(id))]
    with place.open(hash_ids=True, **options) as store:
        assert store.load_session(id)["n"] == 2


def test_requests_in_flight_notice_nothing(place: Place, options: Any) -> None:
    id = place.use(options, save)
    place.clock.advance(3600)
    with hashed(place, options, on_conflict="raise") as store:
        one, other = store.load_session(id), store.load_session(id)
        visit(store, id)
        one["n"] = 1
        store.save_session(one)
        assert store.load_session(id)["n"] == 1
        store.delete_session(other)
        assert store.load_session(id) is None
        one["n"] = 2
        with pytest.raises(SessionDeleted):
            store.save_session(one)


def test_changes_on_both_sides_of_the_move_survive(place: Place, options: Any) -> None:
    id = place.use(options, save)
    with hashed(place, options) as store:
        one, other = store.load_session(id), store.load_session(id)
        one["a"], other["b"] = 1, 2
        store.save_session(one)
        store.save_session(other)
        assert store.load_session(id).data == {"a": 1, "b": 2, "cart": [{"tea": 1}]}


@pytest.mark.parametrize("by", ["id", "session"])
@pytest.mark.parametrize("is_moved", [False, True])
def test_a_logout_is_final(place: Place, options: Any, by: str, is_moved: bool) -> None:
    id = place.use(options, save)
    place.clock.advance(3600)
    with hashed(place, options) as store:
        session = store.load_session(id)
        if is_moved:
            visit(store, id)
        store.delete_session(id if by == "id" else session)
        assert not store.has_session(id) and live_keys(store) == []


def test_a_move_that_was_killed_half_way_brings_nothing_back(place: Place, options: Any) -> None:
    id = place.use(options, save)
    place.clock.advance(3600)
    with hashed(place, options) as store:
        leave = store._leave_behind
        store._leave_behind = lambda *args: 1 / 0  # as good as a kill
        session = store.load_session(id)
        session._set_access_time(0)
        with pytest.raises(ZeroDivisionError):
            store.save_session(session)
        store._leave_behind = leave
        assert len(live_keys(store)) == 2
        store.delete_session(id)
        assert live_keys(store) == [] and not store.has_session(id)


@pytest.mark.parametrize("verb", ["read", "insert", "replace"])
def test_a_logout_in_the_middle_of_a_move_is_final(place: Place, options: Any, verb: str, monkeypatch: Any) -> None:
    id = place.use(options, save)
    place.clock.advance(3600)
    with hashed(place, options) as store:
        session, done = store.load_session(id), getattr(store, verb)
        session._set_access_time(0)

        def after_a_logout(*args: Any) -> Any:
            monkeypatch.undo()
            store.delete_session(id)
            return done(*args)

        monkeypatch.setattr(store, verb, after_a_logout)
        store.save_session(session)
        assert not store.has_session(id) and live_keys(store) == []


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


def test_all_are_filed_under_hashes_at_once(place: Place, options: Any) -> None:
    kept = [place.use(options, save) for _ in range(3)]
    with hashed(place, options) as store:
        assert store.reseal(look_only=True) == (0, 3)
        assert store.reseal() == (3, 0) and store.reseal() == (0, 0)
    with place.open(hash_ids=True, **options) as store:
        assert all(store.load_session(id).user == "alice" for id in kept)


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
