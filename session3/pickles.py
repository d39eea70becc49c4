"""Which class it is that a pickle can't be made an object of.

>>> from uuid import UUID
>>> pickled = PickleSerializer().dumps([UUID(int=1)]).replace(b"int", b"ink")
>>> refusing_class(PickleSerializer(), pickled), refusing_class(PickleSerializer(), pickled[:-3])
('uuid.UUID', None)
"""

import io
import pickle
import pickletools
from typing import Any

from .serializers import PickleSerializer, Serializer

#: The local variable that holds the class, or what has it, in the methods of Python's own unpickler.
_HOLDERS = {"load_reduce": "func", "load_build": "inst", "load_newobj": "cls", "load_newobj_ex": "cls"}


def refusing_class(serializer: Serializer, data: bytes) -> str | None:
    """Return the name of the class whose code fails as whole data is loaded; None: the data itself is at fault.

    Only of what Python's own unpickler was to load: another one may have refused it to keep its classes from running.
    """
    if not isinstance(serializer, PickleSerializer) or serializer.loads is not pickle.loads or not _is_whole(data):
        return None
    try:
        # The one that is written in Python: its frames tell what it was doing.
        pickle._Unpickler(io.BytesIO(data)).load()
    except Exception as error:
        return _name_of(error)
    return None


def _is_whole(data: bytes) -> bool:
    end = -1
    try:
        for _opcode, _argument, position in pickletools.genops(data):
            end = position or 0
    except Exception:  # whatever the module raises for what is no pickle
        return False
    return end == len(data) - 1


def _name_of(error: Exception) -> str | None:
    name, traceback = None, error.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        if frame.f_globals is vars(pickle) and (holder := _HOLDERS.get(frame.f_code.co_name)):
            found: Any = frame.f_locals.get(holder)
            if holder == "inst":
                found = type(found)
            name = f"{getattr(found, '__module__', '?')}.{getattr(found, '__qualname__', found)}"
        traceback = traceback.tb_next
    return name
