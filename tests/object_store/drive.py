"""One driver of one job, whose ledger is in an object store: it is killed, paused, and its clock is wrong.

python drive.py JOB BASE_URL HOME STAGING SKEW_SECONDS
"""

import sys
import time
from functools import partial

import pyarrow as pa
from support.local_engine import LocalEngine

from overlay import Chat, Client, JobLockedError
from overlay.engines.running import run
from overlay.jobs.object_store import lease
from overlay.wire.clock import SystemClock

ROWS, ROWS_PER_SHARD = 40, 4
LOCKED = 3
"""The exit status of a driver that lost its job, or did not get it."""


def main() -> int:
    job, base_url, home, staging, skew = sys.argv[1:]
    lease.LEASE_SECONDS = 1.0
    SystemClock.time = lambda self: time.time() + float(skew)
    table = pa.table({"id": range(ROWS), "text": [f"{job} {number}" for number in range(ROWS)]})
    options = {
        "client": partial(Client, base_url=base_url, home=home),
        "staging": staging,
        "poll": 0.05,
        "grace": 1.0,
        "max_batches": 6,
    }
    try:
        answered = run(
            LocalEngine(table, rows=ROWS_PER_SHARD),
            table.schema,
            Chat("m", "{text}"),
            key="id",
            id=job,
            options=options,
        )
    except JobLockedError as error:
        print(error, file=sys.stderr)
        return LOCKED
    print("\n".join(answered.paths))
    return 0


if __name__ == "__main__":
    sys.exit(main())
