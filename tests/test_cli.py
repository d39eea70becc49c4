"""The session3 command, as a shell runs it."""

import os
import pty
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from session3 import __version__, open_store
from session3.store.ServerSQLSessionStore import ServerSQLSessionStore

from .contract import stored
from .servers import PATIENCE, environment


def session3(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "session3", *arguments],
        env=environment(), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def at_a_terminal(answer: str, *arguments: str) -> tuple[int, str]:
    """Run the command for somebody who types `answer` where he is asked; return its exit code, and what he sees."""
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "session3", *arguments],
        env=environment(), stdin=its, stdout=its, stderr=its,
    )  # fmt: skip
    os.close(its)
    seen = b""
    while select.select([ours], [], [], PATIENCE)[0]:
        try:
            some = os.read(ours, 4096)
        except OSError:  # it ended
            break
        if not some:
            break
        if b"[y/N]" in some:
            os.write(ours, answer.encode() + b"\n")
        seen += some
    os.close(ours)
    return process.wait(PATIENCE), seen.decode()


@pytest.fixture(params=["directory", "shelve", "sqlite", "durus", "redis", "postgresql", "mysql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "redis":
        pytest.importorskip("redis")
        return f"{request.getfixturevalue('redis_server').url}?prefix={tmp_path.name}:"
    if request.param in ("postgresql", "mysql"):
        server = request.getfixturevalue("postgres" if request.param == "postgresql" else "mariadb")
        store: Any = open_store(f"{server.url}?table=of_the_command")
        assert isinstance(store, ServerSQLSessionStore)
        store._change("DROP TABLE IF EXISTS of_the_command", ())
        store.close()
        return f"{server.url}?table=of_the_command"
    return f"{request.param}:///{tmp_path}/sessions"


@pytest.fixture(scope="module")
def redis_server() -> Any:
    from .redis_server import RedisServer

    with RedisServer() as server:
        yield server


def test_setup_is_a_step_of_each_deploy(url: str) -> None:
    for _ in range(2):
        done = session3("setup", url)
        assert (done.returncode, done.stderr) == (0, "") and "is set up" in done.stdout
    with open_store(url) as store:
        session = stored(store)
        store.close()
        done = session3("setup", url)
        assert (done.returncode, done.stderr) == (0, "") and "its sessions stay" in done.stdout
        assert len(done.stdout.splitlines()) == 1
        assert store.load_session(session.id).user == "alice"
        store.close()
        done = session3("check", url)
        assert (done.returncode, done.stderr) == (0, "") and "is ready" in done.stdout


def test_overwriting_wants_a_person_or_a_yes(url: str) -> None:
    with open_store(url) as store:
        store.setup()
        sessions = [stored(store) for _ in range(3)]
        store.close()
        done = session3("setup", url, "--overwrite")
        assert (done.returncode, done.stdout) == (2, "") and len(done.stderr.splitlines()) == 1
        assert "holds 3 sessions" in done.stderr and "--yes" in done.stderr
        code, seen = at_a_terminal("n", "setup", url, "--overwrite")
        assert code == 1 and "holds 3 sessions" in seen and "nothing was deleted" in seen
        assert all(store.has_session(session.id) for session in sessions)
        store.close()  # of a Durus file there is one process at a time
        code, seen = at_a_terminal("y", "setup", url, "--overwrite")
        assert code == 0 and "and empty" in seen
        assert not any(store.has_session(session.id) for session in sessions)
        session = stored(store)
        store.close()
        done = session3("setup", url, "--overwrite", "--yes")
        assert (done.returncode, done.stderr) == (0, "") and "and empty" in done.stdout
        assert not store.has_session(session.id)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mongo://user:secret@host/db", "unknown scheme 'mongo'"),
        ("postgresql://user:secret@127.0.0.1:9/db", "127.0.0.1:9"),
        ("mysql://user:secret@127.0.0.1:9/db", "127.0.0.1:9"),
        ("redis://user:secret@127.0.0.1:9/0", "127.0.0.1:9"),
        ("redis+cluster://user:secret@127.0.0.1:9", "127.0.0.1:9"),
        ("mysql://user:secret@127.0.0.1:port/db", "port"),
        ("mysql://user:12/secret@127.0.0.1/db", "not quoted"),
        ("directory:///dev/null/sessions", "/dev/null/sessions"),
        ("durus://127.0.0.1:9", "127.0.0.1"),
    ],
)
def test_what_goes_wrong_is_one_line_without_a_password(url: str, said: str) -> None:
    commands: list[tuple[str, ...]] = [("setup", url)]
    if url.startswith(("postgresql", "redis:")):
        commands += [("check", url), ("setup", url, "--overwrite"), ("setup", url, "--overwrite", "--yes")]
    for command in commands:
        done = session3(*command)
        assert done.returncode == 1 and done.stdout == ""
        assert said in done.stderr and len(done.stderr.splitlines()) == 1
        assert "secret" not in done.stderr and "Traceback" not in done.stderr


def test_a_store_that_was_never_set_up_is_not_ready(postgres: Any) -> None:
    done = session3("check", f"{postgres.url}?table=never_made")
    assert (done.returncode, done.stdout) == (1, "") and "session3 setup URL" in done.stderr


def test_a_driver_that_is_missing_is_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.modules['redis'] = None; from session3.cli import main; main()",
         "setup", "redis://h:secret@h/0"],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "") and len(done.stderr.splitlines()) == 1
    assert "pip install 'session3[redis]'" in done.stderr


def test_a_password_in_the_words_of_a_driver_is_not_repeated() -> None:
    from session3.cli import _without_password

    url = "postgresql://user:p%2Fw%20d@h/db"
    assert _without_password("no 'p/w d', no p%2Fw%20d", url) == "no '***', no ***"
    assert _without_password("as it is", "no url") == "as it is"


def test_version_and_help() -> None:
    assert __version__ in session3("--version").stdout
    assert "setup" in session3("--help").stdout
    assert "--overwrite" in session3("setup", "--help").stdout
    assert session3("set-up").returncode == 2
