"""Three-way merge: its laws."""

import subprocess
import sys
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from session3.merge import MISSING, differs, merge_tokens, three_way
from session3.serializers import PickleSerializer

from .sessions import Address

VALUES = st.one_of(st.none(), st.booleans(), st.integers(-2, 2), st.text("ab", max_size=2), st.lists(st.integers(0, 1)))
STATES = st.dictionaries(st.sampled_from("abcd"), VALUES)
TOKENS = st.lists(st.sampled_from("pqrstuvw"), unique=True)


def stored(value: Any) -> Any:
    """Return the value as another request finds it."""
    serializer = PickleSerializer()
    return serializer.loads(serializer.dumps(value))


def same(one: dict[Any, Any], other: dict[Any, Any]) -> bool:
    return one.keys() == other.keys() and all(
        type(one[key]) is type(other[key]) and one[key] == other[key] for key in one
    )


# -- differs ---------------------------------------------------------------------------------------------------------


def test_values_are_compared_by_their_bytes_and_not_by_equality() -> None:
    assert differs(1, True) and differs(1, 1.0) and differs(0, False)
    assert not differs(Address("Oslo"), Address("Oslo"))
    assert differs(Address("Oslo"), Address("Rome"))


def test_missing_differs_from_all_but_itself() -> None:
    assert differs(MISSING, None) and differs(None, MISSING) and not differs(MISSING, MISSING)


def test_what_cannot_be_serialized_differs_from_all_but_itself() -> None:
    def function() -> None: ...

    assert not differs(function, function)
    assert differs(function, None) and differs(None, function)


@given(VALUES)
def test_a_value_does_not_differ_from_its_stored_self(value: Any) -> None:
    assert not differs(stored(value), value)


def test_a_set_does_not_differ_from_its_stored_self_whatever_its_history() -> None:
    """The order of a set, and so its bytes, depends on what was in it before."""
    for size in range(1, 200):
        words = {f"word {number}" for number in range(size)}
        for number in range(3, size):
            words.discard(f"word {number}")
        assert not differs(stored({"words": words})["words"], words)


def test_a_nested_object_whose_attribute_is_also_a_value_does_not_differ_from_its_stored_self() -> None:
    address = Address("".join(["to", "wn"]))
    assert not differs(stored({"address": address, "x": "town"})["address"], address)


# -- three_way -------------------------------------------------------------------------------------------------------


@given(base=STATES, mine=STATES)
def test_without_another_change_mine_stands(base: dict[str, Any], mine: dict[str, Any]) -> None:
    assert same(three_way(base, mine, stored(base)), mine)


@given(base=STATES, theirs=STATES)
def test_without_a_change_of_mine_theirs_stands(base: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert same(three_way(base, stored(base), theirs), theirs)


@given(base=STATES, both=STATES)
def test_the_same_change_on_both_sides_is_that_change(base: dict[str, Any], both: dict[str, Any]) -> None:
    assert same(three_way(base, both, stored(both)), both)


@given(base=STATES, mine=STATES, theirs=STATES)
def test_every_key_is_from_who_changed_it_and_from_mine_where_both_or_neither_did(
    base: dict[str, Any], mine: dict[str, Any], theirs: dict[str, Any]
) -> None:
    merged = three_way(base, mine, theirs)
    for key in "abcd":
        ours, before = mine.get(key, MISSING), base.get(key, MISSING)
        others = theirs.get(key, MISSING)
        expected = ours if differs(before, ours) or not differs(before, others) else others
        assert merged.get(key, MISSING) is expected


@given(base=STATES, mine=STATES, theirs=STATES)
def test_changes_of_different_keys_commute(base: dict[str, Any], mine: dict[str, Any], theirs: dict[str, Any]) -> None:
    mine = {
        **{key: value for key, value in base.items() if key in "cd"},
        **{k: v for k, v in mine.items() if k in "ab"},
    }
    theirs = {
        **{key: value for key, value in base.items() if key in "ab"},
        **{key: value for key, value in theirs.items() if key in "cd"},
    }
    assert same(three_way(base, mine, theirs), three_way(base, theirs, mine))


@given(base=STATES, mine=STATES, theirs=STATES)
def test_a_merge_changes_none_of_the_three(base: dict[str, Any], mine: dict[str, Any], theirs: dict[str, Any]) -> None:
    before = stored([base, mine, theirs])
    three_way(base, mine, theirs)
    assert [base, mine, theirs] == before


def test_a_key_that_one_deleted_and_nobody_changed_is_gone() -> None:
    assert three_way({"a": 1, "b": 1}, {"b": 1}, {"a": 1}) == {}


def test_a_key_that_i_deleted_and_they_changed_is_gone_for_mine_is_the_later_save() -> None:
    assert three_way({"a": 1}, {}, {"a": 2}) == {}


def test_a_key_that_they_deleted_and_i_changed_is_mine() -> None:
    assert three_way({"a": 1}, {"a": 2}, {}) == {"a": 2}


def test_a_change_inside_a_value_is_a_change() -> None:
    base = {"cart": ["tea"], "seen": [1]}
    assert three_way(base, {"cart": ["tea", "milk"], "seen": [1]}, {"cart": ["tea"], "seen": [1, 2]}) == {
        "cart": ["tea", "milk"],
        "seen": [1, 2],
    }


def test_keys_of_any_hashable_type_merge() -> None:
    assert three_way({1: "a", ("t", 2): "b"}, {1: "A", ("t", 2): "b"}, {1: "a", None: "c"}) == {1: "A", None: "c"}


# -- tokens ----------------------------------------------------------------------------------------------------------


@given(base=TOKENS, mine=TOKENS, theirs=TOKENS)
def test_of_tokens_additions_of_both_survive_and_removals_by_either_stay(
    base: list[str], mine: list[str], theirs: list[str]
) -> None:
    merged = merge_tokens(base, mine, theirs)
    kept = set(base) & set(mine) & set(theirs)
    added = (set(mine) | set(theirs)) - set(base)
    assert set(merged) == kept | added
    assert len(merged) == len(set(merged))


@given(base=TOKENS, added=TOKENS)
def test_tokens_stay_in_order_the_oldest_first(base: list[str], added: list[str]) -> None:
    mine = base + [token.upper() for token in added]
    assert merge_tokens(base, mine, base) == mine
    assert merge_tokens(base, base, mine) == mine


def test_differs_agrees_under_another_hash_seed() -> None:
    """A set of strings that another process stored is the same set here."""
    code = "import pickle, sys; sys.stdout.buffer.write(pickle.dumps({f'w{i}' for i in range(50)}))"
    words = {f"w{number}" for number in range(50)}
    for seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        )
        base, mine = PickleSerializer().loads(run.stdout), PickleSerializer().loads(run.stdout)
        assert base == words and not differs(base, mine)
        mine.add("another")
        assert differs(base, mine)
