"""Jobs at a service that cannot list, cancel or delete: what is lost is said first, and nothing is paid twice."""

from contextlib import suppress

import attrs
import pytest
from support.job_scene import GRACE

from overlay import UnknownOutcomeError, UnsupportedError
from overlay.services import service_named


def limited(scene, **lacks):
    scene.api.settings.service = attrs.evolve(service_named("other"), title="Frugal", **lacks)


def said(scene):
    return [event.message for event in scene.events]


def test_what_is_lost_is_said_at_the_start(scene):
    limited(scene, lists=False, cancels=False, deletes=False)
    scene.submit()
    lists, deletes, cancels = said(scene)[:3]
    assert lists.startswith("Frugal cannot list batches: a shard whose create goes unanswered stops; ")
    assert "`overlay jobs send-again`" in lists
    assert deletes == "Frugal cannot delete files: input and result files stay there"
    assert cancels == "Frugal cannot cancel batches: what was created runs to its end"
    assert scene.finish().ok == 2


def test_nothing_is_said_where_nothing_is_lost(scene):
    scene.submit()
    assert not [message for message in said(scene) if "cannot" in message]


@pytest.mark.parametrize("lacks", [{"lists": False}, {"deletes": False}])
@pytest.mark.parametrize("accepted", [True, False])
def test_an_unanswered_create_stops_its_shard_and_names_the_way_out(scene, lacks, accepted):
    limited(scene, **lacks)
    scene.api.settings.max_retries = 0
    scene.fake.creates.append(("accepted", 502) if accepted else ("lost",))
    found = accepted and "lists" not in lacks
    if found:
        scene.submit()
        assert scene.finish().ok == 2
        assert len(scene.fake.batches) == 1
        return
    with suppress(UnknownOutcomeError):
        scene.submit()
    with pytest.raises(UnknownOutcomeError, match="send-again"):
        scene.wait(5 * GRACE)
    before = len(scene.fake.batches)
    scene.clock.move(86_400)
    with pytest.raises(UnknownOutcomeError, match="send-again"):
        scene.wait(5 * GRACE)
    assert len(scene.fake.batches) == before
    if not accepted:
        scene.jobs.send_again("j")
        assert scene.finish().ok == 2
        assert len(scene.fake.batches) == 1


def test_a_cancelled_job_waits_for_what_cannot_be_cancelled(scene):
    limited(scene, cancels=False)
    scene.submit(4)
    scene.jobs.cancel("j")
    for batch in scene.fake.live():
        scene.fake.complete(batch)
    job = scene.wait(1000)
    assert job.cancelled
    assert job.ok == 4
    assert scene.fake.count("POST", "/batches/cancel") == 0


def test_plain_verbs_say_so_before_anything_is_sent(scene):
    limited(scene, lists=False, lists_files=False, cancels=False, deletes=False)
    for act, words in (
        (lambda: list(scene.api.batches.list()), "list batches"),
        (lambda: list(scene.api.files.list()), "list files"),
        (lambda: scene.api.batches.cancel("b"), "cancel batches: b runs to its end"),
        (lambda: scene.api.files.delete("f"), "delete files"),
    ):
        with pytest.raises(UnsupportedError, match=f"Frugal cannot {words}"):
            act()
