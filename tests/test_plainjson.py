"""plainjson: with msgspec and without it, the same bytes and the same values."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from session3 import plainjson, richjson

from .test_layout import imported_by
from .test_richjson import shape

pytest.importorskip("msgspec", reason="needs msgspec: pip install msgspec")
texts = st.text(st.characters(exclude_categories=()))
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), texts)
values = st.recursive(
    scalars, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4))
)


@pytest.fixture(scope="module")
def by_python() -> Any:
    """Call without msgspec."""

    def call(function: Callable[..., Any], *arguments: Any) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(plainjson, "HAS_MSGSPEC", False)
            return function(*arguments)

    return call


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return shape(call())
    except (ValueError, RecursionError):
        return "not JSON"


def test_it_is_msgspec_that_is_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plainjson, "to_text", None)
    monkeypatch.setattr(plainjson, "_of_text", None)
    assert plainjson.loads(plainjson.dumps({"cart": ["tea", 3.5]})) == {"cart": ["tea", 3.5]}


@settings(max_examples=500, deadline=None)
@given(value=values)
@example(
    value=[10**40, -(10**40), 2**64, -(2**63), -0.0, 5e-324, 1e16, 1e22, 123456789.125, "\ud800", "\x00\x7f\u2028"]
)
def test_both_write_the_same_bytes_and_read_the_same_value(value: Any, by_python: Any) -> None:
    """Else a session that was only read would be saved, where only some servers have msgspec."""
    data = richjson.dumps(value)
    assert data == by_python(richjson.dumps, value)
    assert shape(richjson.loads(data)) == shape(by_python(richjson.loads, data)) == shape(value)


@pytest.mark.parametrize(
    "number", [9999999999999998.0, 1e16, 1e-4, math.nextafter(1e-4, 0), 1.5e300, 5e-324, 0.0], ids=repr
)
@pytest.mark.parametrize("sign", [1, -1])
def test_numbers_are_spelled_alike(number: float, sign: int, by_python: Any) -> None:
    assert richjson.dumps([sign * number]) == by_python(richjson.dumps, [sign * number])


fragments = st.sampled_from(
    [b"[", b"]", b"{", b"}", b",", b":", b'"', b"a", b"1", b"0", b"-", b".", b"e9", b"e999", b"true", b"null", b"NaN",
     b"-Infinity", b"\\ud800", b"\\u0021", b"\\n", b"\n", b" ", b"\xff", b"\xed\xa0\x80", b"\xc3\xa9", b"\xef\xbb\xbf",
     b'"a":', b"12345678901234567890123"]
)  # fmt: skip


@settings(max_examples=2000, deadline=None)
@given(data=st.one_of(st.lists(fragments, max_size=12).map(b"".join), st.binary(max_size=30)))
@example(data=b"NaN")
@example(data=b"[1e999]")
@example(data=b'"\\ud800"')
@example(data=b"1" * 5000)
@example(data=b"[" * 100_000)
def test_both_take_and_refuse_the_same(data: bytes, by_python: Any) -> None:
    assert outcome(lambda: plainjson.loads(data)) == outcome(lambda: by_python(plainjson.loads, data))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf], ids=str)
def test_what_is_no_json_is_written_as_python_does(value: float) -> None:
    """msgspec would write null."""
    assert shape(richjson.loads(richjson.dumps({"a": [value]}))) == shape({"a": [value]})


@pytest.mark.parametrize(
    "data", [b'{"!date":"2026-01-01"}', b'{ "!date" : "2026-01-01" }', b'{"\\u0021date":"2026-01-01"}']
)
def test_no_spelling_of_a_kind_is_taken_for_a_dict(data: bytes, by_python: Any) -> None:
    assert richjson.loads(data) == by_python(richjson.loads, data) != {"!date": "2026-01-01"}


def test_sessions_in_json_need_no_msgspec() -> None:
    code = "import sys; sys.modules['msgspec'] = None; from session3 import richjson; "
    code += "assert richjson.loads(richjson.dumps({'a': [1.5, {2}]})) == {'a': [1.5, {2}]}"
    assert "session3" in imported_by(code)


def test_stores_of_pickles_do_not_import_it() -> None:
    assert not imported_by("import session3; session3.open_store('memory://')") & {"msgspec", "json"}
