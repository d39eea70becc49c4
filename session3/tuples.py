"""Named tuples, made in C."""

import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

T = TypeVar("T", bound=tuple[Any, ...])


def maker(named_tuple: type[T]) -> Callable[[Iterable[Any]], T]:
    """Return a function that makes a named tuple of all of its fields, in order.

    Their own constructors are functions of Python's. For what each load makes, this one takes half of their time.

    >>> from typing import NamedTuple
    >>> class Point(NamedTuple):
    ...     x: int
    ...     y: int
    >>> maker(Point)((1, 2))
    Point(x=1, y=2)
    """
    return functools.partial(tuple.__new__, named_tuple)
