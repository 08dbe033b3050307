"""Ray, Dask and Spark over the embedded service; workers and drivers are killed while they upload and join."""

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pyspark
import pytest

from overlay.server import Delay, Pace, Service

ROWS = int(os.environ.get("ENGINE_ROWS", "20000"))
PARTITIONS = 8
SHARDS = 40
KEY = "sk-of-the-environment"
HERE = Path(__file__).parent
_WORKERS = {
    "ray": lambda words: words[0].startswith("ray::") and not re.search("IDLE|Agent", words[0]),
    "dask": lambda words: "--multiprocessing-fork" in words or "spawn_main" in " ".join(words),
    "spark": lambda words: "pyspark.daemon" in words,
}
"""How a process is known that does an engine's tasks, by its command line."""


class Asked:
    """The model: 1 % of the rows fail for good, 1 % at the first time. It counts how often each row is asked."""

    def __init__(self) -> None:
        self.times: Counter[int] = Counter()

    def __call__(self, line):
        number = int(line["custom_id"])
        self.times[number] += 1
        if number % 100 == 1:
            return 400, {"error": {"message": "no", "code": "nope"}}
        if number % 100 == 2 and self.times[number] == 1:
            return 500, {"error": {"message": "later"}}
        text = json.dumps({"friendly": number % 2 == 0, "topic": "price" if number % 3 else "quality"})
        usage = {"prompt_tokens": number, "completion_tokens": 3, "total_tokens": number + 3}
        return {"choices": [{"message": {"content": text}}], "usage": usage}

    def check(self, rows: int) -> None:
        """Each row was asked once; those that failed in a way that passes, twice."""
        wrong = {n: self.times[n] for n in range(rows) if self.times[n] != 1 + (n % 100 == 2)}
        assert not wrong, dict(list(wrong.items())[:5])


def write_table(folder: Path, rows: int) -> None:
    folder.mkdir()
    for part in range(PARTITIONS):
        numbers = range(part * rows // PARTITIONS, (part + 1) * rows // PARTITIONS)
        table = pa.table(
            {"review_id": pa.array(numbers, pa.int64()), "text": [f"text {n} 🙂" for n in numbers]}
        )
        pq.write_table(table, folder / f"{part}.parquet")


def check_output(folder: Path, rows: int) -> None:
    """One row a key, each with its own text and answer."""
    table = ds.dataset(folder, format="parquet").to_table()
    assert table.num_rows == rows
    assert pc.count_distinct(table["review_id"]).as_py() == rows
    for row in table.to_pylist():
        number = row["review_id"]
        wanted = (number % 2 == 0, "price" if number % 3 else "quality", None, number)
        if number % 100 == 1:
            wanted = (None, None, "nope", None)
        assert row["text"] == f"text {number} 🙂"
        assert (row["friendly"], row["topic"], row["error_code"], row["input_tokens"]) == wanted


class Trial:
    """A table, a service, and a driver that may be killed and started again."""

    def __init__(self, engine: str, folder: Path, rows: int, **environment: str) -> None:
        self.engine, self.rows, self.folder = engine, rows, folder
        folder.mkdir(exist_ok=True)
        self.asked = Asked()
        self.service = Service(self.asked, pace=Pace(validating=0.05, in_progress=0.3, finalizing=0.05))
        write_table(folder / "table", rows)
        self.environment = environment
        self.killed: Counter[str] = Counter()
        self.peak = 0
        self.token_file: str | None = None

    def start(self) -> subprocess.Popen:
        config = {"base_url": self.service.base_url, "home": str(self.folder / "home")}
        config["token_file"] = self.token_file
        config |= {name: str(self.folder / name) for name in ("table", "staging", "out")}
        path = self.folder / "config.json"
        path.write_text(json.dumps(config))
        shutil.rmtree(self.folder / "out", ignore_errors=True)
        environment = os.environ | {
            "OPENAI_API_KEY": KEY,
            "OVERLAY_PROGRESS": "0",
            "PYSPARK_PYTHON": sys.executable,
            "ROWS_PER_SHARD": str(self.rows // SHARDS),
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
            **self.environment,
        }
        return subprocess.Popen(
            [sys.executable, HERE / "drive.py", self.engine, path],
            env=environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=(self.folder / "stderr").open("ab"),
            start_new_session=True,
        )

    def count(self, method: str, beginning: str, end: str = "") -> int:
        return sum(
            each.method == method and each.path.startswith(beginning) and each.path.endswith(end)
            for each in self.service.requests
        )

    def until(self, driver: subprocess.Popen, reached) -> bool:
        """Whether the driver lives to see it."""
        while driver.poll() is None:
            if reached():
                return True
            self._look(driver)
            time.sleep(0.02)
        return False

    def _look(self, driver: subprocess.Popen) -> None:
        for process in self.workers(driver):
            try:
                self.peak = max(self.peak, process.memory_info().rss)
            except psutil.Error:
                continue

    def workers(self, driver: subprocess.Popen) -> list[psutil.Process]:
        found = []
        try:
            for process in psutil.Process(driver.pid).children(recursive=True):
                try:
                    if (words := process.cmdline()) and _WORKERS[self.engine](words):
                        found.append(process)
                except psutil.Error:
                    continue
        except psutil.Error:
            pass
        return found

    def kill_a_worker(self, driver: subprocess.Popen, when: str) -> None:
        until = time.monotonic() + 20
        while time.monotonic() < until and driver.poll() is None:
            workers = self.workers(driver)
            if workers:
                random.choice(workers).kill()
                self.killed[f"worker, {when}"] += 1
                return
            time.sleep(0.01)

    def kill_driver(self, driver: subprocess.Popen, when: str) -> None:
        everything = psutil.Process(driver.pid).children(recursive=True)
        os.killpg(driver.pid, signal.SIGKILL)
        for process in everything:
            try:
                process.kill()
            except psutil.Error:
                continue
        driver.wait()
        self.killed[f"driver, {when}"] += 1

    def finish(self, driver: subprocess.Popen) -> dict:
        self.until(driver, lambda: False)
        printed, _ = driver.communicate()
        said = (self.folder / "stderr").read_text(errors="replace")[-3000:]
        assert driver.returncode == 0, said
        told = json.loads(printed.splitlines()[-1])
        return told | {"worker_peak_kib": self.peak // 1024}


@pytest.mark.parametrize("engine", ["ray", "dask", "spark"])
def test_workers_and_drivers_are_killed(engine, tmp_path):
    trial = Trial(engine, tmp_path, ROWS)
    uploads = lambda: trial.count("POST", "/v1/files")  # noqa: E731 - short
    creates = lambda: trial.count("POST", "/v1/batches")  # noqa: E731
    contents = lambda: trial.count("GET", "/v1/files/", "/content")  # noqa: E731
    with trial.service:
        driver = trial.start()
        if trial.until(driver, lambda: uploads() >= 2):
            trial.kill_a_worker(driver, "uploading")
        before = uploads()
        if trial.until(driver, lambda: uploads() >= before + 3):
            trial.kill_a_worker(driver, "uploading")
        if trial.until(driver, lambda: creates() >= 3):
            trial.kill_driver(driver, "creating")
        driver = trial.start()
        if trial.until(driver, lambda: contents() >= 3):
            trial.kill_driver(driver, "joining")
        before = contents()
        driver = trial.start()
        if trial.until(driver, lambda: contents() > before):
            trial.kill_a_worker(driver, "joining")
        told = trial.finish(driver)
    print(engine, dict(trial.killed), told)
    check_output(tmp_path / "out", ROWS)
    trial.asked.check(ROWS)
    assert trial.killed["worker, uploading"] >= 1
    assert trial.killed["worker, joining"] >= 1
    assert trial.killed["driver, creating"] == trial.killed["driver, joining"] == 1


@pytest.mark.parametrize("engine", ["ray", "dask", "spark"])
def test_what_the_driver_takes_does_not_grow_with_the_rows(engine, tmp_path):
    """As many shards of ten times the rows: the driver's traffic is the same, and its memory as good as."""
    taken = []
    for rows in (ROWS // 10, ROWS):
        trial = Trial(engine, tmp_path / str(rows), rows)
        with trial.service:
            taken.append(trial.finish(trial.start()))
        check_output(trial.folder / "out", rows)
        trial.asked.check(rows)
    small, large = taken
    print(engine, ROWS // 10, small, ROWS, large)
    assert large["driver_traffic_bytes"] < 2 * small["driver_traffic_bytes"]
    assert large["driver_peak_kib"] < 1.5 * small["driver_peak_kib"]


class Cluster:
    """A master of Spark's, and a worker on each of two addresses: one host never speculates on itself."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"spark://127.0.0.1:{port}"
        self._folder = folder
        self._port = str(port)
        self._processes: list[subprocess.Popen] = []

    def __enter__(self):
        self._run("master.Master", "--host", "127.0.0.1", "--port", self._port, "--webui-port", "0")
        for host in ("127.0.0.1", "127.0.0.2"):
            room = ("--cores", "1", "--memory", "1g", "--work-dir", str(self._folder / host))
            self._run("worker.Worker", "--host", host, "--webui-port", "0", *room, self.url)
        return self

    def _run(self, name: str, *words: str) -> None:
        program = Path(pyspark.__file__).parent / "bin" / "spark-class"
        command = [program, f"org.apache.spark.deploy.{name}", *words]
        log = (self._folder / "spark.log").open("ab")
        self._processes.append(
            subprocess.Popen(
                command, stdout=log, stderr=log, env=os.environ | {"PYSPARK_PYTHON": sys.executable}
            )
        )

    def __exit__(self, *_):
        for process in self._processes:
            process.kill()
            process.wait()


def test_tasks_that_run_twice_at_once(tmp_path):
    """Spark starts slow tasks a second time, on the other worker; the slow one comes to its end as well, or is
    killed on its way: while it uploads, and while it fetches answers.
    """
    events = tmp_path / "events"
    events.mkdir()
    settings = {
        "spark.speculation": "true",
        "spark.speculation.interval": "100ms",
        "spark.speculation.multiplier": "1.2",
        "spark.speculation.quantile": "0.25",
        "spark.sql.files.openCostInBytes": str(2**27),  # a partition for each file
        "spark.driver.host": "127.0.0.1",
        "spark.executor.memory": "512m",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.compress": "false",
        "spark.eventLog.dir": f"file://{events}",
    }
    with Cluster(tmp_path) as cluster:
        trial = Trial("spark", tmp_path / "trial", ROWS // 4)
        trial.token_file = str(tmp_path / "token")
        Path(trial.token_file).write_text(KEY)
        trial.environment = {"SPARK_MASTER_URL": cluster.url, "SPARK_SETTINGS": json.dumps(settings)}
        for match in ("POST /v1/files", "GET /v1/files/*/content"):
            # One: two would keep both workers busy, and nothing to compare them with would end.
            trial.service.faults.add(match, Delay(15.0), skip=6)
        with trial.service:
            trial.finish(trial.start())
    check_output(trial.folder / "out", ROWS // 4)
    trial.asked.check(ROWS // 4)
    log = "".join(path.read_text() for path in events.rglob("*") if path.is_file())
    twice = [json.loads(line) for line in log.splitlines() if '"Speculative":true' in line]
    stages = {each["Stage ID"] for each in twice if each["Event"] == "SparkListenerTaskStart"}
    print(
        "speculative tasks:",
        len(twice),
        "in stages",
        sorted(stages),
        "uploads:",
        trial.count("POST", "/v1/files"),
    )
    assert len(stages) >= 2
