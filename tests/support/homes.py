"""Home folders that share a project: whose is whose, and what version 0.1 has left there."""

from overlay.jobs.home import home_id
from overlay.operations.marks import legacy_pairs, mark_of


def homes(api):
    """The id of a client's home folder."""
    return home_id(api.settings)


def as_version_0_1(scene, api, job_id="j"):
    """Make a job and its batches what version 0.1 has left."""
    for batch in scene.fake.batches.values():
        mark = mark_of(batch.body["metadata"])
        if mark.job == job_id and mark.home == homes(api):
            batch.body["metadata"] = legacy_pairs(job_id, mark.shard, mark.generation)
            file = scene.fake.files[batch.body["input_file_id"]]
            file.name = f"overlay-{job_id}-{mark.shard:05}-{mark.generation}.jsonl"
