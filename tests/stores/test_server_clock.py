"""When a store asks its server for the time again."""

import time

import pytest

from session3.store.ServerClock import ServerClock

from ..sessions import Clock


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that nobody sets."""
    clock = Clock(50.0)
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


@pytest.fixture
def systems(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(1_000_000.0)
    monkeypatch.setattr(time, "time", clock)
    return clock


def test_the_systems_clock_is_compared_once_a_second(steady: Clock, systems: Clock) -> None:
    clock = ServerClock(time.time)
    assert clock.learn(clock.guess(), shift=-7.0) == 7.0
    asked = []
    for _ in range(40):
        for one in (steady, systems):
            one.advance(0.25)
        guess = clock.guess()
        asked.append(guess.server_now is not None)
        assert clock.learn(guess, shift=0.0) == 7.0
    assert sum(asked) == 10


def test_where_there_are_several_clocks_each_call_compares(steady: Clock, systems: Clock) -> None:
    clock = ServerClock(time.time, every=0)
    for lead in (1.0, 2.0):
        guess = clock.guess()
        assert guess.server_now is not None
        assert clock.learn(guess, shift=-1.0) == lead


@pytest.mark.parametrize("step", [3600, -3600])
def test_a_clock_that_was_set_is_compared_at_once(steady: Clock, systems: Clock, step: float) -> None:
    clock = ServerClock(time.time)
    clock.learn(clock.guess(), shift=0.0)
    systems.advance(step)
    guess = clock.guess()
    assert guess.server_now == systems()
    assert clock.learn(guess, shift=-step) == step
    assert clock.guess() == (step, None)


def test_another_clock_is_compared_once_and_leads(steady: Clock) -> None:
    own = Clock(5.0)
    clock = ServerClock(own)
    clock.learn(clock.guess(), shift=100.0)
    for one in (steady, own):
        one.advance(1000)
    assert clock.guess() == (-100.0, None)
