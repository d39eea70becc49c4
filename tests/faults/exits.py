"""A process ends while daemon threads of it are in a call of the store."""

import subprocess
import sys

from ..processes import ROOT
from .cases import Case, Figures, Kind

SITUATION = "process ends, or is told to, beside three daemon threads in a call"
_PATIENCE = 60  # seconds, after which it counts as hung
_PROGRAM = """
import signal, sys, threading
from session3 import open_store
from session3.DictSession import DictSession

signal.signal(signal.SIGTERM, lambda *_: sys.exit())
store, inside = open_store(sys.argv[1]), threading.Semaphore(0)

def work():
    store.save_session(DictSession("daemon" + str(threading.get_ident())))
    inside.release()
    while True:
        store.delete_old_sessions(1e6)

for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
for _ in range(3):
    inside.acquire()
if sys.argv[2] == "told":
    signal.raise_signal(signal.SIGTERM)
"""


def applies(kind: Kind) -> bool:
    return kind.is_server


def run(case: Case, long: bool) -> Figures:
    case.emptied().close()
    url = getattr(case.server, "url", "")
    ends = hung = failed = 0
    for how in ("by itself", "told") * (10 if long else 1):
        ends += 1
        try:
            done = subprocess.run(
                [sys.executable, "-c", _PROGRAM, url, how], cwd=ROOT, capture_output=True, timeout=_PATIENCE
            )
        except subprocess.TimeoutExpired:
            hung += 1
        else:
            failed += done.returncode != 0
    return Figures(f"{hung} hung, {failed} aborted of {ends}", hung == failed == 0)
