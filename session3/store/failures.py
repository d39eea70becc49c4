"""One way for all stores to say that what they stand on failed."""

import functools
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

from ..datafaults import from_signal, pass_signals
from ..errors import StoreUnavailable

F = TypeVar("F", bound=Callable[..., Any])

_GENERATOR = 0x20  # inspect.CO_GENERATOR, without the 6 ms that it takes to import inspect


def unavailable_on(*errors: type[BaseException]) -> Callable[[F], F]:
    """Make a store's method raise StoreUnavailable, naming the store and the cause, in place of a driver's errors."""

    def decorate(method: F) -> F:
        if method.__code__.co_flags & _GENERATOR:

            @functools.wraps(method)
            def generate(self: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
                try:
                    yield from method(self, *args, **kwargs)
                except errors as error:
                    _pass_signals(error)
                    raise unavailable(self, error) from error

            return generate  # type: ignore[return-value]

        @functools.wraps(method)
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return method(self, *args, **kwargs)
            except errors as error:
                _pass_signals(error)
                raise unavailable(self, error) from error
            except BaseException as error:
                _let_go(error)
                raise

        return call  # type: ignore[return-value]

    return decorate


def _pass_signals(error: BaseException) -> None:
    """Raise a signal's exception: a request's time limit may be a TimeoutError, and that is an OSError."""
    if from_signal(error) is not None:
        _let_go(error)
        pass_signals(error)


def _let_go(error: BaseException) -> None:
    """Empty the frames that a signal's exception came through: a file that is locked there would be waited for."""
    trace = error.__traceback__ and error.__traceback__.tb_next
    while trace is not None:
        with suppress(RuntimeError):  # it still runs
            trace.tb_frame.clear()
        trace = trace.tb_next


def unavailable(store: Any, error: BaseException) -> StoreUnavailable:
    return StoreUnavailable(f"{store!r} can't be used: {words(error)}")


def words(error: BaseException) -> str:
    """Return what an error says, in one line; what it is, where it says nothing.

    The names of files are left out: those of sessions are their ids.

    >>> words(OSError("no\\n  room")), words(TimeoutError())
    ('no room', 'TimeoutError')
    """
    text = str(error)
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        text = f"[Errno {error.errno}] {error.strerror}"
    return " ".join(text.split()) or type(error).__name__
