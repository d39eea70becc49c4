"""The class of a session, as the head of its payload.

Pickle imports the module of a class and looks for the class in it each time that it meets one, which is a quarter of
what a small session costs. So the class stands before the state, by itself, and is looked up once.

>>> from .serializers import PickleSerializer
>>> from .Session import Session
>>> references = ClassReferences(PickleSerializer())
>>> references.split(references.head(Session) + b"state")
(<class 'session3.Session.Session'>, b'state')
"""

import sys

from .serializers import Serializer
from .Session import Session

#: How a payload with such a head starts: no pickle does, nor the payloads of earlier versions.
MARK = b"\x01"
START = len(MARK) + 2  # of the reference; before it are two bytes with its length


class ClassReferences:
    """Heads and classes, remembered as long as the class is what its module has under its name."""

    def __init__(self, serializer: Serializer) -> None:
        self._serializer = serializer
        self._heads: dict[type[Session], bytes] = {}
        self._classes: dict[bytes, type[Session]] = {}

    def head(self, session_class: type[Session]) -> bytes:
        """Return what a payload starts with. Raises what the serializer raises for a class that can't be imported."""
        head = self._heads.get(session_class)
        if head is None or not _is_current(session_class):
            reference = self._serializer.dumps(session_class)
            head = self._heads[session_class] = MARK + len(reference).to_bytes(2, "big") + reference
        return head

    def split(self, payload: bytes) -> tuple[type[Session], bytes]:
        """Return the class and the state of a payload that starts with a head."""
        end = START + int.from_bytes(payload[len(MARK) : START], "big")
        head = payload[:end]
        session_class = self._classes.get(head)
        if session_class is None or not _is_current(session_class):
            session_class = self._classes[head] = _checked(self._serializer.loads(head[START:]))
        return session_class, payload[end:]


def state_at(payload: bytes) -> int:
    """Return where the state starts in a payload that starts with a head."""
    return START + int.from_bytes(payload[len(MARK) : START], "big")


def reference(payload: bytes) -> bytes:
    """Return the reference to the class, as the serializer wrote it, of a payload that starts with a head."""
    return payload[START : state_at(payload)]


def _checked(found: object) -> type[Session]:
    if not (isinstance(found, type) and issubclass(found, Session)):
        raise TypeError("not a session")
    return found


def _is_current(session_class: type[Session]) -> bool:
    # After a reload the name stands for another class, and where it was removed for none.
    return getattr(sys.modules.get(session_class.__module__), session_class.__qualname__, None) is session_class
