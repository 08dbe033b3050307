"""A batch is created once, however late, lost or hidden the service's answer is."""

import pytest
from fake_service import FakeService
from job_steps import chats, custom_ids
from step_clock import StepClock

from overlay import Limits, WaitTimeoutError

GRACE = 180.0


@pytest.fixture
def fake():
    return FakeService(StepClock())


@pytest.fixture
def clock(fake):
    return fake.clock


@pytest.fixture
def api(connect, fake):
    return connect("https://api.example/v1", transport=fake.transport, clock=fake.clock)


@pytest.fixture
def events():
    return []


@pytest.fixture
def submit(api, events):
    def submit(count=2, **options):
        return api.jobs.submit(chats(count), id="j", on_change=events.append, **options)

    return submit


@pytest.fixture
def finish(api, fake, events):
    """Let every batch complete, and the job end."""

    def finish():
        while True:
            for batch in fake.live():
                fake.complete(batch)
            try:
                return api.jobs.wait("j", timeout=600, on_change=events.append)
            except WaitTimeoutError:
                pass

    return finish


def kinds(events):
    return [event.kind for event in events]


def test_one_batch_is_created(fake, submit, finish):
    job = submit()
    assert [shard.state for shard in job.shards] == ["created"]
    (batch,) = fake.batches.values()
    assert batch.key == ("j", "1", "0")
    assert batch.body["endpoint"] == "/v1/chat/completions"
    assert batch.body["completion_window"] == "24h"
    assert fake.files[batch.body["input_file_id"]].name == "overlay-j-00001-0.jsonl"
    assert finish().ok == 2
    assert fake.count("POST", "/batches") == 1


def test_what_the_caller_asks_for_goes_along(fake, submit):
    submit(completion_window="7d", metadata={"run": "7"}, output_expires_after=3600)
    (batch,) = fake.batches.values()
    assert batch.body["completion_window"] == "7d"
    assert batch.body["metadata"]["run"] == "7"
    assert batch.body["output_expires_after"] == {"anchor": "created_at", "seconds": 3600}


@pytest.mark.parametrize(
    "fate", [("accepted", 502), ("accepted", 408), ("late", 1), ("late", 100), ("late", 179)]
)
def test_a_batch_whose_answer_was_lost_is_adopted(fake, submit, finish, fate):
    fake.creates.append(fate)
    job = submit()
    assert [shard.state for shard in job.shards] == ["created"]
    assert finish().ok == 2
    assert len(fake.batches) == fake.count("POST", "/batches") == 1
    assert fake.count("DELETE", "/files/*") == 0


def test_a_batch_that_the_list_hides_for_a_while_is_adopted(fake, submit, finish):
    fake.creates.append(("accepted", 500))
    fake.lag = 170.0
    submit()
    assert finish().ok == 2
    assert len(fake.batches) == 1


def test_an_input_file_is_fenced_off_before_a_batch_is_created_anew(fake, clock, submit, finish, events):
    fake.creates.append(("lost",))
    submit()
    # Twice the grace time: for the create, and for what may come of it while the file is deleted.
    assert 2 * GRACE <= sum(clock.slept) < 2 * GRACE + 20
    assert fake.count("POST", "/batches") == 2
    assert fake.count("DELETE", "/files/*") == 1
    assert kinds(events) == ["uploaded", "outage", "uploaded", "created"]
    assert "the create was lost" in str(events[1])
    assert finish().ok == 2
    assert len(fake.batches) == 1


def test_a_create_that_comes_through_after_the_fence_can_only_fail(fake, submit, finish):
    fake.creates.append(("late", GRACE + 50))
    submit()
    assert finish().ok == 2
    assert len(fake.batches) == 1
    assert not fake.late


def test_a_create_that_comes_through_on_a_deleted_file_is_adopted(fake, submit, finish):
    fake.creates.append(("late", GRACE + 50))
    fake.linger = 100
    submit()
    assert finish().ok == 2
    assert len(fake.batches) == fake.count("POST", "/batches") == 1


def test_of_several_batches_the_oldest_is_kept_and_it_is_said(fake, submit, finish, events):
    fake.creates.append(("accepted", 500))
    accept = fake._accept

    def accept_thrice(body, **options):
        fake._accept = accept
        first = accept(body, **options)
        for _ in range(2):
            fake.clock.move(1)
            fake.inject_duplicate(first)
        return first

    fake._accept = accept_thrice
    job = submit()
    first, *others = fake.batches.values()
    assert job.shards[0].batch_id == first.id
    assert [batch.status for batch in others] == ["cancelled", "cancelled"]
    assert job.duplicates_cancelled == 2
    assert kinds(events).count("duplicate") == 2
    assert finish().ok == 2


@pytest.mark.parametrize("count", [2, 8])
def test_a_duplicate_that_comes_to_light_late_is_cancelled_and_reported(
    fake, api, submit, finish, events, count
):
    fake.creates.append(("late", GRACE - 10))
    fake.lag = 1000.0
    job = submit(count, limits=Limits(requests=2))
    (late,) = fake.batches.keys() - {shard.batch_id for shard in job.shards}
    late = fake.batches[late]
    fake.lag = 0.0
    fake.clock.move(1000)
    with pytest.raises(WaitTimeoutError):
        api.jobs.wait("j", timeout=100, on_change=events.append)
    assert late.status == "cancelled"
    job = finish()
    assert job.ok == count
    assert job.duplicates_cancelled == 1
    (said,) = [event for event in events if event.kind == "duplicate"]
    assert late.id in said.message
    # It is said once, and cancelled once.
    assert fake.count("POST", "/batches/*/cancel") == 1


def test_a_duplicate_that_has_run_when_it_comes_to_light_is_reported(fake, submit, finish, events):
    fake.creates.append(("late", GRACE - 10))
    fake.lag = 10_000.0
    submit()
    late, _ = fake.batches.values()
    fake.lag = 0.0
    late.visible_at = 0
    job = finish()
    assert (job.ok, job.duplicates_cancelled) == (2, 0)
    (said,) = [event for event in events if event.kind == "duplicate"]
    assert f"{late.id} had run" in said.message
    assert fake.count("POST", "/batches/*/cancel") == 0


def test_batches_of_a_job_of_the_same_name_elsewhere_are_left_alone(
    fake, api, connect, submit, finish, tmp_path
):
    """Two machines run the same script: each has its own batches, and neither cancels the other's."""
    elsewhere = connect(
        "https://api.example/v1", transport=fake.transport, clock=fake.clock, home=tmp_path / "b"
    )
    mine = submit(8, limits=Limits(requests=2))
    theirs = elsewhere.jobs.submit(chats(8), id="j", limits=Limits(requests=2))
    assert len(fake.batches) == 8
    assert finish().ok == 8
    assert elsewhere.jobs.wait("j").ok == 8
    assert fake.count("POST", "/batches/*/cancel") == 0
    assert {shard.batch_id for shard in mine.shards}.isdisjoint(shard.batch_id for shard in theirs.shards)


def test_a_refused_create_is_made_again_later(fake, api, submit, finish):
    fake.creates += [("refused",)] * 3
    submit()
    assert finish().ok == 2
    assert len(fake.batches) == 1


def test_results_are_there_and_in_order(fake, api, submit, finish):
    fake.creates += [("lost",), ("late", 60), None, ("accepted", 500)]
    submit(8, limits=Limits(requests=2))
    assert finish().ok == 8
    assert custom_ids(api.jobs.results("j")) == [f"r{number}" for number in range(8)]
    assert len(fake.batches) == 4
    assert not fake.several_live
