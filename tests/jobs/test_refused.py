"""A batch that is refused as a whole says which of the caller's requests it is about."""

import pytest
from support.job_scene import TWO
from support.job_steps import chat, chats

from overlay import BatchFailedError, Limits


def refuse(scene, custom_id, **fields):
    """Fail the live batch that has the request, for that request."""
    for batch in scene.fake.live():
        ids = [line["custom_id"] for line in batch.lines]
        if custom_id in ids:
            scene.fake.fail(batch, "model_not_found", line=ids.index(custom_id) + 1, **fields)
            for other in scene.fake.live():
                scene.fake.complete(other)
            return batch
    raise AssertionError("no batch has it")


@pytest.mark.parametrize("models", [1, 2, 3])
@pytest.mark.parametrize("number", [0, 1, 5, 10])
def test_the_place_is_that_among_all_requests(scene, models, number):
    scene.submit(chats(11, models=models), limits=TWO)
    batch = refuse(scene, f"r{number}", message="no such model")
    with pytest.raises(BatchFailedError) as caught:
        scene.jobs.wait("j")
    error = caught.value
    assert error.batch_id == batch.id
    (problem,) = error.problems
    assert problem.line == number + 1
    assert problem.reason == f"request 'r{number}': no such model (model_not_found)"
    assert f"batch {batch.id} failed, nothing ran: job j, shard {batch.key[1]}: line {number + 1}: " in str(
        error
    )
    assert "\n" not in str(error)


def test_the_place_is_found_from_a_later_generation_too(scene):
    scene.submit([chat(f"r{number}", model=f"m{number % 2}") for number in range(8)], limits=Limits())
    for batch in scene.fake.live():
        scene.fake.expire(batch, 2)
    scene.wait(60)
    refuse(scene, "r7", message="no")
    with pytest.raises(BatchFailedError) as caught:
        scene.jobs.wait("j")
    assert [problem.line for problem in caught.value.problems] == [8]


def test_what_names_no_line_is_said_as_it_is(scene):
    scene.submit(2)
    scene.fake.fail(scene.fake.live()[0], "billing_hard_limit_reached", message="no money")
    with pytest.raises(BatchFailedError, match=r"no money \(billing_hard_limit_reached\)") as caught:
        scene.jobs.wait("j")
    assert caught.value.problems[0].line is None


def test_a_line_that_there_is_not_is_no_trouble(scene):
    scene.submit(2)
    scene.fake.fail(scene.fake.live()[0], "invalid_request", line=99, message="what")
    with pytest.raises(BatchFailedError, match="line 99: what"):
        scene.jobs.wait("j")


def test_when_it_is_mended_at_the_service_the_job_goes_on(scene):
    scene.submit(6)
    refuse(scene, "r2", message="no such model")
    with pytest.raises(BatchFailedError):
        scene.jobs.wait("j")
    # The model has been made, and the next wait tries again.
    assert scene.finish().ok == 6
    assert scene.fake.count("POST", "/files") == 3


def test_a_job_of_which_a_batch_is_refused_can_be_cancelled(scene):
    scene.submit(6)
    refuse(scene, "r2", message="no such model")
    with pytest.raises(BatchFailedError):
        scene.jobs.wait("j")
    scene.jobs.cancel("j")
    job = scene.wait()
    assert (job.ended, job.ok, job.missing) == (True, 4, 2)
