"""Fixtures of all tests."""

import time
from collections import Counter
from typing import Any

import pytest

from .sessions import Clock

VERBS = ("read", "insert", "replace", "remove", "touch", "scan", "sweep", "clear")


@pytest.fixture
def clock() -> Clock:
    # Starts at the real time, so that what a file system stamps is in step with it.
    return Clock(time.time())


@pytest.fixture
def count_verbs(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that counts, from its call on, which verbs a record store is asked for."""

    def start(store: Any) -> Counter[str]:
        counts: Counter[str] = Counter()

        def counting(name: str, verb: Any) -> Any:
            def call(*args: Any, **kwargs: Any) -> Any:
                counts[name] += 1
                return verb(*args, **kwargs)

            return call

        for name in VERBS:
            monkeypatch.setattr(store, name, counting(name, getattr(store, name)))
        return counts

    return start
