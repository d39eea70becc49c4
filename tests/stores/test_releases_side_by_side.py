"""Release 4.0.0a1 at work beside this one, as in a deploy, or again after it: what is written here is read there."""

import io
import pickle
import shelve
from pathlib import Path

import pytest

from session3.errors import DamagedRecord
from session3.record import Record
from session3.Session import Session
from session3.store import shelverecord
from session3.store.ShelveSessionStore import ShelveSessionStore

RECORD = Record(b"payload", 7, 1.0, 2.0, 3.0, None, "alice")


@pytest.mark.parametrize("key", ["example1", "x" * 128])
def test_a_record_in_a_shelf_has_the_fields_that_4_0_0a1_takes(key: str) -> None:
    value = shelverecord.pack(key, RECORD)
    assert Record(**pickle.loads(value)) == RECORD  # each further field is damage there
    assert Record(**pickle._Unpickler(io.BytesIO(value)).load()) == RECORD
    with pytest.raises(DamagedRecord):
        shelverecord.unpack("another1", value)


def test_a_shelf_that_this_release_wrote_has_records_of_4_0_0a1(tmp_path: Path) -> None:
    store = ShelveSessionStore(tmp_path / "s")
    session = Session("example1")
    session.set_user("alice")
    store.save_session(session)
    with shelve.open(str(tmp_path / "s"), flag="r") as shelf:
        assert Record(**shelf["example1"]) == store.read("example1")
