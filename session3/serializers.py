"""From objects to bytes and back.

A serializer has `dumps(object) -> bytes` and `loads(bytes) -> object`.

>>> PickleSerializer().loads(PickleSerializer().dumps({"cart": ["tea"]}))
{'cart': ['tea']}
>>> JSONSerializer().dumps({"cart": ["tea"]})
b'{"cart":["tea"]}'
"""

import json
import pickle
from typing import Any, Protocol


class Serializer(Protocol):
    """What a record store needs of a serializer."""

    #: True where `dumps` keeps an object's class; otherwise a store revives sessions as its own `session_class`.
    keeps_classes: bool

    def dumps(self, value: Any) -> bytes: ...

    def loads(self, data: bytes) -> Any: ...


class PickleSerializer:
    """Python's own pickle: any picklable object. Never load what others could have written, or sign it."""

    keeps_classes = True
    #: What Python 3.8 and later read, so that servers on different Pythons share a store.
    protocol = 5

    def dumps(self, value: Any) -> bytes:
        return pickle.dumps(value, self.protocol)

    def loads(self, data: bytes) -> Any:
        return pickle.loads(data)


class JSONSerializer:
    """Plain JSON."""

    keeps_classes = False

    def dumps(self, value: Any) -> bytes:
        return json.dumps(value, separators=(",", ":")).encode()

    def loads(self, data: bytes) -> Any:
        return json.loads(data)
