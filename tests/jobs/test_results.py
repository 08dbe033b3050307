"""An answer for each request, once and in order, or the reason why there is none."""

from datetime import timedelta
from itertools import pairwise

import httpx
import pytest
from support.job_steps import chat, chats, custom_ids

from overlay import (
    FileGoneError,
    JobNotEndedError,
    JobNotFoundError,
    Limits,
    Price,
    StorageError,
    WaitTimeoutError,
)

IDS = [f"r{number}" for number in range(6)]


def by_id(**verdicts):
    """What the service answers: 200, unless something else is said."""
    return lambda custom_id: verdicts.get(custom_id, 200)


def complete_all(scene, **verdicts):
    for batch in scene.fake.live():
        scene.fake.complete(batch, by_id(**verdicts))


def errors(scene):
    results = scene.results()
    return {each: result.error.code for each, result in results.items() if result.error}


def test_answers_come_in_the_order_of_the_requests(scene):
    requests = chats(23, models=3)
    scene.submit(requests)
    job = scene.finish()
    assert (job.ok, job.failed, job.missing, job.answered, job.progress) == (23, 0, 0, 23, 1.0)
    results = list(scene.jobs.results("j"))
    assert custom_ids(results) == [request.custom_id for request in requests]
    assert [result.text for result in results] == custom_ids(results)
    assert len(job.shards) == 12
    assert all(shard.state == "done" and shard.generation == 0 for shard in job.shards)


def test_what_expired_is_sent_again_and_only_that(scene):
    scene.submit(6, limits=Limits())
    scene.fake.expire(scene.fake.live()[0], 2)
    scene.wait(60)
    (batch,) = scene.fake.live()
    assert custom_ids_of(batch) == IDS[2:]
    assert batch.key == ("j", "1", "1")
    scene.fake.expire(batch, 3, told=False)
    scene.wait(60)
    (batch,) = scene.fake.live()
    assert custom_ids_of(batch) == IDS[5:]
    job = scene.finish()
    assert (job.ok, job.failed, job.missing) == (6, 0, 0)
    assert job.shards[0].generation == 2
    assert custom_ids(scene.jobs.results("j")) == IDS
    assert scene.kinds.count("resubmitted") == 2


def custom_ids_of(batch):
    return [line["custom_id"] for line in batch.lines]


@pytest.mark.parametrize(("attempts", "batches"), [(1, 1), (2, 2), (3, 3)])
def test_a_request_is_sent_so_many_times_at_most(scene, attempts, batches):
    scene.submit(2, max_attempts=attempts)
    for _ in range(5):
        complete_all(scene, r0=429)
        if scene.wait(600).ended:
            break
    job = scene.jobs.retrieve("j")
    assert (job.ended, job.ok, job.failed, job.missing) == (True, 1, 1, 0)
    assert len(scene.fake.batches) == batches
    assert scene.results()["r0"].status_code == 429


def test_what_cannot_succeed_is_not_sent_again(scene):
    scene.submit(6, limits=Limits())
    complete_all(scene, r1=400, r2=429, r3=404, r4=503)
    scene.wait(60)
    (batch,) = scene.fake.live()
    assert custom_ids_of(batch) == ["r2", "r4"]
    job = scene.finish()
    assert (job.ok, job.failed) == (4, 2)
    assert errors(scene).keys() == {"r1", "r3"}


def test_counts_and_tokens_are_those_of_the_results(scene):
    scene.submit(6, limits=Limits())
    complete_all(scene, r1=400, r2=429)
    scene.finish()
    job = scene.jobs.retrieve("j")
    results = scene.results().values()
    assert job.ok == sum(result.ok for result in results) == 5
    assert job.failed == sum(not result.ok for result in results) == 1
    assert (job.input_tokens, job.output_tokens) == (15, 10)
    assert job.estimated_tokens == sum(len(each.to_line()) // 4 + 1 for each in chats(6))


def test_what_a_job_costs_follows_a_table_of_prices(scene):
    scene.submit(chats(6, models=2))
    prices = {"m0": Price(input=1_000_000.0, output=2_000_000.0), "m1": Price(input=10_000_000.0)}
    before = scene.jobs.retrieve("j").cost(prices)
    expected = sum(
        each.tokens * price for each, price in zip(scene.fake.live(), (1, 10, 1, 10), strict=False)
    )
    assert before.actual == 0
    assert before.estimated_input == pytest.approx(expected, rel=0.5)
    after = scene.finish().cost(prices)
    assert after.estimated_input == before.estimated_input
    assert after.actual == 3 * (3 * 1 + 2 * 2) + 3 * (3 * 10)
    with pytest.raises(KeyError):
        scene.jobs.retrieve("j").cost({"m0": Price(1.0)})


def test_progress_grows_to_one(scene):
    scene.submit(20)
    seen = [scene.jobs.retrieve("j").progress]
    while seen[-1] < 1:
        scene.fake.complete(scene.fake.live()[0])
        seen.append(scene.wait(60).progress)
    assert all(earlier < later for earlier, later in pairwise(seen))
    assert seen[0] == 0
    assert len(seen) == 11


def test_answers_to_nobody_are_kept_and_counted(scene):
    scene.submit(2)
    (batch,) = scene.fake.live()
    batch.lines.append({"custom_id": "stranger"})
    scene.fake.complete(batch)
    job = scene.wait()
    assert (job.ok, job.strays) == (2, 1)
    (kept,) = (scene.api.settings.home / "jobs" / "j" / "strays").iterdir()
    assert b"stranger" in kept.read_bytes()


def test_a_cancelled_job_keeps_what_was_answered(scene):
    scene.submit(6, max_creates_per_hour=2)
    first, second = sorted(scene.fake.live(), key=lambda batch: batch.key)
    scene.fake.expire(first, 1, told=False)
    cancel = scene.fake._post_batches_cancel

    def cancelling(request, query, thing):
        scene.fake.expire(scene.fake.batches[thing], 1, status="cancelled")
        return cancel(request, query, thing)

    scene.fake._post_batches_cancel = cancelling
    assert scene.jobs.cancel("j").cancelled
    job = scene.wait()
    assert (job.ended, job.cancelled, job.ok, job.failed, job.missing) == (True, True, 2, 4, 3)
    assert errors(scene) == dict.fromkeys(["r1", "r4", "r5"], "missing") | {"r3": "batch_cancelled"}
    assert len(scene.fake.batches) == 2
    assert second.status == "cancelled"
    # It stays cancelled.
    assert scene.submit(6).cancelled
    assert scene.jobs.resume("j").ended


def test_cancelling_what_was_to_be_sent_again_keeps_the_first_answer(scene):
    scene.submit(2, max_creates_per_hour=1)
    complete_all(scene, r0=429)
    scene.wait(60)
    assert scene.states() == ["planned"]
    scene.jobs.cancel("j")
    assert scene.wait().missing == 0
    assert scene.results()["r0"].status_code == 429


def test_results_of_a_job_that_runs_are_refused(scene):
    scene.submit(4)
    scene.fake.complete(scene.fake.live()[0])
    scene.wait(60)
    with pytest.raises(JobNotEndedError, match=r"50% done; .*when it ends") as caught:
        list(scene.jobs.results("j"))
    assert caught.value.job_id == "j"


def test_a_wait_that_was_too_short_can_be_repeated(scene):
    scene.submit(4)
    for timeout in (0, 100.0, timedelta(minutes=3)):
        began = scene.clock.time()
        with pytest.raises(WaitTimeoutError, match=r"job j has not ended .*wait again"):
            scene.jobs.wait("j", timeout=timeout)
        spent = scene.clock.time() - began
        assert spent == pytest.approx(timeout.total_seconds() if isinstance(timeout, timedelta) else timeout)
    complete_all(scene)
    assert scene.jobs.wait("j", timeout=60).ok == 4


def test_results_that_the_service_has_deleted_are_said(scene):
    scene.submit(6)
    lost = scene.fake.live()[1]
    complete_all(scene)
    scene.fake.files[lost.output].deleted_at = 0.0
    with pytest.raises(FileGoneError, match="gone"):
        scene.jobs.wait("j")
    # The others are here; a cancelled job comes to its end, and counts what is gone as missing.
    assert scene.states().count("done") == 2
    scene.jobs.cancel("j")
    job = scene.wait()
    assert (job.ended, job.ok, job.missing) == (True, 4, 2)


def late(scene, file_id, seconds):
    """The content of a file cannot be read for a while, as at a service that ends a batch before its files."""
    content, there = scene.fake._get_files_content, scene.clock.time() + seconds

    def get(request, query, thing):
        if thing == file_id and scene.clock.time() < there:
            return httpx.Response(404, json={"error": {"message": "No such File object"}})
        return content(request, query, thing)

    scene.fake._get_files_content = get


def test_results_that_appear_late_are_waited_for_and_hold_up_nothing(scene):
    scene.submit(6, max_creates_per_hour=2)
    first, second = sorted(scene.fake.live(), key=lambda batch: batch.key)
    complete_all(scene)
    late(scene, first.output, 300)
    scene.wait(100)
    assert scene.states() == ["ended", "done", "planned"]
    # Another process waits as long.
    scene.wait(250)
    assert scene.states()[0] == "done"
    assert "waiting" in scene.kinds
    job = scene.finish()
    assert (job.ok, job.missing) == (6, 0)
    assert len(scene.fake.batches) == 3
    assert second.answered == 2


def test_a_cancelled_job_waits_for_its_late_results_too(scene):
    scene.submit(2)
    (batch,) = scene.fake.live()
    complete_all(scene)
    late(scene, batch.output, 300)
    scene.jobs.cancel("j")
    job = scene.wait()
    assert (job.ended, job.ok, job.missing) == (True, 2, 0)


def test_files_are_deleted_when_all_is_on_disk(scene):
    scene.submit(6, delete_files=True)
    complete_all(scene, r1=400, r3=429)
    scene.wait(60)
    assert any(file.deleted_at is None for file in scene.fake.files.values())
    scene.finish()
    assert all(file.deleted_at is not None for file in scene.fake.files.values())
    assert len(scene.results()) == 6


def test_files_are_kept_unless_it_is_asked_for(scene):
    scene.submit(4)
    scene.finish()
    assert all(file.deleted_at is None for file in scene.fake.files.values())


def test_a_job_that_runs_is_not_deleted(scene):
    scene.submit(2)
    with pytest.raises(JobNotEndedError, match="cancel it or wait"):
        scene.jobs.delete("j")
    assert scene.finish().ok == 2
    scene.jobs.delete("j")
    for act in (scene.jobs.retrieve, scene.jobs.delete, scene.jobs.wait):
        with pytest.raises(JobNotFoundError):
            act("j")
    assert not scene.jobs.list()
    assert not list((scene.api.settings.home / "jobs").iterdir())
    # Its name is free.
    assert scene.submit([chat("x")]).requests == 1


def test_with_its_files_nothing_is_left_of_a_deleted_job(scene):
    scene.submit(6)
    complete_all(scene, r3=429)
    scene.finish()
    scene.jobs.delete("j", files=True)
    assert all(file.deleted_at is not None for file in scene.fake.files.values())


def test_jobs_are_listed_newest_first_and_broken_ones_left_out(scene):
    for name in ("a", "b", "c"):
        scene.submit(2, id=name)
        scene.clock.move(10)
    folder = scene.api.settings.home / "jobs"
    (folder / "b" / "ledger.db").write_bytes(b"x")
    (folder / "a file").write_bytes(b"x")
    (folder / "a folder").mkdir()
    assert [job.id for job in scene.jobs.list()] == ["c", "a"]


def test_results_that_were_damaged_are_an_error_and_not_an_end(scene):
    scene.submit(6)
    scene.finish()
    (scene.api.settings.home / "jobs" / "j" / "results" / "00002.jsonl").write_bytes(b"")
    with pytest.raises(StorageError, match="4 results instead of 6"):
        list(scene.jobs.results("j"))


def test_run_gives_what_is_there_at_once_when_it_is_run_again(scene):
    accept = scene.fake._accept

    def at_once(body, **options):
        batch = accept(body, **options)
        scene.fake.complete(batch)
        return batch

    scene.fake._accept = at_once
    for _ in range(2):
        assert custom_ids(scene.jobs.run(chats(6), id="j", limits=Limits(requests=2))) == IDS
    assert len(scene.fake.batches) == 3
