"""Input files that a crash has left are deleted; those of others, and those in use, are not."""

import pytest
from support.homes import as_version_0_1, homes
from support.job_scene import TWO
from support.job_steps import chats

from overlay import InvalidResponseError

blocking = pytest.mark.parametrize("kind", ["blocking"])


def stored(scene):
    return {
        file.id for file in scene.fake.files.values() if file.deleted_at is None and file.purpose == "batch"
    }


def upload(scene, name):
    return scene.fake._store(b"{}\n", name, "batch").id


def test_clean_deletes_what_this_home_has_left_and_nothing_else(scene, tmp_path):
    elsewhere = scene.client(home=tmp_path / "elsewhere")
    ours, theirs = homes(scene.api), homes(elsewhere)
    scene.submit()
    elsewhere.jobs.submit(chats(2), id="j", limits=TWO)
    running = stored(scene)
    left = {
        upload(scene, f"overlay-{ours}-j-00001-0.jsonl"),
        upload(scene, f"overlay-{ours}-gone-00007-0.3.jsonl"),
    }
    others = {
        upload(scene, f"overlay-{theirs}-j-00001-0.jsonl"),
        upload(scene, "overlay-j-00001-0.jsonl"),
        upload(scene, "overlay-gone-00001-0.jsonl"),
        upload(scene, f"overlay-{ours}-j.jsonl"),
        upload(scene, "requests.jsonl"),
    }
    assert {file.id for file in scene.jobs.clean()} == left
    assert stored(scene) == running | left | others
    assert {file.id for file in scene.jobs.clean(delete=True)} == left
    assert stored(scene) == running | others
    assert not scene.jobs.clean(delete=True)


@blocking
def test_a_file_that_a_live_batch_names_is_kept_whoever_created_the_batch(scene):
    file_id = upload(scene, f"overlay-{homes(scene.api)}-gone-00001-0.jsonl")
    scene.fake.files[file_id].content = b'{"custom_id": "a", "body": {"model": "m"}}\n'
    theirs = scene.fake.somebody_creates(file_id)
    assert not scene.jobs.clean(delete=True)
    scene.fake.complete(theirs)
    assert [file.id for file in scene.jobs.clean(delete=True)] == [file_id]


@blocking
def test_a_file_of_version_0_1_is_deleted_if_the_ledger_knows_it(scene):
    scene.submit()
    as_version_0_1(scene, scene.api)
    scene.finish()
    (file_id,) = stored(scene)
    other = upload(scene, "overlay-j-00001-0.jsonl")
    assert [file.id for file in scene.jobs.clean(delete=True)] == [file_id]
    assert stored(scene) == {other}


@blocking
@pytest.mark.parametrize("no_list", [{}, {"data": [7]}, {"data": [], "has_more": True}], ids=str)
def test_nothing_is_deleted_where_the_list_of_batches_proves_nothing(scene, no_list):
    upload(scene, f"overlay-{homes(scene.api)}-gone-00001-0.jsonl")
    before = stored(scene)
    get = scene.fake._get_batches
    scene.fake._get_batches = lambda *_: no_list
    with pytest.raises(InvalidResponseError, match=r"nothing was deleted|proves nothing"):
        scene.jobs.clean(delete=True)
    assert stored(scene) == before
    scene.fake._get_batches = get
    assert len(scene.jobs.clean(delete=True)) == 1
