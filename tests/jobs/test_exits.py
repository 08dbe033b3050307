"""One shard that no waiting helps holds up no other, and there is a way out of whatever it is in."""

import json

import httpx
import pytest
from support.job_scene import TWO
from support.job_steps import chat, chats, custom_ids

from overlay import (
    BadRequestError,
    BatchFailedError,
    ConfigurationError,
    FileGoneError,
    JobMismatchError,
    JobNotEndedError,
    NotFoundError,
    PermissionDeniedError,
)
from overlay.operations.marks import mark_of

WAYS = r"job j, shard 2 is stuck: resume .*give-up j --shard 2.*send-again j --shard 2"


def complete_all(scene):
    for batch in scene.fake.live():
        scene.fake.complete(batch)


def of_shard_2(scene):
    (batch,) = [batch for batch in scene.fake.live() if batch.key[1] == "2"]
    return batch


def forgotten(scene):
    """The service has forgotten the batch of shard 2."""
    scene.submit(6)
    batch = of_shard_2(scene)
    batch.forgotten, batch.status = True, "cancelled"


def unanswered(scene):
    """The create of shard 2 was never answered, and its file is gone."""
    create = scene.fake._post_batches

    def lose(request, query, thing):
        body = json.loads(request.read())
        if mark_of(body["metadata"]).shard != 2:
            return create(request, query, thing)
        scene.fake._post_batches = create
        scene.fake.files[body["input_file_id"]].deleted_at = 0.0
        raise httpx.ReadTimeout("no answer", request=request)

    scene.fake._post_batches = lose
    with pytest.raises(NotFoundError, match="unknown whether a batch was created"):
        scene.submit(6, grace=5)
    assert scene.states() == ["created", "creating", "created"]


def results_gone(scene):
    """The result file of shard 2 was deleted."""
    scene.submit(6)
    batch = of_shard_2(scene)
    complete_all(scene)
    scene.fake.files[batch.output].deleted_at = 0.0


def refused(scene):
    """The batch of shard 2 was refused."""
    scene.submit(6)
    scene.fake.fail(of_shard_2(scene), "model_not_found", line=1, message="no such model")


TROUBLES = {
    forgotten: NotFoundError,
    unanswered: NotFoundError,
    results_gone: FileGoneError,
    refused: BatchFailedError,
}


@pytest.fixture(params=TROUBLES, ids=lambda trouble: trouble.__name__)
def trouble(request):
    return request.param


def stuck(scene, trouble):
    """Wait for a job of three shards, of which the second is stuck, until only that is left."""
    trouble(scene)
    complete_all(scene)
    with pytest.raises(TROUBLES[trouble], match=WAYS) as caught:
        scene.jobs.wait("j", on_change=scene.events.append)
    assert "\n" not in str(caught.value)
    return caught.value


def test_the_others_are_collected_and_the_error_names_the_shard_and_the_ways_out(scene, trouble):
    error = stuck(scene, trouble)
    job = scene.jobs.retrieve("j")
    assert (job.ok, job.ended, job.state) == (4, False, "open")
    (shard,) = job.stuck
    assert shard.number == 2
    assert shard.problem
    assert shard.problem in str(error)
    assert job.last_error == str(error)
    assert "stuck" in scene.kinds
    assert job.to_dict()["shards"][1]["problem"] == shard.problem


def test_what_is_given_up_becomes_typed_failures(scene, trouble):
    stuck(scene, trouble)
    creates = scene.fake.count("POST", "/batches")
    job = scene.jobs.give_up("j")
    assert (job.ended, job.ok, job.failed, job.missing) == (True, 4, 2, 0)
    results = scene.results()
    assert {name for name, result in results.items() if not result.ok} == {"r2", "r3"}
    for name in ("r2", "r3"):
        assert results[name].error.code == "given_up"
    assert scene.jobs.wait("j").ended
    assert scene.fake.count("POST", "/batches") == creates
    # Once more is nothing new.
    assert scene.jobs.give_up("j").ended


def test_what_is_sent_again_is_paid_again_from_a_new_file(scene, trouble):
    stuck(scene, trouble)
    before = set(scene.fake.batches)
    uploads = scene.fake.count("POST", "/files")
    assert not scene.jobs.send_again("j", shard=2).stuck
    (new,) = set(scene.fake.batches) - before
    assert scene.fake.count("POST", "/files") == uploads + 1
    assert custom_ids_of(scene.fake.batches[new]) == ["r2", "r3"]
    assert scene.finish().ok == 6


def test_what_was_given_up_can_be_sent_again(scene, trouble):
    stuck(scene, trouble)
    scene.jobs.give_up("j", shard=2)
    scene.jobs.send_again("j")
    job = scene.finish()
    assert (job.ok, job.failed) == (6, 0)
    assert all(result.ok for result in scene.results().values())


def test_a_cancelled_job_ends_whatever_is_stuck(scene, trouble):
    stuck(scene, trouble)
    job = scene.jobs.cancel("j")
    assert job.cancelled
    if not job.ended and job.stuck:
        scene.jobs.give_up("j")
    job = scene.jobs.wait("j")
    assert (job.ended, job.ok, job.failed) == (True, 4, 2)


def test_it_can_be_deleted_by_force(scene, trouble):
    stuck(scene, trouble)
    left = scene.jobs.delete("j", force=True)
    assert scene.jobs.list() == []
    assert {name for name in left if name.startswith("file-")}
    assert scene.submit([chat("x")]).requests == 1


def custom_ids_of(batch):
    return [line["custom_id"] for line in batch.lines]


def test_others_are_started_though_one_is_stuck(scene):
    scene.submit(6, max_batches=1)
    scene.fake.live()[0].forgotten = True
    (batch,) = scene.fake.batches.values()
    batch.status = "cancelled"
    with pytest.raises(NotFoundError, match="shard 1 is stuck"):
        scene.jobs.wait("j")
    scene.jobs.give_up("j", shard=1)
    assert scene.finish().ok == 4


def test_a_batch_that_runs_is_not_given_up_and_not_sent_again(scene):
    scene.submit(4)
    creates = scene.fake.count("POST", "/batches")
    for act in (scene.jobs.give_up, scene.jobs.send_again):
        with pytest.raises(JobNotEndedError, match="no shard is stuck"):
            act("j")
        with pytest.raises(JobNotEndedError, match=r"shard 1: its batch batch_\d+ is there, in_progress"):
            act("j", shard=1)
        with pytest.raises(ConfigurationError, match="no shard 3"):
            act("j", shard=3)
    assert scene.fake.count("POST", "/batches") == creates
    assert scene.finish().ok == 4


def test_a_create_that_is_still_searched_for_is_found_before_it_is_given_up(scene):
    scene.fake.lag = 1000
    scene.fake.creates.append(("accepted", 500))
    scene.submit(2)
    scene.clock.move(1)
    scene.fake.lag = 0
    for batch in scene.fake.batches.values():
        batch.visible_at = 0
    if scene.states() == ["creating"]:
        with pytest.raises(JobNotEndedError, match="is there"):
            scene.jobs.give_up("j", shard=1)
    assert scene.finish().ok == 2


def test_a_batch_that_appears_after_it_was_given_up_is_cancelled(scene):
    stuck(scene, unanswered)
    (file_id,) = lost_files(scene)
    body = next(iter(scene.fake.batches.values())).body
    scene.jobs.give_up("j")
    scene.fake.files[file_id].deleted_at = None  # where it was created, it was there
    scene.fake._accept({**body, "input_file_id": file_id}, injected=True)
    job = scene.jobs.wait("j")
    assert job.duplicates_cancelled == 1
    assert not scene.fake.live()


def lost_files(scene):
    known = {batch.body["input_file_id"] for batch in scene.fake.batches.values()}
    return [file.id for file in scene.fake.files.values() if file.purpose == "batch" and file.id not in known]


def test_a_cancelled_job_sends_nothing_again(scene):
    scene.submit(4)
    scene.jobs.cancel("j")
    with pytest.raises(ConfigurationError, match="cancelled"):
        scene.jobs.send_again("j")


# The whole job is refused.


def refuse_creates(scene, message="no such model"):
    answer = scene.fake._post_batches

    def back():
        scene.fake._post_batches = answer

    scene.fake._post_batches = lambda *_: httpx.Response(400, json={"error": {"message": message}})
    return back


def test_a_job_that_is_refused_at_the_create_ends_as_failed_and_says_why(scene):
    refuse_creates(scene)
    with pytest.raises(BadRequestError, match=r"no such model.*nothing ran.*ended as failed"):
        scene.submit(20)
    assert scene.fake.count("POST", "/batches") <= 4, "the others, of the same model, are not even uploaded"
    job = scene.jobs.resume("j")
    assert (job.ended, job.state, job.failed, job.ok) == (True, "failed", 20, 0)
    assert "no such model" in job.last_error
    for result in scene.jobs.results("j"):
        assert result.error.code == "batch_failed"
        assert "no such model" in result.error.message
    assert scene.jobs.wait("j").refused
    assert not scene.fake.batches


def test_a_refused_job_is_started_once_more_when_it_is_submitted_again(scene):
    back = refuse_creates(scene)
    with pytest.raises(BadRequestError):
        scene.submit(6)
    back()
    assert scene.submit(6).state == "open"
    job = scene.finish()
    assert (job.ok, job.state) == (6, "ended")
    assert custom_ids(scene.jobs.results("j")) == [f"r{number}" for number in range(6)]


def test_a_refused_job_is_sent_again(scene):
    back = refuse_creates(scene)
    with pytest.raises(BadRequestError):
        scene.submit(6)
    back()
    scene.jobs.send_again("j")
    assert scene.finish().ok == 6


def test_other_requests_under_the_id_of_a_refused_job(scene):
    back = refuse_creates(scene)
    with pytest.raises(BadRequestError):
        scene.submit(6)
    back()
    with pytest.raises(JobMismatchError, match=r"all of which the service refused.*delete"):
        scene.submit(7)
    scene.jobs.delete("j")
    scene.submit(7)
    assert scene.finish().ok == 7


def test_a_job_all_of_whose_batches_are_refused_ends_as_failed(scene):
    scene.submit(4)
    for batch in scene.fake.live():
        scene.fake.fail(batch, "model_not_found", message="no such model")
    with pytest.raises(BatchFailedError, match=r"no such model.*ended as failed"):
        scene.jobs.wait("j")
    assert scene.jobs.retrieve("j").state == "failed"
    assert {result.error.code for result in scene.jobs.results("j")} == {"batch_failed"}


def test_money_that_ran_out_does_not_end_the_job(scene):
    scene.submit(2)
    scene.fake.fail(scene.fake.live()[0], "billing_hard_limit_reached", message="no money")
    with pytest.raises(BatchFailedError, match="shard 1 is stuck"):
        scene.jobs.wait("j")
    assert scene.finish().ok == 2


def test_one_model_that_is_refused_leaves_the_other_alone(scene):
    scene.submit(chats(4, models=2), limits=TWO)
    batch = next(batch for batch in scene.fake.live() if batch.lines[0]["body"]["model"] == "m1")
    scene.fake.fail(batch, "model_not_found", message="no such model")
    complete_all(scene)
    with pytest.raises(BatchFailedError, match="shard 2 is stuck"):
        scene.jobs.wait("j")
    job = scene.jobs.give_up("j")
    assert (job.ended, job.state, job.ok, job.failed) == (True, "ended", 2, 2)


# What concerns the account is not the shard's.


def test_a_key_that_may_not_stops_the_job_once_what_had_ended_is_collected(scene):
    scene.submit(4, max_creates_per_hour=1)
    complete_all(scene)
    listed = scene.fake._post_files
    scene.clock.move(3600)
    scene.fake._post_files = lambda *_: httpx.Response(403, json={"error": {"message": "no uploads"}})
    with pytest.raises(PermissionDeniedError):
        scene.jobs.wait("j")
    job = scene.jobs.retrieve("j")
    assert (job.ok, job.stuck) == (2, ())
    assert "no uploads" in job.last_error
    scene.fake._post_files = listed
    assert scene.finish().ok == 4


# Partial results, and lists.


@pytest.mark.parametrize("models", [1, 2])
def test_partial_results_are_what_is_answered_so_far_in_order(scene, models):
    scene.submit(chats(8, models=models), limits=TWO)
    names = [f"r{number}" for number in range(8)]
    codes = {result.error.code for result in scene.jobs.results("j", partial=True)}
    assert codes == {"not_yet"}
    first, second, *_ = scene.fake.live()
    scene.fake.complete(first)
    scene.fake.expire(second, 1)
    scene.wait(60)
    results = list(scene.jobs.results("j", partial=True))
    assert custom_ids(results) == names
    answered = {result.custom_id for result in results if result.ok}
    assert answered == {*custom_ids_of(first), custom_ids_of(second)[0]}
    assert {result.error.code for result in results if not result.ok} == {"not_yet"}
    # Whatever the ledger is.
    (scene.api.settings.home / "jobs" / "j" / "ledger.db").write_bytes(b"x")
    again = list(scene.jobs.results("j", partial=True))
    assert [result.raw for result in again] == [result.raw for result in results]


def test_partial_results_of_an_ended_job_are_its_results(scene):
    scene.submit(4)
    scene.fake.complete(scene.fake.live()[0])
    scene.jobs.cancel("j")
    scene.wait()
    assert [result.raw for result in scene.jobs.results("j", partial=True)] == [
        result.raw for result in scene.jobs.results("j")
    ]


def test_a_job_with_a_spoilt_ledger_is_deleted_by_force(scene):
    scene.submit(4)
    (scene.api.settings.home / "jobs" / "j" / "ledger.db").write_bytes(b"x")
    assert scene.jobs.delete("j", force=True) == ()
    assert not list((scene.api.settings.home / "jobs").iterdir())


def test_force_cancels_what_runs_and_names_what_stays(scene):
    scene.submit(4)
    batches = list(scene.fake.batches.values())
    left = scene.jobs.delete("j", force=True)
    assert {batch.status for batch in batches} == {"cancelled"}
    assert set(left) == {batch.body["input_file_id"] for batch in batches}
    scene.submit(4)
    assert scene.jobs.delete("j", force=True, files=True) == ()


def stops_while_creating(scene):
    """The create's answer is lost, and the list of batches is refused just then."""
    fake = scene.fake
    create, look = fake._post_batches, fake._get_batches

    def lose(request, query, thing):
        create(request, query, thing)
        fake._get_batches = lambda *_: httpx.Response(403, json={"error": {"message": "no"}})
        raise httpx.ReadTimeout("no answer", request=request)

    fake._post_batches = lose
    with pytest.raises(PermissionDeniedError):
        scene.submit(2)
    fake._post_batches, fake._get_batches = create, look
    assert scene.states() == ["creating"]


@pytest.mark.parametrize("listed", [True, False], ids=["listed", "not listed"])
def test_force_looks_for_the_batch_of_a_create_without_an_answer(scene, caplog, listed):
    stops_while_creating(scene)
    (batch,) = scene.fake.batches.values()
    if not listed:
        batch.visible_at = float("inf")
    assert scene.jobs.delete("j", force=True) == ()
    assert batch.status == ("cancelled" if listed else "in_progress")
    assert ("it is not in its list so far" in caplog.text) is not listed
    file = scene.fake.files[batch.body["input_file_id"]]
    assert file.deleted_at is not None, "a create that is still on its way can only fail"


def test_force_goes_on_where_nothing_can_be_listed_or_deleted(scene, caplog):
    stops_while_creating(scene)
    (batch,) = scene.fake.batches.values()
    scene.fake.down = True
    assert scene.jobs.delete("j", force=True) == (batch.body["input_file_id"],)
    assert scene.jobs.list() == []
    assert "could not be deleted" in caplog.text
    assert "was not found" in caplog.text


def test_what_cannot_be_read_is_left_out_of_the_list_and_said(scene, caplog):
    scene.submit(2)
    folder = scene.api.settings.home / "jobs"
    (folder / "broken").mkdir()
    (folder / "broken" / "ledger.db").write_bytes(b"x")
    assert [job.id for job in scene.jobs.list()] == ["j"]
    assert "broken is left out" in caplog.text
