"""Many jobs at once in one home folder: `make soak` runs ten times as many."""

import pytest
from soak import many


@pytest.mark.parametrize("way", many.WAYS)
def test_each_ends_with_its_own_answers(way):
    workers, jobs = (3, 4) if way == "processes" else (8, 5)
    assert many.run(way, workers, jobs) == []
