"""The shelf: what it promises to its callers, to Python's own readers, and to those who come after a kill -9.

The random kills by hand, 2,000 of each kind: `python -m tests.test_shelf 2000`.
"""

from __future__ import annotations

import ast
import dbm.dumb
import fcntl
import functools
import importlib
import itertools
import multiprocessing
import os
import random
import shelve
import signal
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest

from session3 import dumbfile, oldshelves
from session3.locks import lock
from session3.shelf import Shelf, ShelfError, open_shelf

from .processes import is_true_in_a_fork_of_c

OLD = {
    "dbm.gnu": "apt install python3-gdbm, and run with /usr/bin/python3",
    "dbm.ndbm": "run with Debian's /usr/bin/python3",
    "dbm.sqlite3": "run with Python 3.13: pyenv install 3.13",
}


class TwoFileNdbm:
    """Stands in for the `dbm.ndbm` that has .pag and .dir; Debian's, on Berkeley DB, has one file."""

    class Database(dict[bytes, bytes]):
        def close(self) -> None:
            pass

        def __enter__(self) -> TwoFileNdbm.Database:
            return self

        def __exit__(self, *args: object) -> None:
            pass

    @classmethod
    def open(cls, base: str, flag: str, mode: int = 0o666) -> Database:
        return cls.Database(ast.literal_eval(Path(base + ".pag").read_text()))


@pytest.fixture
def two_file_ndbm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dbm.ndbm", TwoFileNdbm)
    monkeypatch.setitem(dbm._modules, "dbm.ndbm", TwoFileNdbm)  # type: ignore[attr-defined]


@pytest.fixture
def base(tmp_path: Path) -> str:
    return str(tmp_path / "shelf")


def fill(base: str, items: dict[bytes, bytes]) -> Shelf:
    shelf = open_shelf(base)
    with shelf.writing() as transaction:
        for key, value in items.items():
            transaction[key] = value
    return shelf


def stock(base: str) -> dict[bytes, bytes]:
    """What Python's own reader finds, whatever the flavour."""
    with dbm.open(base, "r") as found:
        keys = found.keys()  # not all flavours iterate
        return {bytes(key): found[key] for key in keys}  # type: ignore[arg-type]


def is_torn(base: str) -> bool:
    """Tell whether a killed writer left half a line, which Python's own reader stops at."""
    with open(base + ".dir", "rb") as file:
        return not (b"\n" + file.read()).endswith(b"\n")


def ours(base: str) -> dict[bytes, bytes | None]:
    shelf = open_shelf(base)
    try:
        keys = shelf.keys()
        return {key: shelf.get(key) for key in keys}
    finally:
        shelf.close()


def make_old(base: str, flavour: str, items: dict[bytes, bytes]) -> None:
    if sys.modules.get(flavour) is TwoFileNdbm:  # type: ignore[comparison-overlap]
        Path(base + ".dir").touch()
        Path(base + ".pag").write_text(repr(items))
        return
    try:
        module = importlib.import_module(flavour)
    except ImportError:
        pytest.skip(f"no {flavour} here: {OLD[flavour]}")
    with module.open(base, "c") as old:
        for key, value in items.items():
            old[key] = value


def fork(action: Callable[[], None]) -> int:
    """Run it in a forked child, and return the child's id; an exception there ends it with status 1."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            action()
            status = 0
        finally:
            os._exit(status)
    return pid


def status_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


# What it is


def test_opening_creates_nothing(base: str) -> None:
    shelf = open_shelf(base)
    assert shelf.get(b"key") is None and shelf.keys() == [] and b"key" not in shelf and len(shelf) == 0
    assert os.listdir(os.path.dirname(base)) == []
    fill(base, {b"key": b"value"})
    assert shelf.get(b"key") == b"value" and b"key" in shelf and len(shelf) == 1
    modes = {name: stat.S_IMODE(os.stat(base + name).st_mode) for name in (".dat", ".dir")}
    assert modes == {".dat": 0o600, ".dir": 0o600}
    assert sorted(os.listdir(os.path.dirname(base))) == ["shelf.dat", "shelf.dir"]


def test_after_a_fork_that_python_does_not_know_of_a_child_has_a_lock_of_its_own(
    base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = open_shelf(base)
    with shelf.writing() as transaction:
        transaction[b"key"] = b"value"

    def is_locked_out() -> bool:
        monkeypatch.setattr("session3.locks.lock", lambda fd: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB))
        with pytest.raises(BlockingIOError):
            shelf.writing().__enter__()
        return True

    with shelf.writing():
        assert is_true_in_a_fork_of_c(is_locked_out)


def test_random_operations_match_a_dict(base: str) -> None:
    rng, model = random.Random(1), dict[bytes, bytes]()
    shelf, other = open_shelf(base, durable=True), open_shelf(base)
    keys = [b"plain", b"it's", b'"', b"back\\slash", b"new\nline\r", bytes(range(256)), b"", b" space ", "é".encode()]
    for step in range(600):
        key, value = rng.choice(keys), rng.randbytes(rng.choice([0, 1, 511, 512, 513, 3000]))
        with shelf.writing() as transaction:
            if rng.random() < 0.7:
                transaction[key] = model[key] = value
            else:
                del transaction[key]
                model.pop(key, None)
            assert transaction.get(key) == model.get(key) and sorted(transaction.keys()) == sorted(model)
        if step % 50 == 0:
            shelf.compact()
        keys_now = other.keys()
        assert {key: other.get(key) for key in keys_now} == model
        if step % 10 == 0:
            assert stock(base) == model == ours(base)


def test_remove_takes_many_and_counts(base: str) -> None:
    with fill(base, {b"a": b"1", b"b": b"2", b"c": b"3"}).writing() as transaction:
        assert transaction.remove([b"a", b"c", b"c", b"none"]) == 2
    assert stock(base) == {b"b": b"2"}


def test_transactions_end_and_do_not_nest(base: str) -> None:
    shelf = fill(base, {})
    with shelf.writing() as transaction:
        for misuse in (shelf.writing().__enter__, shelf.close, shelf.compact):
            with pytest.raises(RuntimeError):
                misuse()
    with pytest.raises(RuntimeError):
        transaction[b"late"] = b""
    shelf.close()
    shelf.close()
    fill(base, {b"key": b"value"})
    assert shelf.get(b"key") == b"value"


def test_an_exception_in_a_block_keeps_what_was_written(base: str) -> None:
    shelf = open_shelf(base)
    with pytest.raises(ZeroDivisionError), shelf.writing() as transaction:
        transaction[b"key"] = b"value"
        raise ZeroDivisionError
    fill(base, {b"other": b""})  # the lock is free
    assert shelf.get(b"key") == b"value"


def test_garbage_is_reclaimed_by_itself(base: str) -> None:
    shelf = fill(base, {b"%d" % n: b"value" for n in range(10)})
    shelf.compact_above, shelf.spare_lines = 20_000, 50
    for n in range(300):
        with shelf.writing() as transaction:
            transaction[b"hot"] = b"%d" % n
    assert os.path.getsize(base + ".dat") < 21_000 and Path(base + ".dir").read_bytes().count(b"\n") < 80
    assert stock(base) == {b"%d" % n: b"value" for n in range(10)} | {b"hot": b"299"}


def test_durable_syncs_the_value_and_then_its_line(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(base, {})
    steps, names = list[str](), {os.stat(base + end).st_ino: end for end in (".dat", ".dir")}
    for call in ("pwrite", "fsync"):

        def spy(fd: int, *args: Any, call: str = call, real: Any = None) -> Any:
            steps.append(call + names[os.fstat(fd).st_ino])
            return real(fd, *args)

        monkeypatch.setattr(os, call, functools.partial(spy, real=getattr(os, call)))
    for durable in (False, True):
        with open_shelf(base, durable=durable).writing() as transaction:
            transaction[b"key"] = b"value"
    assert steps == ["pwrite.dat", "pwrite.dir", "pwrite.dat", "fsync.dat", "pwrite.dir", "fsync.dir"]


def test_files_that_were_put_in_place_of_ours_are_noticed(base: str) -> None:
    shelf = fill(base, {b"key": b"old"})
    with dbm.dumb.open(base, "n"):
        assert shelf.get(b"key") is None
    assert fill(base, {b"key": b"new"}).get(b"key") == shelf.get(b"key") == b"new"
    with shelf.writing() as transaction:
        transaction[b"other"] = b"1"
    assert stock(base) == {b"key": b"new", b"other": b"1"}


# Python's own


def test_shelve_reads_and_writes_it(base: str) -> None:
    native: Any
    with dbm.dumb.open(base) as database, shelve.Shelf(cast(Any, database)) as native:
        native.update({"one": 1, "two": [2]})
    shelf = open_shelf(base)
    one = shelf.get(b"one")
    with shelf.writing() as transaction:
        transaction[b"three"] = one or b""
        del transaction[b"one"]
    with shelve.open(base, flag="r") as native:
        assert dict(native) == {"two": [2], "three": 1}


def test_a_stock_writer_may_work_in_between(base: str) -> None:
    shelf = fill(base, {b"a": b"A" * 10, b"b": b"B" * 10, b"z": b"Z"})
    with dbm.dumb.open(base) as native:
        native[b"a"] = b"x" * 500  # in place, up to the end of the block
        native[b"c"] = b"C"
        del native[b"z"]
    assert shelf.get(b"a") == b"x" * 500 and shelf.get(b"b") == b"B" * 10 and shelf.get(b"z") is None
    with shelf.writing() as transaction:
        transaction[b"d"] = b"D"
    with dbm.dumb.open(base) as native:
        native[b"d"] = b"d" * 500
    shelf.compact()
    assert ours(base) == stock(base) == {b"a": b"x" * 500, b"b": b"B" * 10, b"c": b"C", b"d": b"d" * 500}


def test_a_torn_last_line_does_not_count(base: str) -> None:
    shelf = fill(base, {b"key": b"old", b"other": b"1"})
    before = Path(base + ".dir").read_bytes()
    line = dumbfile.format_line(b"key", (1024, 3))
    for length in range(len(line)):
        Path(base + ".dir").write_bytes(before + line[:length])
        assert shelf.get(b"key") == ours(base)[b"key"] == b"old"
        fill(base, {b"n": b"e"})
        assert stock(base) == ours(base) == {b"key": b"old", b"other": b"1", b"n": b"e"}
        assert shelf.get(b"n") == b"e"


def test_a_full_disk_leaves_the_old_value(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, write = fill(base, {b"key": b"old"}), os.pwrite

    def full(fd: int, data: Any, position: int) -> int:
        if bytes(data[:1]) == b"'":  # an index line: half of it fits
            write(fd, bytes(data)[:9], position)
            raise OSError(28, "No space left on device")
        return write(fd, data, position)

    with shelf.writing() as transaction:
        with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
            patch.setattr(os, "pwrite", full)
            transaction[b"key"] = b"new"
        assert stock(base) == ours(base) == {b"key": b"old"}
        transaction[b"k"] = b"v"
    assert stock(base) == ours(base) == {b"key": b"old", b"k": b"v"}


def test_damage_is_left_out_or_refused_but_never_overwritten(base: str) -> None:
    fill(base, {b"a": b"1", b"b": b"2"})
    lines = Path(base + ".dir").read_bytes()
    Path(base + ".dir").write_bytes(b"\0\0\0\n" + lines)
    assert ours(base) == {b"a": b"1", b"b": b"2"}
    fill(base, {b"c": b"3"})
    assert stock(base) == {b"a": b"1", b"b": b"2", b"c": b"3"}
    for name in ("", ".dir"):
        Path(base + name).write_bytes(b"a user's own file\n")
        if name == "":
            os.remove(base + ".dir")
        with pytest.raises(ShelfError, match="move it away"):
            fill(base, {b"d": b"4"})
        assert Path(base + name).read_bytes() == b"a user's own file\n"


@pytest.mark.parametrize("zeros", [1, 5, 100])
def test_an_index_that_a_power_cut_left_as_zeros_is_begun_anew(base: str, zeros: int) -> None:
    fill(base, {b"a": b"1", b"b": b"2"})
    lines = Path(base + ".dir").read_bytes()
    for left in (bytes(zeros), bytes(zeros) + lines[-3:], bytes(zeros) + lines[-3:] + bytes(zeros)):
        Path(base + ".dir").write_bytes(left)
        assert ours(base) == {}
        fill(base, {b"c": b"3"})
        assert stock(base) == ours(base) == {b"c": b"3"}


# Old flavours


def test_two_file_ndbm_is_read_then_converted(base: str, two_file_ndbm: None) -> None:
    test_old_flavours_are_read_then_converted(base, "dbm.ndbm")


@pytest.mark.parametrize("flavour", OLD)
def test_old_flavours_are_read_then_converted(base: str, flavour: str) -> None:
    items = {b"%d" % n: b"value %d" % n for n in range(100)}
    make_old(base, flavour, items)
    files = set(os.listdir(os.path.dirname(base)))
    shelf, other = open_shelf(base), open_shelf(base)
    assert ours(base) == items and shelf.get(b"7") == b"value 7" and shelf.get(b"none") is None
    assert not set(os.listdir(os.path.dirname(base))) - files - {"shelf-wal", "shelf-shm"}
    fill(base, {b"new": b"1"})
    assert stock(base) == ours(base) == items | {b"new": b"1"}
    assert other.get(b"new") == b"1" and len(shelf) == 101 and dbm.whichdb(base) == "dbm.dumb"
    assert set(os.listdir(os.path.dirname(base))) == {"shelf.dat", "shelf.dir"}


@pytest.mark.parametrize(
    "flavour, ending, head",
    [("dbm.gnu", "", oldshelves.GNU[0]), ("dbm.ndbm", ".db", b"\0" * 12 + oldshelves.BERKELEY[0]),
     ("dbm.sqlite3", "", b"SQLite format 3\0")],
)  # fmt: skip
def test_a_missing_module_is_named(base: str, flavour: str, ending: str, head: bytes,
                                   monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    Path(base + ending).write_bytes(head)
    monkeypatch.setitem(sys.modules, flavour, None)
    for use in (lambda: open_shelf(base).get(b"key"), lambda: fill(base, {}), lambda: open_shelf(base).keys()):
        with pytest.raises(ShelfError, match=f"is a {flavour} database.*apt install"):
            use()
    assert os.listdir(os.path.dirname(base)) == ["shelf" + ending]


# Kill -9, at every step


def die_at(step: int, action: Callable[[], None]) -> bool:
    """Run it in a child that dies before its nth step on the disk, or half-way through writing; tell if it did."""
    count = itertools.count()

    def wrap(name: str) -> None:
        real = getattr(os, name)

        def call(*args: Any) -> Any:
            if next(count) == step:
                if name == "pwrite" and len(args[1]) > 1:
                    real(args[0], args[1][: len(args[1]) // 2], args[2])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args)

        setattr(os, name, call)

    def child() -> None:
        for name in ("pwrite", "replace", "unlink", "fsync", "ftruncate"):
            wrap(name)
        action()

    status = status_of(fork(child))
    assert status in (0, -signal.SIGKILL)
    return status != 0


def change(base: str) -> None:
    shelf = open_shelf(base)
    with shelf.writing() as transaction:
        transaction[b"5"] = b"changed"
        transaction.remove([b"6"])
    shelf.compact()


@pytest.mark.parametrize("flavour", ["dbm.dumb", *OLD])
def test_killed_at_every_step(tmp_path: Path, flavour: str) -> None:
    first = {b"%d" % n: b"value %d" % n * 50 for n in range(9)}
    second = first | {b"5": b"changed"}
    third = {key: value for key, value in second.items() if key != b"6"}
    for step in range(1000):
        base = str(tmp_path / f"shelf{step}")
        if flavour == "dbm.dumb":
            fill(base, {b"5": b"garbage"} | first)
        else:
            make_old(base, flavour, first)
        if not die_at(step, lambda base=base: change(base)):  # type: ignore[misc]
            break
        torn = os.path.exists(base + ".dir") and is_torn(base)
        found = ours(base)
        assert found in (first, second, third)
        between = dbm.whichdb(base) is None and os.path.exists(base + ".dir.new")  # of two-file ndbm and .dir
        assert torn or between or stock(base) == found
        assert die_at(step // 2, lambda base=base: change(base)) in (True, False)  # type: ignore[misc]
        change(base)
        assert stock(base) == ours(base) == third
        assert set(os.listdir(tmp_path)) >= {f"shelf{step}.dat", f"shelf{step}.dir"}
        leftovers = {name for name in os.listdir(tmp_path) if name.startswith(f"shelf{step}")}
        assert leftovers == {f"shelf{step}.dat", f"shelf{step}.dir"}
    assert 15 < step < 1000


def test_two_file_ndbm_killed_at_every_step(tmp_path: Path, two_file_ndbm: None) -> None:
    test_killed_at_every_step(tmp_path, "dbm.ndbm")


# Kill -9, at any moment


def value_of(number: int) -> bytes:
    return b"%d:" % number + random.Random(number).randbytes(number * 37 % 3000)


def write_for_ever(base: str, pipe: int, start: int, compact_every: int) -> None:
    """Announce each write or removal, do it, report it."""
    shelf, rng = open_shelf(base), random.Random(start)
    for number in itertools.count(start):
        key, removes = b"k%d" % rng.randrange(20), rng.random() < 0.1
        message = b"%s %d\n" % (key, -1 if removes else number)
        with shelf.writing() as transaction:
            os.write(pipe, b"+" + message)
            if removes:
                del transaction[key]
            else:
                transaction[key] = value_of(number)
            os.write(pipe, b"-" + message)
        if compact_every and number % compact_every == 0:
            shelf.compact()


def kill_writers(base: str, kills: int, compact_every: int) -> int:
    """Kill one writer after another; return how often Python's own reader met a torn line."""
    rng, torn, known = random.Random(kills), 0, dict[bytes, int]()
    for round in range(kills):
        out, into = os.pipe()
        number = (round + 1) * 1_000_000
        pid = fork(lambda into=into, number=number: write_for_ever(base, into, number, compact_every))  # type: ignore[misc]
        os.close(into)
        with os.fdopen(out, "rb") as reports:
            head = [reports.readline() for _ in range(rng.randrange(1, 40))]
            for _ in range(rng.randrange(3000)):
                pass
            os.kill(pid, signal.SIGKILL)
            lines = [line.split() for line in head + reports.readlines()]
        assert status_of(pid) == -signal.SIGKILL
        announced = {line[0][1:]: int(line[1]) for line in lines[-1:] if line[0][:1] == b"+"}
        known |= {line[0][1:]: int(line[1]) for line in lines if line[0][:1] == b"-"}
        found = ours(base)
        known |= {key: n for key, n in announced.items() if found.get(key) == (None if n < 0 else value_of(n))}
        assert found == {key: value_of(n) for key, n in known.items() if n >= 0}
        if is_torn(base):
            torn += 1
            fill(base, {})
        assert stock(base) == found
    return torn


@pytest.mark.parametrize("compact_every", [0, 3])
def test_killed_writers_lose_nothing(base: str, compact_every: int) -> None:
    kill_writers(base, 20, compact_every)


def kill_converters(folder: Path, flavour: str, kills: int) -> int:
    """Kill conversions; return how many had not ended by then."""
    items, rng, unfinished = {b"%d" % n: value_of(n) for n in range(100)}, random.Random(kills), 0
    longest = 0.0  # of a conversion, in seconds: the first one is let live, to know
    for round in range(kills + 1):
        base = str(folder / f"shelf{round}")
        make_old(base, flavour, items)
        out, into = os.pipe()

        def convert(base: str = base, into: int = into) -> None:
            os.write(into, b"+")
            fill(base, {b"new": b"1"})
            os.write(into, b"-")

        pid = fork(convert)
        os.close(into)
        os.read(out, 1)
        start = time.perf_counter()
        end = start + rng.uniform(0, longest)
        while round and time.perf_counter() < end:
            pass
        if round:
            os.kill(pid, signal.SIGKILL)
        status_of(pid)
        longest = longest or 1.2 * (time.perf_counter() - start)
        new = {b"new": b"1"} if os.read(out, 1) else {}
        os.close(out)
        unfinished += not new
        assert ours(base) in (items | new, items | {b"new": b"1"}) and stock(base) == ours(base)
        fill(base, {b"end": b"2"})
        assert stock(base) == ours(base) and items.items() <= stock(base).items()
        assert dbm.whichdb(base) == "dbm.dumb"
    return unfinished


@pytest.mark.parametrize("flavour", OLD)
def test_killed_converters_lose_nothing(tmp_path: Path, flavour: str) -> None:
    kill_converters(tmp_path, flavour, 20)


# Many at once


def count_up(shelf: Shelf, times: int) -> None:
    for _ in range(times):
        with shelf.writing() as transaction:
            transaction[b"count"] = b"%d" % (int(transaction.get(b"count") or 0) + 1)


def test_threads_exclude_each_other(base: str) -> None:
    shelf = open_shelf(base)
    threads = [threading.Thread(target=count_up, args=(shelf, 100)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shelf.get(b"count") == b"400"


def write_keys(base: str, name: str, barrier: Any) -> None:
    shelf = open_shelf(base)
    shelf.compact_above = 50_000
    barrier.wait()
    for n in range(300):
        with shelf.writing() as transaction:
            transaction[f"{name}{n}".encode()] = b"value"
            transaction[b"garbage"] = b"x" * 2000
    shelf.close()


@pytest.mark.parametrize("flavour", ["dbm.dumb", *OLD])
def test_processes_lose_nothing(base: str, flavour: str) -> None:
    if flavour != "dbm.dumb":
        make_old(base, flavour, {b"old": b"1"})
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    children = [context.Process(target=write_keys, args=(base, name, barrier)) for name in "ab"]
    for child in children:
        child.start()
    for child in children:
        child.join()
    expected = {f"{name}{n}".encode() for name in "ab" for n in range(300)} | {b"garbage"}
    assert set(stock(base)) - {b"old"} == set(ours(base)) - {b"old"} == expected
    assert (b"old" in stock(base)) == (flavour != "dbm.dumb")


def rewrite_for_ever(base: str) -> None:
    shelf = open_shelf(base)
    for number in itertools.count():
        with shelf.writing() as transaction:
            for n in range(5):
                transaction[b"%d" % n] = value_of(number)
            transaction.remove([b"extra"])
        shelf.compact()


def read_until(shelf: Shelf, goal: int) -> list[int]:
    """Read until that many rounds of `rewrite_for_ever` were seen, and check each value; return the last numbers."""
    seen = [0] * 10
    while seen[0] < goal:
        for n in range(10):
            value = shelf.get(b"%d" % n) or b"-1:"
            number = int(value.partition(b":")[0])
            assert value == value_of(number) and number >= seen[n]
            seen[n] = number
        assert len(shelf) == 10
    return seen


def test_readers_see_whole_values_while_another_process_compacts(base: str) -> None:
    shelf, interval = fill(base, {b"%d" % n: value_of(0) for n in range(10)}), sys.getswitchinterval()
    pid = fork(lambda: rewrite_for_ever(base))
    try:
        assert read_until(shelf, 200)[5:] == [0] * 5
        sys.setswitchinterval(1e-6)
        with ThreadPoolExecutor(4) as pool:
            for seen in pool.map(read_until, [shelf] * 4, [400] * 4):
                assert seen[5:] == [0] * 5
    finally:
        sys.setswitchinterval(interval)
        os.kill(pid, signal.SIGKILL)
        status_of(pid)


def test_parent_and_child_exclude_each_other_after_a_fork(base: str) -> None:
    shelf = fill(base, {b"count": b"0"})
    pid = fork(lambda: count_up(shelf, 500))
    count_up(shelf, 500)
    assert status_of(pid) == 0 and shelf.get(b"count") == b"1000"


def test_a_fork_inside_a_transaction_leaves_the_lock_to_the_parent(base: str) -> None:
    shelf = fill(base, {b"key": b"value"})
    out, into = os.pipe()

    def child() -> None:
        with pytest.raises(RuntimeError):
            transaction[b"key"] = b"child's"
        transaction.__exit__(None)
        assert shelf.get(b"key") == b"value"
        os.write(into, b"reads")
        lock(os.open(base + ".dat", os.O_RDWR))
        os.write(into, b"has the lock")

    with shelf.writing() as transaction:
        pid = fork(child)
        os.close(into)
        assert os.read(out, 100) == b"reads"
        os.set_blocking(out, False)
        for _ in range(100):
            transaction[b"key"] = b"parent's"
            with pytest.raises(BlockingIOError):
                os.read(out, 100)
    assert status_of(pid) == 0 and os.read(out, 100) == b"has the lock"
    os.close(out)


if __name__ == "__main__":
    for every in (0, 3):
        with tempfile.TemporaryDirectory() as folder:
            torn = kill_writers(folder + "/shelf", int(sys.argv[1]), every)
            print(f"{sys.argv[1]} kills, a compaction every {every} writes (0: none): nothing lost, {torn} torn lines")
    for flavour in OLD:
        try:
            with tempfile.TemporaryDirectory() as folder:
                left = kill_converters(Path(folder), flavour, int(sys.argv[1]))
                print(f"{sys.argv[1]} kills of a conversion from {flavour}, {left} of them in its midst: nothing lost")
        except pytest.skip.Exception as reason:
            print(reason)
