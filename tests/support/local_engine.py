"""An engine of threads, which runs tasks as carelessly as a real one may: again, and twice at once."""

import json
import pickle
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from overlay import Chat
from overlay.engines.partition import Plan, do_task, upload_partition
from overlay.engines.running import run

ROWS = 60
TABLE = pa.table({"id": pa.array(range(ROWS), pa.int32()), "text": [f"text {n}" for n in range(ROWS)]})


@dataclass
class Review:
    friendly: bool


CHAT = Chat("m", "Friendly? {text}", answer=Review)
QUICK = {"poll": 0.01, "grace": 0.2}


class Answers:
    """Counts what it is asked; the first `fails` requests for each text that ends in 7 fail, and pass later."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    def __call__(self, line):
        text = line["body"]["messages"][-1]["content"]
        self.asked[text] += 1
        if text.endswith("7") and self.asked[text] == 1:
            return 500, {"error": {"message": "try again"}}
        if text.endswith("9"):
            return 400, {"error": {"message": "no", "code": "nope"}}
        usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
        return {"choices": [{"message": {"content": json.dumps({"friendly": True})}}], "usage": usage}


def go(
    make, engine, template=CHAT, *, key="id", job="reviews", schema=TABLE.schema, ignore_case=False, **options
):
    answered = run(
        engine,
        schema,
        template,
        key=key,
        id=job,
        options={"client": make, **QUICK, **options},
        ignore_case=ignore_case,
    )
    return pa.concat_tables([answered.table(), *map(pq.read_table, answered.paths)])


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
