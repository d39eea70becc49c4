"""What a manager may be told, looked at when it is made.

>>> seconds("idle_timeout", timedelta(minutes=20))
1200.0
>>> seconds("idle_timeout", "1200")
Traceback (most recent call last):
    ...
session3.errors.ConfigurationError: idle_timeout is a number of seconds, a timedelta or None, not a str
"""

import functools
import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from . import sessionclasses
from .cookies import CookieOptions
from .errors import ConfigurationError
from .Session import Session
from .store.AdoptedStore import AdoptedStore, is_store
from .store.SessionStore import SessionStore

#: Of a keyword: the class's attribute counts.
NOT_GIVEN: Any = object()

FOR_EVER = 1e11  # seconds, three thousand years; the calendars of servers end some day

#: Names of settings in seconds, and the least that they may be; None of the first ones switches them off.
TIMEOUTS = ("idle_timeout", "absolute_timeout", "renew_after")
SPANS = ("ACCESS_TIME_RESOLUTION", "CYCLE_GRACE")
FLAGS = ("rotate_on_login", "trust_forwarded_proto")


def seconds(name: str, value: Any) -> float:
    """Return a span of time as seconds. Raises ConfigurationError for what is none."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        kinds = "a number of seconds, a timedelta or None" if name in TIMEOUTS else "a number of seconds or a timedelta"
        raise ConfigurationError(f"{name} is {kinds}, not a {type(value).__name__}")
    return value


def settled(init: Callable[..., None]) -> Callable[..., None]:
    """Return the `__init__` of a manager's class such that it is checked at the end: later each request would fail.

    Not a metaclass, which would keep a site's class from having another one.
    """

    @functools.wraps(init)
    def made(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        if type(self).__init__ is made:  # else the one of the subclass is still at work
            self._check_settings()

    return made


def settle(manager: Any, makes_its_own: bool) -> None:
    """Check the settings of a manager, its own or its class's, and turn each timedelta into seconds.

    `makes_its_own`: its sessions are not made by their class from an id alone.
    """
    if not hasattr(manager, "store"):
        raise ConfigurationError(f"{type(manager).__name__}.__init__ has to call super().__init__(store)")
    store, session_class = find_store(manager.store, manager.session_class), manager.session_class
    if store is not manager.store:
        manager.store = store
    sessionclasses.check(session_class)
    if not makes_its_own:
        sessionclasses.check_constructor(session_class)
    if not store.revives(session_class):
        raise ConfigurationError(
            f"{store!r} would revive its sessions as another class; give it session_class={session_class.__name__}"
        )
    _settle_times(manager)
    _check_others(manager)


def _settle_times(manager: Any) -> None:
    for name in TIMEOUTS:
        given = getattr(manager, name)
        if given is not None:
            _set_span(manager, name, given)
            if not 0 < getattr(manager, name) < FOR_EVER:
                raise ConfigurationError(
                    f"{name} is a number of seconds above 0 and below {FOR_EVER:g}, or None; got {given!r}"
                )
    for name in SPANS:
        given = getattr(manager, name)
        _set_span(manager, name, given)
        is_never = name == "ACCESS_TIME_RESOLUTION" and given == math.inf  # no touch at all
        if not 0 <= getattr(manager, name) < FOR_EVER and not is_never:
            raise ConfigurationError(f"{name} is a number of seconds from 0 to {FOR_EVER:g}; got {given!r}")


def _check_others(manager: Any) -> None:
    for name in FLAGS:
        if not isinstance(getattr(manager, name), (bool, int)):
            raise ConfigurationError(f"{name} is True or False, not {getattr(manager, name)!r}")
    if manager.on_unavailable not in ("raise", "anonymous"):
        raise ConfigurationError(f'on_unavailable is "raise" or "anonymous", not {manager.on_unavailable!r}')
    if not isinstance(manager.cookie, CookieOptions):
        raise ConfigurationError(
            f"cookie is a session3.cookies.CookieOptions(path=..., ...), not a {type(manager.cookie).__name__}"
        )


def _set_span(manager: Any, name: str, given: Any) -> None:
    number = seconds(name, given)
    if number is not given:
        try:
            setattr(manager, name, number)
        except AttributeError:
            raise ConfigurationError(f"{name} is a property of {type(manager).__name__}; let it give seconds") from None


def settle_api(settings: dict[str, Any]) -> None:
    """Check what a class of Django's API is given, and turn a timedelta into seconds."""
    if "cookie_age" in settings:
        settings["cookie_age"] = age = seconds("cookie_age", settings["cookie_age"])
        if not -FOR_EVER < age < FOR_EVER:
            raise ConfigurationError(f"cookie_age is a number of seconds below {FOR_EVER:g}; got {age!r}")
    serializer = settings.get("serializer")
    if serializer is not None and not (hasattr(serializer, "dumps") and hasattr(serializer, "loads")):
        raise ConfigurationError(f"serializer is a class or an object with dumps and loads, not {serializer!r}")
    if not isinstance(settings.get("expire_at_browser_close", False), (bool, int)):
        raise ConfigurationError("expire_at_browser_close is True or False")


def find_store(store: Any, session_class: Any = None) -> SessionStore:
    """Return a store that a manager can use; one that is written to Quixote's contract is adopted."""
    if isinstance(store, SessionStore):
        return store
    if isinstance(store, type):
        is_swapped = issubclass(store, Session) and is_store(session_class)
        advice = "first the store, then the session class" if is_swapped else "give an object of the class"
        raise ConfigurationError(f"the store is the class {store.__name__}: {advice}")
    if isinstance(store, str):  # which is not repeated: it may hold a password
        raise ConfigurationError("the store is a text: SessionManager(session3.open_store(url), ...)")
    if not is_store(store):
        raise ConfigurationError(
            f"a {type(store).__name__} is no store: it has no load_session, save_session and delete_session; "
            'session3.open_store("memory://") keeps sessions in memory'
        )
    return AdoptedStore(store)
