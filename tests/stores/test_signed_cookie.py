"""SignedCookieSessionStore: what a Quixote application needs to run without a store on the server."""

import logging
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session3 import open_store
from session3.cookies import MAX_COOKIE, REVOKE
from session3.DictSession import DictSession
from session3.errors import ConfigurationError, CookieTooLarge, SerializationError
from session3.serializers import EncryptedSerializer, JSONSerializer, PickleSerializer
from session3.SessionManager import SessionManager
from session3.store.SignedCookieSessionStore import SignedCookieSessionStore
from session3.tokens import MAX_TOKEN

from ..contract import HOSTILE
from ..sessions import Bomb, Clock
from ..test_session_manager import begin

KEY, OTHER = "0123456789abcdef0123", "fedcba9876543210fedc"


@pytest.fixture
def store(clock: Clock) -> SignedCookieSessionStore:
    return SignedCookieSessionStore(KEY, clock=clock)


@pytest.fixture
def manager(store: SignedCookieSessionStore) -> SessionManager:
    return SessionManager(store, DictSession)


def saved(store: SignedCookieSessionStore, **items: Any) -> str:
    session = DictSession(None)
    session.update(items)
    store.save_session(session)
    assert session.id is not None
    return session.id


def cookie_of(manager: SessionManager, cookie: str | None = None, **items: Any) -> str:
    visit, session = begin(manager, cookie)
    session.update(items)
    change = manager.finish(visit)
    assert change is not None and change.value is not None
    return change.value


class TestStore:
    def test_what_was_saved_is_loaded(self, store: SignedCookieSessionStore, clock: Clock) -> None:
        session = DictSession(None)
        session.user, session["cart"] = "alice", ["tea", {"milk": 2}]
        session._creation_time = clock() - 100
        store.save_session(session)
        loaded = store.load_session(session.id or "")
        assert (loaded.user, dict(loaded)) == ("alice", {"cart": ["tea", {"milk": 2}]})
        assert loaded.get_creation_age() == 100
        assert store.has_session(session.id or "")

    def test_a_save_makes_the_id_and_an_unchanged_one_keeps_it(self, store: SignedCookieSessionStore) -> None:
        session = store.load_session(saved(store, n=1))
        before = session.id
        store.save_session(session)
        assert session.id == before
        session["n"] = 2
        store.save_session(session)
        assert session.id != before
        assert store.load_session(session.id)["n"] == 2

    @pytest.mark.parametrize("id", [*HOSTILE, "", "x" * 100, "a.b.c", "\ud800" * 50], ids=lambda c: ascii(c[:20]))
    def test_what_is_no_cookie_of_ours_is_absent(self, store: SignedCookieSessionStore, id: str) -> None:
        assert store.load_session(id, "absent") == "absent"
        assert not store.has_session(id)

    def test_ten_thousand_mutations_are_absent(self, store: SignedCookieSessionStore) -> None:
        choose = random.Random(20261120)
        cookies = [saved(store, n=n, text="tea " * n) for n in range(20)]
        letters = "abcXYZ019-_.=+/ \n\t\0é"
        tried: set[str] = set()
        while len(tried) < 10_000:
            cookie, other = choose.sample(cookies, 2)
            at, to = sorted(choose.choices(range(len(cookie) + 1), k=2))
            parts = cookie.split(".")
            mutant = choose.choice([
                cookie[:at] + choose.choice(letters) + cookie[at + 1:], cookie[:at] + cookie[to:],
                cookie[:at] + choose.choice(letters) + cookie[at:], cookie[:at] + other[at:], cookie[::-1],
                ".".join(choose.sample(parts, len(parts))), cookie.swapcase(), cookie + choose.choice(letters),
                cookie[:-1] + choose.choice("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"),
            ])  # fmt: skip
            if mutant not in cookies:
                tried.add(mutant)
        assert [mutant for mutant in tried if store.load_session(mutant) is not None] == []

    @given(id=st.text(max_size=300))
    def test_no_text_raises(self, id: str) -> None:
        assert SignedCookieSessionStore(KEY).load_session(id) is None

    def test_what_is_longer_than_any_cookie_is_not_looked_at(self, store: SignedCookieSessionStore) -> None:
        session = store.load_session(saved(store, n=1))
        session["noise"] = random.Random(1).randbytes(2 * MAX_TOKEN)
        token = store._signer.sign(store._signer.open(session.id)[0] + store.codec.dump(session))
        assert store._signer.open(token)
        store._signer._signer = None  # type: ignore[assignment]
        assert store.load_session(token) is None and not store.has_session(token)

    def test_another_key_or_salt_opens_nothing(self, store: SignedCookieSessionStore, clock: Clock) -> None:
        id = saved(store, n=1)
        assert SignedCookieSessionStore(OTHER, clock=clock).load_session(id) is None
        assert SignedCookieSessionStore(KEY, salt="other", clock=clock).load_session(id) is None
        assert SignedCookieSessionStore([OTHER, KEY], clock=clock).load_session(id)["n"] == 1

    def test_a_cookie_of_an_older_key_is_signed_anew_once(self, store: SignedCookieSessionStore, clock: Clock) -> None:
        id = saved(store, n=1)
        both = SignedCookieSessionStore([OTHER, KEY], clock=clock)
        session = both.load_session(id)
        assert not both.is_changed(session)
        both.save_session(session)
        assert session.id != id
        assert SignedCookieSessionStore(OTHER, clock=clock).load_session(session.id)["n"] == 1
        session = both.load_session(session.id)
        before = session.id
        both.save_session(session)
        assert session.id == before

    def test_a_server_a_minute_behind_accepts_it_and_one_further_behind_does_not(
        self, store: SignedCookieSessionStore, clock: Clock
    ) -> None:
        id = saved(store, n=1)
        clock.advance(-60)
        assert store.load_session(id) is not None
        clock.advance(-2)
        assert store.load_session(id) is None

    def test_a_lost_key_runs_no_pickle(self, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        bad = SignedCookieSessionStore(OTHER, serializer=PickleSerializer(), clock=clock)
        id = saved(bad, bomb=Bomb())  # which runs it: a save looks whether what it writes will load
        monkeypatch.setattr(Bomb, "exploded", [])
        assert SignedCookieSessionStore(KEY, serializer=PickleSerializer(), clock=clock).load_session(id) is None
        assert Bomb.exploded == []

    def test_an_encrypted_cookie_hides_what_it_holds(self, clock: Clock) -> None:
        serializer = EncryptedSerializer(JSONSerializer(), OTHER)
        store = SignedCookieSessionStore(KEY, serializer=serializer, clock=clock)
        session = store.load_session(saved(store, secret="tea " * 100))
        assert session["secret"] == "tea " * 100
        assert len(session.id) > 400  # what is compressed could be read
        before = session.id
        store.save_session(session)
        assert session.id == before

    def test_too_large_a_cookie_is_an_error_that_names_both_sizes(self, store: SignedCookieSessionStore) -> None:
        session = store.load_session(saved(store, n=1))
        before = session.id
        session["noise"] = random.Random(1).randbytes(3000)
        with pytest.raises(CookieTooLarge, match=rf"{len(session['noise'])}|cookie of \d+ bytes.* {MAX_COOKIE}"):
            store.save_session(session)
        assert session.id == before and store.load_session(before)["n"] == 1

    def test_json_says_where_it_can_not(self, store: SignedCookieSessionStore) -> None:
        with pytest.raises(SerializationError, match=r"cart\[1\]\.price"):
            saved(store, cart=[1, {"price": object()}])

    def test_without_a_key_it_says_how_to_make_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SESSION3_SECRET_KEY", raising=False)
        with pytest.raises(ConfigurationError, match=r"SESSION3_SECRET_KEY.*token_urlsafe"):
            open_store("cookie://")
        monkeypatch.setenv("SESSION3_SECRET_KEY", KEY)
        id = saved(SignedCookieSessionStore(KEY), n=1)
        assert open_store("cookie://").load_session(id)["n"] == 1
        assert open_store("cookie://", secret_key=OTHER).load_session(id) is None

    def test_cookies_and_keys_are_not_logged(
        self, store: SignedCookieSessionStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        id = saved(store, n=1)
        with caplog.at_level(logging.DEBUG):
            store.load_session(id[:-1])
        assert "was not taken" in caplog.text
        assert id[:-1] not in caplog.text and KEY not in caplog.text

    def test_there_is_nothing_to_iterate_over_and_nothing_to_sweep(self, store: SignedCookieSessionStore) -> None:
        with pytest.raises(NotImplementedError):
            list(store.iter_sessions())
        assert store.delete_old_sessions(0) == store.delete_expired_sessions() == (0, 0)


class TestManager:
    @pytest.mark.parametrize(
        "hostile",
        [
            "",
            "x" * 31,
            "x" * 8193,
            "x" * 40 + "\r\nSet-Cookie: a=b",
            "x" * 40 + '"',
            "é" * 40,
            "\ud800" * 40,
            "x" * 40 + "\0",
        ],
    )
    def test_what_no_cookie_of_ours_looks_like_is_not_looked_up(
        self, store: SignedCookieSessionStore, hostile: str
    ) -> None:
        class Watched(SessionManager):
            def get(self, session_id: str | None, default: Any = None) -> Any:
                asked.append(session_id)
                return super().get(session_id, default)

        asked: list[str | None] = []
        manager = Watched(store, DictSession)
        begin(manager, hostile)
        assert asked == []
        cookie = cookie_of(manager, n=1)
        begin(manager, cookie)
        assert asked == [cookie]

    def test_the_cookie_is_set_whenever_its_value_changed(self, manager: SessionManager) -> None:
        cookie = cookie_of(manager, n=1)
        visit, session = begin(manager, cookie)
        assert session["n"] == 1
        assert manager.finish(visit) is None
        changed = cookie_of(manager, cookie, n=2)
        assert changed != cookie
        assert begin(manager, changed)[1]["n"] == 2

    def test_a_request_that_only_reads_brings_the_newest_key(self, manager: SessionManager, clock: Clock) -> None:
        cookie = cookie_of(manager, n=1)
        rotated = SessionManager(SignedCookieSessionStore([OTHER, KEY], clock=clock), DictSession)
        change = rotated.finish(begin(rotated, cookie)[0])
        assert change is not None and change.value not in (None, cookie)
        visit, session = begin(rotated, change.value)
        assert session["n"] == 1
        assert rotated.finish(visit) is None

    def test_a_change_deep_inside_is_seen(self, manager: SessionManager) -> None:
        visit, session = begin(manager, cookie_of(manager, cart=[]))
        session["cart"].append("tea")
        change = manager.finish(visit)
        assert change is not None and begin(manager, change.value)[1]["cart"] == ["tea"]

    def test_who_only_looks_gets_no_cookie(self, manager: SessionManager) -> None:
        assert manager.finish(begin(manager, None)[0]) is None
        visit, session = begin(manager, "x" * 100)
        assert session.id is None
        assert manager.finish(visit) is None

    def test_an_idle_timeout_renews_it_at_most_once_a_resolution(
        self, store: SignedCookieSessionStore, clock: Clock
    ) -> None:
        manager = SessionManager(store, DictSession, idle_timeout=3600)
        cookie, renewed = cookie_of(manager, n=1), 0
        for _ in range(13):
            clock.advance(10)
            change = manager.finish(begin(manager, cookie)[0])
            if change is not None and change.value is not None:
                cookie, renewed = change.value, renewed + 1
                assert change.max_age == 3600
        assert renewed == 1  # at 70 seconds, in 130
        clock.advance(3600)
        assert begin(manager, cookie)[0].loaded is None

    def test_an_absolute_timeout_is_not_pushed_back(self, store: SignedCookieSessionStore, clock: Clock) -> None:
        manager = SessionManager(store, DictSession, absolute_timeout=3600)
        cookie = cookie_of(manager, n=1)
        clock.advance(3000)
        assert manager.finish(begin(manager, cookie)[0]) is None
        cookie = cookie_of(manager, cookie, n=2)
        clock.advance(599)
        assert begin(manager, cookie)[1]["n"] == 2
        clock.advance(2)
        assert begin(manager, cookie)[0].loaded is None

    def test_a_logout_revokes_the_cookie(self, manager: SessionManager) -> None:
        visit, _ = begin(manager, cookie_of(manager, n=1))
        visit.end_session()
        assert manager.finish(visit) is REVOKE

    def test_an_emptied_session_revokes_the_cookie(self, manager: SessionManager) -> None:
        visit, session = begin(manager, cookie_of(manager, n=1))
        session.clear()
        assert manager.finish(visit) is REVOKE

    def test_a_login_drops_the_tokens_from_before(self, manager: SessionManager) -> None:
        visit, session = begin(manager, None)
        token = session.create_form_token()
        csrf = session.get_csrf_token()
        visit, session = begin(manager, manager.finish(visit).value)  # type: ignore[union-attr]
        session.set_user("alice")
        _, session = begin(manager, manager.finish(visit).value)  # type: ignore[union-attr]
        assert session.user == "alice"
        assert not session.has_form_token(token) and session.get_csrf_token() != csrf

    def test_cycling_makes_another_cookie(self, manager: SessionManager, clock: Clock) -> None:
        cookie = cookie_of(manager, n=1)
        clock.advance(1)
        visit, _ = begin(manager, cookie)
        visit.cycle_session(10)
        change = manager.finish(visit)
        assert change is not None and change.value not in (None, cookie)
        assert begin(manager, change.value)[1]["n"] == 1

    def test_name_and_attributes_count(self, store: SignedCookieSessionStore) -> None:
        from session3.cookies import CookieOptions

        noise = random.Random(1).randbytes(2900)
        cookie_of(SessionManager(store, DictSession), noise=noise[:2650])
        roomy = SessionManager(store, DictSession, cookie=CookieOptions(name="n" * 600))
        visit, session = begin(roomy, None)
        session["noise"] = noise[:2650]
        with pytest.raises(CookieTooLarge):
            roomy.finish(visit)
