"""`python -m soak.upstream`: batches at `overlay serve --upstream`, through trouble of every kind.

Each scenario has a server of models, a service in a process of its own that keeps its state in a folder, and one
batch. While lines are answered, the trouble comes. At the end every line must stand in the output once, and none in
the error file. Status 1 where anything is lost, failed or there twice.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
from support.model_server import HANG, RESET, ModelServer, Reply, answer
from support.service_http import create, jsonl, line, upload

KEY = "soak-key"
_LATENCY = 0.05


@dataclass
class Report:
    """`asked` counts the lines that the model was sent, `answered` those that it answered."""

    name: str
    lines: int
    seconds: float = 0.0
    lost: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    asked: int = 0
    answered: int = 0
    stalled: float = 0.0
    """Seconds between the end of the trouble and the next answer."""

    @property
    def clean(self) -> bool:
        return not (self.lost or self.failed or self.twice)


class Scene:
    """A model, and a service before it that can be killed."""

    def __init__(self, folder: Path, scale: float, *options: str) -> None:
        self.folder, self.scale, self.options = folder, scale, options
        self.model = ModelServer(self.well)
        self.trouble: Reply | int | None = None
        self.rate = 1.0
        self.ended_at: float | None = None
        self.answered_at: float | None = None
        self._count = 0
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def well(self, path: str, body: object, times: int) -> Reply | int:
        self._count += 1
        if self.trouble is not None and (self._count * 0.618) % 1 < self.rate:
            return self.trouble
        if self.ended_at is not None and self.answered_at is None:
            self.answered_at = time.monotonic()
        return replace(answer(body), after=_LATENCY)

    def meet(self, trouble: Reply | int, seconds: float, rate: float = 1.0) -> None:
        self.trouble, self.rate = trouble, rate
        time.sleep(seconds * self.scale)
        self.trouble = None
        self.ended_at = time.monotonic()

    def start(self) -> None:
        words = ["--port", "0", "--json", "--state", str(self.folder), "--upstream", self.model.url]
        command = [
            sys.executable,
            "-c",
            "from overlay.cli import main; main()",
            "serve",
            *words,
            *self.options,
        ]
        environment = os.environ | {"OVERLAY_UPSTREAM_API_KEY": KEY}
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        assert self._process.stdout
        self.url = json.loads(self._process.stdout.readline())["base_url"]

    def stop(self, how: signal.Signals) -> None:
        if self._process:
            self._process.send_signal(how)
            self._process.wait(timeout=30)
            assert self._process.stdout
            self._process.stdout.close()
            self._process = None

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"Authorization": "Bearer any"}, timeout=60)

    def completed(self, batch_id: str) -> dict[str, object]:
        with self.client() as http:
            return http.get(f"/batches/{batch_id}").json()


def outage(scene: Scene) -> None:
    scene.model.stop()
    time.sleep(60 * scene.scale)
    scene.model.start()
    scene.ended_at = time.monotonic()


def kills(scene: Scene, times: int = 6) -> None:
    for number in range(times):
        time.sleep((0.7 + 0.3 * (number % 3)) * scene.scale)
        scene.stop(signal.SIGKILL)
        scene.start()


def restart(scene: Scene) -> None:
    scene.stop(signal.SIGTERM)
    scene.start()


def resets(scene: Scene) -> None:
    """The model's process dies and comes back at once, six times."""
    for _ in range(6):
        time.sleep(1.0 * scene.scale)
        scene.model.stop()
        scene.model.start()


LOADING = Reply(503, b'{"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}')
SCENARIOS: dict[str, tuple[Callable[[Scene], None], tuple[str, ...]]] = {
    "no connection for 60 s": (outage, ()),
    "503, the model is loading, for 45 s": (lambda scene: scene.meet(LOADING, 45), ()),
    "429 for 60 s": (lambda scene: scene.meet(429, 60), ()),
    "503 with Retry-After 1,000 for 30 s": (
        lambda scene: scene.meet(Reply(503, headers={"Retry-After": "1000"}), 30),
        (),
    ),
    "no answers for 30 s": (lambda scene: scene.meet(Reply(ending=HANG), 30), ("--timeout", "3")),
    "every other request meets 500, for 30 s": (lambda scene: scene.meet(500, 30, 0.5), ()),
    "one request in ten is reset, for 30 s": (lambda scene: scene.meet(Reply(ending=RESET), 30, 0.1), ()),
    "the model restarts six times": (resets, ()),
    "SIGTERM and a restart": (restart, ()),
    "six times kill -9": (kills, ()),
}


def run(name: str, *, scale: float = 1.0, count: int = 2_000) -> Report:
    """One scenario."""
    trouble, options = SCENARIOS[name]
    report = Report(name, count)
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(Path(folder), scale, "--at-once", "8", *options)
        began = time.monotonic()
        with scene.model:
            scene.start()
            try:
                with scene.client() as http:
                    lines = [line(f"r{number}") for number in range(count)]
                    batch_id = create(http, upload(http, jsonl(lines)))["id"]
                while scene.completed(batch_id)["request_counts"]["completed"] < count // 20:
                    time.sleep(0.05)
                trouble(scene)
                _finish(scene, batch_id, report)
            finally:
                scene.stop(signal.SIGTERM)
        report.seconds = time.monotonic() - began
        if scene.ended_at is not None and scene.answered_at is not None:
            report.stalled = scene.answered_at - scene.ended_at
        names = [each for each in scene.model.ids() if each]
        report.asked, report.answered = len(names), sum(scene.model.answered.values())
    return report


def _finish(scene: Scene, batch_id: str, report: Report) -> None:
    deadline = time.monotonic() + 300
    while (batch := scene.completed(batch_id))["status"] in {"validating", "in_progress", "finalizing"}:
        assert time.monotonic() < deadline, batch
        time.sleep(0.05)
    with scene.client() as http:
        output, errors = (_ids(http, batch[each]) for each in ("output_file_id", "error_file_id"))
    counted = Counter(output)
    report.failed = errors
    report.twice = [name for name, times in counted.items() if times > 1]
    expected = {f"r{number}" for number in range(report.lines)}
    report.lost = sorted(expected - counted.keys() - set(errors))


def _ids(http: httpx.Client, file_id: object) -> list[str]:
    if file_id is None:
        return []
    content = http.get(f"/files/{file_id}/content").content
    return [json.loads(each)["custom_id"] for each in content.splitlines()]


def table(reports: list[Report]) -> list[str]:
    lines = [
        "| trouble | lines | failed | lost | twice | asked of the model | first answer after it | time |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for each in reports:
        stalled = f"{each.stalled:.1f} s" if each.stalled else ""
        cells = [each.name, f"{each.lines:,}", len(each.failed), len(each.lost), len(each.twice)]
        cells += [f"{each.asked:,}", stalled, f"{each.seconds:.0f} s"]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(prog="soak.upstream", description=__doc__)
    parser.add_argument(
        "--scale", type=float, default=1.0, help="what all times of trouble are multiplied with"
    )
    parser.add_argument("--lines", type=int, default=2_000)
    parser.add_argument("--workers", type=int, default=4, help="scenarios at a time")
    given = parser.parse_args()
    with ThreadPoolExecutor(given.workers) as pool:
        reports = list(pool.map(lambda name: run(name, scale=given.scale, count=given.lines), SCENARIOS))
    sys.stdout.write("\n".join([*table(reports), ""]))
    return int(not all(each.clean for each in reports))


if __name__ == "__main__":
    sys.exit(main())
