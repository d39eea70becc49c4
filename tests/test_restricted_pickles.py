"""A serializer of an application's own may refuse classes: that is not saved then, nor loaded in another way."""

import builtins
import io
import json
import pickle
from decimal import Decimal
from typing import Any

import pytest

import session3
from session3.backends import for_store
from session3.ClassReferences import state_at
from session3.DictSession import DictSession
from session3.errors import SerializationError
from session3.merge import Sameness, three_way
from session3.record import Record
from session3.serializers import JSONSerializer, PickleSerializer
from session3.store.VolatileSessionStore import VolatileSessionStore

ID = "session1"


class _Careful(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) != ("session3.DictSession", "DictSession"):
            raise pickle.UnpicklingError(f"{module}.{name} is forbidden")
        return super().find_class(module, name)


class Careful(PickleSerializer):
    def loads(self, data: bytes) -> Any:  # type: ignore[override]
        return _Careful(io.BytesIO(data)).load()


class PlainJSON(JSONSerializer):
    """Inherits a promise that it does not keep: a key that is no text comes back as one."""

    def dumps(self, value: Any) -> bytes:
        return json.dumps(value).encode()

    def loads(self, data: bytes) -> Any:
        return json.loads(data)


class Planted:
    def __reduce__(self) -> Any:
        return exec, ("import builtins; builtins.session3_was_here = True; raise ValueError",)


def stored(serializer: Any) -> VolatileSessionStore:
    store = session3.open_store("memory://", serializer=serializer)
    assert isinstance(store, VolatileSessionStore)
    session = DictSession(ID)
    session["colour"] = "green"
    store.save_session(session)
    return store


def test_what_a_serializer_refuses_is_not_unpickled_in_another_way() -> None:
    store = stored(Careful())
    record = store.read(ID)
    assert isinstance(record, Record)
    planted = record.payload[: state_at(record.payload)] + pickle.dumps({"data": {"colour": Planted()}}, 5)
    assert store.replace(ID, record._replace(payload=planted), record.revision)
    try:
        assert store.load_session(ID) is None
        assert not hasattr(builtins, "session3_was_here")
    finally:
        vars(builtins).pop("session3_was_here", None)


def test_what_a_serializer_would_not_load_is_not_saved() -> None:
    store = stored(Careful())
    session = store.load_session(ID)
    session["price"] = Decimal("1.50")
    with pytest.raises(SerializationError, match=r"item 'price'.*Decimal is forbidden"):
        store.save_session(session)
    assert store.load_session(ID)["colour"] == "green"


def test_djangos_api_asks_it_too() -> None:
    session = for_store(session3.open_store("memory://"), secret_key="a key of this test, long enough")()
    type(session).serializer = Careful
    with pytest.raises(SerializationError, match="item 'price'"):
        session.encode({"price": Decimal("1.50")})


def test_what_a_subclass_writes_otherwise_is_not_taken_for_what_its_base_promises() -> None:
    merged = three_way({"1": 1}, {1: 1, "mine": 1}, {"1": 2}, Sameness(PlainJSON()))
    assert merged == {1: 2, "mine": 1}
