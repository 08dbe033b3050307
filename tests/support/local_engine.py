"""An engine of threads, which runs tasks as carelessly as a real one may: again, and twice at once."""

import pickle
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from overlay.engines.partition import Plan, do_task, upload_partition


class LocalEngine:
    """Partitions of a table, in threads. With `twice`, each task is run a second time, and the later one counts."""

    def __init__(self, table: pa.Table, *, rows: int, twice: bool = False) -> None:
        self._batches = table.to_batches(max_chunksize=rows)
        self._twice = twice
        self.uploads = 0
        self.tasks: list[str] = []

    def upload(self, plan: Plan) -> Iterable[str]:
        self.uploads += 1
        plan = pickle.loads(pickle.dumps(plan))
        with ThreadPoolExecutor(2) as threads:
            for lines in threads.map(
                lambda batch: self._done(upload_partition, plan, [batch]), self._batches
            ):
                yield from lines

    def run(self, plan: Plan, tasks: Sequence[str]) -> Iterable[str]:
        self.tasks += tasks
        plan = pickle.loads(pickle.dumps(plan))
        with ThreadPoolExecutor(2) as threads:
            yield from threads.map(lambda task: self._done(do_task, plan, task), tasks)

    def _done(self, work, plan, given):
        for _ in range(1 + self._twice):
            done = work(plan, given)
            done = done if isinstance(done, str) else list(done)
        return done
