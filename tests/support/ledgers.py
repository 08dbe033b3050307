"""A ledger to write, and to compare with what is read."""

from overlay.jobs.ledger import Ledger
from overlay.jobs.records import JobOptions, JobRecord, Unit

JOB = JobRecord(
    id="j",
    digest="d" * 64,
    base_url="https://api.example/v1",
    created_at=1_750_000_000,
    requests=10,
    options=JobOptions(metadata={"run": "7"}, max_attempts=5, grace=12.5),
)


def unit(shard, generation=0, **fields):
    return Unit(
        **{
            "shard": shard,
            "generation": generation,
            "endpoint": "/v1/chat/completions",
            "model": "m",
            "requests": 5,
            "shard_requests": 5,
            "bytes": 500,
            "tokens": 125,
            "sha256": "s" * 64,
        }
        | fields
    )


UNITS = [
    unit(
        0,
        state="created",
        file_id="file-0",
        batch_id="batch_0",
        creating_at=1_750_000_001.25,
        status="in_progress",
    ),
    unit(1, state="done", ok=3, missing=1, input_tokens=7, output_tokens=9),
    unit(1, 1, requests=2),
]


def written(path):
    ledger = Ledger(path, create=True)
    ledger.save_job(JOB)
    ledger.save(*UNITS)
    return ledger


def contents(path):
    ledger = Ledger(path)
    try:
        return ledger.job(), ledger.units()
    finally:
        ledger.close()
