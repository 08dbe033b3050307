"""Answers that nobody claims, and batches without a single answer: nothing is paid for again without a word."""

import json

import httpx
import pytest
from support.job_steps import custom_ids

from overlay import ConfigurationError, Limits, OverlayError, UnclaimedAnswersError

IDS = [f"r{number}" for number in range(6)]
ALL = Limits()


def rewritten(scene, change, *, status_of=lambda _: 200, reverse=True):
    """Complete all batches, and let `change` do its worst to the lines of their files: to each, by its number."""
    for batch in scene.fake.live():
        scene.fake.complete(batch, status_of)
        for file_id in filter(None, (batch.output, batch.error)):
            file = scene.fake.files[file_id]
            lines = [json.loads(line) for line in file.content.splitlines()]
            if reverse:
                lines.reverse()  # the fake gives them last first
            changed = [change(number, line) for number, line in enumerate(lines)]
            file.content = b"".join(
                line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in changed
            )


def nameless(_, line):
    return line | {"custom_id": None}


def renumbered(number, line):
    return line | {"custom_id": number}


def renamed(number, line):
    return line | {"custom_id": f"request-{number}"}


def all_alike(_, line):
    return line | {"custom_id": "request"}


def without_id(_, line):
    return {name: value for name, value in line.items() if name != "custom_id"}


LOST = [nameless, renumbered, renamed, all_alike, without_id]


@pytest.mark.parametrize("change", LOST)
def test_answers_that_name_no_request_are_kept_and_not_paid_for_again(scene, change):
    scene.submit(6, limits=ALL)
    rewritten(scene, change)
    for _ in range(2):
        with pytest.raises(UnclaimedAnswersError, match=r"--match order") as caught:
            scene.jobs.wait("j")
        assert (caught.value.missing, caught.value.unclaimed) == (6, 6)
        assert isinstance(caught.value, OverlayError)
    kept = caught.value.path.read_bytes().splitlines(keepends=True)
    (batch,) = scene.fake.batches.values()
    assert kept == scene.fake.files[batch.output].content.splitlines(keepends=True)
    assert str(caught.value.path) in str(caught.value)
    assert scene.states() == ["ended"]


@pytest.mark.parametrize("change", LOST)
def test_they_are_matched_by_order_if_the_user_says_so(scene, change):
    scene.submit(6, limits=ALL)
    rewritten(scene, change)
    with pytest.raises(UnclaimedAnswersError):
        scene.jobs.wait("j")
    job = scene.jobs.wait("j", match="order")
    assert (job.ended, job.ok, job.missing, job.strays) == (True, 6, 0, 0)
    results = list(scene.jobs.results("j"))
    assert custom_ids(results) == IDS
    assert [result.text for result in results] == IDS
    assert len(scene.fake.batches) == 1
    assert not list((scene.api.settings.home / "jobs" / "j" / "strays").iterdir())


@pytest.mark.parametrize("way", ["submit", "resume", "results", "run"])
def test_the_decision_is_recorded_by_whatever_verb_it_is_made(scene, way):
    scene.submit(6, limits=ALL, **{"match": "order"} if way == "submit" else {})
    rewritten(scene, nameless)
    if way == "resume":
        assert scene.jobs.resume("j", match="order").ended
    elif way == "results":
        assert custom_ids(scene.jobs.results("j", match="order")) == IDS
    elif way == "run":
        requests = [*scene_requests()]
        assert custom_ids(scene.jobs.run(requests, id="j", limits=ALL, match="order")) == IDS
    else:
        assert scene.jobs.wait("j").ended
    assert scene.jobs.retrieve("j").ok == 6


def scene_requests():
    from support.job_steps import chats  # noqa: PLC0415

    return chats(6)


def test_it_can_be_taken_back_and_nothing_else_is_a_way_to_match(scene):
    scene.submit(6, limits=ALL, match="order")
    scene.jobs.resume("j", match="custom_id")
    rewritten(scene, nameless)
    with pytest.raises(UnclaimedAnswersError):
        scene.jobs.wait("j")
    for call in (scene.jobs.wait, scene.jobs.resume):
        with pytest.raises(ConfigurationError, match='"custom_id" or "order"'):
            call("j", match="shuffle")
    # The job is not left locked by that.
    assert scene.jobs.wait("j", match="order").ok == 6


def test_some_lost_ids_of_many(scene):
    scene.submit(6, limits=ALL)
    rewritten(scene, lambda number, line: line if number % 2 else nameless(number, line))
    with pytest.raises(UnclaimedAnswersError) as caught:
        scene.jobs.wait("j")
    assert (caught.value.missing, caught.value.unclaimed) == (3, 3)
    assert scene.jobs.wait("j", match="order").ok == 6
    assert [result.text for result in scene.jobs.results("j")] == IDS


def test_more_answers_than_are_missing_cannot_be_matched_and_are_not_paid_again(scene):
    scene.submit(6, limits=ALL)
    extra = json.dumps({"custom_id": None, "response": {"status_code": 200, "body": {"score": 1}}}).encode()
    rewritten(scene, lambda number, line: nameless(number, line) if number else extra + b"\n" + extra + b"\n")
    for match in ("custom_id", "order"):
        with pytest.raises(UnclaimedAnswersError, match="cannot be matched by order") as caught:
            scene.jobs.wait("j", match=match)
        assert (caught.value.missing, caught.value.unclaimed) == (6, 7)
    # There is a way out.
    scene.jobs.cancel("j")
    job = scene.wait()
    assert (job.ended, job.ok, job.missing, job.strays) == (True, 0, 6, 7)
    assert len(scene.fake.batches) == 1


def test_fewer_answers_than_are_missing_are_strays(scene):
    scene.submit(6, limits=ALL)
    rewritten(scene, lambda number, line: nameless(number, line) if number == 0 else b"")
    scene.wait(60)
    assert len(scene.fake.batches) == 2
    assert scene.finish().strays == 1


def test_failures_that_name_no_request_cost_nothing_and_are_sent_again(scene):
    scene.submit(6, limits=ALL)
    rewritten(scene, nameless, status_of=lambda _: 503)
    assert scene.finish().ok == 6
    assert len(scene.fake.batches) == 2


def test_of_a_batch_that_did_not_complete_the_rest_is_sent_again(scene):
    scene.submit(6, limits=ALL)
    (batch,) = scene.fake.live()
    rewritten(scene, lambda number, line: nameless(number, line) if number == 0 else line)
    batch.status = "expired"
    assert scene.finish().ok == 6
    assert len(scene.fake.batches) == 2


def test_numbers_for_ids_match_by_their_text(scene):
    requests = [{"custom_id": str(number)} for number in range(6)]
    from support.job_steps import chat  # noqa: PLC0415

    scene.submit([chat(each["custom_id"]) for each in requests], limits=ALL)
    rewritten(scene, lambda _, line: line | {"custom_id": int(line["custom_id"])}, reverse=False)
    job = scene.finish()
    assert (job.ok, job.missing, job.strays) == (6, 0, 0)
    assert custom_ids(scene.jobs.results("j")) == [str(number) for number in range(6)]
    assert len(scene.fake.batches) == 1


def test_a_byte_order_mark_in_a_result_file_is_skipped(scene):
    scene.submit(6, limits=ALL)
    rewritten(
        scene, lambda number, line: (b"" if number else b"\xef\xbb\xbf") + json.dumps(line).encode() + b"\n"
    )
    assert scene.finish().ok == 6
    assert [result.text for result in scene.jobs.results("j")] == IDS
    assert not any(b"\xef\xbb\xbf" in result.raw for result in scene.jobs.results("j"))


def empty(_, line):
    return line | {"response": {"status_code": 200, "body": {}}}


def torn(_, line):
    return json.dumps(line).encode()[:-9] + b"\n"


def silent(_, line):
    return {"id": "x", "custom_id": line["custom_id"]}


def echoed(_, line):
    return line | {"response": {"status_code": 200, "body": {"model": "m", "messages": [{"role": "user"}]}}}


def noise(*_):
    return b"<html>\n"


@pytest.mark.parametrize("change", [empty, torn, silent, echoed, noise])
def test_where_no_line_is_an_answer_by_its_shape_nothing_is_sent_again(scene, change):
    scene.submit(6, limits=ALL)
    rewritten(scene, change)
    job = scene.wait()
    assert (job.ended, job.ok, job.failed) == (True, 0, 6)
    assert len(scene.fake.batches) == 1
    (event,) = (event for event in scene.events if event.kind == "stopped")
    assert "none of the 6 lines is an answer, so nothing is sent again" in event.message
    assert "resubmitted" not in scene.kinds


@pytest.mark.parametrize("change", [empty, torn, silent, echoed])
def test_where_one_line_is_an_answer_the_others_are_sent_again(scene, change):
    scene.submit(6, limits=ALL)
    rewritten(scene, lambda number, line: change(number, line) if number else line)
    scene.wait(60)
    (batch,) = scene.fake.live()
    assert [line["custom_id"] for line in batch.lines] == IDS[1:]
    assert scene.finish().ok == 6


def test_where_one_line_failed_by_the_word_of_the_service_the_others_are_sent_again(scene):
    scene.submit(6, limits=ALL)
    rewritten(
        scene,
        lambda number, line: empty(number, line) if number else line | {"response": None, "error": "busy"},
    )
    assert scene.finish().ok == 6
    assert len(scene.fake.batches) == 2


def test_a_file_without_a_length_that_is_cut_between_lines_is_not_paid_for_again(scene):
    """The worst of them: 15 requests were paid for 10."""
    scene.submit(6, limits=ALL)
    for batch in scene.fake.live():
        scene.fake.complete(batch)
    whole = scene.fake._get_files_content
    tries = []

    def cut(request, query, thing):
        tries.append(thing)
        content = whole(request, query, thing).read()
        lines = content.splitlines(keepends=True)
        kept = b"".join(lines if len(tries) > 4 else lines[:3])
        return httpx.Response(200, stream=httpx.ByteStream(kept))

    scene.fake._get_files_content = cut
    scene.fake._file = lambda file: {"id": file.id, "object": "file"}
    with pytest.raises(OverlayError, match="3 of the 6 answers"):
        scene.jobs.wait("j")
    assert len(tries) == 3
    assert scene.states() == ["ended"]
    assert scene.wait().ok == 6
    assert len(scene.fake.batches) == 1
