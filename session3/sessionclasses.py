"""What a session class has to be, looked at when a manager is made: later each request would fail, or lose data."""

import inspect
from collections.abc import MutableMapping, MutableSequence, MutableSet
from typing import Any

from .errors import ConfigurationError
from .Session import Session


def check_kind(session_class: Any) -> None:
    """Raise ConfigurationError for what is no session class."""
    if not isinstance(session_class, type):
        raise ConfigurationError(
            f"session_class is a class, as session3.DictSession.DictSession; got a {_name(type(session_class))}"
        )
    if not issubclass(session_class, Session):
        raise ConfigurationError(
            f"{_name(session_class)} is no session class: derive it from session3.Session.Session or "
            "session3.DictSession.DictSession"
        )


def check(session_class: Any) -> None:
    """Raise ConfigurationError for what is no session class, or shares or loses what it seems to keep."""
    check_kind(session_class)
    for cls in session_class.__mro__:
        if not cls.__module__.startswith("session3.") and cls is not object:
            _check_slots(cls)
            _check_shared(cls)


def check_constructor(session_class: type[Session]) -> None:
    """Raise ConfigurationError for one that `new_session` can't make: @dataclass gives it an __init__ without an id."""
    made_by = next(cls for cls in session_class.__mro__ if "__init__" in vars(cls))
    if getattr(vars(made_by).get("__dataclass_params__"), "init", False):
        raise ConfigurationError(
            f"@dataclass gave {_name(made_by)} an __init__ of its fields, and sessions are made with their id: write "
            "@dataclass(init=False) with plain defaults, or set the attributes in an __init__(self, id)"
        )


def _check_slots(cls: type) -> None:
    slots = vars(cls).get("__slots__", ())
    names = [name for name in ([slots] if isinstance(slots, str) else slots) if name not in ("__dict__", "__weakref__")]
    if names:
        raise ConfigurationError(
            f"{_name(cls)} has __slots__ ({', '.join(map(str, names))}), and what is in slots is not kept; remove it"
        )


def _check_shared(cls: type) -> None:
    for name, value in vars(cls).items():
        is_constant = name.isupper() or name.startswith("__") or "ClassVar" in _annotation(cls, name)
        if not is_constant and isinstance(value, (MutableMapping, MutableSequence, MutableSet)):
            raise ConfigurationError(
                f"{_name(cls)}.{name} is a {type(value).__name__} of the class, so that all visitors would share it; "
                f"make it in __init__, and name it in CONTAINERS ({name!r}: {type(value).__name__}) for sessions that "
                "are stored already (a constant is written in capitals, or is a ClassVar)"
            )


def _annotation(cls: type, name: str) -> str:
    try:
        return str(inspect.get_annotations(cls).get(name))
    except Exception:  # Python 3.14 evaluates them at this moment
        return ""


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
