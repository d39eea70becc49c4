"""A signal's exception between two lines of Durus: what it leaves half done is no damage to a session."""

import signal
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("durus", reason="needs Durus: pip install 'session3[durus]'")

from durus.persistent import PersistentObject

from session3.durusfiles import DurusFile
from session3.store.DurusSessionStore import DurusSessionStore

from ..contract import stored


class TimeUp(TimeoutError):
    """What the handler raises; of a kind that disks raise, too."""


@pytest.mark.parametrize("walk", ["delete_expired_sessions", "iter_sessions"])
def test_who_is_interrupted_as_a_walk_frees_its_memory_loses_no_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, walk: str
) -> None:
    with DurusSessionStore(DurusFile(str(tmp_path / "s"))) as store:
        kept = [stored(store).id for _ in range(5)]
        ghostify = PersistentObject._p_set_status_ghost

        def stop_half_way(loaded: Any) -> Any:
            if "payload" not in getattr(loaded, "data", ()):
                return ghostify(loaded)
            loaded.__setstate__({})
            raise TimeUp

        with monkeypatch.context() as patch, pytest.raises(TimeUp):
            patch.setattr(PersistentObject, "_p_set_status_ghost", stop_half_way)
            list(getattr(store, walk)())
        assert store.delete_expired_sessions() == (0, 5)
        assert [id for id in kept if store.load_session(id) is None] == []


@pytest.mark.parametrize("moment", ["is_in_place", "exists"])
def test_who_is_interrupted_as_the_file_is_looked_at_gets_that_exception(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    def ring(number: int, frame: Any) -> None:
        raise TimeUp

    def look(*arguments: Any) -> bool:
        signal.raise_signal(signal.SIGUSR2)
        return True

    with DurusSessionStore(DurusFile(str(tmp_path / "s"))) as store:
        id = stored(store).id
        before = signal.signal(signal.SIGUSR2, ring)
        try:
            with monkeypatch.context() as patch, pytest.raises(TimeUp):
                if moment == "exists":
                    store.close()
                    patch.setattr(DurusFile, "exists", look)
                else:
                    patch.setattr("session3.DurusTransactions.is_in_place", look)
                store.load_session(id)
        finally:
            signal.signal(signal.SIGUSR2, before)
        assert store.load_session(id) is not None
