"""Serializers, and those that seal what another made, alone and in a store."""

import logging
from typing import Any

import pytest

from session3.DictSession import DictSession
from session3.errors import ConfigurationError, DamagedRecord, NotSerializable, SerializationError
from session3.serializers import EncryptedSerializer, JSONSerializer, PickleSerializer, SignedSerializer
from session3.SessionManager import SessionManager
from session3.store.VolatileSessionStore import VolatileSessionStore

from .sessions import Bomb, Clock, Counted, Shop
from .test_seals import OTHER, SECRET, needs_cryptography

SEALED = [pytest.param(SignedSerializer), pytest.param(EncryptedSerializer, marks=needs_cryptography)]


def test_pickle_keeps_classes_and_uses_a_protocol_that_all_our_pythons_read() -> None:
    serializer = PickleSerializer()
    data = serializer.dumps(Shop("example1"))
    assert serializer.keeps_classes and isinstance(serializer.loads(data), Shop)
    assert data[:2] == b"\x80\x05"


def test_pickle_s_protocol_can_be_another_one() -> None:
    class Old(PickleSerializer):
        protocol = 4

    assert Old().dumps({})[:2] == b"\x80\x04"


@pytest.mark.parametrize("make", SEALED)
class TestSealed:
    @pytest.mark.parametrize("inner", [PickleSerializer(), JSONSerializer()])
    def test_what_was_dumped_is_loaded(self, make: Any, inner: Any) -> None:
        serializer = make(inner, SECRET)
        assert serializer.loads(serializer.dumps({"cart": ["tea"]})) == {"cart": ["tea"]}
        assert serializer.keeps_classes == inner.keeps_classes

    def test_what_was_dumped_is_loaded_however_large_it_is(self, make: Any) -> None:
        serializer, numbers = make(JSONSerializer(), SECRET), list(range(100_000))
        assert serializer.loads(serializer.dumps(numbers)) == numbers

    def test_it_may_be_in_any_buffer_and_all_else_is_refused(self, make: Any) -> None:
        serializer = make(JSONSerializer(), SECRET)
        data = serializer.dumps(1)
        assert [serializer.loads(buffer) for buffer in (data, memoryview(data), bytearray(data))] == [1, 1, 1]
        for other in (None, 5, "text", data.decode("latin-1"), [data]):
            with pytest.raises(DamagedRecord):
                serializer.loads(other)

    def test_nothing_is_decoded_that_another_key_sealed(self, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Bomb, "exploded", [])
        bomb = make(PickleSerializer(), OTHER).dumps(Bomb())
        for data in (bomb, PickleSerializer().dumps(Bomb()), b"", b"\xff" * 100):
            with pytest.raises(DamagedRecord):
                make(PickleSerializer(), SECRET).loads(data)
        assert Bomb.exploded == []

    def test_the_first_key_seals_and_all_open(self, make: Any) -> None:
        old, both = make(JSONSerializer(), SECRET), make(JSONSerializer(), [OTHER, SECRET])
        assert both.loads(old.dumps(1)) == 1
        with pytest.raises(DamagedRecord):
            old.loads(both.dumps(1))

    def test_in_a_store_an_unchanged_session_is_seen(self, make: Any, clock: Clock, count_verbs: Any) -> None:
        store = VolatileSessionStore(serializer=make(PickleSerializer(), SECRET), clock=clock)
        stored(store, words={"a", "b", "c"})
        counts = count_verbs(store)
        clock.advance(30)
        store.save_session(store.load_session("session1"))
        assert counts == {"read": 1}

    def test_in_a_store_records_can_not_be_swapped(
        self, make: Any, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        store = VolatileSessionStore(serializer=make(PickleSerializer(), SECRET), clock=clock)
        stored(store, n=1)
        record = store.read("session1")
        assert record is not None
        store.insert("session2", record)
        with caplog.at_level(logging.WARNING):
            assert store.load_session("session2") is None
        assert "damaged" in caplog.text
        assert store.load_session("session1")["n"] == 1

    def test_one_is_enough(self, make: Any) -> None:
        with pytest.raises(ConfigurationError, match="one seal"):
            SignedSerializer(make(JSONSerializer(), SECRET), OTHER)

    def test_in_a_store_no_other_seal_stands_beside_it(self, make: Any) -> None:
        for option in ("secret_key", "encryption_key"):
            with pytest.raises(ConfigurationError, match="already"):
                VolatileSessionStore(serializer=make(PickleSerializer(), SECRET), **{option: OTHER})


def stored(store: VolatileSessionStore, **items: Any) -> None:
    session = DictSession("session1")
    session.update(items)
    store.save_session(session)


class TestSigned:
    def test_another_salt_opens_nothing(self) -> None:
        data = SignedSerializer(JSONSerializer(), SECRET).dumps(1)
        with pytest.raises(DamagedRecord):
            SignedSerializer(JSONSerializer(), SECRET, salt="other").loads(data)

    def test_another_salt_opens_nothing_in_a_store(self, clock: Clock) -> None:
        store = VolatileSessionStore(serializer=SignedSerializer(PickleSerializer(), SECRET), clock=clock)
        stored(store, n=1)
        other = VolatileSessionStore(serializer=SignedSerializer(PickleSerializer(), SECRET, salt="o"), clock=clock)
        other._records = store._records
        assert other.load_session("session1") is None

    def test_a_server_behind_accepts_up_to_a_minute(self, clock: Clock) -> None:
        serializer = SignedSerializer(JSONSerializer(), SECRET, clock=clock)
        data = serializer.dumps(1)
        clock.advance(-60)
        assert serializer.loads(data) == 1
        clock.advance(-2)
        with pytest.raises(DamagedRecord, match="future"):
            serializer.loads(data)


class TestJSONInAStore:
    def test_an_unchanged_session_is_not_written(self, clock: Clock, count_verbs: Any) -> None:
        store = VolatileSessionStore(serializer=JSONSerializer(), clock=clock)
        stored(store, words={"a", "b", "c"}, n=1, nested={1: (2, {3})})
        counts = count_verbs(store)
        session = store.load_session("session1")
        store.save_session(session)
        assert counts == {"read": 1}
        session["nested"][1][1].add(4)
        store.save_session(session)
        assert counts == {"read": 1, "replace": 1}

    def test_a_session_is_revived_as_the_class_of_the_store(self, clock: Clock) -> None:
        store = VolatileSessionStore(serializer=JSONSerializer(), session_class=Counted, clock=clock)
        stored(store, n={1, 2})
        session = store.load_session("session1")
        assert type(session) is Counted and session["n"] == {1, 2}

    def test_a_value_that_it_can_not_hold_is_named_as_the_application_knows_it(self) -> None:
        store = VolatileSessionStore(serializer=JSONSerializer())
        for items, path in (({"cart": [{"price": 1j}]}, "cart[0].price"), ({"odd key": 1j}, "['odd key']")):
            session = DictSession("session1")
            session.update(items)
            with pytest.raises(SerializationError) as caught:
                store.save_session(session)
            assert f"can't be saved: {path}: a complex" in str(caught.value)
            assert isinstance(caught.value.__cause__, NotSerializable)
        session = DictSession("session1")
        session.user = object()
        with pytest.raises(SerializationError, match=r"can't be saved: user: an? object"):
            store.save_session(session)

    def test_a_manager_refuses_a_store_that_would_revive_another_class(self) -> None:
        store = VolatileSessionStore(serializer=JSONSerializer())
        SessionManager(store, DictSession)
        with pytest.raises(ConfigurationError, match=r"session_class=Shop"):
            SessionManager(store, Shop)
