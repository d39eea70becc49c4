"""What can be pickled, but not be unpickled, is refused as it is saved, by the name of the item."""

import json
from collections import OrderedDict, deque
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import session3
from session3 import ids
from session3.backends import for_store, signed_cookies
from session3.DictSession import DictSession
from session3.errors import SerializationError
from session3.serializers import EncryptedSerializer, PickleSerializer, SignedSerializer
from session3.SessionManager import SessionManager
from session3.store.SignedCookieSessionStore import SignedCookieSessionStore

from .sessions import Address

SECRET = "a key of this test, long enough"


class PaymentFailed(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")


class Lazy:
    """An object that asks another server as it is unpickled."""

    error: Exception | None = ConnectionError("the other server is away")
    id = 7

    def __init__(self, error: Exception | None = None) -> None:
        self.number = 1

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state)
        if Lazy.error is not None:
            raise Lazy.error


class Choosy:
    """Refuses what one of it holds, and not what another does."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __setstate__(self, state: Any) -> None:
        if state["number"] > 1:
            raise ValueError("too many")
        self.__dict__.update(state)


class Refusing(DictSession):
    def __setstate__(self, state: dict[str, Any]) -> None:
        if state.get("data", {}).get("n"):
            raise KeyError("n")
        super().__setstate__(state)


class OneWay:
    """A serializer of an application's own that writes what it can't read."""

    keeps_classes = False

    def dumps(self, value: Any) -> bytes:
        return json.dumps(value, default=repr).encode()

    def loads(self, data: bytes) -> Any:
        if b"Address" in data:
            raise ValueError("no such kind")
        return json.loads(data)


class OldPickle(PickleSerializer):
    protocol = 2


SERIALIZERS = {
    "pickle": {},
    "signed": {"secret_key": SECRET},
    "encrypted": {"encryption_key": SECRET},
    "SignedSerializer": {"serializer": SignedSerializer(PickleSerializer(), SECRET)},
    "protocol 2": {"serializer": OldPickle()},
}
ERRORS = [ConnectionError("away"), TimeoutError("away"), AttributeError("away"), ImportError("away"), KeyError("away")]


@pytest.fixture(params=SERIALIZERS)
def options(request: Any) -> dict[str, Any]:
    found: Any = SERIALIZERS[request.param]
    return dict(found)


@pytest.fixture
def store(options: dict[str, Any]) -> Any:
    return session3.open_store("memory://", **options)


def loaded(store: Any, **items: Any) -> Any:
    session = DictSession(ids.make_id())
    session.user = "alice"
    session.data.update(items)
    store.save_session(session)
    return store.load_session(session.id)


def test_the_usual_case_is_refused_by_name_and_the_stored_session_stays(store: Any) -> None:
    session = loaded(store, cart=["tea"])
    session["error"] = PaymentFailed(7, "no")
    with pytest.raises(SerializationError, match=r"item 'error': .*class tests\.test_unloadable\.PaymentFailed"):
        store.save_session(session)
    again = store.load_session(session.id)
    assert again.user == "alice" and again.data == {"cart": ["tea"]}
    with pytest.raises(SerializationError):
        loaded(store, deep=[{"in": (PaymentFailed(7, "no"),)}])


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_whatever_its_class_raises(store: Any, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lazy, "error", error)
    session = loaded(store)
    session["lazy"] = Lazy()
    with pytest.raises(SerializationError, match="item 'lazy'"):
        store.save_session(session)


def test_each_one_is_tried_not_each_class(store: Any) -> None:
    session = loaded(store, first=Choosy(1))
    assert store.load_session(session.id)["first"].number == 1
    session["second"] = Choosy(2)
    with pytest.raises(SerializationError, match="item 'second'"):
        store.save_session(session)


def test_a_user_that_can_not_be_unpickled_is_refused_at_login(store: Any) -> None:
    manager = SessionManager(store, DictSession)
    visit: Any = manager.begin(None)
    visit.session.set_user(PaymentFailed(7, "no"))
    with pytest.raises(SerializationError, match="attribute 'user'"):
        manager.finish(visit)


def test_a_session_class_that_refuses_its_own_state_is_refused(store: Any) -> None:
    session = Refusing(ids.make_id())
    session["n"] = 1
    with pytest.raises(SerializationError, match="KeyError"):
        store.save_session(session)


def test_a_moved_session_is_tried_too(store: Any) -> None:
    session = loaded(store)
    session["error"] = PaymentFailed(7, "no")
    with pytest.raises(SerializationError):
        store.move_session(session, ids.make_id())
    assert store.load_session(session.id) is not None


def test_a_serializer_of_ones_own_is_tried() -> None:
    store: Any = session3.open_store("memory://", serializer=OneWay())
    session = loaded(store, ok=1)
    session["bad"] = Address("Oslo")
    with pytest.raises(SerializationError, match="item 'bad'"):
        store.save_session(session)


def test_cookies_are_tried() -> None:
    for serializer in (PickleSerializer(), EncryptedSerializer(PickleSerializer(), SECRET)):
        store = SignedCookieSessionStore(SECRET, serializer=serializer)
        session = DictSession(None)
        session["error"] = PaymentFailed(7, "no")
        with pytest.raises(SerializationError, match="item 'error'"):
            store.save_session(session)


def test_djangos_api_is_tried(store: Any) -> None:
    own = for_store(store)()
    own["error"] = PaymentFailed(7, "no")
    with pytest.raises(SerializationError, match="item 'error'"):
        own.save()


@pytest.mark.parametrize("serializer", [PickleSerializer, PickleSerializer(), OneWay])
def test_djangos_cookies_and_texts_are_tried(serializer: Any) -> None:
    class Own(signed_cookies.SessionStore):
        secret_key = SECRET

    Own.serializer = serializer
    own = Own()
    own["ok"] = 1
    own.save()
    own["error"] = PaymentFailed(7, "Address")
    with pytest.raises(SerializationError, match="item 'error'"):
        own.save()
    with pytest.raises(SerializationError, match="item 'error'"):
        own.encode({"error": PaymentFailed(7, "Address")})


def test_what_other_code_refuses_at_load_is_not_called_damage(
    store: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Lazy, "error", None)
    session = loaded(store, lazy=Lazy())
    monkeypatch.undo()
    assert store.load_session(session.id) is None
    assert "can't be unpickled: class tests.test_unloadable.Lazy (ConnectionError" in caplog.text
    assert "damage" not in caplog.text
    monkeypatch.setattr(Lazy, "error", None)
    assert store.load_session(session.id) is not None


# -- what it costs -------------------------------------------------------------------------------------------------


def own_values() -> dict[str, Any]:
    moment = datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=1)))
    return {
        "a": moment, "b": [date(2026, 1, 2), time(1, 2), timedelta(1), moment, datetime(2026, 3, 4)],
        "c": Decimal("1.5"),
        "d": {1, 2}, "e": frozenset("ab"), "f": 1j, "g": bytearray(b"x"), "h": OrderedDict(a=1), "i": deque([1]),
        "j": range(3), "k": "text \u2013 text", "l": b"\x93\x94", "m": 2**100, "n": uuid4(), "p": timezone.utc,
    }  # fmt: skip


def test_pythons_own_classes_are_known_and_not_tried() -> None:
    serializer = PickleSerializer()
    for name, value in own_values().items():
        if name != "l":
            assert serializer.is_sure(serializer.dumps({name: value})), name
    values = own_values()
    del values["l"]
    assert serializer.is_sure(serializer.dumps(values))


@pytest.mark.parametrize(
    "value", [Address("Oslo"), PaymentFailed(7, "no"), Path("a"), ValueError("a"), Address, {"date": Address("a")}]
)
def test_other_classes_are_tried(value: Any) -> None:
    serializer = PickleSerializer()
    for values in (value, [datetime.now(), value], {"tests.sessions": value}, ["tests.sessions", "date", value]):
        assert not serializer.is_sure(serializer.dumps(values))


def test_what_only_reads_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    store: Any = session3.open_store("memory://")
    session = loaded(store, town=Address("Oslo"))
    calls: list[bytes] = []
    check = store.codec.check

    def counted(session: Any, payload: bytes) -> None:
        calls.append(payload)
        check(session, payload)

    monkeypatch.setattr(store.codec, "check", counted)
    session = store.load_session(session.id)
    store.save_session(session)
    assert calls == []
    session["n"] = 1
    store.save_session(session)
    assert len(calls) == 1
