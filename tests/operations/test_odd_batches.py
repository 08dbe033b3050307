"""Batches with odd words, under other ids, or not seen yet: believed as far as something proves them."""

import logging
from itertools import count

import pytest
from support.calling import FakeClock
from support.raw_server import answer
from support.services import at, file_for

from overlay import InvalidResponseError, NoResultsError, NotFoundError, Request, WaitTimeoutError


def showing(*states):
    """A server that shows a batch in one state after the other, the last for ever."""
    looks = count()

    def script(request):
        state = states[min(next(looks), len(states) - 1)]
        return state if isinstance(state, bytes) else answer({"id": "batch_1", "input_file_id": "f", **state})

    return script


def test_an_unknown_status_is_said_after_ten_minutes_and_once(raw_server, connect, caplog):
    server, clock = raw_server(showing(*[{"status": "pondering"}] * 60, {"status": "completed"})), FakeClock()
    api = connect(server.base_url, clock=clock)
    assert api.batches.wait("batch_1").succeeded
    assert sum(clock.slept) > 1800
    told = [each for each in caplog.messages if "pondering" in each]
    (sentence,) = told
    assert sentence.startswith(
        "batch batch_1 has had the unknown status 'pondering' for 10 minutes; it is waited"
    )
    assert sentence.endswith("cancel the batch, or wait with a timeout, to stop sooner")


def test_a_status_that_changes_is_news_each_time(raw_server, connect, caplog):
    states = [{"status": f"step {number // 5}"} for number in range(50)]
    api = connect(raw_server(showing(*states, {"status": "completed"})).base_url)
    assert api.batches.wait("batch_1").succeeded
    assert "unknown status" not in caplog.text


def test_a_known_status_is_no_news(raw_server, connect, caplog):
    states = [{"status": "in_progress"}] * 60
    api = connect(raw_server(showing(*states, {"status": "completed"})).base_url)
    assert api.batches.wait("batch_1").succeeded
    assert caplog.messages == []


@pytest.mark.parametrize(
    "errors",
    [
        {"errors": {"data": [{"message": "no quota left", "code": "x"}]}},
        {"errors": ["no quota left"]},
        {"errors": "no quota left"},
        {"error": {"message": "no quota left"}},
        {"failure_reason": "no quota left"},
    ],
)
def test_what_is_wrong_with_a_running_batch_is_said_once(raw_server, connect, caplog, errors):
    states = [{"status": "in_progress", **errors}] * 5
    api = connect(raw_server(showing(*states, {"status": "completed"})).base_url)
    assert api.batches.wait("batch_1").succeeded
    assert caplog.messages == ["batch batch_1 is in_progress, and the service says: no quota left"]


@pytest.mark.parametrize("name", ["litellm"])
def test_a_gateways_batch_may_have_its_providers_id(name, kind, tmp_path):
    path = file_for(name, tmp_path / "in.jsonl", 2)
    with at(name, kind, tmp_path) as (_, api):
        file = api.files.upload(path)
        made = api.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions")
        assert api.batches.retrieve(made.id).id == made.id
        api.settings.inputs.clear()  # as another process would see it
        assert api.batches.wait(made.id).id == made.id


def other_id(request):
    if request.method == "POST":
        return answer({"id": "batch_1", "input_file_id": "f", "status": "validating"})
    return answer({"id": "batch_other", "input_file_id": request.path[-1], "status": "completed"})


def test_another_id_is_believed_where_the_input_file_agrees(raw_server, connect):
    api = connect(raw_server(other_id).base_url)
    api.batches.create(input_file_id="f", endpoint="/v1/chat/completions")
    with pytest.raises(InvalidResponseError, match="asked for batch batch_1, got batch_other"):
        api.batches.retrieve("batch_1")  # of the input file "1"
    api.settings.inputs["batch_1"] = "1"
    assert api.batches.retrieve("batch_1").id == "batch_1"


def test_another_id_is_not_believed_where_nothing_proves_it(raw_server, connect):
    api = connect(raw_server(showing({"id": "batch_other"})).base_url)
    with pytest.raises(InvalidResponseError, match="got batch_other"):
        api.batches.retrieve("batch_1")


def test_a_batch_that_was_just_created_may_not_be_seen_yet(raw_server, connect):
    looks = count()

    def script(request):
        if request.method == "GET" and next(looks) < 4:
            return answer({"detail": "not found"}, status=404)
        return answer({"id": "batch_1", "input_file_id": "f", "status": "completed"})

    api = connect(raw_server(script).base_url)
    made = api.batches.create(input_file_id="f", endpoint="/v1/chat/completions")
    assert api.batches.wait(made.id).succeeded


def test_it_is_looked_for_no_longer_than_a_minute(raw_server, connect):
    def script(request):
        if request.method == "GET":
            return answer({"detail": "not found"}, status=404)
        return answer({"id": "batch_1", "input_file_id": "f", "status": "validating"})

    clock = FakeClock()
    api = connect(raw_server(script).base_url, clock=clock)
    made = api.batches.create(input_file_id="f", endpoint="/v1/chat/completions")
    with pytest.raises(NotFoundError):
        api.batches.wait(made.id)
    assert 30 < sum(clock.slept) < 120


def test_a_batch_of_others_that_is_not_there_is_not_waited_for(raw_server, connect):
    clock = FakeClock()
    api = connect(raw_server(showing(answer({}, status=404))).base_url, clock=clock)
    with pytest.raises(NotFoundError):
        api.batches.wait("batch_1")
    assert clock.slept == []


@pytest.mark.parametrize(
    ("fields", "progress"),
    [
        ({"progress": 75}, 0.75),
        ({"progress": 0.0}, 0.0),
        ({"progress": "75"}, None),
        ({"progress": True}, None),
        ({"progress": 101}, None),
        ({"progress": 50, "request_counts": {"total": 4, "completed": 1, "failed": 0}}, 0.25),
    ],
)
def test_progress_may_be_said_in_percent(raw_server, connect, fields, progress):
    api = connect(raw_server(showing({"status": "IN_PROGRESS", **fields})).base_url)
    assert api.batches.retrieve("batch_1").progress == progress


STORED = {"status": "completed", "output_blob": "https://store.example/out", "error_blob": ""}


def test_results_in_a_storage_of_ones_own_are_said_to_be_there(raw_server, connect):
    api = connect(raw_server(showing(STORED)).base_url)
    with pytest.raises(NoResultsError, match=r"your own storage: download https://store\.example/out"):
        list(api.batches.results("batch_1", ordered=False))


def test_an_input_in_a_storage_of_ones_own_gives_no_order(raw_server, connect):
    def script(request):
        if request.path.endswith("/content"):
            return answer(b'{"custom_id": "a", "response": {"status_code": 200, "body": {}}}\n')
        batch = {"status": "completed", "input_file_id": None, "input_blob": "https://store.example/in"}
        return answer({"id": "batch_1", "output_file_id": "o", **batch})

    api = connect(raw_server(script).base_url)
    with pytest.raises(NoResultsError, match=r"your own storage, https://store\.example/in; pass requests="):
        list(api.batches.results("batch_1"))


def test_a_batch_that_ended_in_unknown_words_counts_as_answered(raw_server, connect, tmp_path):
    # What it lacks may have been paid for: it is fetched as a complete one is, and nothing is sent again.
    odd = {"status": "wrapped up", "completed_at": 1_700_000_000, "output_file_id": "", "error_file_id": None}
    api = connect(raw_server(showing(odd)).base_url)
    assert api.batches.wait("batch_1").ended
    with pytest.raises(NoResultsError, match="is wrapped up but names no result file"):
        list(api.batches.results("batch_1", ordered=False))


def test_waiting_for_an_unknown_status_ends_with_the_timeout(raw_server, connect):
    api = connect(raw_server(showing({"status": "pondering"})).base_url)
    with pytest.raises(WaitTimeoutError, match="still pondering"):
        api.batches.wait("batch_1", timeout=3600)


def test_a_job_never_sends_again_what_an_unknown_end_lacks(scene):
    scene.submit(2)
    (batch,) = scene.fake.live()
    shown, scene.fake._batch = scene.fake._batch, lambda each: shown(each) | {"completed_at": 1_700_000_000}
    batch.status = "wrapped up"
    with pytest.raises(NoResultsError, match="is wrapped up but names no result file"):
        scene.wait(2000)
    assert (scene.fake.count("POST", "/batches"), scene.states()) == (1, ["ended"])
    scene.fake.complete(batch)
    batch.status = "wrapped up"
    job = scene.wait(2000)
    assert (job.ended, job.ok, scene.fake.count("POST", "/batches")) == (True, 2, 1)


def test_a_job_believes_another_id_where_the_input_file_agrees(scene):
    scene.submit(2)
    (batch,) = scene.fake.live()
    shown = scene.fake._batch
    scene.fake._batch = lambda each: shown(each) | {"id": "batch_of_the_provider"}
    scene.fake.complete(batch)
    scene.api.settings.inputs.clear()  # as in the next process
    assert scene.jobs.wait("j").ok == 2
    assert scene.fake.count("POST", "/batches") == 1


def test_a_job_says_what_is_odd(scene, caplog):
    caplog.set_level(logging.INFO, "overlay")
    scene.jobs.submit([Request("a", {"model": "m"})], id="j", on_change=scene.events.append)
    (made,) = scene.fake.live()
    made.status = "pondering"
    scene.wait(2000)
    told = [event.message for event in scene.events if "unknown status" in event.message]
    assert len(told) == 1
    assert told[0].startswith("shard 1: batch")
