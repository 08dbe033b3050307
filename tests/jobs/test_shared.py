"""A project is shared: what is not proven to be ours is neither adopted nor cancelled, and no list is trusted."""

from contextlib import suppress
from types import SimpleNamespace

import pytest
from support.job_scene import GRACE, TWO
from support.job_steps import chats

from overlay import APIError, UnknownOutcomeError
from overlay.jobs.services import keeps_metadata

blocking = pytest.mark.parametrize("kind", ["blocking"])


class CrashError(BaseException):
    """The process dies."""


def lost(scene, *fates):
    """Creates whose answers do not come."""
    scene.fake.creates.extend(fates or [("lost",)])


def unanswered(scene, **options):
    """A job whose create was accepted and badly answered, and which cannot look for it yet."""
    scene.fake.lag = 20
    lost(scene, ("accepted", 502))
    return scene.submit(**options)


# Adopt and cancel on proof only.


def test_a_colleagues_batch_of_the_same_file_is_neither_adopted_nor_cancelled(scene):
    theirs = []
    lost(scene, ("accepted", 502))
    accept = scene.fake._accept

    def both(body, **options):
        batch = accept(body, **options)
        if not options and not theirs:
            scene.fake.lag = 30.0  # ours shows up later than theirs
            batch.visible_at += 30
            theirs.append(None)
            theirs[0] = scene.fake.somebody_creates(body["input_file_id"], {"team": "b"})
            theirs[0].visible_at = 0.0
        return batch

    scene.fake._accept = both
    job = scene.submit()
    ours = scene.fake.batches[job.shards[0].batch_id]
    assert ours is not theirs[0]
    assert scene.kinds[-1] == "adopted"
    scene.fake.complete(ours)
    job = scene.wait(1000)
    assert (job.ok, job.duplicates_cancelled) == (2, 0)
    assert theirs[0].status == "in_progress"
    assert len(scene.fake.batches) == 2


def test_a_job_of_the_same_name_in_another_home_is_another_job(scene, tmp_path):
    scene.submit()
    elsewhere = scene.client(home=tmp_path / "elsewhere")
    elsewhere.jobs.submit(chats(2), id="j", limits=TWO)
    assert len(scene.fake.live()) == 2
    assert not scene.fake.several_live
    assert scene.finish().duplicates_cancelled == 0
    assert elsewhere.jobs.wait("j").duplicates_cancelled == 0
    assert [batch.status for batch in scene.fake.batches.values()] == ["completed"] * 2


def test_whether_a_service_keeps_metadata_is_remembered_by_the_home(scene):
    scene.fake.keeps_metadata = False
    scene.submit()
    home, base_url = scene.api.settings.home, scene.api.settings.base_url
    assert keeps_metadata(home, base_url) is False
    assert keeps_metadata(home, "https://other.example/v1") is None
    again = scene.client()
    lost(scene, ("accepted", 502))
    job = again.jobs.submit(chats(2), id="k", limits=TWO)
    assert job.shards[0].batch_id == "batch_4"
    assert len(scene.fake.batches) == 2


def test_where_nobody_knows_whether_metadata_is_kept_nothing_is_guessed_and_nothing_paid_twice(scene):
    scene.fake.keeps_metadata = False
    lost(scene, ("accepted", 502))
    scene.submit()
    assert scene.states() == ["creating"]
    assert len(scene.fake.batches) == 1
    with pytest.raises(UnknownOutcomeError, match=r"shard 1: .*batch_2 may be it"):
        scene.wait()
    assert len(scene.fake.batches) == 1
    # Another job's create is answered, and tells.
    scene.jobs.submit(chats(2), id="k", limits=TWO)
    scene.submit()
    assert scene.states() == ["created"]
    assert len(scene.fake.batches) == 2


@blocking
def test_a_second_batch_of_our_file_is_left_alone_where_nothing_proves_that_it_is_ours(scene):
    scene.fake.keeps_metadata = False
    scene.submit()
    (ours,) = scene.fake.live()
    theirs = scene.fake.somebody_creates(ours.body["input_file_id"])
    scene.fake.complete(ours)
    job = scene.wait(1000)
    assert (job.ok, job.duplicates_cancelled) == (2, 0)
    assert theirs.status == "in_progress"
    assert any("left alone" in event.message for event in scene.events)


# A list is evidence only if it is one.


@pytest.mark.parametrize("no_list", [{}, ["busy"], {"data": None}, {"error": {"message": "busy"}}], ids=str)
def test_what_is_no_list_never_leads_to_a_second_create(scene, no_list):
    page = scene.fake._page
    scene.fake._page = lambda objects, query: no_list
    lost(scene, ("accepted", 502))
    scene.api.settings.max_retries = 1
    with pytest.raises(APIError, match=r"it proves nothing|the answer is an error"):
        scene.submit()
    assert scene.states() == ["creating"]
    scene.clock.move(86_400)
    with suppress(APIError):
        scene.wait(5 * GRACE)
    assert scene.states() == ["creating"]
    scene.fake._page = page
    assert scene.finish().ok == 2
    assert len(scene.fake.batches) == 1


def test_an_empty_array_proves_nothing_where_lists_are_objects(scene):
    page = scene.fake._page
    scene.fake._page = lambda objects, query: []
    lost(scene, ("accepted", 502))
    scene.submit()
    scene.clock.move(86_400)
    with pytest.raises(UnknownOutcomeError, match="cannot be read to its end"):
        scene.wait(5 * GRACE)
    assert scene.states() == ["creating"]
    scene.fake._page = page
    assert scene.finish().ok == 2
    assert len(scene.fake.batches) == 1


@pytest.mark.parametrize("done", [False, True])
def test_the_order_of_the_list_does_not_matter(scene, done):
    for number in range(3):
        scene.fake.creates.clear()
        scene.jobs.submit(chats(240), id=f"k{number}", limits=TWO)
        scene.clock.move(4000)
    scene.fake.oldest_first = True
    lost(scene, ("accepted", 502) if done else ("lost",))
    before = len(scene.fake.batches)
    scene.submit()
    assert scene.states() == ["created"]
    assert len(scene.fake.batches) == before + 1


@blocking
def test_an_entry_that_cannot_be_read_is_no_proof_of_absence(scene):
    scene.fake.odd = [{"id": "batch_odd", "errors": "a string"}, 7]
    lost(scene)
    scene.submit()
    with pytest.raises(UnknownOutcomeError, match=r"cannot be read to its end|batch_odd may be it"):
        scene.wait()
    assert scene.states() == ["creating"]
    assert not scene.fake.batches
    scene.fake.odd = []
    assert scene.finish().ok == 2
    assert len(scene.fake.batches) == 1


@blocking
def test_an_entry_that_cannot_be_read_hides_no_batch(scene):
    scene.fake.odd = [{"id": "batch_odd", "errors": "a string"}]
    lost(scene, ("accepted", 502))
    scene.submit()
    assert scene.states() == ["created"]
    assert scene.finish().ok == 2
    assert len(scene.fake.batches) == 1


@blocking
def test_a_list_that_went_stale_does_not_keep_a_job_from_ending(scene):
    scene.submit(20)
    scene.fake.list_goes_stale()
    began = scene.clock.time()
    while not (job := scene.wait(600)).ended:
        for batch in scene.fake.live():
            scene.fake.complete(batch)
    assert job.ok == 20
    # Ten batches, four a round, once nothing was new for five minutes.
    assert scene.clock.time() - began < 2400


# The fence, as the real service has it.


@pytest.mark.parametrize("late", [GRACE + 30, 2 * GRACE + 400])
def test_a_batch_that_fails_because_the_fence_stood_is_spent(scene, late):
    scene.fake.fails_without_file = True
    lost(scene, ("late", late))
    scene.submit()
    job = scene.finish()
    assert (job.ok, job.duplicates_cancelled) == (2, 0)
    scene.clock.move(1000)
    statuses = [batch.status for batch in scene.fake.batches.values()]
    assert sorted(statuses) == (["completed", "failed"] if late < 2 * GRACE else ["completed"])
    assert not scene.fake.several_live


@blocking
def test_a_batch_behind_the_fence_is_no_proof_that_no_other_create_is_on_its_way(scene):
    scene.fake.fails_without_file = True
    begun = scene.clock.time()
    lost(scene, ("late", GRACE + 30))
    scene.submit()
    # All of the grace passes after the file was deleted, and then the batch is created anew.
    created = [batch.created_at for batch in scene.fake.batches.values()]
    assert created[-1] - begun >= 2 * GRACE
    assert scene.states() == ["created"]


@blocking
def test_a_batch_that_fails_behind_the_fence_a_while_after_it_was_found_does_not_stop_the_job(scene):
    scene.fake.fails_without_file = True
    fail = scene.fake.fail
    failing = []
    scene.fake.fail = lambda batch, *args, **fields: failing.append((batch, args, fields))
    lost(scene, ("late", GRACE + 30))
    scene.submit()
    (late,) = scene.fake.live()
    assert scene.jobs.retrieve("j").shards[0].batch_id == late.id
    for batch, args, fields in failing:
        fail(batch, *args, **fields)
    scene.fake.fail = fail
    assert scene.finish().ok == 2
    assert [batch.status for batch in scene.fake.batches.values()] == ["failed", "completed"]


# Clocks jump.


@blocking
def test_two_jumps_of_the_clock_do_not_skip_both_graces(scene):
    """Three processes, two of which die at their first look, and a clock that is a day ahead after each."""
    true_time = scene.clock.monotonic
    days = []
    scene.clock.time = lambda: true_time() + 86_400 * len(days)
    scene.fake.clock = SimpleNamespace(time=true_time)
    scene.fake.lag = 18.0
    lost(scene, ("accepted", 502))
    listed = scene.fake._listed

    def dying():
        scene.fake._listed = listed
        days.append(1)
        raise CrashError

    def deleting(*args):
        scene.fake._listed, scene.fake._delete_files = dying, delete
        return delete(*args)

    delete, scene.fake._delete_files = scene.fake._delete_files, deleting
    scene.fake._listed = dying
    for state in ("creating", "fencing"):
        with pytest.raises(CrashError):
            scene.submit()
        assert scene.states() == [state]
    scene.submit()
    assert scene.states() == ["created"]
    assert len(scene.fake.batches) == 1
