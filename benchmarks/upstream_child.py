"""What runs in the environment of session3 3.4.1: it answers questions, lines of JSON, and times its own calls."""

import gc
import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from session3.DictSession import DictSession
from session3.SessionManager import SessionManager
from session3.store.DirectorySessionStore import DirectorySessionStore

ROOT = Path(__file__).parent.parent
assert not Path(sys.modules["session3"].__file__).is_relative_to(ROOT / "session3"), "this is our own session3"
sys.path.append(str(ROOT))  # last, so that of the two session3 the installed one stays the one that is found

from benchmarks.contenders import Servers, Timed  # noqa: E402
from benchmarks.quixote_sites import BareQuixote, QuixoteSite  # noqa: E402


class Site(QuixoteSite):
    name = "session3 3.4.1 Directory"

    def _make_manager(self, folder: Path, servers: Servers, stack: ExitStack) -> Any:
        return SessionManager(DirectorySessionStore(str(folder / "sessions"), create=True), DictSession)


class Store(Timed):
    """The store alone; its read-only request ends as each of its manager's requests does: with a save."""

    def __init__(self, site: Site) -> None:
        self.store, self.id = site.manager.store, site.cookie.partition("=")[2].strip('"')
        self.session = self.store.load_session(self.id)

    def load(self) -> Any:
        return self.store.load_session(self.id)

    def save(self, number: int) -> None:
        self.session["visits"] = number
        self.store.save_session(self.session)

    def read_only(self) -> None:
        session = self.store.load_session(self.id)
        session._set_access_time(SessionManager.ACCESS_TIME_RESOLUTION)
        session["name"]
        if session.has_info():
            self.store.save_session(session)


def main(folder: str) -> None:
    with ExitStack() as stack:
        given = Path(folder), Servers(stack), stack
        bare, site, store = BareQuixote(*given), Site(*given), Store(Site(*given))
        answer_questions({"bare": bare, "site": site, "store": store})


def answer_questions(subjects: dict[str, Any]) -> None:
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        question, *arguments = json.loads(line)
        gc.disable()
        if question == "turn":
            subject, operation, number = arguments
            answer: Any = subjects[subject].turn(operation, number)
        else:
            answer = subjects["store"].load()["visits"]
        gc.enable()
        print(json.dumps(answer), flush=True)


main(sys.argv[1])
