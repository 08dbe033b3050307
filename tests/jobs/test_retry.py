"""A retry sends what failed, whatever the reason, and nothing else; through every crash."""

from collections import Counter
from contextlib import contextmanager
from itertools import chain

import pytest
from support.job_steps import chats

from overlay import JobNotEndedError
from overlay.jobs.ledger import Ledger

blocking = pytest.mark.parametrize("kind", ["blocking"])
PATIENCE = 600.0


class CrashError(BaseException):
    """The process dies."""


def refuse(*refused):
    """Statuses by custom_id: those are refused for good."""
    return lambda custom_id: 400 if custom_id in refused else 200


def complete(scene, *refused):
    while not scene.wait(PATIENCE).ended:
        for batch in scene.fake.live():
            scene.fake.complete(batch, refuse(*refused))
    return scene.jobs.retrieve("j")


def sent(scene):
    """The custom_ids of each batch, in the order of their creation."""
    return [[line["custom_id"] for line in batch.lines] for batch in scene.fake.batches.values()]


def paid(scene):
    return Counter(name for batch in scene.fake.batches.values() for name in batch.good)


def test_only_what_failed_is_sent_again_and_the_results_show_it(scene):
    scene.submit(5)
    job = complete(scene, "r1", "r4")
    assert (job.ok, job.failed) == (3, 2)
    assert [(each.code, each.count, each.custom_id) for each in scene.jobs.failures("j")] == [
        ("busy", 2, "r1")
    ]
    before = len(sent(scene))
    retried = scene.jobs.retry("j", on_change=scene.events.append)
    assert not retried.ended
    assert (retried.answered, retried.requests) == (3, 5)
    assert sorted(sent(scene)[before:]) == [["r1"], ["r4"]]
    job = complete(scene)
    assert (job.ok, job.failed, job.answered, job.missing) == (5, 0, 5, 0)
    assert all(result.ok for result in scene.results().values())
    assert scene.jobs.failures("j") == []
    assert max(paid(scene).values()) == 1


def test_with_nothing_failed_nothing_is_sent(scene):
    scene.submit(3)
    complete(scene)
    before = len(sent(scene))
    assert scene.jobs.retry("j").ended
    assert len(sent(scene)) == before


def test_a_retry_has_its_own_attempts_and_may_be_repeated(scene):
    scene.submit(2, max_attempts=2)
    for _ in range(2):
        for batch in scene.fake.live():
            scene.fake.expire(batch, 0)
        scene.wait(PATIENCE)
    assert scene.jobs.retrieve("j").failed == 2
    scene.jobs.retry("j")
    for _ in range(2):  # the first of them is followed by another by itself
        for batch in scene.fake.live():
            scene.fake.expire(batch, 0)
        scene.wait(PATIENCE)
    job = scene.jobs.retrieve("j")
    assert (job.ended, job.failed) == (True, 2)
    scene.jobs.retry("j")
    assert complete(scene).ok == 2
    assert len(sent(scene)) == 5


def test_a_cancelled_job_is_retried_once_it_has_ended(scene):
    scene.submit(2)
    scene.jobs.cancel("j")
    with pytest.raises(JobNotEndedError, match="wait for it"):
        scene.jobs.retry("j")
    for batch in scene.fake.batches.values():
        scene.fake.expire(batch, 1, status="cancelled")
    assert scene.wait(PATIENCE).state == "cancelled"
    assert scene.jobs.retry("j").state == "open"
    assert complete(scene).ok == 2
    assert paid(scene) == {"r0": 1, "r1": 1}


def test_a_job_that_was_refused_as_a_whole_is_retried(scene):
    scene.submit(2)
    for batch in scene.fake.live():
        scene.fake.fail(batch, "invalid_json_line")
    with pytest.raises(Exception, match="refused all of job j"):
        scene.jobs.wait("j")
    assert scene.jobs.retrieve("j").refused
    assert scene.jobs.retry("j").state == "open"
    assert complete(scene).ok == 2


def test_a_shard_that_was_split_is_retried_as_one(scene):
    scene.fake.enqueued_tokens = 60
    scene.submit(chats(6), limits=None)
    job = complete(scene, "r0", "r5")
    assert len(job.shards) > 1
    assert (job.ok, job.failed) == (4, 2)
    before = len(sent(scene))
    assert scene.jobs.retry("j").answered == 4
    job = complete(scene)
    assert set(chain(*sent(scene)[before:])) == {"r0", "r5"}
    assert (job.ok, job.failed, job.answered, job.missing) == (6, 0, 6, 0)
    assert max(paid(scene).values()) == 1


@contextmanager
def dying_at(monkeypatch, number, *, done):
    """The process dies at the commit of this number, before or after it is on disk."""
    commits, transaction = 0, Ledger.transaction

    @contextmanager
    def counted(self):
        nonlocal commits
        outermost = not self._within
        commits += outermost
        dies = outermost and commits == number
        with transaction(self):
            yield
            if dies and not done:
                raise CrashError
        if dies:
            raise CrashError

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "transaction", counted)
        yield


@blocking
@pytest.mark.parametrize("done", [False, True])
def test_a_crash_at_any_commit_loses_nothing_and_pays_nothing_twice(scene, monkeypatch, done):
    scene.submit(4)
    complete(scene, "r1", "r2")
    crashes = 0
    for number in range(1, 40):
        before = len(sent(scene))
        try:
            with dying_at(monkeypatch, number, done=done):
                scene.jobs.retry("j")
                complete(scene, "r1", "r2")
        except CrashError:
            crashes += 1
        else:
            break
        job = scene.jobs.retry("j")
        assert job.requests == 4
        job = complete(scene, "r1", "r2")
        assert (job.ok, job.failed, job.answered) == (2, 2, 4)
        assert set(chain(*sent(scene)[before:])) == {"r1", "r2"}
    assert crashes > 5
    scene.jobs.retry("j")
    assert complete(scene).ok == 4
    assert paid(scene) == {f"r{number}": 1 for number in range(4)}
    assert scene.results().keys() == {f"r{number}" for number in range(4)}
