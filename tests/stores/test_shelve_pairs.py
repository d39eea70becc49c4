"""A shelf is two files, which may be of different moments: a copy, a link, a power cut. Each value says whose it is."""

import itertools
import os
import pickle
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from session3 import dumbfile, ids
from session3.DictSession import DictSession
from session3.store import shelverecord
from session3.store.ShelveSessionStore import ShelveSessionStore

from ..contract import stored
from ..sessions import Clock

OPTIONS: list[dict[str, Any]] = [{}, {"hash_ids": True}, {"secret_key": "0123456789abcdef0123"}]


@pytest.fixture(params=OPTIONS, ids=["plain", "hashed", "signed"])
def open_at(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Callable[[str], ShelveSessionStore]:
    return lambda name: ShelveSessionStore(tmp_path / name, clock=clock, **request.param)


def save(store: ShelveSessionStore, number: int, text: str) -> None:
    session = store.load_session(f"user{number:04}") or DictSession(f"user{number:04}")
    session.set_user(session.id)
    session["text"] = text * 20
    store.save_session(session)


def swap(store: ShelveSessionStore, one: str, other: str) -> None:
    """Let the names of two keys lead to each other's value."""
    with store._shelf._mutex:
        index = store._shelf._current()
        assert index is not None
        places = dict(index.places)
    a, b = one.encode(), other.encode()
    places[a], places[b] = places[b], places[a]
    with open(store.filename + ".dir", "wb") as file:
        file.write(b"".join(itertools.starmap(dumbfile.format_line, places.items())))
    store.close()


@pytest.mark.parametrize("first", [".dir", ".dat"])
def test_a_copy_that_was_made_file_by_file_opens_nobody_elses_session(open_at: Any, first: str, tmp_path: Path) -> None:
    """One file, then logouts, a sweep and saves, and then the other one."""
    live, size = open_at("live"), 300
    live._shelf.compact_above = 1000
    for number in range(size):
        save(live, number, "x")
    shutil.copy(f"{live.filename}{first}", tmp_path / f"back{first}")
    for number in range(0, size, 2):
        live.delete_session(f"user{number:04}")
    live.delete_expired_sessions()
    for text in "ab":
        for number in range(1, size, 2):
            save(live, number, text)
    live._shelf.compact()
    second = ".dat" if first == ".dir" else ".dir"
    shutil.copy(f"{live.filename}{second}", tmp_path / f"back{second}")
    back = open_at("back")
    names = [f"user{number:04}" for number in range(size)]
    assert all(session.user == id for id in names if (session := back.load_session(id)))
    assert all(session.user == id for id, session in back.iter_sessions() if not isinstance(id, ids.StoredKey))
    back.delete_expired_sessions()
    for number in range(0, size, 3):  # it can be used on
        save(back, number, "new")
        assert back.load_session(f"user{number:04}").user == f"user{number:04}"
    assert all(session.user == id for id in names if (session := back.load_session(id)))


def test_a_value_in_anothers_place_is_damage_and_is_logged_once(open_at: Any, caplog: pytest.LogCaptureFixture) -> None:
    store = open_at("shelf")
    one, other = stored(store, user="alice"), stored(store, user="bob")
    keys = store._key(one.id), store._key(other.id)
    swap(store, *keys)
    for _ in range(2):
        assert store.load_session(one.id) is None and not store.has_session(other.id)
    assert list(store.iter_sessions()) == []
    assert caplog.text.count("another session's record lies in its place") == 2
    assert one.id not in caplog.text and other.id not in caplog.text
    record = store.read(keys[0])
    assert record is None and not store.touch(keys[0], one._snapshot.revision, 1e10, None)
    fresh = DictSession(one.id)
    fresh.set_user("carol")
    store.save_session(fresh)
    assert store.load_session(one.id).user == "carol" and store.load_session(other.id) is None
    assert store.delete_expired_sessions() == (1, 1)
    assert len(store._shelf.keys()) == 1


def test_what_is_anothers_goes_when_all_is_overwritten(open_at: Any) -> None:
    store = open_at("shelf")
    one, other = stored(store), stored(store)
    swap(store, store._key(one.id), store._key(other.id))
    store.setup(overwrite=True)
    assert store._shelf.keys() == []


def test_a_forward_and_a_lock_say_whose_they_are(open_at: Any) -> None:
    """A forward has no payload that a seal could bind: in another's place it would lead to its session."""
    store = open_at("shelf")
    one, other = stored(store, user="alice"), stored(store, user="bob")
    old = one.id
    assert store.move_session(one, ids.make_id(), 60.0)
    assert store.load_session(old).user == "alice"
    swap(store, store._key(old), store._key(other.id))
    assert store.load_session(old) is None and store.load_session(other.id) is None
    with store.locked(one.id) as first, store.locked(other.id) as second:
        swap(store, first._key, second._key)
        assert store.read(first._key) is None and store.read(second._key) is None


# -- what session3 4.0.0a1 wrote -------------------------------------------------------------------------------------


def without_key(store: ShelveSessionStore, id: str) -> None:
    """Put a value there as 4.0.0a1 wrote it."""
    key = store._key(id)
    record = store.read(key)
    assert record is not None
    with store._shelf.writing() as shelf:
        shelf[key.encode()] = pickle.dumps(record._asdict(), 5)


def test_a_value_without_a_key_is_read_until_it_is_written_again(open_at: Any, clock: Clock) -> None:
    store = open_at("shelf")
    saved, touched, swept = (stored(store, data={"n": 0}) for _ in range(3))
    for session in (saved, touched, swept):
        without_key(store, session.id)
    session = store.load_session(saved.id)
    session["n"] = 1
    store.save_session(session)
    clock.advance(100)
    session = store.load_session(touched.id)
    session._set_access_time(60)
    store.save_session(session)
    assert store.load_session(touched.id).get_access_time() == clock()
    assert store.delete_expired_sessions() == (0, 3)
    assert [store.load_session(each.id)["n"] for each in (saved, touched, swept)] == [1, 0, 0]
    assert store.load_session(touched.id).get_access_time() == clock()
    for session in (saved, touched, swept):
        assert not shelverecord.lacks_key(store._shelf.get(store._key(session.id).encode()))


# -- how to copy one that is in use ----------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("flock") is None, reason="needs flock, of util-linux")
def test_a_copy_under_the_lock_is_whole(tmp_path: Path, clock: Clock) -> None:
    live = ShelveSessionStore(tmp_path / "live", clock=clock)
    session = stored(live)
    (tmp_path / "back").mkdir()
    command = ["flock", live.filename + ".dat", "cp", live.filename + ".dat", live.filename + ".dir"]
    with live._shelf.writing():
        copying = subprocess.Popen([*command, str(tmp_path / "back")])
        with pytest.raises(subprocess.TimeoutExpired):
            copying.wait(0.2)
    assert copying.wait(60) == 0
    back = ShelveSessionStore(tmp_path / "back" / "live", clock=clock)
    assert back.load_session(session.id).user == "alice" and os.path.exists(back.filename + ".dir")
