"""A session with items does what a dict does: any calls, in any order, on both."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session3.backends import for_store
from session3.DictSession import DictSession
from session3.store.VolatileSessionStore import VolatileSessionStore

KEYS = st.sampled_from(["a", "b", "c", 1, None, (1, 2)])
VALUES = st.integers(0, 4)
DICTS = st.dictionaries(KEYS, VALUES, max_size=2)
PAIRS = st.lists(st.tuples(KEYS, VALUES), max_size=2)


def as_dict(result: Any) -> Any:
    return type(result).__name__, list(result.items())


def with_itself(items: Any) -> Any:
    items |= items
    items.update(items)
    return dict(items | items)


def in_place(items: Any, other: Any) -> None:
    items |= other


def matched(items: Any) -> Any:
    match items:
        case {"a": found}:
            return found
    return None


#: What is done, and what is handed to it.
CALLS: list[tuple[Callable[..., Any], tuple[st.SearchStrategy[Any], ...]]] = [
    (lambda items, key, value: items.__setitem__(key, value), (KEYS, VALUES)),
    (lambda items, key: items.__delitem__(key), (KEYS,)),
    (lambda items, key: (items.get(key), items.get(key, 5), key in items, items[key]), (KEYS,)),
    (lambda items, key: items.pop(key), (KEYS,)),
    (lambda items, key, value: items.pop(key, value), (KEYS, VALUES)),
    (lambda items: items.popitem(), ()),
    (lambda items, key, value: items.setdefault(key, value), (KEYS, VALUES)),
    (lambda items, key: items.setdefault(key), (KEYS,)),
    (lambda items, other: items.update(other), (DICTS,)),
    (lambda items, pairs: items.update(pairs), (PAIRS,)),
    (lambda items, value: items.update(x=value, y=1), (VALUES,)),
    (in_place, (DICTS,)),
    (in_place, (PAIRS,)),
    (in_place, (VALUES,)),
    (lambda items, other: (as_dict(items | other), as_dict(other | items)), (DICTS,)),
    (lambda items, pairs: items | pairs, (PAIRS,)),
    (with_itself, ()),
    (lambda items, other: (items == other, other != items, items == 5, items != None), (DICTS,)),  # noqa: E711
    (lambda items: items.clear(), ()),
    (lambda items: (len(items), bool(items), list(items), list(reversed(items)), dict(items)), ()),
    (lambda items: (list(items.keys()), list(items.values()), list(items.items())), ()),
    (lambda items: (items.keys() & {"a"}, items.items() - {("a", 1)}, {**items}), ()),
    (lambda items: as_dict(items.copy()), ()),
    (lambda items: items.copy().update(z=1), ()),
    (lambda items: items.__setitem__([], 1), ()),
    (lambda items: [items.__setitem__(str(len(items)), 1) for _ in items], ()),
    (matched, ()),
]
STEPS = st.lists(st.one_of([st.tuples(st.just(call), st.tuples(*arguments)) for call, arguments in CALLS]), max_size=10)


def outcome(call: Callable[..., Any], items: Any, arguments: Any) -> Any:
    try:
        return call(items, *copy.deepcopy(arguments))
    except Exception as error:
        return type(error)


@pytest.mark.parametrize("make", [lambda: DictSession(None), lambda: for_store(VolatileSessionStore())()])
@settings(max_examples=300, deadline=None)
@given(steps=STEPS)
def test_a_session_is_what_a_dict_is(make: Callable[[], Any], steps: Any) -> None:
    session, items = make(), dict[Any, Any]()
    for call, arguments in steps:
        assert outcome(call, session, arguments) == outcome(call, items, arguments)
        assert list(session.items()) == list(items.items())
    if session:
        session.modified = False
        session.popitem()
        assert session.modified
