"""Jobs that ended long ago are removed from the disk, and no others."""

import os
from datetime import timedelta
from pathlib import Path

import pytest

from overlay import ConfigurationError, JobNotFoundError
from overlay.jobs.lock import JobLock

MONTH = timedelta(days=30)


def folder_of(scene, job_id):
    return Path(scene.api.settings.home) / "jobs" / job_id


def idle(scene, job_id, days):
    """Let a job's ledger be as if nothing had happened to it for so many days."""
    then = scene.clock.time() - days * 86400
    os.utime(folder_of(scene, job_id) / "ledger.db", (then, then))


def ended(scene, job_id):
    scene.submit(2, id=job_id)
    for batch in scene.fake.live():
        scene.fake.complete(batch)
    assert scene.jobs.wait(job_id).ended


def test_what_ended_long_ago_is_removed_and_returned(scene):
    ended(scene, "old")
    ended(scene, "used")
    scene.submit(2, id="open")
    scene.clock.move(31 * 86400)
    ended(scene, "new")
    for name in ("old", "open"):
        idle(scene, name, 31)
    idle(scene, "used", 29)
    assert [job.id for job in scene.jobs.prune(older_than=MONTH, dry_run=True)] == ["old"]
    assert folder_of(scene, "old").exists()
    (job,) = scene.jobs.prune(older_than=MONTH)
    assert (job.id, job.ended, job.disk_bytes > 0) == ("old", True, True)
    assert not folder_of(scene, "old").exists()
    assert not list((Path(scene.api.settings.home) / "spool").iterdir())
    with pytest.raises(JobNotFoundError):
        scene.jobs.retrieve("old")
    assert {job.id for job in scene.jobs.list()} == {"used", "open", "new"}
    assert scene.jobs.prune(older_than=MONTH) == []


def test_what_is_in_use_or_cannot_be_read_stays(scene):
    for name in ("held", "spoilt", "old"):
        ended(scene, name)
    scene.clock.move(86400)
    (folder_of(scene, "spoilt") / "ledger.db").write_bytes(b"x" * 9000)
    for name in ("held", "spoilt", "old"):
        idle(scene, name, 1)
    with JobLock(folder_of(scene, "held"), "held"):
        assert [job.id for job in scene.jobs.prune(older_than=60)] == ["old"]
    assert {path.name for path in folder_of(scene, "").iterdir()} == {"held", "spoilt"}


def test_an_age_is_not_negative(scene):
    with pytest.raises(ConfigurationError, match="older_than"):
        scene.jobs.prune(older_than=-1)
