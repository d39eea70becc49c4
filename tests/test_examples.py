"""Each example runs from a checkout; a store of three methods keeps what three methods can promise."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import session3
from session3.DictSession import DictSession
from session3.SessionManager import SessionManager

from .contract import StoreContract
from .servers import PATIENCE, ROOT, command, environment

EXAMPLES = ROOT / "examples"


def run(example: str, *arguments: str, folder: Path) -> tuple[int, str, str]:
    done = subprocess.run(
        command(EXAMPLES / example, *arguments),
        cwd=folder, env=environment(), capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def load(example: str) -> ModuleType:
    """Import an example, as an application that was made from it would be."""
    spec = importlib.util.spec_from_file_location(f"examples_{example}", EXAMPLES / f"{example}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_every_example_is_tested() -> None:
    # The demo has files of its own: test_demo.py and test_browser.py.
    assert {path.name for path in EXAMPLES.glob("*.py")} == {
        "quixote_app.py", "custom_manager.py", "custom_store.py", "install_store.py",
    }  # fmt: skip


# -- custom_store.py -------------------------------------------------------------------------------------------------

custom_store = load("custom_store")


class TestAStoreOfPickles(StoreContract):
    @pytest.fixture
    def store(self) -> Any:
        return custom_store.PicklingStore({})


class TestAStoreOfObjects(StoreContract):
    @pytest.fixture
    def store(self) -> Any:
        return custom_store.ObjectStore()


@pytest.mark.parametrize("make_store", [lambda: custom_store.PicklingStore({}), custom_store.ObjectStore])
def test_a_custom_store_serves_a_manager(make_store: Any) -> None:
    store = make_store()
    manager: Any = SessionManager(store, DictSession)
    visit = manager.begin(None)
    visit.session["cart"] = ["tea"]
    first = manager.finish(visit).value
    visit = manager.begin(first)
    visit.session["cart"].append("milk")
    visit.session.set_user("alice")
    second = manager.finish(visit).value
    assert second != first
    assert not store.has_session(first)
    session = manager.begin(second).session
    assert (session["cart"], session.user) == (["tea", "milk"], "alice")
    with pytest.raises(ValueError, match="needs an id"):
        store.save_session(DictSession(None))


def test_the_custom_store_example_runs(tmp_path: Path) -> None:
    assert run("custom_store.py", folder=tmp_path) == (
        0,
        "PicklingStore: ['tea', 'milk']\nPicklingStore: nothing\nObjectStore: ['tea', 'milk']\nObjectStore: nothing\n",
        "",
    )


# -- custom_manager.py -----------------------------------------------------------------------------------------------


def test_the_custom_manager_example_runs(tmp_path: Path) -> None:
    pytest.importorskip("quixote", reason="needs Quixote: pip install 'session3[quixote]'")
    status, output, errors = run("custom_manager.py", folder=tmp_path)
    assert (status, errors) == (0, "")
    blocks = [block.splitlines() for block in output.split("\n/")]
    assert [block[-1].strip() for block in blocks] == [
        "Tea is fine today.", "Welcome.  (and a cookie)", "Hello, alice.",
        "Welcome.  (and a cookie)", "Hello, alice.", "Hello, alice.",
    ]  # fmt: skip
    assert output.count("refused") == 1
    assert "(user alice) from 198.51.100.7" in output


# -- install_store.py ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["directory", "shelve", "sqlite"])
def test_the_install_example_sets_up_a_store_once(scheme: str, tmp_path: Path) -> None:
    url = f"{scheme}:///{tmp_path}/sessions"
    for _ in range(2):  # an empty one is left as it is
        status, output, errors = run("install_store.py", url, folder=tmp_path)
        assert (status, errors) == (0, "")
        assert f"SessionStore('{tmp_path}/sessions') is ready." in output
    with session3.open_store(url) as store:
        store.save_session(DictSession("example1"))
        status, output, errors = run("install_store.py", url, folder=tmp_path)
        assert (status, output) == (1, "")
        assert errors == "The store holds sessions; nothing was changed. --overwrite deletes them.\n"
        assert store.has_session("example1")
        status, output, errors = run("install_store.py", "--overwrite", url, folder=tmp_path)
        assert (status, errors) == (0, "")
        assert not store.has_session("example1")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nosuch://shop:secret@here", "unknown scheme 'nosuch'"),
        ("sqlite:////dev/null/sessions.db", "/dev/null/sessions.db"),
        ("postgresql://shop:secret@127.0.0.1:9/shop", "127.0.0.1:9/shop"),
    ],
)
def test_the_install_example_says_what_is_wrong(url: str, message: str, tmp_path: Path) -> None:
    status, output, errors = run("install_store.py", url, folder=tmp_path)
    assert (status, output) == (1, "")
    assert message in errors
    assert errors.count("\n") == 1
    assert "secret" not in errors
