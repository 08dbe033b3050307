"""Workers of durable jobs, killed anywhere: nothing is lost, nothing is paid twice, nothing is torn.

How it is done stands in the folder `soak`; `make soak KILLS=2000` does more of it, and
docs/explanation/reliability.md says what came of that.
"""

import random

import pytest
from soak import campaign, tables
from soak.lane import Lane
from soak.plan import STRETCHES
from soak.verdict import KINDS
from soak.weather import Weather

from overlay import Client, Request
from overlay.server import Accept, LagList, Pace, Reset, Service

SCALE = 0.1
"""The service's delays of 1 to 5 seconds, and the grace time with them, are a tenth of that here."""
UNANSWERED = STRETCHES["taking up an unanswered create"].plan
LATE = Weather(late=0.3, lag=0.3, linger=0.0, told=Reset(), grace=1.2, part=1.0)
"""Accepts every create late, and then hides the batch."""


@pytest.mark.timeout(400)
def test_a_hundred_workers_are_killed():
    seed = random.randrange(10**6)
    outcome = campaign.run(100, scale=SCALE, count=10, seed=seed)
    assert not outcome.errors, f"seed {seed}: {outcome.errors[0]}"
    for kind in KINDS:
        findings = outcome.findings(kind)
        assert not findings, f"seed {seed}, {kind}: {findings}"
    assert outcome.kills >= 100
    assert max(outcome.in_one_job()) >= 3
    happened = " ".join(outcome.kinds())
    for touch in (
        "commit",
        "send",
        "receive",
        "write",
        "fsync",
        "rename",
        "unlink",
        "before",
        "after",
        "torn",
    ):
        assert touch in happened, f"seed {seed}"
    for name, count in outcome.enumerated.items():
        assert count > 20, name


@pytest.mark.parametrize("careless", [False, True], ids=["as it is", "looking once and sending again"])
def test_a_create_that_is_accepted_after_its_sender_died(careless):
    """The second shows that the harness sees what it looks for."""
    with Lane(0, LATE, SCALE, careless=careless) as lane:
        life = lane.live(UNANSWERED)
        lane.judge()
    assert life.deaths == list(UNANSWERED.deaths)
    assert not life.errors
    assert bool(life.faults.duplicates) == careless
    assert not life.faults.lost


def test_a_table_is_mapped_by_processes_that_are_killed():
    """With emoji, commas, line ends and empty cells; `python -m soak.tables` does it with 30,000 rows."""
    assert tables.run(2_000) == []


def test_a_batch_that_hides_for_longer_than_the_grace_is_found_cancelled_and_reported(tmp_path):
    """What is not promised: here there is a second batch, and here is what becomes of it."""
    events = []
    with (
        Service(pace=Pace(in_progress=3)) as service,
        Client(token="any", base_url=service.base_url, home=tmp_path) as client,
    ):
        service.faults.add("POST /batches", Accept(then=Reset()))
        service.faults.add("GET /batches", LagList(1.5), times=None)
        client.jobs.submit([Request("r", {"model": "m", "messages": []})], id="j", grace=0.1)
        job = client.jobs.wait("j", poll=0.1, on_change=events.append)
        assert (job.ok, job.duplicates_cancelled) == (1, 1)
        assert "duplicate" in {event.kind for event in events}
        assert [batch["status"] for batch in service.batches()] == ["completed", "cancelled"]
