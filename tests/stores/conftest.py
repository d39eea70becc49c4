"""What the tests of the stores on servers share."""

from typing import Any

from ..sessions import Clock


class ServerClock(Clock):
    """A clock for stores whose server has its own: as it advances, the times that are stored there go back as much."""

    def __init__(self, now: float) -> None:
        super().__init__(now)
        self.age_records: Any = None

    def advance(self, seconds: float) -> None:
        super().advance(seconds)
        self.age_records(seconds)
