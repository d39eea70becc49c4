"""Which process of a family of forks this is.

>>> count
0

To compare `forks.count` costs a tenth of asking the system for the process id, as is done at each use of a connection.
"""

import os

#: Forks between the first process and this one; a child of a fork has one more than its parent.
count = 0


def _after_fork() -> None:
    global count
    count += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
