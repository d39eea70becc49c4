"""From objects to bytes and back.

A serializer has `dumps(object) -> bytes` and `loads(bytes) -> object`.

>>> PickleSerializer().loads(PickleSerializer().dumps({"cart": ["tea"]}))
{'cart': ['tea']}
>>> JSONSerializer().dumps({"cart": ["tea"]})
b'{"cart":["tea"]}'
"""

import copyreg
import pickle
import re
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from .datafaults import raises_again
from .errors import ConfigurationError, DamagedRecord
from .seals import EncryptionSeal, Seal, SignatureSeal
from .secretkeys import Secret
from .tokens import TokenSigner

#: What a decoder may raise though the bytes are as they were written: the machine or the program is short of memory,
#: stack or time.
MACHINE_ERRORS = (MemoryError, RecursionError, TimeoutError, InterruptedError)


_EXTENSIONS: Any = copyreg._extension_registry  # type: ignore[attr-defined]
_NAMES_CLASS = b"\x93\x94"  # how every class is named in a pickle of protocol 4 or 5, and hardly anything else
_MAY_NAME_CLASS = _NAMES_CLASS[:1]
#: How those of Python's own are named that load whatever is in them; a text that was there before is a number.
_OWN_CLASSES = re.compile(
    rb"(?:\x8c.(?:_pydatetime|builtins|collections|datetime|decimal|uuid)\x94|h.)"
    rb"(?:\x8c.(?:complex|bytearray|date|datetime|deque|Decimal|frozenset|OrderedDict|range|SafeUUID|set|time|timedelta"
    rb"|timezone|UUID)\x94|(?<=datetime\x94)h.)\x93\x94",
    re.DOTALL,
)
_PICKLES = frozenset(b"\x80" + bytes([protocol]) for protocol in range(2, 6))


class Serializer(Protocol):
    """What a record store needs of a serializer."""

    #: True where `dumps` keeps an object's class; otherwise a store revives sessions as its own `session_class`.
    keeps_classes: bool

    def dumps(self, value: Any) -> bytes: ...

    def loads(self, data: bytes) -> Any: ...


def is_serializer(found: Any) -> bool:
    """Tell whether this is an object with what a record store needs; a class is none."""
    is_class = isinstance(found, type)
    return not is_class and all(hasattr(found, name) for name in ("dumps", "loads", "keeps_classes"))


class PickleSerializer:
    """Python's own pickle: any picklable object. Never load what others could have written, or sign it."""

    keeps_classes = True
    #: What Python 3.8 and later read, so that servers on different Pythons share a store.
    protocol = 5

    def dumps(self, value: Any) -> bytes:
        return pickle.dumps(value, self.protocol)

    loads = staticmethod(pickle.loads)

    def is_sure(self, data: bytes, start: int = 0) -> bool:
        """Tell whether what `dumps` wrote, from `start` on, is sure to load: no class in it could refuse to.

        An optional method: without it, what is to be saved is loaded once, to see. It may say False too often.
        """
        if self.protocol < 4 or _EXTENSIONS:
            return False  # a class may be named in another way
        # A byte alone is found in a tenth of the time of two.
        if data.find(_MAY_NAME_CLASS, start) < 0 or data.find(_NAMES_CLASS, start) < 0:
            return True
        return data.count(_NAMES_CLASS, start) == len(_OWN_CLASSES.findall(data, start))

    @staticmethod
    def recognizes(data: bytes) -> bool:
        """Tell whether bytes look like a pickle. An optional method: a store asks it where it accepts older ways."""
        return data[:2] in _PICKLES and data.endswith(b".")


class JSONSerializer:
    """JSON that also brings back dates, Decimal, UUID, bytes, sets, tuples and keys that are no strings.

    Safe to load whoever wrote it: it makes no object of a class that the data names. Anything else that it is given,
    subclasses too, is NotSerializable, with the path.

    >>> JSONSerializer().dumps({"cart": [1, {"price": 1j}]})
    Traceback (most recent call last):
        ...
    session3.errors.NotSerializable: cart[1].price: a complex is nothing that this JSON can hold
    """

    keeps_classes = False
    #: What is equal is written in the same bytes, so that other bytes are a change, without a second look.
    is_deterministic = True

    def __init__(self) -> None:
        from . import richjson  # json, decimal, uuid and zoneinfo take a while to import

        self._richjson = richjson

    def dumps(self, value: Any) -> bytes:
        return self._richjson.dumps(value)

    def loads(self, data: bytes) -> Any:
        return self._richjson.loads(data)

    @staticmethod
    def is_sure(data: bytes, start: int = 0) -> bool:
        return True

    @staticmethod
    def recognizes(data: bytes) -> bool:
        return data.startswith(b"{")  # a state is a dict


def means(serializer: Any, name: str, *about: str) -> bool:
    """Tell whether an optional attribute is meant for the methods that it is about, `dumps` unless others are named.

    It is not if a subclass overrides one of these, and not the attribute.
    """
    for cls in type(serializer).__mro__:
        if name in vars(cls) or not vars(cls).keys().isdisjoint(about or ("dumps",)):
            return name in vars(cls)
    return False


def sure(serializer: Any) -> Callable[..., bool] | None:
    """Return what tells at a glance that bytes load again, if the serializer has that."""
    found: Callable[..., bool] | None = getattr(serializer, "is_sure", None)
    return found if means(serializer, "is_sure", "dumps", "loads") else None


def is_deterministic(serializer: Any) -> bool:
    """Tell whether a serializer says that it writes what is equal in the same bytes."""
    return means(serializer, "is_deterministic") and bool(serializer.is_deterministic)


def loads_again(serializer: Any, dumped: Any) -> bool:
    """Tell whether what a serializer wrote can be loaded."""
    is_sure = sure(serializer)
    if is_sure is not None and is_sure(dumped):
        return True
    try:
        serializer.loads(dumped)
    except Exception as error:  # whatever a class raises
        if not raises_again(error, serializer.loads, dumped):
            raise
        return False
    return True


class SealedSerializer:
    """Base of those that wrap another. A store takes them apart: it seals with `make_seal`, each record for itself.

    Sealed bytes differ at each dump, so a store has to compare what is inside.
    """

    def __init__(self, inner: Serializer) -> None:
        if isinstance(inner, SealedSerializer):
            raise ConfigurationError("one seal is enough: encryption authenticates, too")
        self.inner = inner
        self.keeps_classes = inner.keeps_classes

    def make_seal(self) -> Seal:
        raise NotImplementedError


class SignedSerializer(SealedSerializer):
    """Signs what `inner` makes: HMAC-SHA256 by itsdangerous, with the time. One key, or a list with the newest first.

    `loads` raises DamagedRecord, before anything is decoded, for what was not signed with one of the keys and the same
    `salt`, or more than 60 seconds in the future.
    """

    def __init__(
        self,
        inner: Serializer,
        secret_key: Secret | Sequence[Secret],
        *,
        salt: str = "session3.serializer",
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(inner)
        self._signer = TokenSigner(secret_key, salt=salt, clock=clock)
        self._seal = SignatureSeal(secret_key, salt)

    def dumps(self, value: Any) -> bytes:
        return self._signer.sign(self.inner.dumps(value)).encode("ascii")

    def loads(self, data: bytes) -> Any:
        return self.inner.loads(self._signer.open(_as_bytes(data).decode("latin-1"))[0])

    def make_seal(self) -> Seal:
        return self._seal


class EncryptedSerializer(SealedSerializer):
    """Encrypts what `inner` makes: AES-256-GCM by cryptography. One key, or a list with the newest first.

    `loads` raises DamagedRecord, before anything is decoded, for what no key decrypts. Extra: crypto.
    """

    _KEY = "serializer"  # in place of a record's key

    def __init__(self, inner: Serializer, key: Secret | Sequence[Secret]) -> None:
        super().__init__(inner)
        self._seal = EncryptionSeal(key)

    def dumps(self, value: Any) -> bytes:
        return self._seal.seal(self._KEY, self.inner.dumps(value))

    def loads(self, data: bytes) -> Any:
        return self.inner.loads(self._seal.open(self._KEY, _as_bytes(data)))

    def make_seal(self) -> Seal:
        return self._seal


def _as_bytes(data: object) -> bytes:
    if isinstance(data, bytes):
        return data
    if isinstance(data, (bytearray, memoryview)):  # as some drivers give it
        return bytes(data)
    raise DamagedRecord("it is no bytes")
