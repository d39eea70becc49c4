"""Drivers: imported when a store needs one, and not before.

>>> import_driver({"math": "math", "no_such_driver": "No Such Driver"}, "all").__name__
'math'
>>> import_driver({"no_such_driver": "No Such Driver"}, "all")
Traceback (most recent call last):
    ...
session3.errors.MissingDriver: No Such Driver is not installed; run: pip install 'session3[all]'
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from .errors import MissingDriver


def import_driver(packages: Mapping[str, str], extra: str | None) -> Any:
    """Return the first of some modules that can be imported; `packages`: what pip calls each of them.

    `extra`: the one that brings the first of them; None if no extra does.

    Raises MissingDriver: of the first one that is installed and fails, if there is one, with its error chained.
    """
    missing: ImportError | None = None
    broken: tuple[str, ImportError] | None = None
    for module, package in packages.items():
        try:
            return import_module(module)
        except ImportError as error:
            if is_absent(module, error):
                missing = missing or error
            else:
                broken = broken or (package, error)
    if broken is not None:
        raise MissingDriver(broken[0], extra, broken[1]) from broken[1]
    raise MissingDriver(next(iter(packages.values())), extra) from missing


def missing_driver(package: str, extra: str, module: str, error: ImportError) -> MissingDriver:
    """Return what to raise where a driver's `module` could not be imported."""
    return MissingDriver(package, extra, None if is_absent(module, error) else error)


def is_absent(module: str, error: ImportError) -> bool:
    """Tell whether the module itself is missing, and not something that it imports, be it a part of its own."""
    top = module.partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or (error.name or "").partition(".")[0] != top:
        return False
    from importlib.util import find_spec

    try:
        return find_spec(top) is None
    except (ImportError, ValueError):  # somebody keeps it from being imported, or put None in its place
        return True
