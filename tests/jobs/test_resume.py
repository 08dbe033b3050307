"""What the next process makes of what the last one left."""

import json

import httpx
import pytest
from support.job_scene import GRACE
from support.job_steps import chats

from overlay import (
    BadRequestError,
    ConfigurationError,
    JobMismatchError,
    JobNotFoundError,
    NotFoundError,
    StorageError,
)

PATIENCE = 600.0


class CrashError(BaseException):
    """The process dies."""


@pytest.fixture
def crash(scene):
    """Lets the process die at a request, before or after the service has done what it asks for; and live again."""

    def arm(name, *, done):
        handle = getattr(scene.fake, name)

        def dying(*args):
            delattr(scene.fake, name)
            if done:
                handle(*args)
            raise CrashError

        setattr(scene.fake, name, dying)

    return arm


blocking = pytest.mark.parametrize("kind", ["blocking"])


def die(scene, action):
    with pytest.raises(CrashError):
        action()


@blocking
@pytest.mark.parametrize("done", [False, True])
def test_after_a_crash_while_uploading_the_file_is_uploaded_again(scene, crash, done):
    crash("_post_files", done=done)
    die(scene, scene.submit)
    assert scene.states() == ["uploading"]
    assert scene.submit().shards[0].state == "created"
    # What the crash has left at the service is found by its name.
    assert len(scene.jobs.clean()) == done
    scene.jobs.clean(delete=True)
    assert not scene.jobs.clean()
    assert scene.finish().ok == 2
    assert len(scene.fake.batches) == 1


@blocking
@pytest.mark.parametrize("later", [0.0, 60.0, GRACE, 86_400.0])
@pytest.mark.parametrize("done", [False, True])
def test_after_a_crash_while_creating_there_is_one_batch(scene, crash, done, later):
    crash("_post_batches", done=done)
    die(scene, scene.submit)
    assert scene.states() == ["creating"]
    scene.clock.move(later)
    scene.clock.slept.clear()
    scene.submit()
    assert scene.states() == ["created"]
    assert scene.kinds[-1] == ("adopted" if done else "created")
    # What is left of the grace time is waited for, and all of it again with the file deleted.
    assert sum(scene.clock.slept) == pytest.approx(0 if done else max(0, GRACE - later) + GRACE, abs=11)
    assert scene.finish().ok == 2
    assert len(scene.fake.batches) == 1


@blocking
def test_a_clock_that_was_set_back_does_not_cut_the_search_short(scene, crash):
    crash("_post_batches", done=False)
    die(scene, scene.submit)
    scene.clock.time = lambda: scene.clock.monotonic() - 7 * 86_400
    scene.submit()
    assert 2 * GRACE <= sum(scene.clock.slept) < 2 * GRACE + 20
    assert scene.finish().ok == 2
    assert len(scene.fake.batches) == 1


@blocking
@pytest.mark.parametrize("done", [False, True])
def test_after_a_crash_while_fencing_the_fence_is_put_up_again(scene, crash, done):
    scene.fake.creates.append(("lost",))
    crash("_delete_files", done=done)
    die(scene, scene.submit)
    assert scene.states() == ["fencing"]
    scene.submit()
    assert scene.finish().ok == 2
    assert len(scene.fake.batches) == 1


@blocking
@pytest.mark.parametrize("name", ["_get_files_content", "_get_batches"])
@pytest.mark.parametrize("done", [False, True])
def test_after_a_crash_while_collecting_everything_is_there_once(scene, crash, name, done):
    scene.submit(6)
    for batch in scene.fake.live():
        scene.fake.expire(batch, 1)
    crash(name, done=done)
    die(scene, scene.wait)
    job = scene.finish()
    assert (job.ok, job.missing, job.failed) == (6, 0, 0)
    assert (job.input_tokens, job.output_tokens) == (18, 12)
    assert all(result.ok for result in scene.results().values())
    assert len(scene.fake.batches) == 6


@pytest.mark.parametrize("age", [0.0, 10_000.0])
def test_with_another_key_nothing_is_started_while_ours_is_not_to_be_seen(scene, age):
    scene.submit(4, max_creates_per_hour=1)
    scene.clock.move(age)
    scene.clock.move(3600)
    back = scene.fake.change_project()
    posts = scene.fake.count("POST", "/files")
    with pytest.raises(NotFoundError, match=r"batch_2 .*another project's key") as caught:
        scene.jobs.wait("j")
    assert "\n" not in str(caught.value)
    assert scene.fake.count("POST", "/files") == posts
    assert not scene.fake.batches
    back()
    assert scene.finish().ok == 4
    assert len(scene.fake.batches) == 2


def test_a_batch_that_was_just_created_may_be_out_of_sight_for_a_while(scene):
    scene.submit()
    back = scene.fake.change_project()
    scene.wait(PATIENCE - 60)
    back()
    assert scene.finish().ok == 2


@blocking
def test_with_another_key_a_lost_create_is_not_made_anew(scene, crash):
    crash("_post_batches", done=True)
    die(scene, scene.submit)
    back = scene.fake.change_project()
    with pytest.raises(NotFoundError, match=r"file-1 .*another project's key"):
        scene.submit()
    assert not scene.fake.batches
    back()
    scene.submit()
    assert scene.finish().ok == 2
    assert len(scene.fake.batches) == 1


@blocking
def test_with_another_key_a_fence_is_not_gone_on_with(scene, crash):
    scene.submit(4, max_creates_per_hour=1)
    scene.clock.move(3600)
    scene.fake.creates.append(("late", 100))
    crash("_delete_files", done=False)
    scene.fake.lag = 200
    die(scene, scene.wait)
    assert sorted(scene.states()) == ["created", "fencing"]
    back = scene.fake.change_project()
    with pytest.raises(NotFoundError, match="another project's key"):
        scene.jobs.wait("j")
    assert not scene.fake.files
    back()
    assert scene.finish().ok == 4
    assert not scene.fake.several_live


@blocking
@pytest.mark.parametrize("done", [False, True])
def test_a_wait_that_is_too_short_for_the_search_goes_on_with_it_the_next_time(scene, crash, done):
    scene.fake.lag = 100 if done else 0
    crash("_post_batches", done=done)
    die(scene, scene.submit)
    waits = 0
    while scene.states() != ["created"]:
        began = scene.clock.time()
        scene.wait(50)
        assert scene.clock.time() - began <= 51
        waits += 1
    assert waits == (2 if done else 8)
    assert scene.finish().ok == 2
    assert len(scene.fake.batches) == 1


def test_an_input_file_that_is_gone_is_uploaded_again(scene):
    scene.fake.creates.append(("refused",))
    scene.api.settings.max_retries = 0
    with pytest.raises(Exception, match="slow down"):
        scene.submit()
    assert scene.states() == ["uploaded"]
    scene.fake.files.clear()
    with pytest.raises(BadRequestError, match="Cannot find file"):
        scene.submit()
    scene.submit()
    assert scene.finish().ok == 2


def test_a_batch_that_the_service_has_forgotten_is_said(scene):
    scene.submit(6)
    forgotten = scene.fake.live()[1]
    forgotten.forgotten = True
    began = scene.clock.time()
    with pytest.raises(NotFoundError, match=f"{forgotten.id} .*forgotten"):
        scene.finish()
    assert PATIENCE <= scene.clock.time() - began < PATIENCE + 1300
    # What the others have answered has been brought in, and a cancelled job comes to its end.
    assert scene.states().count("done") == 2
    scene.jobs.cancel("j")
    job = scene.wait()
    assert (job.ended, job.ok, job.missing) == (True, 4, 2)
    assert [result.ok for result in scene.results().values()].count(True) == 4


def test_requests_that_were_changed_on_disk_are_not_sent(scene):
    scene.submit(4, max_creates_per_hour=1)
    path = scene.api.settings.home / "jobs" / "j" / "shards" / "00002-0.jsonl"
    path.write_bytes(path.read_bytes().replace(b"ask 3", b"ASK 3"))
    scene.clock.move(3600)
    scene.fake.complete(scene.fake.live()[0])
    with pytest.raises(StorageError, match=r"00002-0\.jsonl: changed"):
        scene.jobs.wait("j")
    assert len(scene.fake.batches) == 1


def test_a_job_that_is_not_there_is_said(scene):
    for act in (
        scene.jobs.resume,
        scene.jobs.retrieve,
        scene.jobs.wait,
        scene.jobs.cancel,
        scene.jobs.delete,
    ):
        with pytest.raises(JobNotFoundError, match="no job k") as caught:
            act("k")
        assert caught.value.job_id == "k"
    with pytest.raises(JobNotFoundError):
        list(scene.jobs.results("k"))


def test_a_finished_job_needs_no_service(scene):
    scene.submit(6)
    scene.finish()
    scene.fake.down = True
    asked = len(scene.fake.log)
    assert scene.submit(6).ended
    assert scene.jobs.wait("j").ok == 6
    assert len(list(scene.jobs.run(chats(6), id="j"))) == 6
    assert len(scene.fake.log) == asked
    with pytest.raises(JobMismatchError):
        scene.submit(7)


def test_a_job_ends_though_the_service_is_down_for_the_last_look(scene):
    scene.submit(2)
    (batch,) = scene.fake.live()
    scene.fake.complete(batch)
    get = scene.fake._get_batches

    def no_list(request, query, thing):
        return get(request, query, thing) if thing else httpx.Response(503)

    scene.fake._get_batches = no_list
    assert scene.wait().ok == 2
    assert "outage" in scene.kinds
    # The look is taken the next time.
    scene.fake._get_batches = get
    asked = scene.fake.count("GET", "/batches")
    scene.submit(2)
    scene.submit(2)
    assert scene.fake.count("GET", "/batches") == asked + 1


def test_what_no_specification_names_is_sent_with_each_batch_after_a_restart_too(scene, monkeypatch):
    seen = []
    handle = scene.fake._post_batches

    def noting(request, *rest):
        seen.append((json.loads(request.content).get("priority"), request.url.params.get("trace")))
        return handle(request, *rest)

    monkeypatch.setattr(scene.fake, "_post_batches", noting)
    extra = {"extra_body": {"priority": (3,)}, "extra_query": {"trace": "7"}}
    scene.submit(4, max_batches=1, **extra)
    assert seen == [([3], "7")]
    scene.jobs = scene.client().jobs
    assert scene.finish().ok == 4
    assert seen == [([3], "7")] * 2
    scene.submit(4, **extra)
    with pytest.raises(JobMismatchError, match="another extra_query"):
        scene.submit(4, extra_query={"trace": "8"})


@blocking
@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ({"extra_body": {"a": object()}}, "extra_body must be JSON"),
        ({"extra_query": [1]}, "extra_query must be a mapping"),
        ({"extra_body": {1: 2}}, "extra_body must be a mapping"),
    ],
)
def test_what_cannot_be_kept_is_refused_before_anything_is_sent(scene, odd, said):
    with pytest.raises(ConfigurationError, match=said):
        scene.submit(2, **odd)
    assert scene.fake.log == []
