"""One connection for all threads, and what becomes of it in a forked child."""

from collections.abc import Callable

import pytest

from session3.connections import Shared
from session3.errors import StoreUnavailable

from .processes import is_true_in_a_fork, is_true_in_a_fork_of_c


@pytest.mark.parametrize("asks", [is_true_in_a_fork, is_true_in_a_fork_of_c])
def test_one_that_is_shared_is_of_no_use_in_a_forked_child(asks: Callable[[Callable[[], bool]], bool]) -> None:
    shared = Shared(object(), "a store")

    def is_refused() -> bool:
        with pytest.raises(StoreUnavailable, match="forked"), shared.guard():
            pass
        return True

    assert asks(is_refused)
