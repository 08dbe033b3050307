"""Accounts of the first tiers: a job ends by itself, however small the account, and says what it does about it."""

import json
from collections import Counter
from contextlib import suppress

import pytest
from support.job_steps import custom_ids

from overlay import Client, JobMismatchError, Limits, Request, WaitTimeoutError
from overlay.operations.marks import mark_of
from overlay.server import Limits as ServiceLimits, Pace, Service

SMALL = Limits(requests=20)


def alike(count):
    """Requests of 33 tokens each, by our estimate."""
    return [
        Request(f"r{number:05}", {"model": "m", "messages": [{"role": "user", "content": "x" * 20}]})
        for number in range(count)
    ]


def test_a_shard_larger_than_the_account_is_split_and_ends(scene):
    scene.fake.enqueued_tokens = 5 * 33
    scene.submit(alike(40), limits=SMALL)
    job = scene.finish()
    assert (job.ok, job.failed, job.missing) == (40, 0, 0)
    assert scene.fake.most_enqueued <= scene.fake.enqueued_tokens
    assert not scene.fake.several_live
    completed = sum(batch.status == "completed" for batch in scene.fake.batches.values())
    assert len(scene.fake.batches) <= 2 * completed
    assert custom_ids(scene.jobs.results("j")) == [request.custom_id for request in alike(40)]
    assert any("split into" in event.message for event in scene.events)


@pytest.mark.parametrize("kind", ["blocking"])
def test_parts_have_later_generations_of_their_own(scene):
    scene.fake.enqueued_tokens = 5 * 33
    scene.submit(alike(12), limits=SMALL)
    for _ in range(200):
        for batch in scene.fake.live():
            if mark_of(batch.body["metadata"]).generation == 0:
                scene.fake.expire(batch, 1)
            else:
                scene.fake.complete(batch)
        if scene.wait(600).ended:
            break
    job = scene.jobs.retrieve("j")
    assert (job.ok, job.answered, job.requests) == (12, 12, 12)
    assert len({shard.part for shard in job.shards}) > 2
    assert custom_ids(scene.jobs.results("j")) == [request.custom_id for request in alike(12)]


def test_the_services_sentence_is_shown_with_what_is_done_about_it(scene):
    scene.submit(alike(20), limits=SMALL)
    sentence = "Enqueued token limit reached for m. Limit: 200 enqueued tokens."
    scene.fake.fail(scene.fake.live()[0], message=sentence)
    scene.wait(10)
    said = [event.message for event in scene.events if event.kind == "waiting"]
    assert said
    assert sentence in said[0]
    assert "at most 200 tokens" in said[0]


def test_options_can_be_changed_on_the_way(scene):
    scene.submit(alike(40), limits=SMALL, max_batches=1)
    assert len(scene.fake.live()) == 1
    scene.jobs.resume("j", max_batches=2, on_change=scene.events.append)
    assert len(scene.fake.live()) == 2
    assert "options changed: max_batches 1 → 2" in [event.message for event in scene.events]
    scene.submit(alike(40), limits=SMALL, max_attempts=5)  # as a script that was edited does
    assert scene.finish().ok == 40


def test_options_that_are_left_out_stay_as_they_are(scene):
    scene.submit(alike(40), limits=SMALL, max_batches=1)
    scene.submit(alike(40), limits=SMALL)
    assert len(scene.fake.live()) == 1


def test_what_its_batches_have_cannot_be_changed(scene):
    scene.submit(alike(2), metadata={"run": "7"})
    with pytest.raises(JobMismatchError, match="exists with another metadata"):
        scene.submit(alike(2), metadata={"run": "8"})


@pytest.mark.parametrize("status", [400, 429])
def test_a_token_limit_that_refuses_the_create(tmp_path, status):
    """Some services answer the create with a refusal; the batch never comes to be."""
    held = Counter()

    def refusing(app):
        async def wrapped(scope, receive, send):
            if scope["type"] != "http" or (scope["method"], scope["path"]) != ("POST", "/v1/batches"):
                return await app(scope, receive, send)
            body = (await receive())["body"]
            held["creates"] += 1
            if held["creates"] == 1:
                message = "Enqueued token limit reached for m. Limit: 200 enqueued tokens."
                content = json.dumps({"error": {"message": message, "code": "token_limit_exceeded"}}).encode()
                await send(
                    {
                        "type": "http.response.start",
                        "status": status,
                        "headers": [(b"content-type", b"application/json")],
                    }
                )
                await send({"type": "http.response.body", "body": content})
                return None

            async def again():
                return {"type": "http.request", "body": body, "more_body": False}

            return await app(scope, again, send)

        return wrapped

    with (
        Service(wrap=refusing) as service,
        Client(token="t", base_url=service.base_url, home=tmp_path) as client,
    ):
        results = list(client.jobs.run(alike(20), id="j", limits=SMALL, poll=0.05))
    assert [result.custom_id for result in results] == [request.custom_id for request in alike(20)]
    assert all(result.ok for result in results)
    assert held["creates"] == 1 + 4  # of 165 tokens at most


def test_a_first_tier_account_with_two_jobs_at_once(tmp_path):
    """Few tokens, few batches: both jobs end, with at most two creates for each batch that ended with answers."""
    limits = ServiceLimits(enqueued_tokens=1_500)
    with Service(limits=limits, pace=Pace(in_progress=0.05)) as service:
        with Client(token="t", base_url=service.base_url, home=tmp_path) as client:
            for job in "ab":
                client.jobs.submit(alike(100), id=job, limits=Limits(requests=50), poll=0.05)
            for job in "ab" * 60:
                with suppress(WaitTimeoutError):
                    client.jobs.wait(job, poll=0.05, timeout=0.5)
            assert [client.jobs.retrieve(job).ok for job in "ab"] == [100, 100]
        batches = service.batches()
    completed = sum(batch["status"] == "completed" for batch in batches)
    assert sum(batch["request_counts"]["completed"] for batch in batches) == 200
    assert len(batches) <= 2 * completed
