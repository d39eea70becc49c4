"""JSONSerializer: what goes in comes back, equal and of the same type, and nothing else gets in or out."""

import enum
import random
from collections import OrderedDict, defaultdict, namedtuple
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session3 import plainjson
from session3.errors import NotSerializable, SerializationError
from session3.serializers import JSONSerializer

pytestmark = pytest.mark.usefixtures("library")
VIENNA = ZoneInfo("Europe/Vienna")
ZONES = [None, timezone.utc, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-3), "BRT"), VIENNA]
serializer = JSONSerializer()


@pytest.fixture(scope="module", params=["msgspec", "json"])
def library(request: pytest.FixtureRequest) -> Iterator[None]:
    """With either, all is the same; of the whole module, since Hypothesis wants no fixture of single tests."""
    if request.param == "msgspec":
        pytest.importorskip("msgspec", reason="needs msgspec: pip install msgspec")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plainjson, "HAS_MSGSPEC", request.param == "msgspec")
        yield


def again(value: Any) -> Any:
    return serializer.loads(serializer.dumps(value))


def shape(value: Any) -> Any:
    """A value with its types, for a comparison that takes 1 and True, and nan and nan, for what they are."""
    kind = type(value)
    if kind is dict:
        return kind, [(shape(key), shape(item)) for key, item in value.items()]
    if kind in (list, tuple):
        return kind, [shape(item) for item in value]
    if kind in (set, frozenset):
        return kind, sorted(repr(shape(item)) for item in value)
    if kind in (datetime, time):
        return kind, value.isoformat(), value.fold, repr(value.tzinfo)
    return kind, repr(value)


zones = st.sampled_from(ZONES)
# Without nan, of which a set may hold several, each itself only.
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(st.characters(exclude_categories=())),
    st.binary(), st.decimals(allow_nan=False), st.uuids(), st.timedeltas(), st.dates(), st.times(timezones=zones),
    st.datetimes(timezones=zones, allow_imaginary=True),
)  # fmt: skip
hashables = st.recursive(
    scalars, lambda inner: st.one_of(st.tuples(inner, inner), st.frozensets(inner, max_size=3)), max_leaves=5
)
values = st.recursive(
    st.one_of(hashables, st.floats()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.tuples(inner, inner), st.sets(hashables, max_size=3),
        st.dictionaries(st.one_of(st.text(max_size=5), st.just("!date")), inner, max_size=3),
        st.dictionaries(hashables, inner, max_size=3),
    ),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(value=values)
def test_what_goes_in_comes_back(value: Any) -> None:
    assert shape(again(value)) == shape(value)


@pytest.mark.parametrize(
    "value",
    [
        {1: "int", "1": "text"}, {None: 0, True: 1, 1.5: 2, (1, 2): 3, date(2026, 1, 1): 4, b"x": 5},
        {"!date": "2026-01-01"}, {"!dict": []}, {"!": 1}, {"": 1}, {"!a": {"!b": {"!c": 1}}},
        datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=VIENNA), Decimal("-1.500E+20"), Decimal("NaN"), -0.0,
        float("inf"), 10**4000, "\ud800", UUID(int=7), timedelta.min, timedelta.max, date.min, datetime.max,
        pytest.param({frozenset({1, (2, "x")}): {3}}, id="a set in a key"),  # its repr is another in each process
        [[[[[]]]]], (), set(), frozenset(), b"", {},
    ],
    ids=repr,
)  # fmt: skip
def test_corners_come_back(value: Any) -> None:
    assert shape(again(value)) == shape(value)


def test_plain_data_is_plain_json() -> None:
    data = {"cart": [{"name": "té", "price": 3.5, "n": None, "ok": True}]}
    assert serializer.dumps(data) == '{"cart":[{"name":"té","price":3.5,"n":null,"ok":true}]}'.encode()


def test_equal_sets_are_equal_bytes() -> None:
    words = [f"word {n}" for n in range(50)]
    assert serializer.dumps(set(words)) == serializer.dumps({*words[25:], *words[:25]})


class Colour(enum.IntEnum):
    RED = 1


class Text(str):
    __slots__ = ()


class Zone(tzinfo):
    def utcoffset(self, moment: Any) -> timedelta:
        return timedelta(0)

    def dst(self, moment: Any) -> None:
        return None

    def tzname(self, moment: Any) -> None:
        return None


Point = namedtuple("Point", "x y")
CYCLE: list[Any] = []
CYCLE.append(CYCLE)
# Level by level there would be 2**100 of them.
FAMILY: dict[str, Any] = {"children": [{"name": "a"}, {"name": "b"}]}
for child in FAMILY["children"]:
    child["parent"] = FAMILY
DEEP: Any = []
DEEP_SET: Any = frozenset()
for _ in range(1000):
    DEEP = [DEEP]
for _ in range(150):
    DEEP_SET = frozenset([DEEP_SET])


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"cart": [0, 1, 2, {"price": 1j}]}, "cart[3].price"),
        ({"odd key": object()}, "['odd key']"),
        ({"a": {1: {"b": object()}}}, "a[1].b"),
        ({"a": {(1, 2): object()}}, "a[(1, 2)]"),
        ({"a": (1, object())}, "a[1]"),
        ({"a": {object}}, f"a[the item {object!r}]"),
        ({"a": {Text("k"): 1}}, "a[the key 'k']"),
        ([Colour.RED], "[0]"),
        ({"a": OrderedDict(b=1)}, "a"),
        ({"a": defaultdict(int)}, "a"),
        ({"a": Point(1, 2)}, "a"),
        ({"a": Text("x")}, "a"),
        ({"a": datetime(2026, 1, 1, tzinfo=Zone())}, "a"),
        ({"a": ZoneInfo("Europe/Vienna")}, "a"),
        ({"a": [10**5000]}, "a[0]"),
        (object(), ""),
    ],
)
def test_anything_else_is_refused_with_its_path(value: Any, path: str) -> None:
    with pytest.raises(NotSerializable) as caught:
        serializer.dumps(value)
    assert caught.value.path == path
    assert str(caught.value).startswith(path or "the value")


@pytest.mark.parametrize(
    "value", [CYCLE, {"a": CYCLE}, FAMILY, DEEP, DEEP_SET], ids=["cycle", "inner", "two ways", "deep", "set"]
)
def test_what_contains_itself_is_refused(value: Any) -> None:
    with pytest.raises(SerializationError, match="contains itself"):
        serializer.dumps(value)


NAN, OTHER_NAN = float("nan"), float("nan")


@pytest.mark.parametrize(
    "value",
    [{NAN: 1, OTHER_NAN: 2}, {NAN, OTHER_NAN}, frozenset([NAN, OTHER_NAN]), {(NAN, 1): 1, (OTHER_NAN, 1): 2}],
    ids=repr,
)
def test_what_would_come_back_as_one_is_refused(value: Any) -> None:
    with pytest.raises(NotSerializable, match="would come back as one") as caught:
        serializer.dumps({"a": [value]})
    assert caught.value.path == "a[0]"


@pytest.mark.parametrize("value", [{NAN: 1}, {NAN}, {NAN: 1, "nan": 2, 1: 3}, [NAN, OTHER_NAN]], ids=repr)
def test_what_is_one_comes_back(value: Any) -> None:
    assert shape(again(value)) == shape(value)


def test_as_deep_as_it_is_written_it_is_read() -> None:
    value: Any = ()
    for _ in range(99):
        value = ({"k": value},) if len(repr(value)) % 2 else (value,)
        try:
            data = serializer.dumps(value)
        except NotSerializable:
            break
        assert shape(serializer.loads(data)) == shape(value)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"\xff", b'{"!nosuch":1}', b'{"!os.system":"true"}', b'{"!class":"builtins.eval"}', b'{"!tuple":1}',
        b'{"!set":[[]]}', b'{"!set":"abc"}', b'{"!bytes":"=="}', b'{"!bytes":"a b"}', b'{"!bytes":1}',
        b'{"!datetime":"x"}', b'{"!datetime":["2026-01-01T00:00:00",7,null]}', b'{"!datetime":[1,2]}',
        b'{"!datetime":["2026-01-01T00:00:00",0,"No/Where"]}', b'{"!datetime":["2026-01-01T00:00:00",0,"../etc"]}',
        b'{"!datetime":["2026-01-01T00:00:00",0,"Europe"]}',
        b'{"!datetime":["2026-01-01T00:00:00",0,[99,0,0]]}', b'{"!decimal":"x"}', b'{"!decimal":1.5}',
        b'{"!uuid":"zz"}', b'{"!uuid":1}', b'{"!timedelta":[1e99,0,0]}', b'{"!timedelta":["x"]}', b'{"!dict":[1]}',
        b'{"!dict":[[[],1]]}', b'{"!date":5}', b'{"!time":{}}', b"[" * 100_000, b'{"!tuple":' * 100_000,
        b"1" * 10_000,
    ],
    ids=lambda data: ascii(data[:30]),
)  # fmt: skip
def test_what_is_malformed_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        serializer.loads(data)


def test_mutated_payloads_raise_nothing_else() -> None:
    choose = random.Random(4)
    value = {"a": (1, {2}), 3: datetime(2026, 1, 1, tzinfo=VIENNA), "b": b"x", "c": Decimal(1), "d": [UUID(int=1)]}
    data = serializer.dumps(value)
    refused = 0
    for _ in range(5000):
        mutant = bytearray(data)
        for _ in range(choose.randint(1, 3)):
            mutant[choose.randrange(len(mutant))] = choose.choice(b'0123456789abc{}[]":,!-TZ\xff\0')
        try:
            serializer.loads(bytes(mutant))
        except ValueError:
            refused += 1
    assert refused > 1000


@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_value_or_a_value_error(data: bytes) -> None:
    try:
        serializer.loads(data)
    except ValueError as error:
        assert str(error)
