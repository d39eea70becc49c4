"""One way for all stores to say that what they stand on failed."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from ..datafaults import is_of_signal
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
                    if is_of_signal(error):
                        raise
                    raise unavailable(self, error) from error

            return generate  # type: ignore[return-value]

        @functools.wraps(method)
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return method(self, *args, **kwargs)
            except errors as error:
                if is_of_signal(error):  # a request's time limit, which may be a TimeoutError, and that an OSError
                    raise
                raise unavailable(self, error) from error

        return call  # type: ignore[return-value]

    return decorate


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
