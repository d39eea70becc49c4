"""Switching serializers, signatures and keys on live data: older ways are read, and written anew in time."""

import json
import logging
import pickle
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

import session3
from session3 import ids
from session3.Accepted import Accepted
from session3.backends import signed_cookies
from session3.DictSession import DictSession
from session3.errors import ConfigurationError, SerializationError
from session3.serializers import EncryptedSerializer, JSONSerializer, PickleSerializer, SignedSerializer
from session3.Session import Session
from session3.SessionManager import SessionManager
from session3.store.SignedCookieSessionStore import SignedCookieSessionStore

from .sessions import Bomb, Clock

OLD, NEW = "the old key, long enough", "the new key, long enough"

#: What was, what is, and what is accepted for that.
SWITCHES: dict[str, tuple[dict[str, Any], dict[str, Any], list[Accepted]]] = {
    "sign": ({}, {"secret_key": NEW}, [Accepted(secret_key=None)]),
    "no longer sign": ({"secret_key": OLD}, {}, [Accepted(secret_key=OLD)]),
    "encrypt": ({}, {"encryption_key": NEW}, [Accepted(encryption_key=None)]),
    "encrypt what was signed": ({"secret_key": OLD}, {"encryption_key": NEW}, [Accepted(secret_key=OLD)]),
    "sign what was encrypted": ({"encryption_key": OLD}, {"secret_key": NEW}, [Accepted(encryption_key=OLD)]),
    "another key": ({"secret_key": OLD}, {"secret_key": NEW}, [Accepted(secret_key=OLD)]),
    "to JSON": ({}, {"serializer": JSONSerializer()}, [Accepted(serializer=PickleSerializer())]),
    "from JSON": ({"serializer": JSONSerializer()}, {}, [Accepted(serializer=JSONSerializer())]),
    "to JSON, signed": (
        {"secret_key": OLD},
        {"serializer": JSONSerializer(), "secret_key": OLD},
        [Accepted(serializer=PickleSerializer())],
    ),
    "to signed JSON": (
        {},
        {"serializer": JSONSerializer(), "secret_key": NEW},
        [Accepted(serializer=PickleSerializer(), secret_key=None)],
    ),
    "two steps": ({}, {"encryption_key": NEW}, [Accepted(secret_key=OLD), Accepted(secret_key=None)]),
    "rotated": ({"secret_key": OLD}, {"secret_key": [NEW, OLD]}, []),
    "rotated, encrypted": ({"encryption_key": OLD}, {"encryption_key": [NEW, OLD]}, []),
    "SignedSerializer": (
        {"serializer": SignedSerializer(PickleSerializer(), OLD)},
        {"serializer": SignedSerializer(PickleSerializer(), [NEW, OLD])},
        [],
    ),
    "EncryptedSerializer": (
        {"serializer": EncryptedSerializer(PickleSerializer(), OLD)},
        {"serializer": EncryptedSerializer(PickleSerializer(), [NEW, OLD])},
        [],
    ),
    "to EncryptedSerializer": (
        {},
        {"serializer": EncryptedSerializer(JSONSerializer(), NEW)},
        [Accepted(serializer=PickleSerializer(), secret_key=None)],
    ),
    "from EncryptedSerializer": (
        {"serializer": EncryptedSerializer(JSONSerializer(), OLD)},
        {},
        [Accepted(serializer=EncryptedSerializer(JSONSerializer(), OLD))],
    ),
}
SCHEMES = ["memory", "directory", "sqlite", "shelve", "durus"]


def only_new(options: dict[str, Any]) -> dict[str, Any]:
    """Return what a store is made with once the old keys are dropped."""
    made = {name: NEW if isinstance(value, list) else value for name, value in options.items()}
    serializer = made.get("serializer")
    if isinstance(serializer, (SignedSerializer, EncryptedSerializer)):
        made["serializer"] = type(serializer)(serializer.inner, NEW)
    return made


class Place:
    """One place, that stores of any options are opened on."""

    def __init__(self, scheme: str, folder: Path, clock: Clock) -> None:
        self.scheme, self.folder, self.clock = scheme, folder, clock
        self._records: Any = None

    def open(self, **options: Any) -> Any:
        url = "memory://" if self.scheme == "memory" else f"{self.scheme}://{self.folder}/sessions"
        store: Any = session3.open_store(url, clock=self.clock, **options)
        if self.scheme == "memory":
            self._records = store._records if self._records is None else self._records
            store._records = self._records
        return store

    def use(self, options: dict[str, Any], work: Any) -> Any:
        with self.open(**options) as store:
            return work(store)


@pytest.fixture(params=SCHEMES)
def place(request: Any, tmp_path: Path, clock: Clock) -> Place:
    return Place(request.param, tmp_path, clock)


@pytest.fixture
def memory(tmp_path: Path, clock: Clock) -> Place:
    return Place("memory", tmp_path, clock)


def save(store: Any) -> str:
    session = DictSession(ids.make_id())
    session.user = "alice"
    session["cart"] = [{"tea": 1}]
    store.save_session(session)
    return session.id or ""


def visit(store: Any, id: str) -> None:
    """A request that only reads."""
    manager = SessionManager(store, DictSession)
    begun: Any = manager.begin(id)
    assert begun.session.user == "alice" and begun.session["cart"] == [{"tea": 1}]
    assert not begun.session.is_dirty()
    manager.finish(begun)


@pytest.fixture(params=SWITCHES)
def switch(request: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """What was, what is while older ways are accepted, and what is afterwards."""
    was, now, accepts = SWITCHES[request.param]
    return was, {**now, "accepts": accepts}, only_new(now)


# -- who comes by stays --------------------------------------------------------------------------------------------


def test_who_came_by_is_still_in_when_the_older_way_is_dropped(place: Place, switch: Any) -> None:
    was, now, afterwards = switch
    id = place.use(was, save)
    place.clock.advance(3600)
    place.use(now, lambda store: visit(store, id))
    place.clock.advance(10)
    place.use(afterwards, lambda store: visit(store, id))


def test_a_save_writes_in_the_present_way(place: Place, switch: Any) -> None:
    was, now, afterwards = switch
    id = place.use(was, save)

    def change(store: Any) -> None:
        session = store.load_session(id)
        session["n"] = 1
        store.save_session(session)

    place.use(now, change)
    assert place.use(afterwards, lambda store: store.load_session(id)["n"]) == 1


def test_a_read_writes_only_where_a_touch_is_due_and_once(memory: Place, switch: Any, count_verbs: Any) -> None:
    was, now, _ = switch
    id = memory.use(was, save)
    store = memory.open(**now)
    counts = count_verbs(store)
    visit(store, id)
    assert counts == {"read": 1}
    memory.clock.advance(3600)
    visit(store, id)
    assert counts == {"read": 3, "replace": 1, "touch": 1}
    memory.clock.advance(3600)
    counts.clear()
    visit(store, id)
    assert counts == {"read": 1, "touch": 1}


def test_to_be_written_anew_is_no_change_to_requests_in_flight(place: Place, switch: Any) -> None:
    was, now, _ = switch
    id = place.use(was, save)
    place.clock.advance(3600)
    with place.open(**now, on_conflict="raise") as store:
        one, revision = store.load_session(id), store.read(id).revision
        token = one.create_form_token()
        visit(store, id)
        assert store.read(id).revision == revision
        store.save_session(one)
        other = store.load_session(id)
        other.remove_form_token(token)
        store.save_session(other)
        assert store.load_session(id).data == {"cart": [{"tea": 1}]}


def test_a_change_beside_a_rewrite_is_kept(place: Place, switch: Any) -> None:
    was, now, _ = switch
    id = place.use(was, save)
    place.clock.advance(3600)
    with place.open(**now) as store:
        one, other = store.load_session(id), store.load_session(id)
        other["n"] = 1
        store.save_session(other)
        one._set_access_time(0)
        store.save_session(one)  # it only read, and would have written anew
        assert store.load_session(id)["n"] == 1
        store.delete_session(id)
        assert not store.refresh_session(one) and not store.has_session(id)


def test_both_changes_survive_where_one_request_read_an_older_way(place: Place, switch: Any) -> None:
    was, now, _ = switch
    id = place.use(was, save)
    with place.open(**now) as store:
        one, other = store.load_session(id), store.load_session(id)
        one["a"], other["b"] = 1, 2
        other["cart"].append("milk")
        store.save_session(other)
        store.save_session(one)
        assert store.load_session(id).data == {"a": 1, "b": 2, "cart": [{"tea": 1}, "milk"]}


def test_after_its_end_an_older_way_is_read_no_more(memory: Place, switch: Any) -> None:
    was, now, _ = switch
    id = memory.use(was, save)
    end = memory.clock() + 100
    for until in (end, datetime.fromtimestamp(end, timezone.utc)):
        ending = [_until(each, until) for each in now["accepts"]]
        if not ending:
            return
        with memory.open(**{**now, "accepts": ending}) as store:
            assert store.load_session(id).user == "alice"
            memory.clock.advance(101)
            assert store.load_session(id) is None
            memory.clock.advance(-101)


def _until(accepted: Accepted, until: Any) -> Accepted:
    given = {name: getattr(accepted, name) for name in ("serializer", "secret_key", "encryption_key", "hash_ids")}
    return Accepted(**given, until=until)


# -- never weaker --------------------------------------------------------------------------------------------------


def plant(store: Any, id: str, payload: bytes) -> None:
    record = store.read(id)
    store.replace(id, record._replace(payload=payload), record.revision)


@pytest.fixture
def exploded() -> Iterator[list[str]]:
    Bomb.exploded.clear()
    yield Bomb.exploded


def test_what_claims_the_present_seal_and_fails_is_read_in_no_weaker_way(memory: Place, exploded: list[str]) -> None:
    class Loose(PickleSerializer):
        """Reads a pickle wherever it stands."""

        def dumps(self, value: Any) -> bytes:
            return super().dumps(value)

        def loads(self, data: Any) -> Any:  # type: ignore[override]
            return pickle.loads(data[data.index(b"\x80") :])

    id = memory.use({}, save)
    for accepted in (Accepted(secret_key=None), Accepted(serializer=Loose(), secret_key=None)):
        store = memory.open(secret_key=NEW, accepts=[accepted])
        plant(store, id, b"A" * 43 + b"." + pickle.dumps(Bomb()))
        assert store.load_session(id) is None and exploded == []


@pytest.mark.parametrize("seal", ["secret_key", "encryption_key"])
def test_nothing_is_unpickled_that_no_key_opens(memory: Place, seal: Any, exploded: list[str]) -> None:
    sealed: Any = {seal: OLD}
    accepts = [Accepted(serializer=PickleSerializer(), **sealed), Accepted(secret_key=OLD + "2")]
    forged = pickle.dumps(Bomb())
    for options in ({"serializer": JSONSerializer()}, {"secret_key": NEW}, {"encryption_key": NEW}):
        id = memory.use({}, save)
        store = memory.open(**options, accepts=accepts)
        for payload in (forged, b"A" * 43 + b"." + forged, b"\0" * 12 + forged, b"\x01\0\x10" + forged):
            plant(store, id, payload)
            assert store.load_session(id) is None and exploded == []


def test_a_key_reads_what_its_own_way_reads_and_no_other(memory: Place, exploded: list[str]) -> None:
    """A key that leaked while sessions were JSON must not sign pickles."""
    accepts = [Accepted(serializer=PickleSerializer()), Accepted(secret_key=OLD)]
    was = memory.open(secret_key=OLD)
    id = save(was)
    session = was.load_session(id)
    session["item"] = Bomb()
    was.save_session(session)
    exploded.clear()
    store = memory.open(serializer=JSONSerializer(), secret_key=NEW, accepts=accepts)
    assert store.load_session(id) is None and exploded == []


def test_another_sessions_payload_opens_nothing_in_an_older_way(memory: Place) -> None:
    was = memory.open(secret_key=OLD)
    mine, other = save(was), save(was)
    store = memory.open(secret_key=NEW, accepts=[Accepted(secret_key=OLD)])
    plant(store, mine, store.read(other).payload)
    assert store.load_session(mine) is None and store.load_session(other) is not None


class Spelled:
    """A serializer of one's own, that tells what it wrote, or does not."""

    keeps_classes = False

    def dumps(self, value: Any) -> bytes:
        return b"spelled " + json.dumps(value).encode()

    def loads(self, data: bytes) -> Any:
        if not data.startswith(b"spelled "):
            raise ValueError("not spelled")
        return json.loads(data[8:])


class Telling(Spelled):
    def dumps(self, value: Any) -> bytes:
        return super().dumps(value)

    def recognizes(self, data: bytes) -> bool:
        return data.startswith(b"spelled ")


@pytest.mark.parametrize("made", [Spelled, Telling])
def test_a_serializer_of_ones_own_is_switched_to_and_from(memory: Place, made: Any) -> None:
    for was, now in ((made(), PickleSerializer()), (JSONSerializer(), made()), (PickleSerializer(), made())):
        for seal in ({}, {"secret_key": OLD}):
            id = memory.use({"serializer": was, **seal}, save)
            with memory.open(serializer=now, accepts=[Accepted(serializer=was)], **seal) as store:
                assert store.load_session(id).user == "alice"
                assert store.load_session(save(store)).user == "alice"
        id = memory.use({"serializer": was}, save)
        accepts = [Accepted(serializer=was, secret_key=None)]
        with memory.open(serializer=now, secret_key=NEW, accepts=accepts) as store:
            assert store.load_session(id).user == "alice"
            assert store.load_session(save(store)).user == "alice"


def test_what_can_not_be_told_from_what_is_encrypted_is_refused(memory: Place) -> None:
    with pytest.raises(ConfigurationError, match="can't be told"):
        memory.open(encryption_key=NEW, accepts=[Accepted(serializer=Spelled(), secret_key=None)])
    memory.open(encryption_key=NEW, accepts=[Accepted(serializer=Telling(), secret_key=None)])


def test_what_the_present_way_can_not_hold_is_absent_and_said_so(
    memory: Place, caplog: pytest.LogCaptureFixture
) -> None:
    was = memory.open()
    session: Any = was.load_session(save(was))
    session["price"] = 1j
    was.save_session(session)
    store = memory.open(serializer=JSONSerializer(), accepts=[Accepted(serializer=PickleSerializer())])
    assert store.load_session(session.id) is None
    assert "price: a complex is nothing that this JSON can hold" in caplog.text
    assert isinstance(SerializationError(), TypeError)


# -- what is likely the matter -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ({"secret_key": OLD}, {}, "it is signed, but this store has no secret_key"),
        ({}, {"secret_key": NEW}, "it is a pickle and not signed, as this store asks for: see accepts="),
        ({}, {"encryption_key": NEW}, "it is a pickle and not encrypted, as this store asks for: see accepts="),
        ({"secret_key": OLD}, {"secret_key": NEW}, "with an older key, list that one, too"),
        ({"encryption_key": OLD}, {"encryption_key": NEW}, "with an older key, list that one, too"),
        ({"encryption_key": OLD}, {}, "it may be encrypted, but this store has no encryption_key"),
        ({"secret_key": OLD}, {"encryption_key": NEW}, "it is not encrypted, as this store asks for, but sealed"),
        ({}, {"serializer": JSONSerializer()}, "it is a pickle, which is not what this store's serializer writes"),
        ({"serializer": JSONSerializer()}, {}, "it is JSON, which is not what this store's serializer writes"),
    ],
)
def test_a_switch_without_accepts_says_what_is_likely(
    memory: Place, was: Any, now: Any, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    id = memory.use(was, save)
    with caplog.at_level(logging.WARNING):
        assert memory.use(now, lambda store: store.load_session(id)) is None
    assert said in caplog.text and OLD not in caplog.text


# -- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("accepts", [None, Accepted(secret_key=None), "pickle", [None], [{"secret_key": None}], 3])
def test_accepts_of_another_type_are_refused_as_the_store_is_made(memory: Place, accepts: Any) -> None:
    with pytest.raises(ConfigurationError, match="accepts is a list"):
        memory.open(secret_key=NEW, accepts=accepts)


@pytest.mark.parametrize(
    "options",
    [
        {}, {"until": 9.0}, {"serializer": "pickle"}, {"serializer": PickleSerializer}, {"serializer": pickle},
        {"secret_key": None, "until": "tomorrow"}, {"secret_key": None, "until": True},
        {"secret_key": None, "until": float("nan")}, {"secret_key": None, "until": datetime(2030, 1, 1)},
        {"hash_ids": "no"},
    ],
)  # fmt: skip
def test_what_can_not_work_is_refused(options: Any) -> None:
    with pytest.raises(ConfigurationError, match="Accepted"):
        Accepted(**options)


def test_keys_are_checked_and_never_shown(memory: Place) -> None:
    with pytest.raises(ConfigurationError, match="16 bytes"):
        memory.open(accepts=[Accepted(secret_key="short")])
    with pytest.raises(ConfigurationError, match="not both"):
        memory.open(accepts=[Accepted(secret_key=OLD, encryption_key=NEW)])
    for key in (3, [3], object()):
        with pytest.raises(ConfigurationError):
            memory.open(accepts=[Accepted(secret_key=key)])  # type: ignore[arg-type]
    assert OLD not in repr(Accepted(secret_key=OLD))
    assert isinstance(DictSession(None), Session)


# -- all of them ---------------------------------------------------------------------------------------------------


def test_all_are_written_anew_at_once(place: Place, switch: Any, exploded: list[str]) -> None:
    was, now, afterwards = switch
    kept = [place.use(was, save) for _ in range(3)]
    expired = place.use(was, save)

    def expire(store: Any) -> None:
        session = store.load_session(expired)
        session._expires = place.clock() + 1
        session["n"] = 1
        store.save_session(session)

    place.use(was, expire)
    place.clock.advance(3600)
    assert place.use(now, lambda store: store.reseal(look_only=True)) == (0, 3)
    assert place.use(now, lambda store: store.reseal()) == (3, 0)
    assert place.use(now, lambda store: store.reseal()) == (0, 0)
    for id in kept:
        session = place.use(afterwards, lambda store, id=id: store.load_session(id))
        assert session.user == "alice" and session.get_access_age(place.clock()) == pytest.approx(3600, abs=1)


def test_where_only_the_seal_is_outdated_nothing_is_unpickled(memory: Place, exploded: list[str]) -> None:
    was = memory.open(secret_key=OLD)
    session: Any = was.load_session(save(was))
    session["item"] = Bomb()
    was.save_session(session)
    exploded.clear()
    assert memory.open(secret_key=[NEW, OLD]).reseal() == (1, 0)
    assert memory.open(encryption_key=NEW, accepts=[Accepted(secret_key=[NEW, OLD])]).reseal() == (1, 0)
    assert exploded == []


def test_what_can_not_be_read_is_left_and_said(memory: Place, caplog: pytest.LogCaptureFixture) -> None:
    memory.use({"secret_key": OLD}, save)
    store = memory.open(secret_key=NEW, accepts=[Accepted(secret_key=None)])
    assert store.reseal() == (0, 1) and "can't be written anew" in caplog.text


def test_a_writer_is_never_overwritten(memory: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    id = memory.use({"secret_key": OLD}, save)
    store = memory.open(secret_key=[NEW, OLD])
    replace, rivals = store.replace, [1]

    def beside(key: str, record: Any, revision: int) -> bool:
        if rivals:
            rivals.pop()
            session = store.load_session(id)
            session["n"] = 1
            store.save_session(session)
        return bool(replace(key, record, revision))

    monkeypatch.setattr(store, "replace", beside)
    assert store.reseal() == (0, 0)
    assert store.load_session(id)["n"] == 1


# -- cookies -------------------------------------------------------------------------------------------------------


COOKIES: dict[str, tuple[Any, Any, list[Accepted]]] = {
    "another key": ((OLD, {}), (NEW, {}), [Accepted(secret_key=OLD)]),
    "from pickle": (
        (OLD, {"serializer": PickleSerializer()}), (OLD, {}), [Accepted(serializer=PickleSerializer())],
    ),
    "both": (
        (OLD, {"serializer": PickleSerializer()}),
        (NEW, {}),
        [Accepted(serializer=PickleSerializer(), secret_key=OLD)],
    ),
    "encrypt": (
        (OLD, {}),
        (OLD, {"serializer": EncryptedSerializer(JSONSerializer(), NEW)}),
        [Accepted(serializer=JSONSerializer())],
    ),
    "no longer encrypt": (
        (OLD, {"serializer": EncryptedSerializer(JSONSerializer(), NEW)}),
        (OLD, {}),
        [Accepted(serializer=EncryptedSerializer(JSONSerializer(), NEW))],
    ),
    "rotated, encrypted": (
        (OLD, {"serializer": EncryptedSerializer(JSONSerializer(), OLD)}),
        (OLD, {"serializer": EncryptedSerializer(JSONSerializer(), [NEW, OLD])}),
        [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", COOKIES)
def test_a_cookie_is_made_anew_at_the_next_request(name: str, clock: Clock) -> None:
    (old_key, was), (key, now), accepts = COOKIES[name]
    manager = SessionManager(SignedCookieSessionStore(old_key, clock=clock, **was), DictSession)
    visit: Any = manager.begin(None)
    visit.session.set_user("alice")
    cookie: Any = manager.finish(visit)
    ended = [_until(each, clock() + 100) for each in accepts]
    store: Any = SignedCookieSessionStore(key, clock=clock, accepts=ended, **now)
    manager = SessionManager(store, DictSession)
    visit = manager.begin(cookie.value)
    assert visit.session.user == "alice" and not visit.session.is_dirty()
    fresh: Any = manager.finish(visit)
    assert fresh is not None
    again: Any = manager.begin(fresh.value)
    assert again.session.user == "alice" and manager.finish(again) is None
    assert SignedCookieSessionStore(key, clock=clock, **only_new(now)).load_session(fresh.value).user == "alice"
    if accepts:
        clock.advance(101)
        assert store.load_session(cookie.value) is None and store.load_session(fresh.value) is not None


def test_a_cookies_older_key_reads_its_own_way_only(clock: Clock, exploded: list[str]) -> None:
    accepts = [Accepted(serializer=PickleSerializer()), Accepted(secret_key=OLD)]
    session = DictSession(None)
    session["item"] = Bomb()
    leaked = SignedCookieSessionStore(OLD, serializer=PickleSerializer(), clock=clock)
    leaked.save_session(session)
    exploded.clear()
    store = SignedCookieSessionStore(NEW, accepts=accepts, clock=clock)
    assert store.load_session(session.id or "") is None and exploded == []


@pytest.mark.parametrize("options", [{"secret_key": None}, {"encryption_key": OLD}, {"hash_ids": True}])
def test_what_no_cookie_ever_was_is_refused(options: Any) -> None:
    with pytest.raises(ConfigurationError, match="of a cookie"):
        SignedCookieSessionStore(NEW, accepts=[Accepted(**options)])


def test_djangos_cookie_by_an_older_key_is_sent_anew() -> None:
    class Own(signed_cookies.SessionStore):
        secret_key: Any = OLD

    own = Own()
    own["a"] = 1
    own.save()
    Own.secret_key = [NEW, OLD]
    again = Own(own.session_key)
    assert again["a"] == 1 and again.modified  # as middleware asks, which then saves it
    again.save()
    Own.secret_key = NEW
    fresh = Own(again.session_key)
    assert fresh["a"] == 1 and not fresh.modified
