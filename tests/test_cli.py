"""The session3 command, as a shell runs it."""

import subprocess
import sys
from pathlib import Path

import pytest

from session3 import __version__, open_store

from .contract import stored
from .servers import environment


def session3(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "session3", *arguments],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_setup_creates_what_is_missing_and_says_so(tmp_path: Path) -> None:
    for _ in range(2):
        done = session3("setup", f"sqlite:///{tmp_path}/sessions.db")
        assert (done.returncode, done.stderr) == (0, "")
        assert f"{tmp_path}/sessions.db" in done.stdout and "is set up" in done.stdout
    assert (tmp_path / "sessions.db").exists()


def test_setup_refuses_to_delete_sessions(tmp_path: Path) -> None:
    url = f"directory:///{tmp_path}/sessions"
    with open_store(url) as store:
        session = stored(store)
        done = session3("setup", url)
        assert done.returncode == 1 and done.stdout == ""
        assert "--overwrite" in done.stderr and len(done.stderr.splitlines()) == 1
        assert store.has_session(session.id)
        done = session3("setup", url, "--overwrite")
        assert done.returncode == 0 and "empty" in done.stdout
        assert not store.has_session(session.id)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mongo://user:secret@host/db", "unknown scheme 'mongo'"),
        ("postgresql://user:secret@127.0.0.1:9/db", "127.0.0.1:9"),
        ("mysql://user:secret@127.0.0.1:9/db", "127.0.0.1:9"),
        ("mysql://user:secret@127.0.0.1:port/db", "port"),
        ("directory:///dev/null/sessions", "/dev/null/sessions"),
    ],
)
def test_what_goes_wrong_is_one_line_without_a_password(url: str, said: str) -> None:
    done = session3("setup", url)
    assert done.returncode == 1 and done.stdout == ""
    assert said in done.stderr and len(done.stderr.splitlines()) == 1
    assert "secret" not in done.stderr and "Traceback" not in done.stderr


def test_version_and_help() -> None:
    assert __version__ in session3("--version").stdout
    assert "setup" in session3("--help").stdout
    assert "--overwrite" in session3("setup", "--help").stdout
