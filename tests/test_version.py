"""One version: of the package, of what setup.cfg builds, and at the top of CHANGES.txt."""

import re
from configparser import ConfigParser
from pathlib import Path

import session3

ROOT = Path(__file__).parent.parent


def test_setup_cfg_takes_the_version_of_the_package() -> None:
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert config["metadata"]["version"] == f"attr: {session3.__name__}.__version__"


def test_changes_begin_with_the_version_of_the_package() -> None:
    changes = (ROOT / "CHANGES.txt").read_text(encoding="utf-8")
    versions = re.findall(r"^(\d\S*) \((?:unreleased|\d{4}-\d\d-\d\d)\)$", changes, re.MULTILINE)
    assert versions[:1] == [session3.__version__]
