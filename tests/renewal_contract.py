"""What a store of records promises to requests that a renewal, a login or an emptying overtakes."""

from collections.abc import Callable
from typing import Any

import pytest

from session3.DictSession import DictSession
from session3.errors import FormTokenUsed, SessionDeleted, StoreUnavailable
from session3.ids import make_id, veil
from session3.record import EMPTIED, ROTATED, TOMBSTONE_SECONDS, UNSEEN_SECONDS, Record

from .sessions import Clock, Counted


def stored(store: Any, session_class: type[Any] = DictSession, **items: Any) -> Any:
    session = session_class(make_id())
    session.user = "alice"
    session.data.update(items)
    store.save_session(session)
    return session


def renewed(store: Any, clock: Clock) -> tuple[Any, str]:
    """Return a session whose id was renewed while a request held it, and the new id, long after the grace."""
    late = store.load_session(stored(store, n=1).id)
    mover = store.load_session(late.id)
    store.move_session(mover, make_id(), grace=10)
    store.note_arrival(store.load_session(mover.id))
    clock.advance(45)
    assert store.load_session(late.id) is None
    return late, mover.id


def twice(monkeypatch: pytest.MonkeyPatch, store: Any, verb: str, between: Callable[[], Any] = lambda: None) -> None:
    """Let the next call of a verb be done, then something else, and then answer as the repetition of a lost one."""
    once = getattr(store, verb)

    def call(*given: Any) -> bool:
        monkeypatch.setattr(store, verb, once)
        assert once(*given)
        between()
        return False

    monkeypatch.setattr(store, verb, call)


class RenewalContract:
    """Part of RecordContract."""

    # -- requests that outlive the grace of a renewal ------------------------------------------------------------------

    @pytest.mark.parametrize("forward", [ROTATED, EMPTIED, "another-id"])
    @pytest.mark.parametrize("payload", [b"", b"what is known of it"])
    def test_what_is_left_of_a_session_is_not_removed_as_one(self, store: Any, forward: str, payload: bytes) -> None:
        key, now = store._key(make_id()), store.clock()
        stored(store)  # which makes what an embedded store needs
        store.insert(key, Record(payload, 7, now, now, now, now + 30, forward=forward))
        assert not store.remove(key) and store.read(key).payload == payload

    def test_a_logout_follows_a_renewal_whose_grace_is_over(self, store: Any, clock: Clock) -> None:
        for by_id in (False, True):
            late, new = renewed(store, clock)
            store.delete_session(late.id if by_id else late)
            assert not store.has_session(new)

    def test_a_change_follows_a_renewal_whose_grace_is_over(self, store: Any, clock: Clock) -> None:
        late, new = renewed(store, clock)
        late["late"] = 1
        store.save_session(late)
        assert late.id == new and dict(store.load_session(new)) == {"n": 1, "late": 1}

    def test_a_login_follows_a_renewal_whose_grace_is_over(self, store: Any, clock: Clock) -> None:
        late, new = renewed(store, clock)
        late.user = "bob"
        assert store.move_session(late, make_id())
        assert store.load_session(late.id).user == "bob" and not store.has_session(new)
        assert store.was_rotated(new)

    def test_an_old_id_leads_on_until_the_new_one_was_seen_but_not_for_ever(self, store: Any, clock: Clock) -> None:
        old = stored(store).id
        mover = store.load_session(old)
        store.move_session(mover, make_id(), grace=10)
        clock.advance(UNSEEN_SECONDS - 30)
        assert store.load_session(old).id == mover.id and not store.was_rotated(old)
        clock.advance(45)
        assert store.load_session(old) is None and not store.has_session(old) and store.was_rotated(old)
        assert store.has_session(mover.id)
        clock.advance(TOMBSTONE_SECONDS)
        assert not store.was_rotated(old) and store.delete_expired_sessions() == (1, 1)

    def test_the_first_arrival_is_written_once(self, store: Any, clock: Clock, count_verbs: Any) -> None:
        mover = store.load_session(stored(store).id)
        store.move_session(mover, make_id(), grace=10)
        counts = count_verbs(store)
        for _ in range(3):
            session = store.load_session(mover.id)
            store.note_arrival(session)
            store.save_session(session)
        assert counts == {"read": 3, "replace": 1}

    def test_what_is_known_of_an_old_id_says_when_it_ended(self, store: Any, clock: Clock) -> None:
        first = stored(store)
        mover = store.load_session(first.id)
        store.move_session(mover, make_id(), grace=10)
        second = mover.id
        clock.advance(40)
        mover.user = "bob"
        store.move_session(mover, make_id())
        for old in (first.id, second):  # through the renewal, too
            assert store.rotated_at(old) == pytest.approx(clock(), abs=3)

    def test_what_4_0_0a1_left_leads_for_its_grace(self, store: Any, clock: Clock) -> None:
        session, old, now = stored(store), make_id(), clock()
        forward = veil(session.id, old) if store.hash_ids else session.id
        store.insert(store._key(old), Record(b"", 7, now, now, now, now + 30, forward=forward))
        assert store.load_session(old).id == session.id
        clock.advance(40)
        assert store.load_session(old) is None

    # -- emptying is no logout -----------------------------------------------------------------------------------------

    def test_a_change_beside_an_emptying_is_kept(self, store: Any) -> None:
        session = stored(store, n=1)
        emptying, other = store.load_session(session.id), store.load_session(session.id)
        emptying.user = None
        del emptying["n"]
        assert store.discard_session(emptying)
        assert not store.has_session(session.id) and list(store.iter_sessions()) == []
        other["m"] = 2
        store.save_session(other)
        assert dict(store.load_session(session.id)) == {"m": 2}
        assert other._came_back

    def test_a_logout_beside_an_emptying_is_final(self, store: Any) -> None:
        session = stored(store, n=1)
        emptying, other, logout = (store.load_session(session.id) for _ in range(3))
        emptying.user = None
        emptying.clear()
        store.discard_session(emptying)
        store.delete_session(logout)
        other["m"] = 2
        with pytest.raises(SessionDeleted):
            store.save_session(other)
        assert not store.has_session(session.id) and not store.was_rotated(session.id)

    # -- form tokens ---------------------------------------------------------------------------------------------------

    def test_a_form_is_not_called_used_where_another_request_logged_in(self, store: Any) -> None:
        session = DictSession(make_id())
        token, other_token = session.create_form_token(), session.create_form_token()
        store.save_session(session)
        login, post, twin = (store.load_session(session.id) for _ in range(3))
        login.user = "alice"
        login.remove_form_token(other_token)
        store.move_session(login, make_id())
        post.remove_form_token(token)
        with pytest.raises(SessionDeleted):
            store.save_session(post)
        twin.remove_form_token(other_token)  # this one was used
        with pytest.raises(FormTokenUsed):
            store.save_session(twin)

    # -- writes whose reply was lost, and others in between ------------------------------------------------------------

    def _write_beside(self, store: Any, id: str) -> None:
        other = store.load_session(id)
        other["other"] = 1
        store.save_session(other)

    @pytest.mark.parametrize("on_conflict", ["merge", "raise"])
    def test_a_save_knows_itself_though_another_came_after_it(
        self, make_store: Any, monkeypatch: pytest.MonkeyPatch, on_conflict: Any
    ) -> None:
        store = make_store(on_conflict=on_conflict)
        session = Counted(make_id())
        token = session.create_form_token()
        store.save_session(session)
        loaded = store.load_session(session.id)
        loaded.remove_form_token(token)
        loaded.hits += 1
        twice(monkeypatch, store, "replace", lambda: self._write_beside(store, session.id or ""))
        store.save_session(loaded)
        found = store.load_session(session.id)
        assert (found.hits, dict(found)) == (1, {"other": 1})
        loaded.hits += 1
        store.save_session(loaded)
        assert store.load_session(session.id).hits == 2

    @pytest.mark.parametrize("save", ["save_session", "create_session"])
    def test_a_new_session_knows_itself_though_another_came_after_it(
        self, store: Any, monkeypatch: pytest.MonkeyPatch, save: str
    ) -> None:
        session = DictSession(make_id())
        session["n"] = 1
        twice(monkeypatch, store, "insert", lambda: self._write_beside(store, session.id or ""))
        assert getattr(store, save)(session) in (None, True)
        assert dict(store.load_session(session.id)) == {"n": 1, "other": 1}
        session["n"] = 2
        store.save_session(session)
        assert dict(store.load_session(session.id)) == {"n": 2, "other": 1}

    def test_an_overwrite_knows_itself_though_another_came_after_it(
        self, store: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = stored(store)
        session = DictSession(before.id)
        session["n"] = 1
        twice(monkeypatch, store, "replace", lambda: self._write_beside(store, session.id or ""))
        store.save_session(session)
        assert dict(store.load_session(session.id)) == {"n": 1, "other": 1}

    def test_an_emptying_knows_itself(self, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        loaded = store.load_session(stored(store).id)
        loaded.user = None
        twice(monkeypatch, store, "replace")
        assert store.discard_session(loaded) and not store.has_session(loaded.id)

    def test_a_renewal_whose_reply_was_lost_does_not_hand_out_an_id_that_a_login_ended(
        self, store: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        loaded = store.load_session(stored(store).id)
        old = loaded.id

        def log_in() -> None:
            other = store.load_session(old)
            other.user = "bob"
            store.move_session(other, make_id())

        twice(monkeypatch, store, "replace", log_in)
        with pytest.raises(SessionDeleted):
            store.move_session(loaded, make_id(), grace=10)

    # -- moves that come to no end -------------------------------------------------------------------------------------

    @pytest.mark.parametrize("is_done", [False, True])
    @pytest.mark.parametrize("error", [StoreUnavailable, KeyboardInterrupt])
    @pytest.mark.parametrize("verb", ["insert", "replace"])
    def test_a_login_that_is_interrupted_leaves_all_as_it_was(
        self, store: Any, monkeypatch: pytest.MonkeyPatch, verb: str, error: type[BaseException], is_done: bool
    ) -> None:
        loaded = store.load_session(stored(store, n=1).id)
        old, once = loaded.id, getattr(store, verb)

        def interrupted(*given: Any) -> bool:
            monkeypatch.setattr(store, verb, once)
            if is_done:
                once(*given)
            raise error("now")

        monkeypatch.setattr(store, verb, interrupted)
        loaded.user = "bob"
        try:
            store.move_session(loaded, make_id())
        except error:
            assert store.load_session(old).user == "alice" and store.load_session(old)["n"] == 1
        else:
            assert (verb, error, is_done) == ("replace", StoreUnavailable, True)  # it was done, and found to be
        assert len(list(store.iter_sessions())) == 1

    def test_a_tombstone_bears_no_data(self, store: Any) -> None:
        loaded = store.load_session(stored(store, n=1).id)
        old = loaded.id
        store.move_session(loaded, make_id())
        left = store.read(store._key(old))
        assert (left.forward, left.payload, left.user_key) == (ROTATED, b"", None)
