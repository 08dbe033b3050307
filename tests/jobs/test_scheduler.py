"""As many batches at once as may be, and as few requests as it takes to look after them."""

from itertools import pairwise

import httpx
import pytest
from support.fake_service import StoredBatch
from support.job_scene import TWO
from support.job_steps import chat

from overlay import AuthenticationError, BatchFailedError, InvalidResponseError, Limits, TokenProviderError
from overlay.costs.tokens import estimated_tokens


def alike(count, *, models=1):
    """So many requests of the same size."""
    return [chat(f"r{number:03}", model=f"m{number % models}") for number in range(count)]


SHARD_TOKENS = 2 * estimated_tokens(alike(1)[0].to_line())
ONE = Limits(requests=1)


def run_to_the_end(scene, *, rounds=200):
    """Let the oldest batch complete, time and again; gives how many were live each time."""
    live = []
    for _ in range(rounds):
        if scene.fake.live():
            live.append(len(scene.fake.live()))
            scene.fake.complete(scene.fake.live()[0])
        if scene.wait(120).ended:
            return live
    raise AssertionError("the job does not end")


def test_no_more_tokens_are_enqueued_than_allowed(scene):
    scene.submit(alike(20), max_enqueued_tokens=3 * SHARD_TOKENS + 5)
    assert len(scene.fake.live()) == 3
    live = run_to_the_end(scene)
    assert max(live) == 3
    assert live[:8] == [3] * 8, "as many as may be"
    assert scene.fake.most_enqueued <= 3 * SHARD_TOKENS + 5
    assert len(scene.fake.batches) == 10


def test_each_model_has_tokens_of_its_own(scene):
    scene.submit(alike(24, models=3), max_enqueued_tokens=2 * SHARD_TOKENS + 5)
    assert len(scene.fake.live()) == 6
    run_to_the_end(scene)
    assert scene.jobs.retrieve("j").ok == 24


def test_a_batch_over_the_services_limit_waits_for_ours_to_fall(scene):
    scene.fake.enqueued_tokens = 3 * SHARD_TOKENS + 5
    scene.submit(alike(20))
    live = run_to_the_end(scene)
    job = scene.jobs.retrieve("j")
    assert (job.ok, job.failed) == (20, 0)
    # What was refused is uploaded already, and is created again only when there is room.
    assert scene.fake.count("POST", "/files") == 10
    refused = [batch for batch in scene.fake.batches.values() if batch.status == "failed"]
    assert 1 <= len(refused) <= 8
    assert "waiting" in scene.kinds
    assert live[1:6] == [3] * 5, "as many as it allows"
    assert scene.fake.most_enqueued <= scene.fake.enqueued_tokens


@pytest.mark.parametrize("kind", ["blocking"])
def test_what_the_service_allows_may_grow(scene):
    scene.fake.enqueued_tokens = 2 * SHARD_TOKENS + 5
    scene.submit(alike(60))
    scene.wait(60)
    scene.fake.enqueued_tokens = 6 * SHARD_TOKENS + 5
    live = run_to_the_end(scene)
    assert live[0] == 2
    assert max(live) == 6


def test_what_the_service_allows_is_remembered(scene):
    scene.fake.enqueued_tokens = 3 * SHARD_TOKENS + 5
    scene.submit(alike(8))
    scene.wait(60)
    assert sum(batch.status == "failed" for batch in scene.fake.batches.values()) == 1
    # The next process does not try again what cannot be.
    made = len(scene.fake.batches)
    scene.submit(alike(8))
    scene.wait(600)
    assert len(scene.fake.batches) == made
    assert scene.states().count("created") == 3


def test_a_request_that_is_over_the_limit_alone_is_tried_ever_less_often(scene):
    scene.fake.enqueued_tokens = 1
    scene.submit(alike(1))
    scene.wait(7_200)
    tried = [batch.created_at for batch in scene.fake.batches.values()]
    pauses = [later - earlier for earlier, later in pairwise(tried)]
    assert all(60 <= pause <= 1100 for pause in pauses)
    assert pauses[0] < 200
    assert pauses[-1] > 850
    scene.fake.enqueued_tokens = 10_000
    assert scene.finish().ok == 1


def test_a_batch_refused_for_what_it_is_is_not_tried_again_by_itself(scene):
    scene.submit(alike(4))
    scene.fake.fail(scene.fake.live()[0], "model_not_found", line=1, message="no such model")
    scene.fake.complete(scene.fake.live()[0])
    with pytest.raises(BatchFailedError, match="no such model"):
        scene.jobs.wait("j")
    assert len(scene.fake.batches) == 2


def test_no_more_batches_are_created_in_an_hour_than_allowed(scene):
    scene.submit(alike(16), max_creates_per_hour=3)
    began = scene.clock.time()
    assert len(scene.fake.batches) == 3
    while not scene.wait(600).ended:
        for batch in scene.fake.live():
            scene.fake.complete(batch)
    moments = [batch.created_at for batch in scene.fake.batches.values()]
    assert len(moments) == 8
    assert all(sum(moment <= other < moment + 3600 for other in moments) <= 3 for moment in moments)
    assert scene.clock.time() - began < 2 * 3600 + 700, "and not fewer than that"


def test_the_hour_is_kept_over_a_restart(scene):
    scene.submit(alike(8), max_creates_per_hour=3)
    for _ in range(3):
        scene.submit(alike(8))
        assert len(scene.fake.batches) == 3
    scene.clock.move(3601)
    scene.submit(alike(8))
    assert len(scene.fake.batches) == 4


@pytest.mark.parametrize("kind", ["blocking"])
def test_many_batches_share_pages_of_the_list(scene):
    scene.submit(alike(150), limits=ONE, on_change=None)
    assert len(scene.fake.live()) == 150
    del scene.fake.log[:]
    del scene.clock.slept[:]
    scene.wait(600)
    rounds = len(scene.clock.slept)
    assert rounds >= 10
    assert scene.fake.count("GET", "/batches") <= 2 * (rounds + 1)
    # What has not changed for five minutes is retrieved, a few in each round: the list may be stale.
    assert 0 < scene.fake.count("GET", "/batches/*") <= 4 * rounds
    # When one of them has been answered, that is all that is asked for.
    del scene.fake.log[:]
    for batch in scene.fake.live()[:149]:
        scene.fake.complete(batch)
    scene.wait(1)
    assert scene.fake.count("GET", "/files/*/content") == 149
    del scene.fake.log[:]
    scene.fake.complete(scene.fake.live()[0])
    assert scene.wait().ok == 150
    assert scene.fake.log[0] == ("GET", "/batches/*")


@pytest.mark.parametrize("kind", ["blocking"])
@pytest.mark.parametrize("place", ["newer", "older"])
def test_batches_of_others_do_not_make_looking_dear(scene, place):
    def crowd():
        for number in range(3000):
            body = {"input_file_id": f"file-x{number}", "metadata": {}}
            batch = StoredBatch(f"batch_x{number}", body, scene.clock.time(), 0.0, status="completed")
            scene.fake.batches[batch.id] = batch
        scene.clock.move(100)

    if place == "older":
        crowd()
    scene.submit(alike(20))
    if place == "newer":
        scene.clock.move(100)
        crowd()
    del scene.fake.log[:]
    scene.wait(1)
    looks = 2
    assert len(scene.fake.log) <= looks * (1 if place == "older" else 10 + 3)


def test_few_batches_are_looked_at_one_by_one(scene):
    scene.submit(alike(4))
    del scene.fake.log[:]
    scene.wait(1)
    assert set(scene.fake.log) == {("GET", "/batches/*")}


@pytest.mark.parametrize("answer", [httpx.Response(405), httpx.Response(200, json={"data": [{"id": "/"}]})])
def test_a_service_without_a_list_is_looked_at_one_by_one(scene, answer):
    get = scene.fake._get_batches
    scene.fake._get_batches = lambda request, query, thing: get(request, query, thing) if thing else answer
    scene.submit(alike(8))
    assert scene.finish().ok == 8


def test_an_outage_is_waited_out(scene):
    scene.submit(alike(4), max_creates_per_hour=1)
    scene.clock.move(3600)
    scene.fake.down = True
    began = scene.clock.time()
    scene.wait(7200)
    assert scene.clock.time() - began < 7200 + 300
    assert "outage" in scene.kinds
    assert len(scene.fake.log) < 2000
    scene.fake.down = False
    assert scene.finish().ok == 4
    assert len(scene.fake.batches) == 2


def test_an_outage_stops_further_starts_until_the_next_round(scene):
    uploads = []

    def refused(*args):
        uploads.append(1)
        return httpx.Response(503)

    scene.submit(alike(40), max_creates_per_hour=1)
    scene.clock.move(3600)
    scene.api.settings.max_retries = 0
    scene.fake._post_files = refused
    scene.jobs.retrieve("j")
    del scene.events[:]
    scene.wait(1)
    assert len(uploads) <= 2 * 4


def provider_that_fails(scene, since, until):
    """A token provider that does not work for some time, by the client's clock."""

    def token():
        if since <= scene.clock.time() < until:
            raise OSError("the vault is sealed")
        return "token"

    return token


@pytest.mark.parametrize(("seconds", "borne"), [(300, True), (1500, False)])
def test_a_token_provider_may_fail_for_ten_minutes(scene, seconds, borne):
    began = scene.clock.time()
    client = scene.client(token=provider_that_fails(scene, began + 1000, began + 1000 + seconds))
    client.jobs.submit(alike(6), id="j", limits=TWO)
    for batch in scene.fake.live():
        scene.fake.complete(batch)
    scene.clock.move(1000)
    if borne:
        assert client.jobs.wait("j").ok == 6
    else:
        with pytest.raises(TokenProviderError):
            client.jobs.wait("j")
        assert 600 <= scene.clock.time() - began - 1000 < 800
        scene.clock.move(seconds)
        assert client.jobs.wait("j").ok == 6


@pytest.mark.parametrize(("seconds", "borne"), [(300, True), (1500, False)])
def test_answers_may_be_unreadable_for_ten_minutes(scene, seconds, borne):
    scene.submit(alike(2))
    for batch in scene.fake.live():
        scene.fake.complete(batch)
    began, retrieve = scene.clock.time(), scene.fake._get_batches

    def unreadable(*arguments):
        if scene.clock.time() - began < seconds:
            return httpx.Response(200, json={"error": {"message": "out to lunch"}})
        return retrieve(*arguments)

    scene.fake._get_batches = unreadable
    if not borne:
        with pytest.raises(InvalidResponseError, match="out to lunch"):
            scene.jobs.wait("j")
        assert 600 <= scene.clock.time() - began < 900
        scene.clock.move(seconds)
    assert scene.jobs.wait("j").ok == 2


def test_what_no_waiting_mends_is_raised_at_once(scene):
    scene.submit(alike(2))
    scene.fake._get_batches = lambda *_: httpx.Response(401)
    began = scene.clock.time()
    with pytest.raises(AuthenticationError):
        scene.jobs.wait("j")
    assert scene.clock.time() - began < 60


def test_pauses_grow_while_nothing_happens_and_shrink_when_something_does(scene):
    scene.submit([chat("a"), chat("b")], limits=ONE)
    del scene.clock.slept[:]
    scene.wait(1200)
    slept = scene.clock.slept
    assert 4 <= slept[0] <= 6
    assert max(slept) <= 72
    assert min(slept[8:-1]) >= 48
    scene.fake.complete(scene.fake.live()[0])
    del slept[:]
    scene.wait(1)
    scene.wait(60)
    assert min(slept) <= 6


@pytest.mark.parametrize("status", ["in_progress", "scheduling", "IN_PROGRESS", "validating"])
def test_a_batch_whose_status_is_unknown_or_goes_back_is_still_running(scene, status):
    scene.submit(alike(2))
    (batch,) = scene.fake.live()
    batch.status = "finalizing"
    scene.wait(60)
    batch.status = status
    scene.wait(60)
    assert scene.states() == ["created"]
    assert scene.finish().ok == 2
