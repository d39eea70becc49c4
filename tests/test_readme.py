"""What the README shows is run."""

import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
COMMANDS = ["make demo", "make test"]
README = (ROOT / "README.md").read_text()
PAGES = ("operations", "limits", "upgrading")


def test_its_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("quixote", reason="needs Quixote: pip install 'session3[quixote]'")
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType("readme")  # its classes are pickled by their names
    monkeypatch.setitem(sys.modules, "readme", module)
    scope = vars(module)
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 5
    for block in blocks:
        exec(block, scope)
    assert capsys.readouterr().out == "['tea'] 3600\n['tea'] 300\n3 ['milk', 'tea']\n"
    assert callable(scope["create_publisher"])


def test_its_first_screen_has_the_two_commands() -> None:
    first_screen = README.splitlines()[:24]
    assert [line.split("#")[0].strip() for line in first_screen if line.startswith("    ")] == COMMANDS
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^demo:", makefile, re.MULTILINE) and re.search(r"^test:", makefile, re.MULTILINE)


def test_its_links_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_a_page_of_the_docs_runs_and_leads_somewhere(page: str, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text()
    assert f"(docs/{page}.md)" in README
    monkeypatch.chdir(tmp_path)
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, {})
        shown = re.findall(r"print\(.*\)  # (.*?)(?:: .*)?$", block, re.MULTILINE)
        assert capsys.readouterr().out.splitlines() == shown
    assert all((ROOT / name).exists() for name in re.findall(r"tests/\w+\.py", text))
