"""Durus's files, opened after all that a kill, a full disk or a pack can leave."""

import errno
import fcntl
import logging
import os
import random
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from session3 import durusformat
from session3.durusfiles import DurusFile, DurusServer, open_file, open_server, open_sqlite, repair_file
from session3.durusopening import lock_file

from .processes import Child

pytest.importorskip("durus", reason="needs Durus: pip install 'session3[durus]'")


def put(path: Path, **items: Any) -> None:
    connection = open_file(path)
    for name, value in items.items():
        connection.get_root()[name] = value
        connection.commit()
    connection.get_storage().close()


def items(path: Path) -> dict[str, Any]:
    connection = open_file(path)
    try:
        return dict(connection.get_root())
    finally:
        connection.get_storage().close()


def torn_copies(path: Path) -> list[bytes]:
    return [copy.read_bytes() for copy in path.parent.glob(path.name + ".torn.*")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some.durus"


# -- torn ends -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True])
def test_an_end_that_was_torn_anywhere_is_cut_off_and_kept(path: Path, packed: bool) -> None:
    put(path, a=1, b="x" * 300)
    if packed:
        connection = open_file(path)
        connection.pack()
        connection.get_storage().close()
        put(path, b=2)
    whole = path.read_bytes()
    put(path, c=3)
    last = path.read_bytes()[len(whole) :]
    for length in range(9, len(last)):
        for torn in (bytes(8) + last[8:length], last[:length]):  # killed while it wrote, and without power
            path.write_bytes(whole + torn)
            assert items(path) == {"a": 1, "b": 2 if packed else "x" * 300}
            assert path.read_bytes() == whole
            [copy] = torn_copies(path)
            assert copy == torn
            for file in path.parent.glob("*.torn.*"):
                assert file.stat().st_mode & 0o777 == 0o600
                file.unlink()
    path.write_bytes(whole + last)
    assert items(path)["c"] == 3 and torn_copies(path) == []


def test_a_file_that_can_not_be_read_is_left_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(path, a=1)
    whole = path.read_bytes()
    path.write_bytes(whole + bytes(8) + b"torn")

    def fail(*args: Any) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="Input/output"):
        patch.setattr("session3.durusformat.pread", fail)
        items(path)
    assert path.read_bytes() == whole + bytes(8) + b"torn"
    assert items(path) == {"a": 1}


def test_a_long_file_is_read_in_parts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durusformat, "_WINDOW", 64)
    put(path, **{f"item{n}": random.randbytes(n * 7) for n in range(30)})
    whole = path.read_bytes()
    path.write_bytes(whole + bytes(8) + b"torn" * 100)
    assert len(items(path)) == 30 and path.read_bytes() == whole


def test_what_is_cut_is_told_in_the_log(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(path, a=1)
    with path.open("ab") as file:
        file.write(bytes(8) + b"some of a record")
    assert items(path) == {"a": 1}
    assert "cut off 24 bytes" in caplog.text and str(path) in caplog.text
    caplog.clear()
    assert items(path) == {"a": 1}
    assert caplog.text == ""


def test_a_zero_length_alone_is_no_harm(path: Path) -> None:
    put(path, a=1)
    with path.open("ab") as file:
        file.write(bytes(8))
    put(path, b=2)
    assert items(path) == {"a": 1, "b": 2}
    assert torn_copies(path) == []


def test_an_empty_transaction_among_others_is_no_torn_one(path: Path) -> None:
    """A pack beside a writer leaves some."""
    from durus.persistent_dict import PersistentDict

    connection = open_file(path)
    root = connection.get_root()
    root["inner"] = PersistentDict(n=0)
    connection.commit()
    for n, _ in enumerate(connection.get_storage().get_packer()):
        root["n"] = root["inner"]["n"] = n
        connection.commit()
    assert struct.pack(">Q", 0) * 2 in path.read_bytes()
    root["after"] = True
    connection.commit()
    connection.get_storage().close()
    assert items(path)["after"] is True
    assert torn_copies(path) == []


def test_a_torn_record_whose_number_is_its_length_is_no_transaction() -> None:
    state = b"s" * 68
    number = struct.pack(">Q", 8 + 8 + 4 + len(state) - 8)
    value = number + struct.pack(">L", len(state)) + state
    record = struct.pack(">Q", 8 + len(value)) + number + value
    head = durusformat.MAGIC + bytes(8) + struct.pack(">QQQ", 16, 8, 0)
    assert durusformat.find_end(head + struct.pack(">Q", len(record)) + record) == len(head) + 8 + len(record)
    assert durusformat.find_end(head + bytes(8) + record) == len(head)
    crafted = struct.pack(">Q8s", 8 + 8, number[:8]) + struct.pack(">Q8s", 0, number)
    assert durusformat.find_end(head + bytes(8) + crafted) == len(head)


def test_a_file_whose_creator_was_killed_is_begun_again(path: Path) -> None:
    put(path, a=1)
    whole = path.read_bytes()
    for length in range(41):
        path.write_bytes(whole[:length])
        assert items(path) == {}
        put(path, b=2)
        assert items(path) == {"b": 2}


def test_a_damaged_head_and_what_is_no_file_of_durus_are_left_alone(path: Path) -> None:
    put(path, a=1)
    connection = open_file(path)
    connection.pack()
    connection.get_storage().close()
    packed = path.read_bytes()
    for contents in (packed[:50], b"DFS20\0" + bytes(100), b"a letter to a friend", b"x"):
        path.write_bytes(contents)
        for opening in (open_file, repair_file):
            with pytest.raises(OSError, match=str(path)):
                opening(path)
        assert path.read_bytes() == contents


def test_a_full_disk_does_not_keep_a_torn_file_from_being_opened(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(path, a=1)
    whole = path.read_bytes()

    def full(*args: Any, **options: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkstemp", full)
    path.write_bytes(whole + bytes(8) + b"some of a record")
    assert items(path) == {"a": 1}
    path.write_bytes(whole + struct.pack(">Q", 1000) + b"of a transaction with a length")
    with pytest.raises(OSError, match="No space"):
        items(path)


def test_repair_file_is_for_a_server_that_starts_again(path: Path) -> None:
    repair_file(path)
    assert not path.exists()
    put(path, a=1)
    whole = path.read_bytes()
    path.write_bytes(whole + bytes(8) + b"some of a record")
    repair_file(path)
    assert path.read_bytes() == whole
    connection = open_file(path)
    with pytest.raises(OSError, match=f"{path} is in use by this very process"):
        repair_file(path)
    connection.get_storage().close()


# -- locks and packs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("opening", [open_file, open_sqlite])
def test_a_file_is_for_one_at_a_time(path: Path, opening: Any) -> None:
    connection = opening(path)
    for again in (opening, open_file):
        with pytest.raises(OSError, match=str(path)):
            again(path)
    connection.get_storage().close()
    opening(path).get_storage().close()
    assert path.stat().st_mode & 0o777 == 0o600


def kill_myself_after(calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rename, left = os.rename, [calls]

    def rename_and_die(*args: Any) -> None:
        rename(*args)
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr("os.rename", rename_and_die)


@pytest.mark.parametrize("renames", [1, 2])
def test_a_pack_that_was_killed_between_its_renames_is_undone(
    path: Path, renames: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    put(path, a=1, b=2)

    def pack(report: Any) -> None:
        kill_myself_after(renames, monkeypatch)
        open_file(path).pack()

    with Child(pack) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert path.exists() is (renames == 2)
    with caplog.at_level(logging.WARNING):
        assert items(path) == {"a": 1, "b": 2}
    assert ("a pack was interrupted" in caplog.text) is (renames == 1)


def test_a_file_that_was_removed_after_a_pack_does_not_come_back(path: Path) -> None:
    put(path, a=1)
    connection = open_file(path)
    connection.pack()
    connection.get_storage().close()
    path.unlink()
    assert items(path) == {}


def test_a_pack_that_is_alive_is_left_alone(path: Path) -> None:
    from durus.file import File

    put(path, a=1)
    path.rename(path.with_name(path.name + ".prepack"))
    pack = File(str(path) + ".pack")
    pack.obtain_lock()
    with pytest.raises(OSError, match="in use by this very process"):
        open_file(path)
    assert not path.exists()
    pack.close()
    assert items(path) == {"a": 1}


# -- SQLite ----------------------------------------------------------------------------------------------------------


def test_an_sqlite_file_opened_again_gives_no_number_twice(path: Path) -> None:
    from durus.persistent_dict import PersistentDict

    for n in range(20):
        connection = open_sqlite(path) if n % 2 else open_file(path) if path.exists() else open_sqlite(path)
        assert {name: held["n"] for name, held in connection.get_root().items()} == {str(m): m for m in range(n)}
        connection.get_root()[str(n)] = PersistentDict(n=n)
        connection.commit()
        connection.get_storage().close()


def test_an_sqlite_file_whose_creator_was_killed_is_begun_again(path: Path) -> None:
    path.touch()
    connection = open_sqlite(path)
    connection.get_root()["a"] = 1
    connection.commit()
    connection.get_storage().close()
    assert items(path) == {"a": 1}


# -- servers ---------------------------------------------------------------------------------------------------------


def test_a_server_that_is_not_there_or_says_nothing() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            open_server("127.0.0.1", port)
        listening.listen()
        with pytest.raises(TimeoutError):
            DurusServer("127.0.0.1", port, timeout=0.1)()


def test_killed_packs_lose_nothing(path: Path) -> None:
    put(path, n=0)

    def write_and_pack(report: Any) -> None:
        connection = open_file(path)
        root = connection.get_root()
        while True:
            root["n"] += 1
            connection.commit()
            report(root["n"])
            connection.pack()

    saved = 0
    for _ in range(50):
        with Child(write_and_pack) as child:
            for _ in range(random.randrange(1, 10)):
                saved = child.report()
            saved = child.kill() or saved
        assert items(path)["n"] in (saved, saved + 1)


def test_what_opens_them_names_them(path: Path) -> None:
    assert str(DurusFile(str(path))) == str(path)
    assert [str(DurusServer("localhost")), str(DurusServer("::1", 99))] == ["localhost:2972", "[::1]:99"]


# -- whose a file is, and where --------------------------------------------------------------------------------------


@pytest.mark.parametrize("opening", [open_file, open_sqlite])
def test_it_is_said_who_has_a_file(path: Path, opening: Any) -> None:
    connection = opening(path)
    with pytest.raises(OSError, match="in use by this very process"):
        opening(path)

    def open_too(report: Any) -> None:
        # A process of its own: a forked one has the descriptors of this one.
        program = f"from session3.durusfiles import *; {opening.__name__}({str(path)!r})"
        told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        report(int("in use by another process" in told.stderr))

    with Child(open_too) as child:
        assert child.report() == 1
    connection.get_storage().close()


def test_a_relative_name_is_one_of_the_moment_when_it_was_given(tmp_path: Path, monkeypatch: Any) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    file = DurusFile("some.durus")
    assert not file.exists()
    file().get_storage().close()
    monkeypatch.chdir(tmp_path / "there")
    assert file.exists() and str(file) == file.path == str(tmp_path / "here" / "some.durus")
    file().get_storage().close()
    assert os.listdir(tmp_path / "there") == []


@pytest.mark.parametrize("error", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK])
def test_a_pack_is_undone_where_files_have_no_hard_links(path: Path, error: int, monkeypatch: Any) -> None:
    put(path, a=1)
    path.rename(path.with_name(path.name + ".prepack"))
    path.with_name(path.name + ".pack").touch()

    def link(*args: Any, **kwargs: Any) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "link", link)
    assert items(path) == {"a": 1}
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_what_a_killed_pack_had_written_is_swept(path: Path) -> None:
    put(path, a=1)
    path.with_name(path.name + ".pack").write_bytes(b"half of a file")
    assert items(path) == {"a": 1}
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_no_other_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def flock(file: Any, how: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match=os.strerror(number)):
        lock_file(str(tmp_path / "sessions.durus"))
