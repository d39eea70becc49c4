"""JSON of what JSON knows: by msgspec where it is installed (the extra json), else by Python's own module.

Either writes the same bytes, and reads the same value: what msgspec refuses is left to Python. The JSON of a session of
a kilobyte takes it a sixth of the time to write, and a third to read; docs/benchmarks.md has the cookie store with and
without.

>>> dumps({"cart": [1, 2.5, None]})
b'{"cart":[1,2.5,null]}'
>>> loads(_)
{'cart': [1, 2.5, None]}
"""

import json
import re
from typing import Any

try:
    import msgspec

    HAS_MSGSPEC = True
except ImportError:
    HAS_MSGSPEC = False

to_text = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode
_of_text = json.JSONDecoder().decode
_TEXTS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


def dumps(value: Any) -> bytes:
    """Return the JSON of a str, int, bool, None or float, or of lists of such, or of dicts with str keys.

    Raises ValueError for an int of more digits than Python prints. Floats are those that Python prints without an
    exponent; the others, and all other values, are written in another way, or as something else.
    """
    if HAS_MSGSPEC:
        try:
            return msgspec.json.encode(value)
        except UnicodeEncodeError:
            pass  # half of a surrogate pair
    return to_bytes(value)


def to_bytes(value: Any) -> bytes:
    """As `dumps`, and for all floats, of which nan and the infinities are no JSON."""
    return to_text(value).encode("utf-8", "surrogatepass")


def loads(data: bytes) -> Any:
    """Return the value of any JSON. Raises ValueError or RecursionError for what is none."""
    if HAS_MSGSPEC:
        try:
            return msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass  # half of a surrogate pair, or nan and the infinities; or it is no JSON
    return _of_text(data.decode("utf-8", "surrogatepass"))


def depth(data: bytes) -> int:
    """Return how deep lists and dicts are nested in some JSON, or in what only starts like one.

    >>> depth(b'[{"a": "[[["}, []'), depth(b"[" * 1000)
    (2, 1000)
    """
    level = deepest = 0
    for byte in _TEXTS.sub(b"", data):
        if byte in b"[{":
            level += 1
            deepest = max(deepest, level)
        elif byte in b"]}":
            level -= 1
    return deepest
