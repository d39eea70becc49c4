"""From a session to the payload of its record and back."""

import re
import sys
import warnings
from collections.abc import Callable
from typing import Any

from .ClassReferences import MARK, START, ClassReferences, reference, state_at
from .datafaults import raises_again
from .errors import ConfigurationError, DamagedRecord, NotSerializable, SerializationError
from .merge import Sameness
from .pickles import refusing_class
from .seals import Seal
from .serializers import MACHINE_ERRORS, SealedSerializer, Serializer, is_deterministic, loads_again, means, sure
from .Session import Session
from .storesettings import check_codec

_GETSTATE, _SETSTATE = Session.__getstate__, Session.__setstate__
_ROOM = 100  # bytes of memory that loading takes for a byte of payload, if most of them make an empty container


class UnknownClass(Exception):
    """A payload names a class that can't be imported here; not damage: another deployment wrote it."""


class Unfit(DamagedRecord):
    """A payload is as it was written, but no session can be made of it; the message says why."""


class SessionCodec:
    """Turns sessions into plain payloads and back, and seals payloads for the store.

    A plain payload is the serialized state, behind a reference to the class. Where the serializer keeps no classes it
    is the state alone, and the session is revived as `session_class`.

    `is_authentic`: whatever it is given to load was written by one like it, without a seal of its own.
    """

    def __init__(
        self, serializer: Serializer, session_class: type[Session], seal: Seal | None, is_authentic: bool = False
    ) -> None:
        check_codec(serializer, session_class)
        if isinstance(serializer, SealedSerializer):
            if seal is not None:
                raise ConfigurationError("the serializer seals already: give no secret_key or encryption_key beside it")
            # What is compared is plain, and what is sealed is bound to its record's key.
            seal, serializer = serializer.make_seal(), serializer.inner
        self.serializer = serializer
        self.session_class = session_class
        self._classes = ClassReferences(serializer) if serializer.keeps_classes else None
        self._is_deterministic = is_deterministic(serializer)
        #: What a merge takes for the same.
        self.same = Sameness(serializer)
        self.own_seal = self._seal = seal
        self.is_sealed = seal is not None
        self.is_authentic = is_authentic
        self._is_authentic = is_authentic or self.is_sealed
        self._is_sure = sure(serializer)
        #: Whether the serializer tells what it wrote.
        self.can_tell = means(serializer, "recognizes")
        self._warned: set[type] = set()

    def revives(self, session_class: type[Session]) -> bool:
        """Tell whether a session of this class comes back as one."""
        return self.serializer.keeps_classes or issubclass(self.session_class, session_class)

    # -- plain payloads ----------------------------------------------------------------------------------------------

    def dump(self, session: Session) -> bytes:
        # Asked in each request: without a call more.
        state = session._kept() if type(session).__getstate__ is _GETSTATE else session._state()
        try:
            return self._dumped(session, state)
        except Exception as error:  # whatever a __reduce__ raises
            if not raises_again(error, self._dumped, session, state):
                raise
            raise SerializationError(self._explain(session, state, error)) from error

    def _dumped(self, session: Session, state: dict[str, Any]) -> bytes:
        if self._classes is None:
            return self.serializer.dumps(state)
        if type(session).__module__ == "__main__":
            self._warn_of_main(type(session))
        return self._classes.head(type(session)) + self.serializer.dumps(state)

    def check(self, session: Session, payload: bytes) -> None:
        """Raise SerializationError if what is to be written could not be loaded again."""
        if self._is_sure is not None and type(session).__setstate__ is _SETSTATE:
            # Asked at each save: without a copy of the state, and without a call more.
            start = 0 if self._classes is None else START + (payload[1] << 8 | payload[2])
            if self._is_sure(payload, start):
                return
        try:
            self.load(payload)
        except Exception as error:
            if isinstance(error, (MemoryError, RecursionError)) or not raises_again(error, self.load, payload):
                raise
            state = session._state()
            raise SerializationError(self._explain(session, state, error, self._can_load)) from error

    def load(self, payload: bytes) -> Session:
        """Revive a session, without what its record knows (id, times). Raises DamagedRecord or UnknownClass.

        What a signal's handler raises meanwhile passes as it is. So do those of the MACHINE_ERRORS that are no damage:
        where the program is deep in calls, where there is no memory, and, of sealed payloads, where it takes too long.
        """
        try:
            return self._loaded(payload)
        except Exception as error:  # garbage can make a decoder raise anything
            if not raises_again(error, self._loaded, payload):
                raise
            if isinstance(error, MACHINE_ERRORS) and self._is_machines(error, payload):
                raise
            what = f"({type(error).__name__}: {error})"
            if name := refusing_class(self.serializer, self._state_in(payload)):
                raise Unfit(f"can't be unpickled: class {name} {what}") from error
            if isinstance(error, (ImportError, AttributeError)):
                raise UnknownClass(str(error)) from error
            raise DamagedRecord(f"can't be decoded {what}") from error

    def _state_in(self, payload: Any) -> bytes:
        if not isinstance(payload, bytes):
            return b""  # as some drivers give it, or garbage
        has_head = self._classes is not None and payload[:1] == MARK
        return payload[state_at(payload) :] if has_head else payload

    def _loaded(self, payload: bytes) -> Session:
        if not isinstance(payload, bytes):
            payload = memoryview(payload).tobytes()  # as some drivers give it
        if self._classes is None:
            session_class, state = self.session_class, payload
        elif payload.startswith(MARK):
            session_class, state = self._classes.split(payload)
        else:
            return self._load_old(payload)
        session = session_class.__new__(session_class)
        session.__setstate__(self.serializer.loads(state))
        return session

    def _is_machines(self, error: Exception, payload: bytes) -> bool:
        """Tell whether one of the MACHINE_ERRORS says nothing about a payload. Raises MemoryError for one itself."""
        if isinstance(error, MemoryError) and not self._is_authentic:
            bytearray(_ROOM * len(payload))  # if there is room, it was garbage, which may ask for any length
            return False
        return _is_deep() if isinstance(error, RecursionError) else self._is_authentic

    def is_same(self, payload: bytes, before: bytes) -> bool:
        """Tell whether two payloads hold the same state, though their bytes may differ.

        A pickle of an unpickled object is not always byte-equal (shared strings; sets under another hash seed), so
        where the bytes differ the loaded ones are dumped again. What is in an older format is never the same, so that
        the next save rewrites it.
        """
        if payload == before:
            return True
        if self._is_deterministic or (self._classes is not None and not before.startswith(MARK)):
            return False
        return payload == self.dump(self.load(before))

    def _load_old(self, payload: bytes) -> Session:
        """Revive what session3 3.4.1 stored: a bare session."""
        session = self.serializer.loads(payload)
        if not isinstance(session, Session):
            raise TypeError("not a session")
        return session

    def _explain(
        self, session: Session, state: dict[str, Any], error: Exception, is_fine: Callable[[Any], bool] | None = None
    ) -> str:
        is_fine = is_fine or self._can_dump
        if isinstance(error, NotSerializable):
            # An item is known by its own name; that a session keeps its items in `data` is our affair.
            path = re.sub(r"^data(?=\[)|^data\.", "", error.path) if isinstance(state.get("data"), dict) else error.path
            return f"{session!r} can't be saved: {path}: {error.why}"
        for name, value in state.items():
            if not is_fine({name: value}):
                items = value if name == "data" and isinstance(value, dict) else {}
                culprit = next((f"item {key!r}" for key, item in items.items() if not is_fine({key: item})), None)
                return f"{session!r} can't be saved: {culprit or f'attribute {name!r}'}: {error}"
        return f"{session!r} can't be saved: {error}"

    def _can_dump(self, value: Any) -> bool:
        try:
            self.serializer.dumps(value)
        except Exception as error:  # whatever a __reduce__ raises
            if not raises_again(error, self.serializer.dumps, value):
                raise
            return False
        return True

    def _can_load(self, value: Any) -> bool:
        return loads_again(self.serializer, self.serializer.dumps(value))

    def _warn_of_main(self, session_class: type) -> None:
        if session_class not in self._warned:
            self._warned.add(session_class)
            warnings.warn(
                f"{session_class.__name__} is defined in __main__: its sessions load only where the same script runs "
                "as the main program. Define it in a module that every process can import.",
                stacklevel=6,
            )

    # -- sealed payloads ---------------------------------------------------------------------------------------------

    def seal(self, key: str, payload: bytes) -> bytes:
        return payload if self._seal is None else self._seal.seal(key, payload)

    def open(self, key: str, sealed: bytes) -> bytes:
        return sealed if self._seal is None else self._seal.open(key, sealed)

    def opened(self, key: str, sealed: bytes) -> tuple[bytes, bool]:
        """Return the plain payload, and whether its seal is of the newest key."""
        if self._seal is None:
            return sealed, True
        opened = getattr(self._seal, "opened", None)  # a seal of another's making need not know
        return (self._seal.open(key, sealed), True) if opened is None else opened(key, sealed)

    def claims(self, sealed: bytes) -> bool | None:
        """Tell whether something looks as if it bore this seal; None: seals of this kind have no looks."""
        if self._seal is None:
            return False
        claims = getattr(self._seal, "claims", None)
        return None if claims is None else claims(sealed)

    def recognizes(self, payload: bytes) -> bool | None:
        """Tell by its looks whether a plain payload is the serializer's; None: it can't tell."""
        if not self.can_tell:
            return None
        if self._classes is not None and payload.startswith(MARK):
            payload = reference(payload)
        return bool(self.serializer.recognizes(payload))  # type: ignore[attr-defined]


def _is_deep() -> bool:
    """Tell whether the program has used up half of its stack; else it was the payload, which does so each time."""
    frame, depth = sys._getframe(), 0
    while frame.f_back is not None:
        frame, depth = frame.f_back, depth + 1
    return depth > sys.getrecursionlimit() // 2
