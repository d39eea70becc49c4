"""The conformance suite: what a store promises, as classes to inherit.

A store's test file gives the fixture `store` and inherits what the store claims:

    class TestMine(StoreContract):
        pass

StoreContract is for every store, three methods are enough; RecordContract, IterationContract, SweepContract and
SetupContract for stores of records; ThreadContract and, with the fixture `store_url`, ProcessContract and
CrashContract for what their flags claim. The fixture `clock` is a Clock to give to the store.
"""

import contextlib
import copy
import logging
import pickle
import random
import re
import signal
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from session3 import ids
from session3.Accepted import Accepted
from session3.DictSession import DictSession
from session3.errors import (
    FormTokenUsed,
    SerializationError,
    SessionConflict,
    SessionDeleted,
    StoreExists,
    StoreUnavailable,
)
from session3.record import Record
from session3.Session import Session

from .lock_contract import LockContract, ProcessLockContract
from .processes import Child, Worker, read_for_ever, run_together, write_for_ever
from .renewal_contract import RenewalContract
from .sessions import Address, Bomb, Clock, Counted, Shop

HOSTILE = [
    "", ".", "..", "../x", "/etc/passwd", "a/b", "a\\b", "\0", "a\0b", "a b", "a\nb", "a;b", '"', "'",
    "'; DROP TABLE x; --", "%2e%2e%2fx", ".hidden", ".x.new", "C:con", "\u00e9", "\u65e5\u672c", "\udc80",
    "a" * 129, "a" * 1_000_000,
]  # fmt: skip


#: Seconds that a call may take where a server has a clock of its own, which goes on while that of the test stands.
SOON = 2.0


def new_id() -> str:
    return ids.make_id()


def stored(store: Any, session_class: type[Any] = DictSession, **attributes: Any) -> Any:
    """Return a session that was saved."""
    session = session_class(new_id())
    session.user = "alice"
    session.__dict__.update(attributes)
    store.save_session(session)
    return session


class StoreContract:
    """What three methods can promise, whether a store keeps records, pickles, or the objects themselves."""

    def test_loads_what_was_saved(self, store: Any) -> None:
        session = Shop(new_id())
        session.set_user("alice")
        session.consent = False
        session.cart.append({"tea": [1, 2]})
        token, csrf = session.create_form_token(), session.get_csrf_token()
        store.save_session(session)
        loaded = store.load_session(session.id)
        assert type(loaded) is Shop
        assert (loaded.id, loaded.user, loaded.consent) == (session.id, "alice", False)
        assert loaded.cart == [{"tea": [1, 2]}]
        assert loaded.has_form_token(token)
        assert loaded.get_csrf_token() == csrf
        assert loaded.get_creation_time() == pytest.approx(session.get_creation_time(), abs=SOON)

    def test_a_mapping_keeps_its_items(self, store: Any) -> None:
        session = DictSession(new_id())
        session["cart"] = ["tea"]
        store.save_session(session)
        loaded = store.load_session(session.id)
        assert dict(loaded) == {"cart": ["tea"]}
        loaded["cart"].append("milk")
        store.save_session(loaded)
        assert store.load_session(session.id)["cart"] == ["tea", "milk"]

    def test_what_is_missing_is_the_default(self, store: Any) -> None:
        assert store.load_session(new_id()) is None
        assert store.load_session(new_id(), "nothing") == "nothing"
        assert not store.has_session(new_id())

    @pytest.mark.parametrize("id", HOSTILE, ids=lambda id: ascii(id[:20]))
    def test_a_malformed_id_is_nobody(self, store: Any, id: str) -> None:
        assert store.load_session(id, "nothing") == "nothing"
        assert not store.has_session(id)
        store.delete_session(id)

    def test_saves_again(self, store: Any) -> None:
        session = stored(store)
        session["n"] = 1
        store.save_session(session)
        session["n"] = 2
        store.save_session(session)
        assert store.load_session(session.id)["n"] == 2

    def test_a_new_object_overwrites(self, store: Any) -> None:
        first = stored(store)
        second = DictSession(first.id)
        second["fresh"] = True
        store.save_session(second)
        loaded = store.load_session(first.id)
        assert loaded.user is None and loaded["fresh"] is True

    def test_deletes_by_session_and_by_id(self, store: Any) -> None:
        for by_id in (True, False):
            session = stored(store)
            store.delete_session(session.id if by_id else session)
            assert store.load_session(session.id) is None
            assert not store.has_session(session.id)
            store.delete_session(session.id if by_id else session)  # what is not there is no error

    def test_a_deleted_session_can_be_saved_again_as_new(self, store: Any) -> None:
        session = stored(store)
        store.delete_session(session)
        store.save_session(session)
        assert store.load_session(session.id).user == "alice"

    def test_an_attribute_that_a_session_lacks_has_its_class_default(self, store: Any) -> None:
        session = stored(store, Shop)
        assert "theme" not in session.__dict__
        assert store.load_session(session.id).theme == "light"

    def test_a_check_finds_nothing_wrong_and_leaves_nothing(self, store: Any) -> None:
        for _ in range(2):
            store.check()
        if hasattr(store, "scan"):
            assert list(store.scan()) == []
        session = stored(store)
        store.check()
        assert store.load_session(session.id).user == "alice"

    def test_closed_it_opens_again(self, store: Any) -> None:
        session = stored(store)
        store.close()
        assert store.load_session(session.id).user == "alice"


class RecordContract(RenewalContract, StoreContract):
    """What RecordStore and a store's verbs promise together."""

    # -- ids ---------------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("id", [None, *HOSTILE], ids=lambda id: ascii(id and id[:20]))
    def test_a_malformed_id_is_not_saved(self, store: Any, id: str | None) -> None:
        session = DictSession(id)
        with pytest.raises(ValueError, match="letters, digits"):
            store.save_session(session)
        assert list(store.iter_sessions()) == []

    @pytest.mark.parametrize("id", ["x", "Z_-9.", "a" * 128, "-", "0"])
    def test_any_well_formed_id_is_good(self, store: Any, id: str) -> None:
        session = DictSession(id)
        session["n"] = 1
        store.save_session(session)
        assert store.load_session(id)["n"] == 1

    def test_an_id_that_is_taken_is_not_given_again(self, store: Any) -> None:
        session = stored(store)
        rival = DictSession(session.id)
        assert not store.create_session(rival)
        assert store.load_session(session.id).user == "alice"
        rival.id = new_id()
        assert store.create_session(rival)
        assert store.has_session(rival.id)

    def test_an_expired_id_may_be_given_again(self, store: Any, clock: Clock) -> None:
        session = stored(store, _expires=clock() + 10)
        clock.advance(11)
        assert store.create_session(DictSession(session.id))
        assert store.load_session(session.id).user is None

    # -- copies ------------------------------------------------------------------------------------------------------

    def test_each_load_is_a_copy(self, store: Any) -> None:
        session = stored(store, data={"cart": ["tea"]})
        one, other = store.load_session(session.id), store.load_session(session.id)
        one["cart"].append("milk")
        session["cart"].append("bread")
        assert one is not other
        assert other["cart"] == ["tea"]

    def test_a_copy_of_a_session_is_new_to_the_store(self, store: Any) -> None:
        session = store.load_session(stored(store).id)
        for twin in (copy.copy(session), copy.deepcopy(session), pickle.loads(pickle.dumps(session))):
            assert twin._snapshot is None
            assert (twin.id, twin.user) == (session.id, "alice")

    # -- writing only what changed -----------------------------------------------------------------------------------

    def test_reading_writes_nothing(self, store: Any, count_verbs: Any) -> None:
        shared = "a string that appears twice"
        session = stored(store, data={shared: shared, "s": {"x", "y"}, "a": Address("Bath"), "name": "data"})
        counts = count_verbs(store)
        loaded = store.load_session(session.id)
        assert not loaded.is_dirty()
        store.save_session(loaded)
        assert counts == {"read": 1}

    def test_a_nested_change_is_written(self, store: Any, count_verbs: Any) -> None:
        session = stored(store, data={"cart": {"tea": [1]}})
        loaded = store.load_session(session.id)
        loaded["cart"]["tea"].append(2)
        assert loaded.is_dirty()
        counts = count_verbs(store)
        store.save_session(loaded)
        assert counts == {"replace": 1}
        assert store.load_session(session.id)["cart"] == {"tea": [1, 2]}

    def test_the_access_time_moves_without_the_data(self, store: Any, clock: Clock, count_verbs: Any) -> None:
        session = stored(store)
        before = store.read(store._key(session.id))
        clock.advance(100)
        loaded = store.load_session(session.id)
        loaded._set_access_time(60)
        counts = count_verbs(store)
        store.save_session(loaded)
        assert counts == {"touch": 1}
        after = store.read(store._key(session.id))
        assert after.accessed == pytest.approx(before.accessed + 100, abs=SOON)
        assert (after.payload, after.revision) == (before.payload, before.revision)
        assert (after.created, after.modified) == pytest.approx((before.created, before.modified), abs=SOON)
        assert store.load_session(session.id).get_access_time() == pytest.approx(clock(), abs=SOON)

    def test_a_touch_moves_the_expiry_and_a_save_follows_it(self, store: Any, clock: Clock) -> None:
        session = stored(store, _expires=clock() + 100)
        clock.advance(50)
        loaded = store.load_session(session.id)
        loaded._set_access_time(1)
        loaded._expires = clock() + 100
        store.save_session(loaded)
        clock.advance(60)
        again = store.load_session(session.id)
        assert again._expires == pytest.approx(clock() + 40, abs=SOON)
        again["n"] = 1
        store.save_session(again)
        assert store.load_session(session.id)["n"] == 1

    def test_a_look_leaves_the_expiry_alone_that_another_request_set(self, store: Any, clock: Clock) -> None:
        session = stored(store, _expires=clock() + 100)
        clock.advance(50)
        reader, writer = store.load_session(session.id), store.load_session(session.id)
        writer["n"] = 1
        writer._expires = clock() + 5000
        store.save_session(writer)
        reader._set_access_time(1)
        reader._expires = clock() + 100
        store.save_session(reader)
        assert not store.refresh_session(reader) and reader._snapshot.expires < clock() + 100 - SOON
        clock.advance(1000)
        assert store.load_session(session.id)._expires == pytest.approx(clock() + 4000, abs=SOON)

    def test_a_touch_never_creates(self, store: Any, clock: Clock) -> None:
        session = stored(store)
        loaded = store.load_session(session.id)
        store.delete_session(session.id)
        clock.advance(100)
        loaded._set_access_time(60)
        store.save_session(loaded)  # a request that changed nothing notices nothing
        assert not store.has_session(session.id)

    # -- lost replies ------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("on_conflict", ["merge", "raise", "last"])
    def test_a_save_whose_reply_was_lost_knows_itself(
        self, make_store: Any, monkeypatch: pytest.MonkeyPatch, on_conflict: str
    ) -> None:
        store = make_store(on_conflict=on_conflict)
        session = DictSession(new_id())
        token = session.create_form_token()
        store.save_session(session)
        loaded = store.load_session(session.id)
        loaded.remove_form_token(token)
        loaded["n"] = 1
        replace = store.replace
        with monkeypatch.context() as once_more:
            once_more.setattr(store, "replace", lambda *given: replace(*given) and False)  # as its repetition answers
            store.save_session(loaded)
        assert dict(store.load_session(session.id)) == {"n": 1}
        loaded["n"] = 2
        store.save_session(loaded)
        assert dict(store.load_session(session.id)) == {"n": 2}

    def test_a_move_whose_reply_was_lost_knows_itself(self, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        session, new = stored(store, data={"n": 1}), new_id()
        loaded, insert = store.load_session(session.id), store.insert
        monkeypatch.setattr(store, "insert", lambda *given: insert(*given) and False)
        assert store.move_session(loaded, new)
        assert loaded.id == new and not store.has_session(session.id)
        assert len(list(store.iter_sessions())) == 1

    # -- no lost update ----------------------------------------------------------------------------------------------

    def test_different_items_and_attributes_both_survive(self, store: Any) -> None:
        session = stored(store, data={"a": 1, "b": 1, "gone": 1})
        one, other = store.load_session(session.id), store.load_session(session.id)
        one["a"], one["mine"], one.colour = 2, [1], "red"
        other["b"], other.size = 2, "L"
        del other["gone"]
        store.save_session(one)
        store.save_session(other)
        loaded = store.load_session(session.id)
        assert dict(loaded) == {"a": 2, "b": 2, "mine": [1]}
        assert (loaded.colour, loaded.size) == ("red", "L")
        assert dict(other) == dict(loaded)  # the later request sees both, too

    def test_of_the_same_item_the_later_save_wins(self, store: Any) -> None:
        session = stored(store, data={"a": 1})
        one, other = store.load_session(session.id), store.load_session(session.id)
        one["a"], other["a"] = 2, 3
        store.save_session(one)
        store.save_session(other)
        assert store.load_session(session.id)["a"] == 3

    def test_values_are_compared_by_their_bytes(self, store: Any) -> None:
        session = stored(store, data={"home": Address("Bath"), "flag": 1})
        one, other = store.load_session(session.id), store.load_session(session.id)
        one["home"].town, one["flag"] = "York", True
        other["x"] = 1
        store.save_session(one)
        store.save_session(other)
        loaded = store.load_session(session.id)
        assert loaded["home"].town == "York"
        assert loaded["flag"] is True

    def test_form_tokens_of_both_survive_and_removals_of_both_stay(self, store: Any) -> None:
        session = stored(store)
        first, second = session.create_form_token(), session.create_form_token()
        store.save_session(session)
        one, other = store.load_session(session.id), store.load_session(session.id)
        one.remove_form_token(first)
        other.remove_form_token(second)
        added = [one.create_form_token(), other.create_form_token()]
        store.save_session(one)
        store.save_session(other)
        assert store.load_session(session.id)._form_tokens == added

    def test_of_two_posts_of_one_form_the_second_loses(self, store: Any) -> None:
        session = stored(store)
        token = session.create_form_token()
        store.save_session(session)
        one, other = store.load_session(session.id), store.load_session(session.id)
        one.remove_form_token(token)
        other.remove_form_token(token)
        other["order"] = "twice"
        store.save_session(one)
        with pytest.raises(FormTokenUsed):
            store.save_session(other)
        assert "order" not in store.load_session(session.id)

    def test_a_class_says_how_it_merges(self, store: Any) -> None:
        session = stored(store, Counted, hits=10)
        requests = [store.load_session(session.id) for _ in range(3)]
        for request in requests:
            request.hits += 1
            store.save_session(request)
        assert store.load_session(session.id).hits == 13

    def test_what_merge_is_given_has_its_id_and_times(self, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        session = stored(store)
        given: list[Any] = []

        def merge(cls: Any, base: Any, mine: Any, theirs: Any) -> Any:
            given.extend([base, mine, theirs])
            merged = super(DictSession, DictSession).merge(base, mine, theirs)
            given.append(merged)
            return merged

        one, other = store.load_session(session.id), store.load_session(session.id)
        one["a"], other["b"] = 1, 2
        store.save_session(one)
        monkeypatch.setattr(DictSession, "merge", classmethod(merge))
        store.save_session(other)
        assert {s.id for s in given} == {session.id} and len(given) == 4
        assert {round(s.get_creation_age()) for s in given} == {0}
        assert all(s.get_access_age() < 60 for s in given)

    def test_the_same_change_twice_is_no_conflict(self, store: Any) -> None:
        session = stored(store)
        one, other = store.load_session(session.id), store.load_session(session.id)
        one["lang"] = other["lang"] = "cy"
        store.save_session(one)
        store.save_session(other)
        assert store.load_session(session.id)["lang"] == "cy"

    def test_a_conflict_can_be_decided_otherwise(self, store: Any) -> None:
        session = stored(store, data={"a": 1, "b": 1})
        for policy in ("last", "raise"):
            store.on_conflict = policy
            one, other = store.load_session(session.id), store.load_session(session.id)
            one["a"] += 1
            other["b"] += 1
            store.save_session(one)
            if policy == "last":
                store.save_session(other)
                assert dict(store.load_session(session.id)) == {"a": 1, "b": 2}
            else:
                with pytest.raises(SessionConflict):
                    store.save_session(other)
                assert dict(store.load_session(session.id)) == {"a": 2, "b": 2}

    # -- deleting wins -----------------------------------------------------------------------------------------------

    def test_a_late_save_does_not_bring_a_session_back(self, store: Any) -> None:
        session = stored(store)
        late = store.load_session(session.id)
        store.delete_session(session.id)
        late["n"] = 1
        with pytest.raises(SessionDeleted):
            store.save_session(late)
        assert not store.has_session(session.id)

    @pytest.mark.parametrize("verb", ["save_session", "create_session"])
    @pytest.mark.parametrize("end", ["deleted", "expired", "moved"])
    def test_a_late_save_does_not_reach_a_session_that_came_back(
        self, store: Any, clock: Clock, end: str, verb: str
    ) -> None:
        session = stored(store, _expires=clock() + 1000)
        late = store.load_session(session.id)
        if end == "deleted":
            store.delete_session(session.id)
        elif end == "moved":
            store.move_session(store.load_session(session.id), new_id())
        clock.advance(2000)
        fresh = DictSession(late.id)
        fresh["secret"] = 1
        getattr(store, verb)(fresh)
        late["n"] = 1
        with pytest.raises(SessionDeleted):
            store.save_session(late)
        assert dict(store.load_session(late.id)) == {"secret": 1}

    def test_discard_gives_way_to_a_change(self, store: Any) -> None:
        session = stored(store)
        one, other = store.load_session(session.id), store.load_session(session.id)
        other["n"] = 1
        store.save_session(other)
        one.user = None
        assert not store.discard_session(one)
        assert (one["n"], one.user) == (1, None)  # merged, for the caller to decide again
        assert store.discard_session(one)
        assert not store.has_session(session.id)

    def test_discard_of_a_deleted_session_says_so(self, store: Any) -> None:
        session = stored(store)
        one = store.load_session(session.id)
        store.delete_session(session.id)
        with pytest.raises(SessionDeleted):
            store.discard_session(one)

    # -- rotation ----------------------------------------------------------------------------------------------------

    def test_a_moved_session_is_found_under_its_new_id_only(self, store: Any) -> None:
        session = store.load_session(stored(store, data={"cart": ["tea"]}).id)
        old, new = session.id, new_id()
        session["more"] = 1
        assert store.move_session(session, new)
        assert session.id == new
        assert dict(store.load_session(new)) == {"cart": ["tea"], "more": 1}
        assert store.load_session(old) is None and not store.has_session(old)
        assert store.was_rotated(old) and not store.was_rotated(new) and not store.was_rotated(new_id())
        assert [s.id for _, s in store.iter_sessions()] in ([new], [None])
        session["after"] = 1
        store.save_session(session)
        assert store.load_session(new)["after"] == 1

    def test_a_move_takes_a_parallel_change_along(self, store: Any) -> None:
        session = stored(store)
        mover, other = store.load_session(session.id), store.load_session(session.id)
        other["n"] = 1
        store.save_session(other)
        mover.user = "bob"
        new = new_id()
        assert store.move_session(mover, new)
        loaded = store.load_session(new)
        assert (loaded["n"], loaded.user) == (1, "bob")

    def test_a_save_under_a_rotated_id_is_late(self, store: Any) -> None:
        session = stored(store)
        mover, late = store.load_session(session.id), store.load_session(session.id)
        store.move_session(mover, new_id())
        late["n"] = 1
        with pytest.raises(SessionDeleted):
            store.save_session(late)
        assert "n" not in store.load_session(mover.id)

    def test_a_move_to_a_taken_id_does_nothing(self, store: Any) -> None:
        session, other = stored(store), stored(store, data={"other": 1})
        loaded = store.load_session(session.id)
        assert not store.move_session(loaded, other.id)
        assert loaded.id == session.id
        assert "other" in store.load_session(other.id)
        assert store.has_session(session.id)

    def test_a_move_of_a_deleted_session_leaves_nothing(self, store: Any) -> None:
        session = store.load_session(stored(store).id)
        store.delete_session(session.id)
        new = new_id()
        with pytest.raises(SessionDeleted):
            store.move_session(session, new)
        assert not store.has_session(new)

    def test_of_two_logins_at_once_both_stand(self, store: Any) -> None:
        session = stored(store)
        one, other = store.load_session(session.id), store.load_session(session.id)
        one.user, other.user = "bob", "bob"
        assert store.move_session(one, new_id())
        assert store.move_session(other, new_id())
        assert one.id != other.id
        assert store.load_session(other.id).user == "bob"

    def test_a_renewed_id_leads_to_the_session_for_a_grace(self, store: Any, clock: Clock) -> None:
        session = stored(store)
        mover, late = store.load_session(session.id), store.load_session(session.id)
        assert store.move_session(mover, new_id(), grace=10)
        assert store.load_session(session.id).id == mover.id
        late["n"] = 1
        store.save_session(late)
        assert late.id == mover.id
        assert store.load_session(mover.id)["n"] == 1
        clock.advance(11)
        assert store.has_session(session.id) and not store.was_rotated(session.id)  # nobody has come with the new one
        store.note_arrival(store.load_session(mover.id))
        clock.advance(9)
        assert store.has_session(session.id)
        clock.advance(2)
        assert store.load_session(session.id) is None and not store.has_session(session.id)
        assert store.was_rotated(session.id) and store.has_session(mover.id)

    def test_two_renewals_at_once_are_one(self, store: Any) -> None:
        session = stored(store)
        one, other = store.load_session(session.id), store.load_session(session.id)
        one["one"], other["other"] = 1, 1
        assert store.move_session(one, new_id(), grace=10)
        assert store.move_session(other, new_id(), grace=10)
        assert other.id == one.id
        assert sorted(store.load_session(session.id)) == ["one", "other"]
        assert [id for id, _ in store.iter_sessions()] == [one.id]

    def test_a_late_reader_does_not_prolong_what_a_move_left(self, store: Any, clock: Clock) -> None:
        for grace in (None, 10):
            session = stored(store, _expires=clock() + 3600)
            mover, reader = store.load_session(session.id), store.load_session(session.id)
            store.move_session(mover, new_id(), grace)
            clock.advance(5)
            reader._set_access_time(1)
            reader._expires = clock() + 3600
            store.save_session(reader)
            assert reader._snapshot.expires == pytest.approx(clock() + 3595, abs=SOON)  # nothing was written
            clock.advance(60 if grace is None else 3660)
            assert store.load_session(session.id) is None
            assert not store.was_rotated(session.id)

    def test_an_earlier_touch_does_not_undo_a_later_one(self, store: Any, clock: Clock) -> None:
        session = stored(store, _expires=clock() + 100)
        early, late = store.load_session(session.id), store.load_session(session.id)
        clock.advance(30)
        early._set_access_time(1)
        early._expires = clock() + 100
        clock.advance(60)
        late._set_access_time(1)
        late._expires = clock() + 100
        store.save_session(late)
        store.save_session(early)
        clock.advance(60)
        assert store.has_session(session.id)

    def test_a_delete_by_the_old_id_follows_a_renewal(self, store: Any) -> None:
        session = store.load_session(stored(store).id)
        old = session.id
        store.move_session(session, new_id(), grace=10)
        store.delete_session(old)
        assert not store.has_session(session.id)

    def test_a_move_that_fails_leaves_nothing_behind(self, store: Any) -> None:
        session = stored(store)
        mover, other = store.load_session(session.id), store.load_session(session.id)
        other["n"] = 1
        store.save_session(other)
        mover.user = "bob"
        store.on_conflict = "raise"
        new = new_id()
        with pytest.raises(SessionConflict):
            store.move_session(mover, new)
        assert not store.has_session(new)
        assert store.load_session(session.id).user == "alice"

    def test_tokens_made_beside_a_login_do_not_reach_it(self, store: Any) -> None:
        session = stored(store, user=None, data={"n": 1})
        login, planter = store.load_session(session.id), store.load_session(session.id)
        known = [planter.create_form_token(), planter.get_csrf_token()]
        store.save_session(planter)
        login.user = "alice"
        own = login.create_form_token()
        store.move_session(login, new_id())
        loaded = store.load_session(login.id)
        assert loaded._form_tokens == [own] and loaded._csrf_token not in known

    def test_any_name_of_a_user_can_be_kept(self, store: Any) -> None:
        for user in ("\ud800", "a\0b", "x" * 10_000, "Ünï", {"name": "alice"}, 7, b"\xff"):
            session = stored(store, user=user)
            assert store.load_session(session.id).user == user

    def test_a_logout_follows_a_renewal(self, store: Any) -> None:
        session = stored(store)
        mover, other = store.load_session(session.id), store.load_session(session.id)
        store.move_session(mover, new_id(), grace=10)
        store.delete_session(other)
        assert not store.has_session(mover.id)
        assert not store.has_session(session.id)

    def test_tombstones_end(self, store: Any, clock: Clock) -> None:
        session = store.load_session(stored(store).id)
        old = session.id
        store.move_session(session, new_id())
        clock.advance(61)
        assert not store.was_rotated(old)
        assert store.delete_expired_sessions() == (1, 1)

    # -- expiry ------------------------------------------------------------------------------------------------------

    def test_an_expired_session_is_absent(self, store: Any, clock: Clock) -> None:
        session = stored(store, _expires=clock() + 10)
        clock.advance(9)
        assert store.has_session(session.id)
        clock.advance(2)
        assert store.load_session(session.id) is None
        assert not store.has_session(session.id)
        assert list(store.iter_sessions()) == []

    # -- what can't be stored or read --------------------------------------------------------------------------------

    def test_what_cannot_be_serialized_is_named_and_nothing_is_lost(self, store: Any) -> None:
        session = stored(store, data={"kept": 1})
        session["callback"] = lambda: None
        with pytest.raises(SerializationError, match="'callback'"):
            store.save_session(session)
        del session["callback"]
        session.stream = threading.Lock()
        with pytest.raises(SerializationError, match="attribute 'stream'"):
            store.save_session(session)
        assert dict(store.load_session(session.id)) == {"kept": 1}

    @pytest.mark.parametrize("payload", [b"", b"\x80", b"garbage", pickle.dumps("no session"), pickle.dumps((1, 2))])
    def test_a_damaged_record_is_absent_and_logged_once(
        self, store: Any, payload: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        session = stored(store)
        spoil(store, session.id, payload)
        with caplog.at_level(logging.WARNING, "session3"):
            assert store.load_session(session.id, "nothing") == "nothing"
            assert store.load_session(session.id) is None
        assert len(caplog.records) == 1
        assert ids.short_hash(store._key(session.id)) in caplog.text
        assert session.id not in caplog.text
        assert list(store.iter_sessions()) == []

    def test_a_class_that_cannot_be_imported_is_no_damage(
        self, store: Any, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        session = stored(store, Shop)
        record = store.read(store._key(session.id))
        spoil(store, session.id, record.payload.replace(b"Shop", b"Gone"))
        assert store.load_session(session.id) is None
        assert [r.levelname for r in caplog.records] == ["ERROR"]
        assert "Gone" in caplog.text
        spoil(store, session.id, record.payload)  # the right version is deployed again
        assert store.load_session(session.id).user == "alice"


def spoil(store: Any, id: str, payload: bytes) -> None:
    """Put another payload into a stored record."""
    key = store._key(id)
    record: Record = store.read(key)
    assert store.replace(key, record._replace(payload=payload, revision=record.revision + 1), record.revision)


class SealContract:
    """A secret key, and ids that are hashed; the fixture `make_store(**options)` opens the same store with options."""

    @pytest.mark.parametrize("option", ["secret_key", "encryption_key"])
    def test_an_altered_payload_is_absent_and_never_unpickled(self, make_store: Any, option: str) -> None:
        store = make_store(**{option: "0123456789abcdef0123"})
        session = stored(store, data={"cart": ["tea"]})
        payload = store.read(store._key(session.id)).payload
        assert store.load_session(session.id)["cart"] == ["tea"]
        for position in range(0, len(payload), 7):
            flipped = bytearray(payload)
            flipped[position] ^= 4
            spoil(store, session.id, bytes(flipped))
            assert store.load_session(session.id) is None
        Bomb.exploded.clear()
        spoil(store, session.id, pickle.dumps((Session, {"user": Bomb()})))
        assert store.load_session(session.id) is None
        assert Bomb.exploded == []
        spoil(store, session.id, payload)
        assert store.load_session(session.id)["cart"] == ["tea"]

    @pytest.mark.parametrize("option", ["secret_key", "encryption_key"])
    def test_a_payload_is_bound_to_its_record(self, make_store: Any, option: str) -> None:
        store = make_store(**{option: "0123456789abcdef0123"})
        alice, mallory = stored(store), stored(store, user="mallory")
        spoil(store, mallory.id, store.read(store._key(alice.id)).payload)
        assert store.load_session(mallory.id) is None

    def test_keys_are_rotated(self, make_store: Any) -> None:
        old, new = "0123456789abcdef0123", b"fedcba9876543210"
        session = stored(make_store(secret_key=old))
        store = make_store(secret_key=[new, old])
        loaded = store.load_session(session.id)
        loaded["n"] = 1
        store.save_session(loaded)
        assert make_store(secret_key=new).load_session(session.id)["n"] == 1
        assert make_store(secret_key=old).load_session(session.id) is None

    def test_who_only_came_by_is_in_after_the_old_key_is_dropped(self, make_store: Any) -> None:
        old, new = "0123456789abcdef0123", "fedcba9876543210"
        for was, now, then in (
            ({"secret_key": old}, {"secret_key": [new, old]}, {"secret_key": new}),
            ({}, {"secret_key": new, "accepts": [Accepted(secret_key=None)]}, {"secret_key": new}),
        ):
            store = make_store(**was)
            session, seen = stored(store, data={"cart": ["tea"]}), stored(store)
            store = make_store(**now)
            visitor = store.load_session(seen.id)
            visitor._access_time += 50
            store.save_session(visitor)
            one, other = store.load_session(session.id), store.load_session(session.id)
            one._access_time += 50
            assert not store.is_changed(one)
            store.save_session(one)
            assert abs(store.load_session(session.id)._access_time - one._access_time) < SOON
            other["n"] = 1
            store.save_session(other)
            store = make_store(**then)
            assert store.load_session(session.id).data == {"cart": ["tea"], "n": 1}
            assert store.load_session(seen.id).user == "alice"
            store.delete_session(session.id)

    def test_all_that_is_in_an_older_way_is_written_anew(self, make_store: Any) -> None:
        store = make_store()
        written = [stored(store, data={"n": number}).id for number in range(5)]
        sealed = make_store(secret_key="fedcba9876543210", accepts=[Accepted(secret_key=None)])
        assert sealed.reseal(look_only=True) == (0, 5)
        revision = sealed.read(written[0]).revision
        late = sealed.load_session(written[0])
        assert sealed.reseal() == (5, 0) and sealed.reseal() == (0, 0)
        assert sealed.read(written[0]).revision == revision
        late["late"] = True
        sealed.save_session(late)
        only = make_store(secret_key="fedcba9876543210")
        assert [only.load_session(id)["n"] for id in written] == [0, 1, 2, 3, 4]
        assert only.load_session(written[0])["late"] is True

    def test_sealed_sessions_are_still_compared(self, make_store: Any, count_verbs: Any) -> None:
        store = make_store(encryption_key="0123456789abcdef0123")
        session = stored(store, data={"s": {"x", "y"}})
        counts = count_verbs(store)
        store.save_session(store.load_session(session.id))
        assert counts == {"read": 1}

    def test_hashed_ids(self, make_store: Any) -> None:
        store = make_store(hash_ids=True)
        session = stored(store)
        [(key, found)] = list(store.iter_sessions())
        assert key == ids.hash_id(session.id) and isinstance(key, ids.StoredKey)
        assert found.id is None and found.user == "alice"
        assert store.load_session(str(key)) is None  # the same letters from a cookie are nobody
        assert store.load_session(key).user == "alice"
        found["seen"] = True
        store.save_session(found)
        assert store.load_session(session.id)["seen"] is True
        store.delete_session(found)
        assert not store.has_session(session.id)
        again = stored(store)
        store.delete_session(ids.hash_id(again.id))
        assert not store.has_session(again.id)

    def test_a_forward_among_hashed_ids_hides_where_it_leads(self, make_store: Any) -> None:
        store = make_store(hash_ids=True)
        session = store.load_session(stored(store).id)
        old = session.id
        assert store.move_session(session, new_id(), grace=10)
        assert session.id not in store.read(store._key(old)).forward
        assert store.load_session(old).id == session.id
        assert store.load_session(ids.hash_id(old)) is None


class IterationContract:
    def test_yields_every_session_with_its_id(self, store: Any) -> None:
        assert list(store.iter_sessions()) == []
        sessions = {s.id: s for s in (stored(store, data={"n": n}) for n in range(450))}
        found = dict(store.iter_sessions())
        assert found.keys() == sessions.keys()
        assert all(found[id].id == id and found[id]["n"] == session["n"] for id, session in sessions.items())

    def test_others_may_write_meanwhile(self, store: Any) -> None:
        expected = {stored(store).id for _ in range(300)}
        seen = set()
        for n, (id, session) in enumerate(store.iter_sessions()):
            seen.add(id)
            session["n"] = n
            store.save_session(session)
            if n % 3 == 0:
                store.delete_session(id)
            if n % 50 == 0:
                stored(store)
        assert expected <= seen


class SweepContract:
    def test_old_sessions_go_and_used_ones_stay(self, store: Any, clock: Clock) -> None:
        old, read, changed = stored(store), stored(store), stored(store)
        clock.advance(3000)
        loaded = store.load_session(read.id)
        loaded._set_access_time(60)
        store.save_session(loaded)
        loaded = store.load_session(changed.id)
        loaded["n"] = 1
        store.save_session(loaded)
        assert store.delete_old_sessions(60) == (0, 3)
        clock.advance(601)
        assert store.delete_old_sessions(60) == (1, 2)
        assert [store.has_session(s.id) for s in (old, read, changed)] == [False, True, True]
        assert store.delete_old_sessions(0.5) == (2, 0)
        with pytest.raises(ValueError, match="negative"):
            store.delete_old_sessions(-1)

    def test_expired_sessions_go(self, store: Any, clock: Clock) -> None:
        stored(store, _expires=clock() + 10)
        kept = [stored(store, _expires=clock() + 100), stored(store)]
        clock.advance(11)
        assert store.delete_expired_sessions() == (1, 2)
        assert {id for id, _ in store.iter_sessions()} == {s.id for s in kept}

    def test_many_are_swept(self, store: Any, clock: Clock) -> None:
        for _ in range(1200):
            stored(store)
        clock.advance(100)
        kept = stored(store)
        assert store.delete_old_sessions(1) == (1200, 1)
        assert store.has_session(kept.id)

    def test_a_session_of_a_missing_class_goes_by_age_only(self, store: Any, clock: Clock) -> None:
        session = stored(store, Shop)
        payload = store.read(store._key(session.id)).payload
        spoil(store, session.id, payload.replace(b"Shop", b"Gone"))
        assert store.delete_old_sessions(1) == (0, 1)
        clock.advance(100)
        assert store.delete_old_sessions(1) == (1, 0)


class SetupContract:
    def test_setup_of_an_empty_store_changes_nothing(self, store: Any) -> None:
        store.setup()
        store.setup()
        session = stored(store)
        assert store.has_session(session.id)

    def test_setup_deletes_nothing_that_it_cannot_read(self, store: Any, make_store: Any) -> None:
        session = stored(store)
        store.close()  # some files are for one at a time
        with make_store(secret_key="0123456789abcdef0123") as sealed, contextlib.suppress(StoreExists):
            sealed.setup()
        assert store.has_session(session.id)

    def test_setup_refuses_to_delete_sessions(self, store: Any) -> None:
        session = stored(store)
        with pytest.raises(StoreExists, match="overwrite=True"):
            store.setup()
        assert store.has_session(session.id)
        store.setup(overwrite=True)
        assert list(store.iter_sessions()) == []
        assert store.has_session(stored(store).id)


class ThreadContract(LockContract):
    def test_it_says_so(self, store: Any) -> None:
        assert store.is_thread_safe

    def test_threads_lose_no_update(self, store: Any) -> None:
        session = stored(store)
        barrier = threading.Barrier(4)

        def add(name: str) -> None:
            barrier.wait()
            for n in range(50):
                loaded = store.load_session(session.id)
                loaded[f"{name}{n}"] = n
                store.save_session(loaded)

        run_threads(add, "abcd")
        assert len(store.load_session(session.id)) == 200

    def test_threads_share_one_store_object(self, store: Any) -> None:
        barrier = threading.Barrier(4)
        counts: Counter[str] = Counter()

        def work(name: str) -> None:
            barrier.wait()
            for n in range(40):
                session = stored(store, data={"owner": name, "n": n})
                assert store.load_session(session.id)["owner"] == name
                counts[name] += 1
                if n % 2:
                    store.delete_session(session)
                if n % 10 == 0:
                    store.delete_expired_sessions()

        run_threads(work, "abcd")
        assert counts == dict.fromkeys("abcd", 40)
        assert len(list(store.iter_sessions())) == 80


def run_threads(target: Any, names: Iterable[str]) -> None:
    """Run `target(name)` in a thread for each name; an exception in any of them is raised here."""
    errors: list[BaseException] = []

    def run(name: str) -> None:
        try:
            target(name)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


class ProcessContract(ProcessLockContract):
    """For stores that several processes share; the fixture `store_url` opens what `store` is."""

    def test_it_says_that_processes_may_share_it(self, store: Any) -> None:
        assert store.is_multiprocess_safe

    def test_processes_lose_no_update(self, store: Any, store_url: str) -> None:
        session = stored(store)
        with (
            Worker("add_keys", store_url, session.id, "a", 200) as a,
            Worker("add_keys", store_url, session.id, "b", 200) as b,
        ):
            assert run_together(a, b) == [200, 200]
        assert len(store.load_session(session.id)) == 400

    def test_processes_under_a_lock_count_right(self, store: Any, store_url: str) -> None:
        """What no merge could: each reads, and then writes, the same key."""
        session = stored(store, data={"n": 0})
        with (
            Worker("count_under_lock", store_url, session.id, 50) as a,
            Worker("count_under_lock", store_url, session.id, 50) as b,
        ):
            assert run_together(a, b) == [50, 50]
        assert store.load_session(session.id)["n"] == 100

    def test_a_set_of_strings_is_unchanged_under_another_hash_seed(self, store: Any, store_url: str) -> None:
        id = new_id()
        with Worker("save_set", store_url, id, PYTHONHASHSEED="1") as writer:
            [order] = run_together(writer)
        orders = {tuple(order)}
        for seed in "23":
            with Worker("read_and_save", store_url, id, PYTHONHASHSEED=seed) as reader:
                assert run_together(reader) == [["read"]]
            with Worker("save_set", store_url, new_id(), PYTHONHASHSEED=seed) as writer:
                orders.add(tuple(run_together(writer)[0]))
        assert len(orders) > 1  # the seeds did make a difference

    def test_a_forked_child_uses_the_store_beside_its_parent(self, store: Any) -> None:
        session = stored(store)

        def add(report: Any) -> None:
            for n in range(50):
                loaded = store.load_session(session.id)
                loaded[f"child{n}"] = n
                store.save_session(loaded)
            report(50)
            signal.pause()

        with Child(add) as child:
            for n in range(50):
                loaded = store.load_session(session.id)
                loaded[f"parent{n}"] = n
                store.save_session(loaded)
            assert child.report() == 50
        assert len(store.load_session(session.id)) == 100


class CrashContract:
    """For stores that survive kill -9 at any moment; the fixture `store_url` opens what `store` is."""

    KILLS = 50

    def test_killed_writers_lose_nothing_that_was_saved(self, store: Any, store_url: str) -> None:
        session = stored(store, data={"n": 0, "blob": []})
        saved = 0
        with reading(store_url, session.id) as one, reading(store_url, session.id) as other:
            for _ in range(self.KILLS):
                with Child(lambda report: write_for_ever(store_url, session.id, report)) as writer:
                    for _ in range(random.randrange(1, 30)):
                        saved = writer.report()
                    saved = writer.kill() or saved
                loaded = store.load_session(session.id)
                assert loaded["n"] in (saved, saved + 1)  # the last save may have got there, but not its report
            for reader in (one, other):
                assert reader.report() > 0
                reader.kill()  # fails if the reader had died of what it found
        assert [id for id, _ in store.iter_sessions()] == [session.id]


def reading(store_url: str, id: str) -> Child:
    return Child(lambda report: read_for_ever(store_url, id, report))


class FileContract:
    """For stores in the file system; the fixture `open_at(path)` opens one at a path."""

    def test_looking_creates_nothing(self, open_at: Any, tmp_path: Path) -> None:
        with open_at(tmp_path / "sessions") as store:
            for id in [*HOSTILE, new_id()]:
                assert store.load_session(id) is None
                store.delete_session(id)
            store.check()
            assert list(store.iter_sessions()) == []
            assert store.delete_old_sessions(0) == (0, 0)
        assert list(tmp_path.iterdir()) == []

    def test_what_it_creates_is_for_its_owner_only(self, open_at: Any, tmp_path: Path) -> None:
        with open_at(tmp_path / "folder" / "sessions", make_parent=True) as store:
            stored(store)
            found = [path for path in (tmp_path / "folder").rglob("*") if path.is_file()]
            assert found
            assert {oct(path.stat().st_mode & 0o777) for path in found} == {"0o600"}

    def test_what_cannot_be_opened_is_unavailable_and_named(self, open_at: Any, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("no folder")
        with open_at(tmp_path / "file" / "sessions") as store:
            for act in (lambda: store.save_session(DictSession(new_id())), store.setup):
                with pytest.raises(StoreUnavailable, match=re.escape(str(tmp_path / "file" / "sessions"))) as error:
                    act()
                assert error.value.__cause__ is not None
        assert (tmp_path / "file").read_text() == "no folder"

    def test_a_planted_pickle_outside_is_never_opened(self, open_at: Any, tmp_path: Path) -> None:
        Bomb.exploded.clear()
        for name in ("planted", "planted1"):
            (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
        with open_at(tmp_path / "sessions") as store:
            stored(store)
            for id in ("../planted", str(tmp_path / "planted"), "..", "planted", "planted1"):
                assert store.load_session(id) is None
        assert Bomb.exploded == []

    def test_setup_makes_an_empty_store(self, open_at: Any, tmp_path: Path) -> None:
        with open_at(tmp_path / "sessions") as store:
            store.setup()
            assert list(store.iter_sessions()) == []
        assert list(tmp_path.iterdir()) != []
