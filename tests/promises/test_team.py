"""A team on one key: three homes in one project, killed at random, and nobody touches what is another's.

How it is done stands in `soak.team`; `make soak TEAM=20` does more of it.
"""

import random
from collections import Counter

import pytest
from soak import team


@pytest.mark.timeout(240)
def test_three_homes_share_a_project():
    happened: Counter[str] = Counter()
    for _ in range(5):
        seed = random.randrange(10**6)
        outcome = team.run(1, scale=0.1, seed=seed)
        assert not outcome.findings, f"seed {seed}: {outcome.findings[0]}"
        happened.update(kills=outcome.kills, foreign=outcome.foreign, cleaned=outcome.cleaned)
        # Most runs are enough; a worker that ends before its kill is due makes a quiet one.
        if min(happened.values()) >= 3:
            break
    assert min(happened.values()) >= 3, happened
