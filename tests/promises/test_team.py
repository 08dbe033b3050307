"""A team on one key: three homes in one project, killed at random, and nobody touches what is another's.

How it is done stands in `soak.team`; `make soak TEAM=20` does more of it.
"""

import random

import pytest
from soak import team


@pytest.mark.timeout(240)
def test_three_homes_share_a_project():
    seed = random.randrange(10**6)
    outcome = team.run(1, scale=0.1, seed=seed)
    assert not outcome.findings, f"seed {seed}: {outcome.findings[0]}"
    # Something did happen.
    assert outcome.kills >= 3
    assert outcome.foreign >= 3
    assert outcome.cleaned >= 3
