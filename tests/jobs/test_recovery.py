"""Jobs whose ledger is gone, in a project where others have jobs of the same name."""

import hashlib
import json
import shutil
from email.utils import formatdate
from types import SimpleNamespace

import pytest
from support.homes import as_version_0_1, homes
from support.job_scene import TWO
from support.job_steps import chats

from overlay import ConfigurationError, JobNotFoundError, LedgerError
from overlay.jobs.ledger import Ledger
from overlay.jobs.records import Unit
from overlay.jobs.spool import shard_path
from overlay.operations.marks import Mark, input_of, mark_of

blocking = pytest.mark.parametrize("kind", ["blocking"])


@pytest.fixture
def elsewhere(scene, tmp_path):
    """A client with a home folder of its own."""
    return scene.client(home=tmp_path / "elsewhere")


def submit_to(api, count=2, job_id="j"):
    return api.jobs.submit(chats(count), id=job_id, limits=TWO)


def lose_ledger(api, job_id="j"):
    (api.settings.home / "jobs" / job_id / "ledger.db").write_bytes(b"This was a ledger." * 500)


def lose_folder(api, job_id="j"):
    shutil.rmtree(api.settings.home / "jobs" / job_id)


def complete(scene):
    for batch in scene.fake.live():
        scene.fake.complete(batch)


# recover


@pytest.mark.parametrize("lose", [lose_ledger, lose_folder])
def test_a_homes_own_job_is_recovered_and_others_stay_where_they_are(scene, elsewhere, lose):
    scene.submit()
    submit_to(elsewhere, 4)
    submit_to(elsewhere, 2, "k")
    lose(scene.api)
    (job,) = scene.jobs.recover()
    assert (job.id, job.requests) == ("j", 2)
    assert len(scene.jobs.list()) == 1
    complete(scene)
    assert scene.jobs.wait("j").ok == 2
    assert len(scene.fake.batches) == 4
    assert not scene.jobs.recover()


def test_a_job_of_another_home_is_brought_here_by_name(scene, elsewhere):
    submit_to(elsewhere, 4)
    assert not scene.jobs.recover()
    (job,) = scene.jobs.recover("j")
    assert job.requests == 4
    complete(scene)
    assert scene.jobs.wait("j").ok == elsewhere.jobs.wait("j").ok == 4
    assert len(scene.fake.batches) == 2
    assert not scene.jobs.recover("j")
    with pytest.raises(JobNotFoundError, match="no batches of a job nope"):
        scene.jobs.recover("nope")


def test_of_several_homes_one_has_to_be_named(scene, elsewhere, tmp_path):
    submit_to(elsewhere, 2)
    third = scene.client(home=tmp_path / "third")
    submit_to(third, 4)
    with pytest.raises(ConfigurationError, match=f"home folder {homes(elsewhere)}") as caught:
        scene.jobs.recover("j")
    assert homes(third) in str(caught.value)
    assert scene.jobs.recover("j", home=homes(third))[0].requests == 4


@blocking
def test_batches_of_two_homes_are_never_taken_for_one_job(scene, elsewhere):
    scene.submit(2)
    submit_to(elsewhere, 6)
    lose_folder(scene.api)
    assert scene.jobs.recover("j")[0].requests == 2


@blocking
def test_a_file_that_is_not_what_the_mark_says_is_refused(scene, elsewhere):
    submit_to(elsewhere, 2)
    (batch,) = scene.fake.live()
    file = scene.fake.files[batch.body["input_file_id"]]
    file.content = file.content.replace(b"ask", b"ASK")
    with pytest.raises(LedgerError, match=f"{batch.id} says that it is shard 1 of job j, but input file"):
        scene.jobs.recover("j")
    assert not (scene.api.settings.home / "jobs" / "j").exists()


@blocking
def test_a_job_that_got_the_name_of_a_deleted_one_is_recovered_from_its_own_batches(scene):
    scene.submit(chats(2))
    scene.finish()
    scene.jobs.delete("j")
    scene.clock.move(100)
    scene.submit([*chats(3)][1:])
    for lose in (lose_ledger, lose_folder):
        lose(scene.api)
        (job,) = scene.jobs.recover()
        assert job.shards[0].batch_id == scene.fake.live()[0].id


@blocking
def test_requests_on_this_disk_that_are_not_those_of_the_batch_are_not_sent_and_not_mixed(scene):
    scene.submit(2)
    lose_ledger(scene.api)
    path = shard_path(scene.api.settings.home / "jobs" / "j", 1, 0)
    path.write_bytes(path.read_bytes().replace(b"ask", b"ASK"))
    with pytest.raises(LedgerError, match=r"00001-0\.jsonl: not the requests of batch_2"):
        scene.jobs.recover()


@blocking
def test_a_list_with_gaps_does_not_make_a_shard_count_as_never_sent(scene):
    scene.submit(4, max_creates_per_hour=1)
    lose_ledger(scene.api)
    scene.fake.odd = [7]
    with pytest.raises(LedgerError, match="may or may not have been sent"):
        scene.jobs.recover()
    scene.fake.odd = []
    (job,) = scene.jobs.recover()
    assert [shard.state for shard in job.shards] == ["created", "planned"]


@blocking
def test_odd_entries_do_not_keep_other_jobs_from_being_recovered(scene):
    scene.submit(2)
    lose_ledger(scene.api)
    absurd = {"overlay": f"{'0' * 16}/{homes(scene.api)}/../0.0.0"}
    scene.fake.odd = [
        7,
        {"id": "batch_odd", "errors": "text"},
        {"id": "batch_odd2", "metadata": absurd, "created_at": 10**30},
        {
            "id": "batch_odd3",
            "metadata": {"overlay_job": "j", "overlay_shard": "-1", "overlay_generation": "x"},
        },
    ]
    assert [job.id for job in scene.jobs.recover()] == ["j"]


def test_a_job_of_version_0_1_is_recovered_by_name(scene):
    scene.submit(4)
    as_version_0_1(scene, scene.api)
    lose_ledger(scene.api)
    with pytest.raises(LedgerError, match=r"batches are from version 0\.1.*overlay jobs recover j"):
        scene.jobs.recover()
    (job,) = scene.jobs.recover("j")
    assert job.requests == 4
    complete(scene)
    assert scene.jobs.wait("j").ok == 4
    assert len(scene.fake.batches) == 2


@blocking
def test_a_file_of_version_0_1_with_another_number_of_requests_is_refused(scene):
    scene.submit(2)
    as_version_0_1(scene, scene.api)
    lose_folder(scene.api)
    (batch,) = scene.fake.live()
    batch.lines.append(batch.lines[0])
    with pytest.raises(LedgerError, match="other requests"):
        scene.jobs.recover("j")


# Parts


def split_in_parts(scene, cuts, sent, *, refused=True):
    """Make job "j", of one shard, one that was split as `cuts` say, of which the parts in `sent` were sent."""
    folder = scene.api.settings.home / "jobs" / "j"
    lines = shard_path(folder, 1, 0).read_bytes().splitlines(keepends=True)
    ledger = Ledger(folder / "ledger.db")
    (whole,) = ledger.units()
    (batch,) = scene.fake.live()
    scene.fake.fail(batch)
    batch.forgotten = not refused
    for part, (start, end) in cuts.items():
        content = b"".join(lines[start:end])
        shard_path(folder, 1, 0, part).write_bytes(content)
        file = scene.fake._store(content, f"overlay-{homes(scene.api)}-j-00001-0.{part}.jsonl", "batch")
        if part in sent:
            unit = Unit(**{**_fields(whole), "part": part})
            digest = hashlib.sha256(content).hexdigest()
            mark = Mark(f"{part:016x}", homes(scene.api), "j", *unit.key, input_of(len(content), digest))
            scene.fake._accept({**batch.body, "input_file_id": file.id, "metadata": mark.pair()})
    ledger.close()


def _fields(unit):
    return {name: getattr(unit, name) for name in Unit.__annotations__}


@blocking
@pytest.mark.parametrize("refused", [True, False], ids=["whole seen", "whole forgotten"])
@pytest.mark.parametrize("lose", [lose_ledger, lose_folder])
@pytest.mark.parametrize("sent", [{1, 2}, {1}], ids=str)
def test_a_split_shard_is_recovered_part_by_part(scene, refused, lose, sent):
    scene.jobs.submit(chats(6), id="j")
    split_in_parts(scene, {1: (0, 2), 2: (2, 6)}, sent, refused=refused)
    lose(scene.api)
    (job,) = scene.jobs.recover()
    everything = lose is lose_ledger or refused or sent == {1, 2}
    assert job.requests == (6 if everything else 2)
    live = len(scene.fake.live())
    scene.jobs.resume("j")
    assert len(scene.fake.live()) == live + (everything and sent == {1})
    complete(scene)
    job = scene.jobs.wait("j")
    assert (job.ok, job.requests) == (job.requests, 6 if everything else 2)
    assert not scene.fake.several_live
    asked = [
        line["custom_id"] for batch in scene.fake.batches.values() if batch.answered for line in batch.lines
    ]
    assert len(asked) == len(set(asked))


@blocking
def test_a_part_that_was_split_again_is_recovered(scene):
    scene.jobs.submit(chats(6), id="j")
    split_in_parts(scene, {1: (0, 4), 2: (4, 6), 3: (0, 2), 4: (2, 4)}, {1, 2, 3})
    first = next(batch for batch in scene.fake.live() if mark_of(batch.body["metadata"]).part == 1)
    scene.fake.fail(first)
    lose_ledger(scene.api)
    scene.jobs.recover()
    scene.jobs.resume("j")
    complete(scene)
    assert scene.jobs.wait("j").ok == 6
    asked = [
        json.dumps(line) for batch in scene.fake.batches.values() if batch.answered for line in batch.lines
    ]
    assert len(asked) == len(set(asked)) == 6


# What was sent before


def test_who_sent_a_job_before_is_told(scene, elsewhere):
    submit_to(elsewhere, 4)
    seen = scene.jobs.sent_before("j")
    (origin,) = seen.found
    assert (origin.home, origin.here, len(origin.batches), seen.complete) == (
        homes(elsewhere),
        False,
        2,
        True,
    )
    assert elsewhere.jobs.sent_before("j").found[0].here
    as_version_0_1(scene, elsewhere)
    assert str(scene.jobs.sent_before("j").found[0]) == "version 0.1 of this SDK"
    assert not scene.jobs.sent_before("k").found


@blocking
@pytest.mark.parametrize("days", [-40, 40])
def test_the_last_30_days_are_those_of_the_services_clock(scene, elsewhere, days):
    submit_to(elsewhere, 2)
    submit_to(elsewhere, 2, "old")
    old = list(scene.fake.batches.values())[-1]
    old.created_at -= 31 * 86_400
    handle = scene.fake._handle

    def dated(request):
        answer = handle(request)
        answer.headers["date"] = formatdate(scene.clock.monotonic(), usegmt=True)
        return answer

    scene.fake._handle = dated
    scene.clock.time = lambda: scene.clock.monotonic() + days * 86_400
    scene.fake.clock = SimpleNamespace(time=scene.clock.monotonic)
    assert len(scene.jobs.sent_before("j").found) == 1
    assert not scene.jobs.sent_before("old").found


@blocking
def test_that_not_all_could_be_looked_at_is_told(scene, elsewhere):
    scene.fake.odd = [7]
    seen = scene.jobs.sent_before("j")
    assert (list(seen.found), seen.complete) == ([], False)
