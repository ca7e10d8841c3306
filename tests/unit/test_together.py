"""The same for several nodes at once."""

import gevent
import pytest

from remote.together import for_each


def test_the_results_are_in_the_items_order() -> None:
    def last_first(number: int) -> int:
        gevent.sleep(0.03 - number / 100)
        return number * 2

    assert for_each(last_first, [1, 2, 3]) == [2, 4, 6]


def test_none_goes_on_behind_the_error_of_another_one() -> None:
    ended = []

    def first_fails(number: int) -> None:
        if number == 1:
            raise ValueError(number)
        gevent.sleep(0.02)
        ended.append(number)

    with pytest.raises(ValueError, match="1"):
        for_each(first_fails, [1, 2])
    assert ended == [2]
