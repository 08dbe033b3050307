"""The caller has a say about the answers: what is not accepted is asked again, and fails in the end."""

import json
from contextlib import suppress
from dataclasses import dataclass

import pytest
from support.job_steps import chat, chats, custom_ids

from overlay import AcceptError, ConfigurationError, WaitTimeoutError
from overlay.jobs.ledger import Ledger


@dataclass
class Verdict:
    good: bool


class Judge:
    """Accepts all answers but those of some requests, and the first so many times not even those."""

    def __init__(self, refused=(), times=10**9):
        self.refused, self.times = refused, times
        self.seen = []

    def __call__(self, result):
        self.seen.append(result.custom_id)
        return result.custom_id not in self.refused or self.seen.count(result.custom_id) > self.times


def sent(scene):
    return [line["custom_id"] for batch in scene.fake.batches.values() for line in batch.lines]


def ended(scene, judge, job="j", **options):
    """Let batches complete until the job has ended."""
    for _ in range(12):
        for batch in scene.fake.live():
            scene.fake.complete(batch)
        with suppress(WaitTimeoutError):
            return scene.jobs.wait(job, timeout=600, accept=judge, **options)
    raise AssertionError("it does not end")


def test_all_accepted(scene):
    judge = Judge()
    scene.submit(6, accept=judge)
    job = ended(scene, judge)
    assert (job.ok, job.failed) == (6, 0)
    assert sorted(judge.seen) == sorted(sent(scene)) == [f"r{n}" for n in range(6)]


def test_what_is_not_accepted_is_asked_again(scene):
    judge = Judge({"r1", "r4"}, times=1)
    scene.submit(6, accept=judge)
    job = ended(scene, judge)
    assert (job.ok, job.failed) == (6, 0)
    assert sorted(sent(scene)) == sorted([f"r{n}" for n in range(6)] + ["r1", "r4"])
    assert custom_ids(scene.jobs.results("j")) == [f"r{n}" for n in range(6)]


def test_and_fails_after_all_attempts_with_its_answer_kept(scene):
    judge = Judge({"r1"})
    scene.submit(2, accept=judge, max_attempts=3)
    job = ended(scene, judge)
    assert (job.ok, job.failed, job.missing) == (1, 1, 0)
    assert sent(scene).count("r1") == 3
    good, failed = scene.jobs.results("j")
    assert good.ok
    assert failed.error.code == "not_accepted"
    assert "accept did not take the answer" in failed.error.message
    assert json.loads(failed.raw)["response"]["body"]["choices"][0]["message"]["content"] == "r1"


def test_outages_do_not_count(scene):
    judge = Judge({"r0"}, times=1)
    scene.submit(2, accept=judge, max_attempts=2)
    for batch in scene.fake.live():
        scene.fake.complete(batch, {"r0": 500, "r1": 200}.__getitem__)
    with pytest.raises(WaitTimeoutError):
        scene.jobs.wait("j", timeout=100, accept=judge)
    job = ended(scene, judge)
    assert (job.ok, job.failed) == (2, 0)
    assert sent(scene).count("r0") == 3


def test_another_model_is_asked(scene):
    judge = Judge({"r0"}, times=1)
    scene.submit([chat("r0"), chat("r1")], accept=judge, fallback_model="larger")
    job = ended(scene, judge)
    assert job.ok == 2
    models = [
        (line["custom_id"], line["body"]["model"]) for b in scene.fake.batches.values() for line in b.lines
    ]
    assert models == [("r0", "m"), ("r1", "m"), ("r0", "larger")]
    receipt = {each.model: each.input_tokens for each in job.receipt().models}
    assert receipt == {"m": 6, "larger": 3}


def test_an_answer_that_does_not_fit_the_type(scene):
    scene.submit(2, answer=Verdict, max_attempts=1)
    for batch in scene.fake.live():
        scene.fake.complete(batch)
    job = scene.jobs.wait("j", answer=Verdict)
    assert job.failed == 2
    errors = [result.error for result in scene.jobs.results("j")]
    assert {error.code for error in errors} == {"not_accepted"}
    assert "Verdict" in errors[0].message


def test_what_accept_raises_stops_and_loses_nothing(scene):
    def broken(_):
        raise KeyError("oops")

    scene.submit(4, accept=broken)
    for batch in scene.fake.live():
        scene.fake.complete(batch)
    with pytest.raises(AcceptError, match="accept raised KeyError for request 'r0'") as told:
        scene.jobs.wait("j", accept=broken)
    assert isinstance(told.value.__cause__, KeyError)
    assert told.value.custom_id == "r0"
    assert not scene.jobs.retrieve("j").ended
    creates = scene.fake.count("POST", "/batches")
    assert scene.jobs.wait("j", accept=Judge()).ok == 4
    assert scene.fake.count("POST", "/batches") == creates


def test_who_waits_without_it_is_told(scene):
    scene.submit(2, accept=Judge())
    for batch in scene.fake.live():
        scene.fake.complete(batch)
    with pytest.raises(ConfigurationError, match="give them to wait or resume, too"):
        scene.jobs.wait("j")
    assert not scene.jobs.retrieve("j").ended
    assert scene.jobs.wait("j", accept=Judge()).ended
    assert scene.jobs.wait("j").ok == 2, "an ended job asks nobody"


def test_a_job_that_has_ended_can_be_checked_later(scene):
    scene.submit(2)
    scene.finish()
    judge = Judge({"r0"}, times=1)
    assert not scene.submit(2, accept=judge).ended
    assert ended(scene, judge).ok == 2
    assert sent(scene).count("r0") == 2


def test_a_cancelled_job_is_not_checked(scene):
    judge = Judge({"r0"})
    scene.submit(4, accept=judge)
    scene.jobs.cancel("j")
    for batch in scene.fake.live():
        scene.fake.expire(batch, 1, status="cancelled")
    assert scene.jobs.wait("j").ended
    assert judge.seen == []


def test_repeats_and_reused_answers_are_checked_once(scene):
    scene.submit([chat("a", "one")])
    scene.finish()
    asked = ["one", "two", "two"]
    judge = Judge({"x0", "x1"}, times=1)
    requests = [chat(f"x{n}", text) for n, text in enumerate(asked)]
    scene.jobs.submit(requests, id="k", reuse=True, dedupe=True, accept=judge)
    job = ended(scene, judge, "k")
    assert (job.ok, job.failed) == (3, 0)
    assert sorted(sent(scene)) == ["a", "x0", "x1", "x1"]
    assert "x2" not in judge.seen
    assert [result.text for result in scene.jobs.results("k")] == ["x0", "x1", "x1"]


@pytest.mark.parametrize("accept", [1, "yes", [len]])
def test_no_function(scene, accept):
    with pytest.raises(ConfigurationError, match="accept must be a function"):
        scene.submit(1, accept=accept)
    assert scene.jobs.list() == []


def test_run_and_a_crash_at_any_commit(scene, monkeypatch):
    """Whoever dies between the check and its commit checks again, and gets the same."""
    judge = Judge({"r1"}, times=2)
    scene.submit(chats(4), accept=judge)
    for batch in scene.fake.live():
        scene.fake.complete(batch)
    save_job, dies = Ledger.save_job, [True]

    def die_once(self, record):
        if record.second_tries and dies.pop():
            dies.append(False)
            raise OSError("died")
        save_job(self, record)

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "save_job", die_once)
        with pytest.raises(OSError, match="died"):
            scene.jobs.wait("j", accept=judge)
    job = ended(scene, judge)
    assert (job.ok, job.failed) == (4, 0)
    assert custom_ids(scene.jobs.results("j")) == ["r0", "r1", "r2", "r3"]
