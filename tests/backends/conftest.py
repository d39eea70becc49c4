"""Runs the behaviours of the conformance suite, which are coroutines; see Driver."""

import inspect
import time
from typing import Any

import pytest

pytest.register_assert_rewrite("tests.backends.conformance", "tests.backends.stored", "tests.backends.own")

from ..sessions import Clock  # noqa: E402 - the suite may be imported only now
from .driven import Driver  # noqa: E402


@pytest.fixture
def clock() -> Clock:
    """A clock at a whole second: a datetime holds that as exactly as a float, whichever way it is rounded."""
    return Clock(int(time.time()))


@pytest.fixture(params=["sync", "async"])
def at(request: pytest.FixtureRequest, backend: Any) -> Driver:
    """The back end under test, driven by its methods or by their async twins."""
    return Driver(backend, is_async=request.param == "async")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    driver: Any = pyfuncitem.funcargs["at"]
    driver.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}))
    return True
