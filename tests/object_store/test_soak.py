"""Ledgers in an S3 server of another maker: drivers are killed and paused, race, and have wrong clocks."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from drive import LOCKED, ROWS
from faulty import Faulty

from overlay.server import Pace, Service

KILLS = int(os.environ.get("KILLS", "30"))
SEED = int(os.environ.get("SEED", "1"))
LANES = 2
HERE = Path(__file__).parent
_LONGEST_SECONDS = 60
_SKEW_SECONDS = 7200


class Asked:
    """Counts how often each row is asked; each tenth fails at first in a way that may pass."""

    def __init__(self):
        self.asked = Counter()
        self._guard = threading.Lock()

    def __call__(self, line):
        text = line["body"]["messages"][-1]["content"]
        with self._guard:
            self.asked[text] += 1
            first = self.asked[text] == 1
        if text.endswith("7") and first:
            return 500, {"error": {"message": "try again"}}
        return {"choices": [{"message": {"content": f"about {text}"}}]}


@contextmanager
def moto():
    """The server of moto, https://docs.getmoto.org/en/latest/docs/server_mode.html, with a bucket."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [Path(sys.executable).with_name("moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(
                    urllib.request.Request(f"http://127.0.0.1:{port}/bucket", method="PUT"), timeout=5
                ).close()
                break
            except OSError:
                assert time.monotonic() < until, "moto did not start"
                time.sleep(0.1)
        yield port
    finally:
        process.kill()
        process.wait()


class Soak:
    """Lanes of jobs, one after the other, until enough drivers were killed."""

    def __init__(self, base_url: str, store: str, folder: Path) -> None:
        self._base_url, self._folder = base_url, folder
        self._environment = os.environ | {
            "AWS_ENDPOINT_URL": store,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "OPENAI_API_KEY": "sk-of-the-driver",
            "PYTHONPATH": str(HERE.parent),
        }
        self.counts: Counter[str] = Counter()
        self.jobs: dict[str, list[str]] = {}

    def lane(self, number: int) -> None:
        rng = random.Random(f"{SEED} {number}")
        while self.counts["killed"] < KILLS:
            name = f"job-{number}-{len(self.jobs)}"
            self.jobs[name] = self._finish(name, rng)

    def _finish(self, name: str, rng: random.Random) -> list[str]:
        """Start drivers of a job until one ends, and give the paths of its answers."""
        until = time.monotonic() + 10 * _LONGEST_SECONDS
        while time.monotonic() < until:
            driver = self._start(name, rng)
            if rng.random() < 0.1:  # nobody stops this one
                if (paths := self._ended(driver)) is not None:
                    return paths
                continue
            try:
                driver.wait(rng.uniform(0.5, 2.2))
            except subprocess.TimeoutExpired:
                if rng.random() < 0.3:
                    if (paths := self._overtaken(driver, name, rng)) is not None:
                        return paths
                    continue
                driver.kill()
                driver.communicate()
                self.counts["killed"] += 1
            else:
                if (paths := self._ended(driver)) is not None:
                    return paths
        raise AssertionError(f"{name} did not end")

    def _overtaken(self, driver: subprocess.Popen, name: str, rng: random.Random) -> list[str] | None:
        """Pause a driver, let two others race for its job, and wake it up."""
        self.counts["paused"] += 1
        driver.send_signal(signal.SIGSTOP)
        others = [self._start(name, rng) for _ in range(2)]
        time.sleep(rng.uniform(0.5, 4.0))
        driver.send_signal(signal.SIGCONT)
        found = [paths for each in (driver, *others) if (paths := self._ended(each)) is not None]
        return found[0] if found else None

    def _start(self, name: str, rng: random.Random) -> subprocess.Popen:
        skew = rng.choice((0, 0, -_SKEW_SECONDS, _SKEW_SECONDS))
        return subprocess.Popen(
            [
                sys.executable,
                HERE / "drive.py",
                name,
                self._base_url,
                "s3://bucket/home",
                self._folder / "staging",
                str(skew),
            ],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _ended(self, driver: subprocess.Popen) -> list[str] | None:
        """Where the answers are; None for a driver that found another at work."""
        try:
            out, err = driver.communicate(timeout=_LONGEST_SECONDS)
        except subprocess.TimeoutExpired:
            driver.kill()
            out, err = driver.communicate()
            raise AssertionError(f"a driver goes on for ever:\n{err}") from None
        assert driver.returncode in (0, LOCKED), err
        self.counts["ended" if driver.returncode == 0 else "refused"] += 1
        return out.split() if driver.returncode == 0 else None


def test_drivers_are_killed_paused_and_race(tmp_path):
    asked = Asked()
    pace = Pace(validating=0.05, in_progress=0.2, finalizing=0.05)
    with (
        moto() as port,
        Faulty(port, chance=0.01, seed=SEED) as store,
        Service(asked, pace=pace) as service,
    ):
        soak = Soak(service.base_url, store.address, tmp_path)
        with ThreadPoolExecutor(LANES) as lanes:
            for done in [lanes.submit(soak.lane, number) for number in range(LANES)]:
                done.result()
    lost, twice = 0, 0
    for name, paths in soak.jobs.items():
        rows = pa.concat_tables([pq.read_table(path) for path in paths]).to_pylist()
        assert sorted(row["id"] for row in rows) == list(range(ROWS))
        for row in rows:
            text = f"{name} {row['id']}"
            lost += row["answer"] != f"about {text}"
            twice += asked.asked[text] - 1 - text.endswith("7")
    print(
        json.dumps({"jobs": len(soak.jobs), **soak.counts, **store.counts, "lost": lost, "paid twice": twice})
    )
    assert (lost, twice) == (0, 0)
    assert soak.counts["killed"] >= KILLS
    if KILLS >= 100:
        assert soak.counts["paused"] > 10
        assert store.counts["412 for nothing"] > 10
