"""One way for all stores to say that what they stand on failed."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

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
                    raise unavailable(self, error) from error

            return generate  # type: ignore[return-value]

        @functools.wraps(method)
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return method(self, *args, **kwargs)
            except errors as error:
                raise unavailable(self, error) from error

        return call  # type: ignore[return-value]

    return decorate


def unavailable(store: Any, error: BaseException) -> StoreUnavailable:
    return StoreUnavailable(f"{store!r} can't be used: {_without_names(error)}")


def _without_names(error: BaseException) -> str:
    """Return what an error says but for the names of files: those of sessions are their ids."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"[Errno {error.errno}] {error.strerror}"
    return str(error)
