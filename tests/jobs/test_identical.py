"""Nothing is asked twice: answers of earlier jobs are reused, and repeated requests are sent once."""

import json
import shutil

import pytest
from hypothesis import given, strategies as st
from support.job_scene import TWO
from support.job_steps import chat, chats, custom_ids

from overlay import BatchFailedError, JobMismatchError, StorageError
from overlay.jobs.identity import identity
from overlay.jobs.known_answers import KnownAnswers


def sent(scene):
    """The custom_ids of all batches' requests, in the order they were sent."""
    return [line["custom_id"] for batch in scene.fake.batches.values() for line in batch.lines]


def texts(scene, job="j"):
    return {result.custom_id: result.text for result in scene.jobs.results(job)}


def finish(scene, job):
    while True:
        for batch in scene.fake.live():
            scene.fake.complete(batch)
        found = scene.jobs.wait(job, timeout=600)
        if found.ended:
            return found


def test_one_changed_row_costs_one_request(scene):
    scene.submit(chats(6))
    scene.finish()
    before = len(sent(scene))
    changed = [
        chat("new-5", "something else") if n == 5 else chat(f"new-{n}", f"ask {n}", model="m0")
        for n in range(6)
    ]
    job = scene.submit(changed, id="k", reuse=True)
    assert (job.reused, job.requests) == (5, 6)
    job = finish(scene, "k")
    assert sent(scene)[before:] == ["new-5"]
    assert (job.ok, job.failed) == (6, 0)
    results = list(scene.jobs.results("k"))
    assert custom_ids(results) == [f"new-{n}" for n in range(6)]
    assert [result.text for result in results] == ["r0", "r1", "r2", "r3", "r4", "new-5"]
    assert job.input_tokens == 3, "only what was sent was paid"


def test_where_all_is_known_nothing_is_sent(scene):
    scene.submit(chats(5))
    scene.finish()
    calls = len(scene.fake.log)
    job = scene.submit([chat(f"x{n}", f"ask {n}", model="m0") for n in range(5)], id="k", reuse=True)
    assert (job.reused, job.ended, job.ok) == (5, True, 5)
    assert all(method == "GET" for method, _ in scene.fake.log[calls:])
    assert set(texts(scene, "k").values()) == {f"r{n}" for n in range(5)}


def test_the_order_of_fields_does_not_matter_and_the_endpoint_does(scene):
    scene.submit([chat("a", "hi")])
    scene.finish()
    again = chat("b", "hi")
    again.body["messages"] = [{"content": "hi", "role": "user"}]
    assert scene.submit([again], id="k", reuse=True).reused == 1
    assert scene.submit([chat("c", "hi", url="/v1/responses")], id="l", reuse=True).reused == 0
    assert scene.submit([chat("d", "hi", model="other")], id="m", reuse=True).reused == 0


def test_failures_are_not_reused(scene):
    scene.submit(chats(4), max_attempts=1)
    for batch in scene.fake.live():
        scene.fake.complete(batch, {"r0": 400, "r1": 500, "r2": 200, "r3": 200}.__getitem__)
    scene.wait()
    assert scene.submit(chats(4), id="k", reuse=True).reused == 2


def test_what_is_gone_or_damaged_is_asked_again(scene):
    scene.submit(chats(4))
    scene.finish()
    assert scene.submit(chats(4), id="k", reuse=True).reused == 4
    home = scene.api.settings.home
    for path in sorted((home / "jobs" / "j" / "results").iterdir())[:1]:
        path.write_bytes(path.read_bytes().replace(b"r0", b"R0"))
    scene.jobs.delete("k")
    job = scene.submit(chats(4), id="l", reuse=True)
    assert job.reused == 3
    finish(scene, "l")
    shutil.rmtree(home / "jobs" / "j")
    shutil.rmtree(home / "jobs" / "l")
    assert scene.submit(chats(4), id="m", reuse=True).reused == 0


def test_another_service_is_not_asked_the_same(scene):
    scene.submit(chats(2))
    job, home = scene.finish(), scene.api.settings.home
    here = KnownAnswers(home, scene.api.settings.base_url)
    elsewhere = KnownAnswers(home, "https://elsewhere.example/v1")
    for each in (here, elsewhere):
        each.take_in(job)
    asked = identity(chats(1)[0].to_line(), "")
    assert here.find(asked).text == "r0"
    assert elsewhere.find(asked) is None
    for each in (here, elsewhere):
        each.close()


def test_repeats_are_sent_once_and_answered_each(scene):
    requests = [chat(f"r{n}", f"ask {n % 3}") for n in range(9)]
    job = scene.submit(requests, dedupe=True)
    assert (job.repeated, job.requests) == (6, 9)
    assert sorted(sent(scene)) == ["r0", "r1", "r2"]
    so_far = list(scene.jobs.results("j", partial=True))
    assert custom_ids(so_far) == [f"r{n}" for n in range(9)]
    job = scene.finish()
    assert (job.ok, job.failed, job.missing) == (9, 0, 0)
    assert len(sent(scene)) == 3
    results = list(scene.jobs.results("j"))
    assert custom_ids(results) == [f"r{n}" for n in range(9)]
    assert [result.text for result in results] == ["r0", "r1", "r2"] * 3
    assert job.input_tokens == 9


def test_what_tells_repeats_apart_goes_once_they_are_on_disk(scene):
    scene.submit([chat("a", "hi"), chat("b", "hi")], dedupe=True)
    assert scene.jobs.retrieve("j").repeated == 1
    assert not list((scene.api.settings.home / "jobs").rglob("asked"))


def test_repeats_of_what_fails_fail(scene):
    scene.submit([chat("a", "one"), chat("b", "one"), chat("c", "two")], dedupe=True, max_attempts=1)
    for batch in scene.fake.live():
        scene.fake.complete(batch, {"a": 400, "c": 200}.__getitem__)
    job = scene.wait()
    assert (job.ended, job.ok, job.failed) == (True, 1, 2)
    errors = {result.custom_id: result.error and result.error.code for result in scene.jobs.results("j")}
    assert errors["a"] == errors["b"] is not None
    assert errors["c"] is None


def test_repeats_of_what_is_sent_again_get_the_last_answer(scene):
    scene.submit([chat("a", "one"), chat("b", "one")], dedupe=True)
    for batch in scene.fake.live():
        scene.fake.complete(batch, lambda _: 500)
    scene.wait(100)
    assert scene.finish().ok == 2
    assert sent(scene) == ["a", "a"]


def test_what_is_refused_and_sent_once_more_is_repeated_once_more(scene):
    requests = [chat(f"r{n}", f"ask {n % 2}") for n in range(4)]
    scene.submit(requests, dedupe=True)
    for batch in scene.fake.live():
        scene.fake.fail(batch, "model_not_found")
    with pytest.raises(BatchFailedError):
        scene.jobs.wait("j")
    assert scene.jobs.retrieve("j").failed == 4
    scene.submit(requests, dedupe=True)
    assert (scene.finish().ok, [result.text for result in scene.jobs.results("j")]) == (4, ["r0", "r1"] * 2)


def test_a_retry_sends_what_is_repeated_once_too(scene):
    scene.submit([chat("a", "one"), chat("b", "one"), chat("c", "two")], dedupe=True, max_attempts=1)
    for batch in scene.fake.live():
        scene.fake.complete(batch, {"a": 400, "c": 200}.__getitem__)
    assert scene.wait().failed == 2
    scene.jobs.retry("j")
    job = scene.finish()
    assert sent(scene) == ["a", "c", "a"]
    assert (job.ok, job.failed) == (3, 0)
    assert [result.text for result in scene.jobs.results("j")] == ["a", "a", "c"]


@pytest.mark.parametrize("way", ["cancel", "give up", "refused"])
def test_whatever_the_end_repeats_have_one(scene, way):
    scene.submit([chat(f"r{n}", f"ask {n % 2}") for n in range(6)], dedupe=True)
    if way == "cancel":
        scene.jobs.cancel("j")
        for batch in scene.fake.live():
            scene.fake.expire(batch, 1, status="cancelled")
        job = scene.wait()
    elif way == "give up":
        for batch in scene.fake.live():
            batch.forgotten, batch.status = True, "cancelled"
        with pytest.raises(Exception, match="stuck"):
            scene.jobs.wait("j")
        scene.jobs.give_up("j")
        job = scene.jobs.wait("j")
    else:
        for batch in scene.fake.live():
            scene.fake.fail(batch, "model_not_found")
        with pytest.raises(Exception, match="model_not_found"):
            scene.jobs.wait("j")
        job = scene.jobs.retrieve("j")
    assert job.ended
    results = list(scene.jobs.results("j"))
    assert custom_ids(results) == [f"r{n}" for n in range(6)]
    assert (job.ok, job.failed) == (sum(r.ok for r in results), sum(not r.ok for r in results))


def test_both_together(scene):
    scene.submit([chat("a", "one"), chat("b", "two")])
    scene.finish()
    before = len(sent(scene))
    asked = ["one", "three", "two", "three", "one", "four"]
    job = scene.submit([chat(f"x{n}", text) for n, text in enumerate(asked)], id="k", reuse=True, dedupe=True)
    assert (job.reused, job.repeated) == (3, 1)
    finish(scene, "k")
    assert sorted(sent(scene)[before:]) == ["x1", "x5"]
    assert [result.text for result in scene.jobs.results("k")] == ["a", "x1", "b", "x1", "a", "x5"]


def test_a_lost_ledger_is_rebuilt_with_them(scene):
    scene.submit([chat("a", "one"), chat("b", "two")])
    scene.finish()
    asked = ["one", "three", "three", "four"]
    scene.submit([chat(f"x{n}", text) for n, text in enumerate(asked)], id="k", reuse=True, dedupe=True)
    before = len(sent(scene))
    (scene.api.settings.home / "jobs" / "k" / "ledger.db").unlink()
    scene.jobs.recover()
    job = finish(scene, "k")
    assert len(sent(scene)) == before, "nothing was sent again"
    assert (job.ok, job.reused, job.repeated) == (4, 1, 1)
    assert [result.text for result in scene.jobs.results("k")] == ["a", "x1", "x1", "x3"]


def test_a_damaged_list_of_places_is_said(scene):
    scene.submit([chat("a", "one"), chat("b", "one")], dedupe=True)
    (path,) = (scene.api.settings.home / "jobs" / "j" / "shards").glob("*.repeats")
    path.write_bytes(b"")
    for batch in scene.fake.live():
        scene.fake.complete(batch)
    with pytest.raises(StorageError, match="damaged"):
        scene.jobs.wait("j")


def test_many_shards(scene):
    requests = [chat(f"r{n}", f"ask {n % 7}", model=f"m{n % 2}") for n in range(40)]
    job = scene.submit(requests, limits=TWO, dedupe=True)
    assert job.repeated == 40 - 14
    job = scene.finish()
    assert job.ok == 40
    expected = {}
    for request in requests:
        key = json.dumps(request.body, sort_keys=True)
        expected.setdefault(key, request.custom_id)
    found = [result.text for result in scene.jobs.results("j")]
    assert found == [expected[json.dumps(request.body, sort_keys=True)] for request in requests]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=4), st.dictionaries(st.text(max_size=3), VALUES))
def test_identity_is_equality_as_json(one, other):
    def line(body, **fields):
        return json.dumps({"custom_id": "x", "body": body, **fields}).encode()

    backwards = json.dumps({"body": dict(reversed(one.items())), "custom_id": "y"}, indent=1).encode()
    assert (
        identity(line(one), "/v1/a")
        == identity(backwards, "/v1/a")
        == identity(line(one, url="/v1/a"), "/v1/b")
    )
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (identity(line(one), "/v1/a") == identity(line(other), "/v1/a")) is same
    assert identity(line(one), "/v1/a") != identity(line(one), "/v1/b")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda requests: [*requests, chat("new", "x"), chat("newer", "y")], "2 added (the first: 'new')"),
        (lambda requests: [chat("r0", "other"), *requests[1:]], "1 changed ('r0')"),
        (lambda requests: requests[:3], "2 removed (the first: 'r3')"),
        (lambda requests: [*requests[1:], chat("n" * 80, "x")], "1 added ('nnn"),
        (lambda requests: requests[::-1], "only their order differs"),
    ],
)
def test_other_requests_under_the_same_id_are_told_apart(scene, change, told):
    requests = [chat(f"r{number}", f"ask {number}") for number in range(5)]
    scene.submit(requests)
    with pytest.raises(JobMismatchError) as caught:
        scene.submit(change(requests))
    assert told in str(caught.value)
    with pytest.raises(JobMismatchError) as caught:
        scene.submit(change(requests), id=lambda _: "j")
    assert told in str(caught.value)
    assert "with reuse=True (--reuse) to pay only for what is new" in str(caught.value)
    assert not list((scene.api.settings.home / "spool").iterdir())
    assert scene.submit(requests).requests == 5
