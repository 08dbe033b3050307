"""A batch is created once, however late, lost or hidden the service's answer is."""

import pytest
from support.job_scene import GRACE, TWO
from support.job_steps import chats, custom_ids

from overlay import BatchFailedError, RateLimitError, WaitTimeoutError
from overlay.operations.marks import mark_of

ROOM_ENOUGH = "Enqueued token limit reached for m. Limit: 1,000,000 enqueued tokens."
"""Others hold the rest, then: the same batch fits later."""


def test_one_batch_is_created(scene):
    job = scene.submit()
    assert [shard.state for shard in job.shards] == ["created"]
    (batch,) = scene.fake.batches.values()
    assert batch.key == ("j", "1", "0")
    assert batch.body["endpoint"] == "/v1/chat/completions"
    assert batch.body["completion_window"] == "24h"
    assert (
        scene.fake.files[batch.body["input_file_id"]].name
        == f"overlay-{mark_of(batch.body['metadata']).home}-j-00001-0.jsonl"
    )
    assert scene.finish().ok == 2
    assert scene.fake.count("POST", "/batches") == 1


def test_what_the_caller_asks_for_goes_along(scene):
    scene.submit(completion_window="7d", metadata={"run": "7"}, output_expires_after=3600)
    (batch,) = scene.fake.batches.values()
    assert batch.body["completion_window"] == "7d"
    assert batch.body["metadata"]["run"] == "7"
    assert batch.body["output_expires_after"] == {"anchor": "created_at", "seconds": 3600}


@pytest.mark.parametrize(
    "fate", [("accepted", 502), ("accepted", 408), ("late", 1), ("late", 100), ("late", 179)]
)
def test_a_batch_whose_answer_was_lost_is_adopted(scene, fate):
    scene.fake.creates.append(fate)
    job = scene.submit()
    assert [shard.state for shard in job.shards] == ["created"]
    assert scene.finish().ok == 2
    assert len(scene.fake.batches) == scene.fake.count("POST", "/batches") == 1
    assert scene.fake.count("DELETE", "/files/*") == 0


def test_a_batch_that_the_list_hides_for_a_while_is_adopted(scene):
    scene.fake.creates.append(("accepted", 500))
    scene.fake.lag = 170.0
    scene.submit()
    assert scene.finish().ok == 2
    assert len(scene.fake.batches) == 1


def test_an_input_file_is_fenced_off_before_a_batch_is_created_anew(scene):
    scene.fake.creates.append(("lost",))
    scene.submit()
    # Twice the grace time: for the create, and for what may come of it while the file is deleted.
    assert 2 * GRACE <= sum(scene.clock.slept) < 2 * GRACE + 20
    assert scene.fake.count("POST", "/batches") == 2
    assert scene.fake.count("DELETE", "/files/*") == 1
    assert scene.kinds == ["uploading", "uploaded", "outage", "uploading", "uploaded", "created"]
    assert "the create was lost" in str(scene.events[2])
    assert scene.finish().ok == 2
    assert len(scene.fake.batches) == 1


def test_a_create_that_comes_through_after_the_fence_can_only_fail(scene):
    scene.fake.creates.append(("late", GRACE + 50))
    scene.submit()
    assert scene.finish().ok == 2
    assert len(scene.fake.batches) == 1
    assert not scene.fake.late


@pytest.mark.parametrize("seconds", [0, 3, 60])
def test_a_create_that_comes_through_after_the_fence_may_be_answered_and_fail(scene, seconds):
    """As at OpenAI: a batch is made of a file that is gone, and fails after a while."""
    scene.fake.failing_after = seconds
    scene.fake.creates.append(("late", GRACE + 50))
    scene.submit()
    job = scene.finish()
    assert (job.ok, job.duplicates_cancelled) == (2, 0)
    assert [batch.status for batch in scene.fake.batches.values()] == ["failed", "completed"]
    assert scene.fake.count("POST", "/batches/*/cancel") == 0
    assert "duplicate" not in scene.kinds


@pytest.mark.parametrize("seconds", [0, 60])
def test_a_batch_that_fails_behind_the_fence_does_not_say_that_no_other_is_on_its_way(scene, seconds):
    """A gateway sent the POST twice, and where the second arrives the file lingers."""
    fake, accept = scene.fake, scene.fake._accept_without_file

    def accept_and_repeat(body, at):
        fake.linger = 1000.0
        fake.late.append((at + 30, body))
        return accept(body, at)

    fake._accept_without_file, fake.failing_after = accept_and_repeat, seconds
    fake.creates.append(("late", GRACE + 50))
    scene.submit()
    job = scene.finish()
    assert (job.ok, job.duplicates_cancelled) == (2, 0)
    assert [batch.status for batch in fake.batches.values()] == ["failed", "completed"]
    assert fake.count("POST", "/batches") == fake.count("POST", "/files") == 1


@pytest.mark.parametrize("seconds", [0, 30])
def test_a_batch_whose_file_was_not_there_is_made_anew(scene, seconds):
    scene.fake.creates.append(("refused",))
    scene.api.settings.max_retries = 0
    with pytest.raises(RateLimitError):
        scene.submit()
    scene.fake.files.clear()  # somebody has tidied up
    scene.fake.failing_after = seconds
    scene.submit()
    job = scene.finish()
    assert (job.ok, job.duplicates_cancelled) == (2, 0)
    assert [batch.status for batch in scene.fake.batches.values()] == ["failed", "completed"]
    assert scene.fake.count("POST", "/files") == 2


def test_a_young_file_is_kept_when_a_batch_does_not_find_it(scene):
    scene.fake.failing_after = 0
    usable, ready_at = scene.fake._usable, scene.clock.time() + 20
    scene.fake._usable = lambda file_id, moment: moment >= ready_at and usable(file_id, moment)
    scene.submit()
    job = scene.finish()
    assert (job.ok, job.duplicates_cancelled) == (2, 0)
    statuses = [batch.status for batch in scene.fake.batches.values()]
    assert statuses == ["failed"] * (len(statuses) - 1) + ["completed"]
    # Each of those that ran nothing came after a pause.
    assert 2 <= len(statuses) <= 10
    assert scene.fake.count("POST", "/files") == 1


def test_a_service_that_never_finds_a_file_is_not_sent_it_for_ever(scene):
    scene.fake.failing_after = 0
    usable, scene.fake._usable = scene.fake._usable, lambda file_id, moment: False
    scene.submit()
    with pytest.raises(BatchFailedError, match="Cannot find file"):
        scene.wait()
    assert scene.fake.count("POST", "/files") == 5
    assert scene.jobs.retrieve("j").shards  # stuck, and said so
    scene.fake._usable = usable
    scene.jobs.send_again("j")
    assert scene.finish().ok == 2


def test_a_create_that_comes_through_on_a_deleted_file_is_adopted(scene):
    scene.fake.creates.append(("late", GRACE + 50))
    scene.fake.linger = 100
    scene.submit()
    assert scene.finish().ok == 2
    assert len(scene.fake.batches) == scene.fake.count("POST", "/batches") == 1


def test_of_several_batches_the_oldest_is_kept_and_it_is_said(scene):
    scene.fake.creates.append(("accepted", 500))
    accept = scene.fake._accept

    def accept_thrice(body, **options):
        scene.fake._accept = accept
        first = accept(body, **options)
        for _ in range(2):
            scene.fake.clock.move(1)
            scene.fake.inject_duplicate(first)
        return first

    scene.fake._accept = accept_thrice
    job = scene.submit()
    first, *others = scene.fake.batches.values()
    assert job.shards[0].batch_id == first.id
    assert [batch.status for batch in others] == ["cancelled", "cancelled"]
    assert job.duplicates_cancelled == 2
    assert scene.kinds.count("duplicate") == 2
    assert scene.finish().ok == 2


@pytest.mark.parametrize("count", [2, 8])
def test_a_duplicate_that_comes_to_light_late_is_cancelled_and_reported(scene, count):
    scene.fake.creates.append(("late", GRACE - 10))
    scene.fake.lag = 1000.0
    job = scene.submit(count)
    (late,) = scene.fake.batches.keys() - {shard.batch_id for shard in job.shards}
    late = scene.fake.batches[late]
    scene.fake.lag = 0.0
    scene.fake.clock.move(1000)
    with pytest.raises(WaitTimeoutError):
        scene.api.jobs.wait("j", timeout=100, on_change=scene.events.append)
    assert late.status == "cancelled"
    job = scene.finish()
    assert job.ok == count
    assert job.duplicates_cancelled == 1
    (said,) = [event for event in scene.events if event.kind == "duplicate"]
    assert late.id in said.message
    # It is said once, and cancelled once.
    assert scene.fake.count("POST", "/batches/*/cancel") == 1


def test_a_duplicate_that_has_run_when_it_comes_to_light_is_reported(scene):
    scene.fake.creates.append(("late", GRACE - 10))
    scene.fake.lag = 10_000.0
    scene.submit()
    late, _ = scene.fake.batches.values()
    scene.fake.lag = 0.0
    late.visible_at = 0
    job = scene.finish()
    assert (job.ok, job.duplicates_cancelled) == (2, 0)
    (said,) = [event for event in scene.events if event.kind == "duplicate"]
    assert f"{late.id} had already run" in said.message
    assert scene.fake.count("POST", "/batches/*/cancel") == 0


def test_batches_of_a_job_of_the_same_name_elsewhere_are_left_alone(scene, tmp_path):
    """Two machines run the same script: each has its own batches, and neither cancels the other's."""
    elsewhere = scene.client(home=tmp_path / "b")
    mine = scene.submit(8)
    theirs = elsewhere.jobs.submit(chats(8), id="j", limits=TWO)
    assert len(scene.fake.batches) == 8
    assert scene.finish().ok == 8
    assert elsewhere.jobs.wait("j").ok == 8
    assert scene.fake.count("POST", "/batches/*/cancel") == 0
    assert {shard.batch_id for shard in mine.shards}.isdisjoint(shard.batch_id for shard in theirs.shards)


def test_a_refused_create_is_made_again_later(scene):
    scene.fake.creates += [("refused",)] * 3
    scene.submit()
    assert scene.finish().ok == 2
    assert len(scene.fake.batches) == 1


def test_results_are_there_and_in_order(scene):
    scene.fake.creates += [("lost",), ("late", 60), None, ("accepted", 500)]
    scene.submit(8)
    assert scene.finish().ok == 8
    assert custom_ids(scene.api.jobs.results("j")) == [f"r{number}" for number in range(8)]
    assert len(scene.fake.batches) == 4
    assert not scene.fake.several_live


@pytest.mark.parametrize("linger", [0.0, 300.0])
@pytest.mark.parametrize("late", [2.0, GRACE - 1, GRACE + 50])
def test_a_batch_that_was_found_and_not_named_settles_nothing_when_it_is_refused(scene, late, linger):
    """A gateway sent the POST twice: one batch is found, and fails, before there is another."""
    scene.fake.linger = linger
    scene.fake.creates.append(("accepted", 502))
    scene.submit(2)
    (batch,) = scene.fake.live()
    scene.fake.late.append((scene.clock.time() + late, batch.body))
    scene.fake.fail(batch, message=ROOM_ENOUGH)
    assert scene.finish().ok == 2
    assert not scene.fake.several_live
    assert sum(other.status == "completed" for other in scene.fake.batches.values()) == 1


def test_a_batch_that_was_found_behind_the_fence_can_be_refused(scene):
    scene.fake.linger = 300.0
    scene.fake.creates.append(("late", GRACE + 50))
    scene.submit(2)
    scene.fake.fail(scene.fake.live()[0], message=ROOM_ENOUGH)
    assert scene.finish().ok == 2
    assert scene.fake.count("POST", "/files") == 2
