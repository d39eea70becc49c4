"""What data raises, told from what else was raised meanwhile.

A decoder may raise anything for bytes that are not what they should be, and so may the code of a class that it calls.
In the middle of that, a signal's handler may raise, as a request's time limit does: this is none of the data's doing,
and must reach the caller as it is. Data does the same each time; so a call that failed is made once more.

>>> try:
...     int("x")
... except ValueError as error:
...     raises_again(error, int, "x"), raises_again(error, int, "1")
(True, False)
"""

import contextlib
from collections.abc import Callable, Iterator
from types import CodeType, FrameType, TracebackType
from typing import Any

#: What is raised at another place each time, with the depth of the program or what memory is left.
_PLACELESS = (MemoryError, RecursionError)


def raises_again(error: Exception, call: Callable[..., object], *args: Any) -> bool:
    """Tell whether a call that raised `error` does so because of what it was given.

    False: something else raised it, and the caller has to let it pass. Where something else raises during the second
    call, that passes from here.
    """
    if is_of_signal(error):
        return False
    try:
        call(*args)
    except Exception as second:
        if _is_alike(error, second):
            return True
        if is_of_signal(second):
            raise
        return _decides(error, second, call, args)
    return False


def _decides(error: Exception, second: Exception, call: Callable[..., object], args: tuple[Any, ...]) -> bool:
    # One of them was raised by something else: the third call tells which.
    try:
        call(*args)
    except Exception as third:
        if _is_alike(error, third):
            raise second from None
    return False


def is_of_signal(error: BaseException) -> bool:
    """Tell whether a handler of a signal raised it. Python runs one between any two steps of a program."""
    import signal  # and enum, which takes a while

    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    codes = {code for handler in handlers if callable(handler) for code in _code_of(handler)}
    return any(code in codes for code, _ in _steps(error.__traceback__))


def from_signal(error: BaseException) -> BaseException | None:
    """Return what a signal's handler raised, where a driver made `error` of it, as of any TimeoutError; else None.

    What was being handled long before, by who called, is none of it.
    """
    found: BaseException | None = error
    while found is not None and not is_of_signal(found):
        frames, found = _frames(found), found.__context__
        if found is not None and not any(frame in frames for frame in _frames(found)[:1]):
            return None
    return found


def pass_signals(error: BaseException) -> None:
    """Raise what a signal's handler raised, if `error` is that, or was made of it."""
    cause = from_signal(error)
    if cause is not None:
        try:
            raise cause
        finally:
            del cause  # or it and its traceback would keep each other, and all that is in the frames


def _frames(error: BaseException) -> list[FrameType]:
    frames, traceback = [], error.__traceback__
    while traceback is not None:
        frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    return frames


class suppress(contextlib.suppress):
    """As contextlib's, but for what a signal's handler raised."""

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> bool:
        return bool(super().__exit__(kind, error, traceback)) and (error is None or from_signal(error) is None)


def _is_alike(one: Exception, other: Exception) -> bool:
    if type(one) is not type(other) or isinstance(one, _PLACELESS):
        return type(one) is type(other)
    # The first step is ours: the one that caught it, or the one above.
    return [*_steps(one.__traceback__)][1:] == [*_steps(other.__traceback__)][1:]


def _steps(traceback: TracebackType | None) -> Iterator[tuple[CodeType, int]]:
    while traceback is not None:
        yield traceback.tb_frame.f_code, traceback.tb_lineno
        traceback = traceback.tb_next


def _code_of(handler: Any) -> Iterator[CodeType]:
    handler = getattr(handler, "func", handler)  # of a partial
    for function in (handler, handler.__call__):  # a function, or a method; or an object that is called
        code = getattr(function, "__code__", None)
        if code is not None:
            yield code
