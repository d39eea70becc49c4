"""Ids: made, checked, hashed, hidden."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session3 import ids

LETTERS = string.ascii_letters + string.digits + "_-"

HOSTILE = [
    "",
    ".",
    "..",
    "../x",
    "/etc/passwd",
    "a/b",
    "a\\b",
    ".hidden",
    "nul\0nul\0nul",
    "new\nline-new\nline",
    "trailing-newline\n",
    'quo"te-quo"te',
    "sp ace-sp ace",
    "ümläut-ümläut",
    "١٢٣٤٥٦٧٨",
    "surrogate-\udc80",
    "x" * 129,
    "x" * 1_000_000,
]


def test_a_new_id_is_32_lower_case_letters_and_digits() -> None:
    id = ids.make_id()
    assert len(id) == 32 and set(id) <= set(string.ascii_lowercase + string.digits)


def test_new_ids_differ_and_use_all_their_bits() -> None:
    made = [ids.make_id() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert all(len({id[place] for id in made}) == 32 for place in range(32))  # 32 places of 5 bits are 160


def test_a_new_id_is_accepted_everywhere() -> None:
    id = ids.make_id()
    assert ids.is_id(id) and ids.is_cookie_id(id)


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: ascii(value)[:20])
def test_hostile_strings_are_no_ids(value: str) -> None:
    assert not ids.is_id(value) and not ids.is_cookie_id(value)


@pytest.mark.parametrize("value", [None, 12345678, b"12345678", ["12345678"], True])
def test_what_is_no_string_is_no_id(value: object) -> None:
    assert not ids.is_id(value) and not ids.is_cookie_id(value)


@pytest.mark.parametrize("value", ["x", "a.b", "-", "_", "x" * 128, "a..b"])
def test_code_may_use_short_ids_and_dots(value: str) -> None:
    assert ids.is_id(value)


@pytest.mark.parametrize("value", ["x" * 7, "aaaa.bbbb", "x" * 129])
def test_a_cookie_may_not(value: str) -> None:
    assert not ids.is_cookie_id(value)


@given(st.text(LETTERS, min_size=8, max_size=128))
def test_what_a_cookie_may_hold_code_may_use(value: str) -> None:
    assert ids.is_cookie_id(value) and ids.is_id(value)


@given(st.text())
def test_an_accepted_string_is_a_plain_file_name(value: str) -> None:
    if ids.is_id(value):
        assert set(value) <= set(LETTERS + ".") and not value.startswith(".") and len(value) <= 128
    assert ids.is_id(value) or not ids.is_cookie_id(value)


def test_a_hashed_id_is_its_sha_256() -> None:
    key = ids.hash_id("abc")
    assert key == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert type(key) is ids.StoredKey
    assert ids.is_id(key)


def test_a_short_hash_takes_any_string_and_holds_nothing_of_it() -> None:
    for value in HOSTILE:
        handle = ids.short_hash(value)
        assert len(handle) == 12 and set(handle) <= set(string.hexdigits)
    assert ids.short_hash("one") != ids.short_hash("two")


@given(id=st.text(LETTERS, min_size=1, max_size=128), under=st.text(LETTERS, min_size=1, max_size=128))
def test_veil_hides_an_id_and_unveil_finds_it(id: str, under: str) -> None:
    veiled = ids.veil(id, under)
    assert ids.unveil(veiled, under) == id
    assert set(veiled) <= set(string.hexdigits)


def test_unveil_under_another_id_is_no_id() -> None:
    veiled = ids.veil(ids.make_id(), ids.make_id())
    assert not ids.is_id(ids.unveil(veiled, ids.make_id()))


@given(st.text(max_size=40))
def test_unveil_of_what_veil_did_not_make_is_no_id_and_no_error(veiled: str) -> None:
    """A damaged forward, or one that was written before `hash_ids` was switched on, leads nowhere."""
    found = ids.unveil(veiled, "under")
    assert isinstance(found, str)
    if set(veiled) - set(string.hexdigits + string.whitespace):
        assert not ids.is_id(found)
