"""From a session to the payload of its record and back."""

import re
import warnings
from typing import Any

from .errors import ConfigurationError, DamagedRecord, NotSerializable, SerializationError
from .seals import Seal
from .serializers import SealedSerializer, Serializer
from .Session import Session


class UnknownClass(Exception):
    """A payload names a class that can't be imported here; not damage: another deployment wrote it."""


class SessionCodec:
    """Turns sessions into plain payloads and back, and seals payloads for the store.

    A plain payload is the serialized pair (class, state), or the state alone where the serializer keeps no classes;
    the session is then revived as `session_class`.
    """

    def __init__(self, serializer: Serializer, session_class: type[Session], seal: Seal | None) -> None:
        if isinstance(serializer, SealedSerializer):
            if seal is not None:
                raise ConfigurationError("the serializer seals already: give no secret_key or encryption_key beside it")
            # What is compared is plain, and what is sealed is bound to its record's key.
            seal, serializer = serializer.make_seal(), serializer.inner
        self.serializer = serializer
        self.session_class = session_class
        self._seal = seal
        self._warned: set[type] = set()

    def revives(self, session_class: type[Session]) -> bool:
        """Tell whether a session of this class comes back as one."""
        return self.serializer.keeps_classes or issubclass(self.session_class, session_class)

    # -- plain payloads ----------------------------------------------------------------------------------------------

    def dump(self, session: Session) -> bytes:
        state = self._state_of(session)
        keeps_classes = self.serializer.keeps_classes
        if keeps_classes and type(session).__module__ == "__main__":
            self._warn_of_main(type(session))
        try:
            return self.serializer.dumps((type(session), state) if keeps_classes else state)
        except Exception as error:  # whatever a __reduce__ raises
            raise SerializationError(self._explain(session, state, error)) from error

    def load(self, payload: bytes) -> Session:
        """Revive a session, without what its record knows (id, times). Raises DamagedRecord or UnknownClass."""
        try:
            value = self.serializer.loads(payload)
            # A bare session is what session3 3.4.1 stored.
            return value if isinstance(value, Session) else self._build(value)
        except (ImportError, AttributeError) as error:
            raise UnknownClass(str(error)) from error
        except Exception as error:  # garbage can make a decoder raise anything
            raise DamagedRecord(f"can't be decoded ({type(error).__name__}: {error})") from error

    def is_same(self, payload: bytes, before: bytes) -> bool:
        """Tell whether two payloads hold the same state, though their bytes may differ.

        A pickle of an unpickled object is not always byte-equal (shared strings; sets under another hash seed), so
        where the bytes differ the loaded ones are dumped again. A bare session is in an old format: never the same,
        so that the next save rewrites it.
        """
        if payload == before:
            return True
        if getattr(self.serializer, "is_deterministic", False):
            return False
        value = self.serializer.loads(before)
        return not isinstance(value, Session) and payload == self.dump(self._build(value))

    def _build(self, value: Any) -> Session:
        session_class, state = value if self.serializer.keeps_classes else (self.session_class, value)
        if not (isinstance(session_class, type) and issubclass(session_class, Session)):
            raise TypeError("not a session")
        session = session_class.__new__(session_class)
        session.__setstate__(state)
        return session

    @staticmethod
    def _state_of(session: Session) -> dict[str, Any]:
        state = session.__getstate__()
        if not isinstance(state, dict):
            raise SerializationError(f"{type(session).__name__}.__getstate__ must return a dict of attributes")
        outside = session._not_kept()
        return {name: value for name, value in state.items() if name not in outside}

    def _explain(self, session: Session, state: dict[str, Any], error: Exception) -> str:
        if isinstance(error, NotSerializable):
            # An item is known by its own name; that a session keeps its items in `data` is our affair.
            path = re.sub(r"^data(?=\[)|^data\.", "", error.path) if isinstance(state.get("data"), dict) else error.path
            return f"{session!r} can't be saved: {path}: {error.why}"
        for name, value in state.items():
            if not self._can_dump(value):
                items = value if name == "data" and isinstance(value, dict) else {}
                culprit = next((f"item {key!r}" for key, item in items.items() if not self._can_dump(item)), None)
                return f"{session!r} can't be saved: {culprit or f'attribute {name!r}'}: {error}"
        return f"{session!r} can't be saved: {error}"

    def _can_dump(self, value: Any) -> bool:
        try:
            self.serializer.dumps(value)
        except Exception:  # whatever a __reduce__ raises
            return False
        return True

    def _warn_of_main(self, session_class: type) -> None:
        if session_class not in self._warned:
            self._warned.add(session_class)
            warnings.warn(
                f"{session_class.__name__} is defined in __main__: its sessions load only where the same script runs "
                "as the main program. Define it in a module that every process can import.",
                stacklevel=5,
            )

    # -- sealed payloads ---------------------------------------------------------------------------------------------

    def seal(self, key: str, payload: bytes) -> bytes:
        return payload if self._seal is None else self._seal.seal(key, payload)

    def open(self, key: str, sealed: bytes) -> bytes:
        return sealed if self._seal is None else self._seal.open(key, sealed)

    @property
    def is_sealed(self) -> bool:
        return self._seal is not None
