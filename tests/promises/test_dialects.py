"""A job at services with ways of their own, its process killed: a small part of `make test-dialects`."""

import random

import pytest
from soak import dialects


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("together", "blocking"),
        ("mistral", "asyncio"),
        ("azure", "command"),
        ("voyage", "asyncio"),
        ("litellm", "blocking"),
        ("production-stack", "command"),
    ],
)
def test_a_job_that_is_killed_goes_on(name, way):
    seed = random.randrange(10**6)
    outcome = dialects.run(name, way, count=120, kills=2, seed=seed)
    assert not outcome.findings, f"seed {seed}: {outcome.findings}"
    assert outcome.kills == 2
