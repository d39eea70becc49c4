"""The naming rule, and what an import brings along."""

import ast
import inspect
import pkgutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import session3

NAMES = sorted(module.name for module in pkgutil.walk_packages(session3.__path__, "session3."))
MODULES = [name for name in NAMES if not name.endswith("__main__")]
CLASS_MODULES = [name for name in MODULES if not name.rpartition(".")[2].islower()]
DRIVERS = {
    "durus", "pymysql", "MySQLdb", "psycopg2", "psycopg", "psycopg_pool", "sqlalchemy", "redis", "cryptography",
    "gevent", "greenlet",
}  # fmt: skip
FRAMEWORKS = {"quixote", "flask", "django", "starlette", "werkzeug", "pyramid", "aiohttp"}

#: Lines of a module, and of a function without its docstring, at most: "about 250" and "few over 30", with an end.
MAX_MODULE, MAX_FUNCTION = 300, 35
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def public_classes(module: ModuleType) -> list[str]:
    classes = inspect.getmembers(module, inspect.isclass)
    return [name for name, held in classes if held.__module__ == module.__name__ and not name.startswith("_")]


def test_the_package_is_found() -> None:
    assert {"session3.Session", "session3.store.SessionStore", "session3.slots"} <= set(NAMES)


@pytest.mark.parametrize("name", CLASS_MODULES)
def test_a_module_named_as_a_class_holds_that_class(name: str) -> None:
    bare = name.rpartition(".")[2]
    module = import_module(name)
    assert getattr(module, bare).__module__ == name
    others = [other for other in public_classes(module) if other != bare]
    # A small type may stand beside its class, an equal may not.
    assert all(issubclass(getattr(module, other), (tuple, Exception)) for other in others), others


@pytest.mark.parametrize("name", [name for name in MODULES if name not in CLASS_MODULES])
def test_a_module_in_lower_case_is_not_there_for_one_class_of_its_name(name: str) -> None:
    bare = name.rpartition(".")[2]
    module = import_module(name)
    functions = [held for held in vars(module).values() if inspect.isfunction(held) and held.__module__ == name]
    classes = [held.lower() for held in public_classes(module)]
    assert classes != [bare] or any(not held.__name__.startswith("_") for held in functions)
    assert bare not in ("utils", "util", "helpers", "common", "misc")


@pytest.mark.parametrize("name", NAMES)
def test_no_module_and_no_function_is_long(name: str) -> None:
    path = inspect.getsourcefile(import_module(name)) if not name.endswith("__main__") else None
    lines = Path(path).read_text().splitlines() if path else []
    assert len(lines) <= MAX_MODULE
    functions = [node for node in ast.walk(ast.parse("\n".join(lines))) if isinstance(node, FUNCTIONS)]
    assert [node.name for node in functions if _length(node) > MAX_FUNCTION] == []


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    is_documented = ast.get_docstring(function) is not None
    start = function.body[0].end_lineno if is_documented else function.lineno - 1
    return (function.end_lineno or 0) - (start or 0)


def imported_by(code: str) -> set[str]:
    code += "; import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    run = subprocess.run([sys.executable, "-S", "-c", PATHS + code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


# -S, since what is installed here may import things as Python starts.
PATHS = f"import sys; sys.path[:0] = {sys.path!r}; "


def test_importing_session3_imports_no_framework_no_driver_and_no_lock() -> None:
    assert not imported_by("import session3") & {*FRAMEWORKS, *DRIVERS, "itsdangerous", "fcntl"}


def test_importing_every_module_imports_no_framework_and_no_driver() -> None:
    assert not imported_by(f"import {', '.join(MODULES)}") & {*FRAMEWORKS, *DRIVERS}


def test_one_module_names_the_locks_of_a_platform() -> None:
    """Elsewhere neither fcntl nor msvcrt is imported, in a function neither."""
    found = set()
    for path in Path(session3.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
            if {"fcntl", "msvcrt", "portalocker"}.intersection(names):
                found.add(path.name)
    assert found == {"locks.py"}


def test_every_module_imports_where_there_is_no_fcntl() -> None:
    """On Windows, that is: its msvcrt is stood in for by an empty module."""
    modules = ", ".join(MODULES)
    imported_by(
        f"import {modules}; import types; "
        "[sys.modules.pop(name) for name in list(sys.modules) if name.startswith('session3')]; "
        "sys.modules['fcntl'] = None; sys.modules['msvcrt'] = types.ModuleType('msvcrt'); sys.platform = 'win32'; "
        "import os; del os.pread, os.pwrite, os.O_DIRECTORY; vars(os).pop('O_TMPFILE', None); "
        f"import {modules}"
    )
