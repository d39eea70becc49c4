"""The two-slot file: what it promises to readers, to writers, and after a kill."""

import contextlib
import fcntl
import itertools
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from session3 import locks, slotformat, slots

KILLS = int(os.environ.get("SESSION3_KILLS", "30"))
PATIENCE = 120 + KILLS  # seconds after which something hangs


@pytest.fixture(autouse=True)
def _hanging_fails() -> Iterator[None]:
    """Make a wait for a lock that never comes an error."""

    def hangs(number: int, frame: FrameType | None) -> NoReturn:
        raise TimeoutError("hangs")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(PATIENCE)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(params=["unnamed", "named"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A path for a file that is created without a name at first, where the platform can, and with a temporary one."""
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    elif not hasattr(os, "O_TMPFILE"):
        pytest.skip("this platform has no O_TMPFILE")
    folder = tmp_path / "sessions"
    folder.mkdir()
    return str(folder / "session")


def overwrite(path: str, revision: int, body: bytes) -> None:
    with slots.writing(path) as file:
        assert file is not None
        file.overwrite(revision, body)


def held(path: str) -> tuple[int, bytes] | None:
    """Return the revision and the body of a file; None if it is damaged or not ours."""
    try:
        slot = slots.read(path)
    except slots.NotSlots:
        return None
    return None if slot is None else (slot.revision, slot.body)


def neighbours(path: str) -> list[str]:
    return sorted(os.listdir(os.path.dirname(path)))


def fork(work: Callable[[], object]) -> int:
    """Do some work in a forked child, which ends with status 0 if it went well; a child that hangs is killed."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(PATIENCE)
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def status_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def changed_part(before: bytes, after: bytes) -> tuple[int, int]:
    """Return from where to where two images of a file differ."""
    longer = max(len(before), len(after))
    before, after = before.ljust(longer, b"\0"), after.ljust(longer, b"\0")
    places = [place for place in range(longer) if before[place] != after[place]]
    return places[0], places[-1] + 1


# -- what it holds ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"x", b"y" * 4080, b"y" * 4081, b"z" * 200_000])
def test_a_new_file_holds_its_body(path: str, body: bytes) -> None:
    assert slots.create(path, 7, body) is True
    assert slots.read(path) == slots.Slot(7, body, None)
    assert neighbours(path) == ["session"]


def test_create_leaves_a_file_that_is_there_alone(path: str) -> None:
    slots.create(path, 7, b"first")
    assert slots.create(path, 8, b"second") is False
    assert held(path) == (7, b"first")
    assert neighbours(path) == ["session"]


def test_create_in_a_missing_folder_says_so(path: str) -> None:
    os.rmdir(os.path.dirname(path))
    with pytest.raises(FileNotFoundError):
        slots.create(path, 1, b"body")


def test_create_in_what_is_no_folder_is_an_os_error(path: str) -> None:
    slots.create(path, 1, b"body")
    with pytest.raises(OSError):
        slots.create(path + "/session", 1, b"body")


def test_a_missing_file_is_not_found_by_a_reader_and_none_to_a_writer(path: str) -> None:
    with pytest.raises(FileNotFoundError):
        slots.read(path)
    with slots.writing(path) as file:
        assert file is None
    assert neighbours(path) == []


def test_each_overwrite_is_what_is_read_next(path: str) -> None:
    slots.create(path, 1, b"body 1")
    for revision in range(2, 10):
        overwrite(path, revision, b"body %d" % revision)
        assert held(path) == (revision, b"body %d" % revision)


def test_a_writer_sees_what_it_overwrites(path: str) -> None:
    slots.create(path, 1, b"one")
    overwrite(path, 2, b"two")
    with slots.writing(path) as file:
        assert file is not None and file.slot == slots.Slot(2, b"two", None)


def test_a_body_that_fits_stays_in_the_same_file(path: str) -> None:
    slots.create(path, 1, b"x" * 1000)
    before = os.stat(path).st_ino
    overwrite(path, 2, b"y" * 1200)
    overwrite(path, 3, b"")
    assert os.stat(path).st_ino == before and held(path) == (3, b"")


def test_a_body_grows_and_shrinks_without_limit(path: str) -> None:
    slots.create(path, 1, b"")
    for revision, size in enumerate([4080, 4081, 5000, 16_000, 10, 70_000, 69_999, 400_000, 0, 1], start=2):
        overwrite(path, revision, b"b" * size)
        assert held(path) == (revision, b"b" * size)
        assert neighbours(path) == ["session"]


@given(bodies=st.lists(st.tuples(st.integers(1, 2**30), st.integers(0, 40_000)), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_sequence_of_sizes_and_revisions_reads_back(tmp_path: Path, bodies: list[tuple[int, int]]) -> None:
    path = str(tmp_path / "session")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    revision = 2**62
    slots.create(path, revision, b"first")
    for step, size in bodies:
        revision += step
        body = b"%d" % revision * (size // 19)
        overwrite(path, revision, body)
        assert held(path) == (revision, body)


def test_unlink_removes_the_file(path: str) -> None:
    slots.create(path, 1, b"one")
    with slots.writing(path) as file:
        assert file is not None
        file.unlink()
    assert neighbours(path) == []
    assert slots.create(path, 2, b"two") and held(path) == (2, b"two")


def test_an_error_inside_the_block_releases_the_lock(path: str) -> None:
    slots.create(path, 1, b"one")
    with pytest.raises(KeyError), slots.writing(path):
        raise KeyError
    overwrite(path, 2, b"two")
    assert held(path) == (2, b"two")


def test_files_are_for_their_owner_only(path: str) -> None:
    before = os.umask(0)
    try:
        slots.create(path, 1, b"one")
        assert os.stat(path).st_mode & 0o777 == 0o600
        overwrite(path, 2, b"x" * 10_000)
        assert os.stat(path).st_mode & 0o777 == 0o600
    finally:
        os.umask(before)


def test_no_descriptor_stays_open(path: str) -> None:
    slots.create(path, 1, b"one")
    before = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else pytest.skip("there is no /proc here")
    slots.create(path, 1, b"one")
    slots.read(path)
    overwrite(path, 2, b"x" * 10_000)
    with slots.writing(path + "0"):
        pass
    assert len(os.listdir("/proc/self/fd")) == len(before)


# -- the note --------------------------------------------------------------------------------------------------------


def write_note(path: str, note: bytes) -> None:
    with slots.writing(path) as file:
        assert file is not None
        file.write_note(note)


def test_a_note_is_read_with_the_slot_and_changes_nothing_else(path: str) -> None:
    slots.create(path, 5, b"body")
    for note in (b"first", b"", b"n" * slotformat.MAX_NOTE):
        write_note(path, note)
        assert slots.read(path) == slots.Slot(5, b"body", note)


def test_a_note_is_void_after_the_next_overwrite(path: str) -> None:
    slots.create(path, 5, b"body")
    write_note(path, b"about 5")
    overwrite(path, 6, b"body")
    assert slots.read(path) == slots.Slot(6, b"body", None)
    write_note(path, b"about 6")
    overwrite(path, 7, b"x" * 10_000)
    assert slots.read(path) == slots.Slot(7, b"x" * 10_000, None)


def test_a_note_that_was_half_written_is_no_other_note(path: str) -> None:
    slots.create(path, 5, b"body")
    write_note(path, b"old note")
    before = Path(path).read_bytes()
    write_note(path, b"NEW NOTE!")
    after = Path(path).read_bytes()
    for cut in range(*changed_part(before, after)):
        Path(path).write_bytes(after[:cut] + before[cut:])
        slot = slots.read(path)
        assert slot is not None and slot.body == b"body" and slot.note in (b"old note", b"NEW NOTE!", None)


def test_a_reader_that_meets_a_note_half_written_waits_for_it(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a session that notes keep alive would look expired."""
    slots.create(path, 5, b"body")
    write_note(path, b"old note")
    before = Path(path).read_bytes()
    write_note(path, b"NEW NOTE")
    after = Path(path).read_bytes()
    for cut in range(*changed_part(before, after)):
        Path(path).write_bytes(after[:cut] + before[cut:])
        before_the_lock(monkeypatch, lambda: Path(path).write_bytes(after))
        slot = slots.read(path)
        monkeypatch.undo()
        assert slot is not None and slot.note in (b"old note", b"NEW NOTE")


# -- damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, 5000, 20_000])
def test_a_writer_killed_at_any_byte_leaves_the_old_body(path: str, size: int) -> None:
    slots.create(path, 1, b"1" * size)
    overwrite(path, 2, b"2" * size)
    before = Path(path).read_bytes()
    overwrite(path, 3, b"3" * size)
    after = Path(path).read_bytes()
    start, end = changed_part(before, after)
    cuts = {*range(start, start + 40), *range(start, end, max(1, size // 50)), *range(end - 20, end)}
    for cut in sorted(cuts.intersection(range(start, end))):
        Path(path).write_bytes(after[:cut] + before[cut:])
        assert held(path) == (2, b"2" * size)
    Path(path).write_bytes(after[:end] + before[end:])
    assert held(path) == (3, b"3" * size)


def test_the_next_writer_spares_the_good_slot_after_a_kill(path: str) -> None:
    """The slot to write is found by checksum, not by its head: a torn head may bear the highest revision."""
    slots.create(path, 1, b"1" * 100)
    overwrite(path, 2, b"2" * 100)
    before = Path(path).read_bytes()
    overwrite(path, 3, b"3" * 100)
    after = Path(path).read_bytes()
    start, end = changed_part(before, after)
    for cut in range(start, end):
        torn = after[:cut] + before[cut:]
        Path(path).write_bytes(torn)
        overwrite(path, 4, b"4" * 100)
        again = Path(path).read_bytes()
        assert held(path) == (4, b"4" * 100)
        # And killed once more, at its start, in the middle, before its last byte:
        first, last = changed_part(torn, again)
        for second in (first, (first + last) // 2, last - 1):
            Path(path).write_bytes(again[:second] + torn[second:])
            assert held(path) == (2, b"2" * 100)


def check_damaged(path: str, notes: tuple[bytes | None, ...] = (None,)) -> None:
    """Assert that a file made of the bodies "older" and "newer" reads as one of them or as damaged, also to writers."""
    with contextlib.suppress(slots.NotSlots):
        slot = slots.read(path)
        assert slot is None or (slot.revision, slot.body) in [(1, b"older"), (2, b"newer")]
        assert slot is None or slot.note in notes
    with slots.writing(path) as file:
        assert file is not None
        assert file.slot is None or (file.slot.revision, file.slot.body) in [(1, b"older"), (2, b"newer")]


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_a_flipped_byte_anywhere_never_makes_another_body(path: str, flip: int) -> None:
    slots.create(path, 1, b"older")
    overwrite(path, 2, b"newer")
    write_note(path, b"note")
    image = Path(path).read_bytes()
    with open(path, "r+b", buffering=0) as file:
        for place, byte in enumerate(image):
            os.pwrite(file.fileno(), bytes([byte ^ flip]), place)
            check_damaged(path, (b"note", None))
            os.pwrite(file.fileno(), bytes([byte]), place)
    assert slots.read(path) == slots.Slot(2, b"newer", b"note")


def test_a_body_counts_only_if_all_of_its_bytes_are_right(path: str) -> None:
    """Every bit of a lone slot, head and body, is under the checksum."""
    slots.create(path, 1, b"older")
    image = Path(path).read_bytes()
    used = [place for place, byte in enumerate(image) if byte and place >= 4096]
    with open(path, "r+b", buffering=0) as file:
        for place, bit in itertools.product(range(min(used), len(image)), range(8)):
            os.pwrite(file.fileno(), bytes([image[place] ^ 1 << bit]), place)
            assert held(path) is None
            os.pwrite(file.fileno(), image[place : place + 1], place)
    assert held(path) == (1, b"older")


def test_a_file_cut_at_any_length_never_makes_another_body(path: str) -> None:
    slots.create(path, 1, b"older")
    overwrite(path, 2, b"newer")
    for length in reversed(range(os.path.getsize(path) + 1)):
        os.truncate(path, length)
        check_damaged(path)


@pytest.mark.parametrize("garbage", [b"", b"\0", b"{", b"\0" * 4096, b"\xff" * 20_000, b"<html>" * 3000])
def test_what_is_not_ours_is_not_slots_and_can_be_overwritten(path: str, garbage: bytes) -> None:
    Path(path).write_bytes(garbage)
    with pytest.raises(slots.NotSlots):
        slots.read(path)
    with slots.writing(path) as file:
        assert file is not None and file.slot is None
        assert file.starts_with(garbage[:2]) and not file.starts_with(b"?")
        file.overwrite(9, b"body")
    assert held(path) == (9, b"body")
    assert neighbours(path) == ["session"]


@given(
    head=st.binary(max_size=60),
    tail=st.binary(max_size=200),
    length=st.sampled_from([0, 100, 4096, 4100, 8192, 8200, 20_000]),
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_garbage_after_our_magic_is_damaged_and_nothing_else(
    tmp_path: Path, head: bytes, tail: bytes, length: int
) -> None:
    path = str(tmp_path / "garbage")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    slots.create(path, 1, b"")
    magic = Path(path).read_bytes()[:8]
    Path(path).write_bytes((magic + head).ljust(length, b"\0") + tail)
    assert held(path) is None
    overwrite(path, 9, b"body")
    assert held(path) == (9, b"body")


def test_lengths_that_no_file_has_cost_no_memory(path: str) -> None:
    """A damaged head may claim gigabytes; the reader must not ask for them."""
    slots.create(path, 1, b"body")
    image = bytearray(Path(path).read_bytes())
    image[8:12] = b"\xff" * 4  # the size of a slot
    image[4096 + 8 : 4096 + 12] = b"\x00\xff\xff\xff"  # the length of a body
    Path(path).write_bytes(image)

    def read_in_little_memory() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
        assert held(path) is None

    assert status_of(fork(read_in_little_memory)) == 0


# -- others at the same time -----------------------------------------------------------------------------------------


def before_the_lock(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Let something happen while the next writer, which has opened the file, waits for its lock."""
    real = locks.lock

    def lock(fd: int) -> None:
        monkeypatch.setattr(locks, "lock", real)
        happens()
        real(fd)

    monkeypatch.setattr(locks, "lock", lock)


def test_a_writer_follows_a_file_that_was_replaced_while_it_waited(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    slots.create(path, 1, b"one")
    before_the_lock(monkeypatch, lambda: overwrite(path, 2, b"x" * 10_000))
    with slots.writing(path) as file:
        assert file is not None and file.slot == slots.Slot(2, b"x" * 10_000, None)
        file.overwrite(3, b"three")
    assert held(path) == (3, b"three")


def test_a_writer_sees_none_if_the_file_was_removed_while_it_waited(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    slots.create(path, 1, b"one")
    before_the_lock(monkeypatch, lambda: os.unlink(path))
    with slots.writing(path) as file:
        assert file is None
    assert neighbours(path) == []


def test_a_writer_sees_the_new_file_if_the_old_one_was_removed_and_came_back(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slots.create(path, 1, b"one")

    def come_back() -> None:
        os.rename(path, path + ".gone")  # kept, or its inode might be used again
        slots.create(path, 100, b"another")

    before_the_lock(monkeypatch, come_back)
    with slots.writing(path) as file:
        assert file is not None and file.slot == slots.Slot(100, b"another", None)


def test_a_reader_that_opened_a_file_reads_it_though_it_is_replaced(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    slots.create(path, 1, b"one")
    real = os.open

    def open_then_replace(name: Any, flags: int, *mode: int) -> int:
        fd = real(name, flags, *mode)
        monkeypatch.setattr(os, "open", real)
        overwrite(path, 2, b"x" * 10_000)
        os.unlink(path)
        return fd

    monkeypatch.setattr(os, "open", open_then_replace)
    assert held(path) == (1, b"one")


def test_readers_wait_for_no_lock(path: str) -> None:
    slots.create(path, 1, b"one")
    with slots.writing(path):
        assert status_of(fork(lambda: slots.read(path))) == 0


class HalfSteps:
    """A writer that goes on by so many half overwrites before each of the reader's calls."""

    def __init__(self, fd: int, halves: list[tuple[bytes, int]], timing: tuple[int, ...]) -> None:
        self.fd = fd
        self.halves = iter(halves)
        self.timing = iter(timing)
        self.written = 0

    def step(self) -> None:
        for data, offset in itertools.islice(self.halves, 1):
            os.pwrite(self.fd, data, offset)
            self.written += 1

    def before(self, pread: Callable[[int, int, int], bytes]) -> Callable[[int, int, int], bytes]:
        def call(fd: int, length: int, offset: int) -> bytes:
            for _ in range(next(self.timing, 0)):
                self.step()
            return pread(fd, length, offset)

        return call

    def before_lock(self, lock: Callable[[int], object]) -> Callable[[int], None]:
        """The reader's lock: a real writer has finished when it is free, and no other can begin."""

        def call(fd: int) -> None:
            if self.written % 2:
                self.step()
            self.timing = iter(())
            lock(fd)

        return call


@pytest.mark.parametrize("sizes", [(50_000, 50_000), (1000, 50_000), (50_000, 1000)])
def test_a_reader_among_writers_finds_what_was_saved_before_it_came_or_newer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, int]
) -> None:
    """Between a reader's system calls an overwrite goes half a step on, or one is finished and the next begins.

    `sizes` are those of the bodies in the two slots; half of the large one is more than the first call reads.
    """
    path = str(tmp_path / "session")

    def body(revision: int) -> bytes:
        return b"%d" % revision * sizes[1 - revision % 2]

    slots.create(path, 1, b"1" * 50_000)
    for revision in (2, 3, 4):
        overwrite(path, revision, body(revision))
    images = [Path(path).read_bytes()]
    for revision in range(5, 10):
        overwrite(path, revision, body(revision))
        images.append(Path(path).read_bytes())
    halves = []
    for before, after in itertools.pairwise(images):
        start, end = changed_part(before, after)
        middle = (start + end) // 2
        halves += [(after[start:middle], start), (after[middle:end], middle)]
    real_pread, real_lock = slotformat.pread, locks.lock
    for timing in itertools.product((0, 1, 2), repeat=9):
        if timing.count(0) < 6:
            continue  # three strokes of bad luck are enough
        Path(path).write_bytes(images[0])
        with open(path, "r+b", buffering=0) as file:
            writer = HalfSteps(file.fileno(), halves, timing)
            pread, lock = writer.before(real_pread), writer.before_lock(real_lock)
            monkeypatch.setattr(slotformat, "pread", pread)
            monkeypatch.setattr(locks, "lock", lock)
            slot = slots.read(path)
            monkeypatch.setattr(slotformat, "pread", real_pread)
            monkeypatch.setattr(locks, "lock", real_lock)
        assert slot is not None, timing
        assert slot.revision >= 4 and slot.body == body(slot.revision), timing


@pytest.fixture
def live_on() -> Iterator[Callable[[], None]]:
    """Return what a forked child does until the test is over."""
    stay, leave = os.pipe()

    def live_on() -> None:
        os.close(leave)
        os.read(stay, 1)

    yield live_on
    os.close(leave)
    os.close(stay)


def test_a_forked_child_keeps_no_lock_of_its_parent(path: str, live_on: Callable[[], None]) -> None:
    """A server may fork a worker in one thread while another one saves."""
    slots.create(path, 1, b"one")
    with slots.writing(path):
        pid = fork(live_on)
    signal.alarm(10)
    overwrite(path, 2, b"two")
    os.kill(pid, signal.SIGKILL)
    assert status_of(pid) == -signal.SIGKILL  # it was there


def test_the_lock_of_a_killed_process_goes_though_its_child_lives_on(path: str, live_on: Callable[[], None]) -> None:
    slots.create(path, 1, b"one")

    def be_killed() -> None:
        with slots.writing(path):
            fork(live_on)
            os.kill(os.getpid(), signal.SIGKILL)

    assert status_of(fork(be_killed)) == -signal.SIGKILL
    signal.alarm(10)
    overwrite(path, 2, b"two")


def test_a_forked_child_leaves_the_file_and_the_lock_to_its_parent(path: str) -> None:
    slots.create(path, 1, b"one")
    with slots.writing(path) as file:
        assert file is not None

        def leave() -> None:
            with pytest.raises(OSError):
                file.overwrite(2, b"two")
            file.__exit__()

        assert status_of(fork(leave)) == 0
        with open(path, "rb") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.overwrite(2, b"mine")
    assert held(path) == (2, b"mine")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it was not closed, that's the point
def test_what_a_signal_kept_from_its_end_holds_no_lock(path: str) -> None:
    """A signal's exception can come between the lock and the block, or before the end of the block has begun."""
    slots.create(path, 1, b"one")
    opened = slots.writing(path)
    assert opened.__enter__() is not None
    del opened
    with open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_slot_file_that_is_entered_again_has_seen_nothing(path: str) -> None:
    slots.create(path, 1, b"one")
    opened = slots.writing(path)
    with opened as file:
        assert file is not None and file.slot is not None
    assert opened.fd == -1  # by now somebody else's file may have that number
    with open(path, "wb") as other:
        other.write(b"somebody else's")
    with opened as file:
        assert file is not None and file.slot is None


def test_counting_processes_lose_nothing(path: str) -> None:
    """Four processes add to one number, in a body that outgrows its slot again and again."""
    slots.create(path, 1, b"0")

    def count() -> None:
        for _ in range(200):
            with slots.writing(path) as file:
                assert file is not None and file.slot is not None
                number = int(file.slot.body.split(b".")[0]) + 1
                file.overwrite(file.slot.revision + 1, b"%d" % number + b"." * (number * 50))

    children = [fork(count) for _ in range(4)]
    assert [status_of(pid) for pid in children] == [0] * 4
    found = held(path)
    assert found is not None and found[0] == 801 and found[1].rstrip(b".") == b"800"
    assert neighbours(path) == ["session"]


def test_of_processes_that_create_one_name_at_once_one_succeeds(path: str) -> None:
    for number in range(25):
        name = f"{path}-{number}"
        waiting, start = os.pipe()

        def create(child: int, name: str = name, waiting: int = waiting, start: int = start) -> None:
            os.close(start)
            os.read(waiting, 1)
            if not slots.create(name, child, b"%d" % child * 5000):
                os._exit(77)

        children = [fork(lambda child=child: create(child)) for child in (1, 2, 3, 4)]  # type: ignore[misc]
        os.close(start)
        os.close(waiting)
        statuses = [status_of(pid) for pid in children]
        assert sorted(statuses) == [0, 77, 77, 77]
        winner = statuses.index(0) + 1
        assert held(name) == (winner, b"%d" % winner * 5000)
        os.unlink(name)
        assert neighbours(path) == []


# -- temporary files -------------------------------------------------------------------------------------------------


def test_litter_is_swept(path: str) -> None:
    temporary = slots.temporary_name(path)
    Path(temporary).write_bytes(b"half a fi")
    slots.sweep_temporary(temporary)
    assert neighbours(path) == []
    slots.sweep_temporary(temporary)


def test_litter_hinders_nobody(path: str) -> None:
    for make in (lambda: slots.create(path, 1, b"one"), lambda: overwrite(path, 2, b"x" * 10_000)):
        Path(slots.temporary_name(path)).write_bytes(b"y" * 100_000)
        make()
    assert held(path) == (2, b"x" * 10_000)
    assert os.path.getsize(path) < 50_000


def test_a_temporary_file_in_use_survives_the_sweep(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its writer renames it while the sweeper, which has opened it, waits."""
    slots.create(path, 1, b"one")
    growing = path + "-grown"
    slots.create(growing, 2, b"two")
    temporary = slots.temporary_name(path)
    os.rename(growing, temporary)
    before_the_lock(monkeypatch, lambda: os.replace(temporary, path))
    slots.sweep_temporary(temporary)
    assert held(path) == (2, b"two")


def test_a_sweeper_beside_growing_writers_takes_nothing_away(path: str) -> None:
    slots.create(path, 1, b"")
    stay, leave = os.pipe()
    os.set_blocking(stay, False)

    def sweep() -> None:
        os.close(leave)
        while True:
            slots.sweep_temporary(slots.temporary_name(path))
            with contextlib.suppress(BlockingIOError):
                if os.read(stay, 1) == b"":
                    return

    sweepers = [fork(sweep) for _ in range(2)]
    for revision in range(2, 150):
        overwrite(path, revision, b"x" * (revision * 5000))
        assert held(path) == (revision, b"x" * (revision * 5000))
    os.close(leave)
    os.close(stay)
    assert [status_of(pid) for pid in sweepers] == [0, 0]


@pytest.mark.parametrize("act", ["grow", "create", "sweep"])
def test_a_create_killed_before_it_cleaned_up_leaves_a_whole_session(path: str, act: str) -> None:
    """Killed between link and unlink, the temporary name is a second one of the finished file."""
    slots.create(path, 1, b"one")
    os.link(path, slots.temporary_name(path))
    signal.alarm(10)
    if act == "create":
        assert slots.create(path, 2, b"two") is False
        assert held(path) == (1, b"one")
    elif act == "sweep":
        slots.sweep_temporary(slots.temporary_name(path))
        assert held(path) == (1, b"one")
        assert neighbours(path) == ["session"]
    else:
        overwrite(path, 2, b"x" * 10_000)
        assert held(path) == (2, b"x" * 10_000)
        assert neighbours(path) == ["session"]


# -- a full disk -----------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = shutil.which("mount")
    if command is None or sys.platform != "linux":
        pytest.skip("there is no mount command for a small disk")
    made = subprocess.run([command, "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("only root may mount a small disk")
    yield disk
    subprocess.run(["umount", disk], check=True)


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 1024)
    return filler


def test_on_a_full_disk_a_save_fails_and_the_old_body_stays(small_disk: Path) -> None:
    path = str(small_disk / "session")
    slots.create(path, 1, b"old")
    filler = fill(small_disk)
    with pytest.raises(OSError):
        overwrite(path, 2, b"new")  # into a slot that has no blocks yet
    assert held(path) == (1, b"old")
    filler.unlink()
    overwrite(path, 3, b"newer")
    assert held(path) == (3, b"newer")


def test_on_a_full_disk_a_file_with_both_slots_can_be_saved(small_disk: Path) -> None:
    path = str(small_disk / "session")
    slots.create(path, 1, b"body 1")
    overwrite(path, 2, b"body 2")
    fill(small_disk)
    for revision in range(3, 10):
        overwrite(path, revision, b"body %d" % revision)
        write_note(path, b"note")
        assert slots.read(path) == slots.Slot(revision, b"body %d" % revision, b"note")


def test_on_a_full_disk_growing_fails_and_leaves_no_litter(small_disk: Path) -> None:
    path = str(small_disk / "session")
    slots.create(path, 1, b"old")
    with pytest.raises(OSError):
        overwrite(path, 2, b"x" * 100_000)
    assert held(path) == (1, b"old")
    assert os.listdir(small_disk) == ["session"]


@pytest.mark.parametrize("named", [False, True])
def test_on_a_full_disk_a_new_file_fails_and_leaves_nothing(
    small_disk: Path, named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if named:
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    with pytest.raises(OSError):
        slots.create(str(small_disk / "session"), 1, b"x" * 100_000)
    assert os.listdir(small_disk) == []


def test_a_write_that_is_refused_half_way_leaves_the_old_body(path: str) -> None:
    """The limit of a file's size stands for the full disk where nobody may mount one."""
    slots.create(path, 1, b"1" * 3000)

    def save_in_little_space() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192 + 1000, 8192 + 1000))
        for size in (3000, 50_000):
            with pytest.raises(OSError):
                overwrite(path, 2, b"2" * size)
            assert held(path) == (1, b"1" * 3000)

    assert status_of(fork(save_in_little_space)) == 0
    assert held(path) == (1, b"1" * 3000)
    overwrite(path, 3, b"3" * 3000)
    assert held(path) == (3, b"3" * 3000)


# -- kill -9 ---------------------------------------------------------------------------------------------------------


def body_of(revision: int, size: int) -> bytes:
    return (b"%d " % revision).ljust(size, b"%d" % (revision % 10))


def check_body(slot: slots.Slot | None) -> int:
    assert slot is not None, "missing"
    assert slot.body == body_of(slot.revision, len(slot.body)), "torn"
    return slot.revision


def read_on(path: str, end: int) -> None:
    """Read until the pipe ends; every read must find a whole body that is no older than the one before."""
    os.set_blocking(end, False)
    last = 0
    while True:
        revision = check_body(slots.read(path))
        assert revision >= last, "went backwards"
        last = revision
        with contextlib.suppress(BlockingIOError):
            if os.read(end, 1) == b"":
                return


def write_on(path: str, sizes: list[int], report: int) -> None:
    """Overwrite until killed, and report each revision once it is saved."""
    while True:
        with slots.writing(path) as file:
            assert file is not None and file.slot is not None
            revision = file.slot.revision + 1
            file.overwrite(revision, body_of(revision, random.choice(sizes)))
        os.write(report, revision.to_bytes(8, "big"))


def kill_a_writer(path: str, sizes: list[int], reports: int) -> int:
    """Kill a writer with SIGKILL after some reports; return the last revision that it reported."""
    heard, report = os.pipe()
    pid = fork(lambda: write_on(path, sizes, report))
    os.close(report)
    saved = 0
    for _ in range(reports):
        saved = int.from_bytes(os.read(heard, 8), "big")
    os.kill(pid, signal.SIGKILL)
    assert status_of(pid) == -signal.SIGKILL
    while word := os.read(heard, 8):  # what it reported before it died was saved too
        saved = int.from_bytes(word, "big")
    os.close(heard)
    return saved


@pytest.mark.parametrize("sizes", [[1000], [20_000], [200_000], [1000, 20_000, 200_000]])
def test_kill_9_loses_no_saved_body_and_disturbs_no_reader(path: str, sizes: list[int]) -> None:
    slots.create(path, 1, body_of(1, sizes[0]))
    stay, leave = os.pipe()

    def read() -> None:
        os.close(leave)
        read_on(path, stay)

    readers = [fork(read) for _ in range(2)]
    try:
        for _ in range(KILLS):
            saved = kill_a_writer(path, sizes, random.randint(1, 60))
            assert check_body(slots.read(path)) >= saved
    finally:
        os.close(leave)
        os.close(stay)
        statuses = [status_of(pid) for pid in readers]
    assert statuses == [0, 0]
    assert [name for name in neighbours(path) if not name.startswith(".")] == ["session"]


def test_kill_9_while_a_body_grows_loses_no_saved_body(path: str) -> None:
    """The file is renamed over again and again; what a kill leaves is one temporary file at most."""
    for _ in range(KILLS):
        slots.create(path, 1, body_of(1, 10))
        saved = kill_a_writer(path, list(range(10, 400_000, 1000)), random.randint(1, 12))
        assert check_body(slots.read(path)) >= saved
        temporary = slots.temporary_name(path)
        assert set(neighbours(path)) <= {"session", os.path.basename(temporary)}
        slots.sweep_temporary(temporary)
        assert neighbours(path) == ["session"]
        os.unlink(path)


def test_kill_9_while_a_file_is_made_leaves_all_of_it_or_nothing(path: str) -> None:
    for _ in range(KILLS):
        heard, report = os.pipe()

        def make(report: int = report) -> None:
            for number in itertools.count():
                slots.create(f"{path}-{number}", 1, body_of(1, 20_000))
                os.write(report, b".")

        pid = fork(make)
        os.close(report)
        for _ in range(random.randint(1, 20)):
            os.read(heard, 1)
        os.kill(pid, signal.SIGKILL)
        status_of(pid)
        os.close(heard)
        for name in neighbours(path):
            file = os.path.join(os.path.dirname(path), name)
            if name.startswith("."):
                slots.sweep_temporary(file)
            else:
                check_body(slots.read(file))
                overwrite(file, 2, body_of(2, 50_000))
                os.unlink(file)
        assert neighbours(path) == []
