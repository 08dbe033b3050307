"""What went wrong with a job: by the files on disk, and by the service's own records."""

import re
from collections import Counter
from pathlib import Path
from typing import Any, Self

import attrs
import msgspec

from overlay import Client, Result
from overlay.operations.marks import mark_of
from overlay.server.objects import FINAL
from soak.plan import Plan
from soak.scenarios import EARLIER, custom_ids, repeats, text_of
from soak.weather import TroubledService, fails_once

_OURS = re.compile(
    r"ledger\.db(-journal)?(\.damaged-\d+-[0-9a-f]{4})?|lock|order"
    r"|shards/\d{5}-\d+\.jsonl|shards/\d{5}\.(reused|repeats)|results/\d{5}\.jsonl"
)


KINDS = {
    "lost": "requests without their one right answer",
    "duplicates": "batches or answers more than there should be",
    "torn": "files that are not whole",
    "left": "files left lying about",
}


@attrs.define
class Faults:
    """Each an account of what is wrong, in words."""

    lost: list[str] = attrs.field(factory=list)
    """Requests without exactly one answer, the right one, in its place."""
    duplicates: list[str] = attrs.field(factory=list)
    """Requests that were answered more often than they should be, and batches that should not be."""
    torn: list[str] = attrs.field(factory=list)
    """Files that are not whole."""
    left: list[str] = attrs.field(factory=list)
    """Files that nobody needs any more."""
    successes: int | None = None
    """How many requests have a good answer in the user's hands."""

    def __iadd__(self, other: "Faults") -> Self:
        for kind in KINDS:
            getattr(self, kind).extend(getattr(other, kind))
        return self


def on_disk(home: Path, job_id: str, scenario: str, troubled: TroubledService) -> Faults:
    """By what the user gets, and what is in the job's folder."""
    faults = Faults()
    folder = home / "jobs" / job_id
    if scenario == "delete":
        if folder.exists():
            faults.left.append(f"{job_id}: its folder is still there")
        return faults
    with Client(token="sk-soak", base_url=troubled.service.base_url, home=home) as client:
        try:
            results = list(client.jobs.results(job_id))
            job = client.jobs.retrieve(job_id)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            faults.lost.append(f"{job_id}: no results: {error!r}")
            return faults
    names = [result.custom_id for result in results]
    asked = [*custom_ids(job_id), *(repeats(job_id) if scenario == "spare" else ())]
    if names != asked:
        faults.lost.append(f"{job_id}: {len(names)} results for {len(asked)} requests, or out of order")
    faults.successes = sum(result.ok for result in results)
    for result in results:
        if result.ok:
            if result.text != text_of(result.custom_id):
                faults.lost.append(f"{result.custom_id}: the answer of another request")
        elif scenario != "cancel" or not (_never_ran(result) or fails_once(result.custom_id)):
            faults.lost.append(f"{result.custom_id}: {result.error}")
    if job.duplicates_cancelled:
        faults.duplicates.append(f"{job_id}: cancelled {job.duplicates_cancelled}")
    _look_at_files(folder, faults)
    return faults


def _never_ran(result: Result) -> bool:
    return result.error is not None and result.error.code in {"missing", "batch_cancelled"}


def _look_at_files(folder: Path, faults: Faults) -> None:
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_dir():
            continue
        if not _OURS.fullmatch(name):
            faults.left.append(f"{folder.name}: {name}")
        elif path.suffix == ".jsonl":
            content = path.read_bytes()
            try:
                whole = all(msgspec.json.decode(line) for line in content.splitlines())
            except msgspec.DecodeError:
                whole = False
            if not whole or not content.endswith(b"\n"):
                faults.torn.append(f"{folder.name}: {name}")


def spool(home: Path) -> Faults:
    """By what is in the spool folder when nobody is spooling.

    A folder that is hidden still has nothing in it but its lock, and goes when it is an hour old.
    """
    found = [
        str(path.relative_to(home))
        for path in (home / "spool").rglob("*")
        if not (path.is_dir() and path.name.startswith("."))
        and not (path.name == "spooling" and path.parent.name.startswith("."))
    ]
    return Faults(left=found)


def account(batches: list[dict[str, Any]], troubled: TroubledService) -> Counter[str]:
    """What happened at the service, for whoever wonders whether anything did."""
    service = troubled.service
    used = {batch["input_file_id"] for batch in batches}
    with Client(token="sk-soak", base_url=service.base_url) as client:
        left = sum(file.id not in used for file in client.files.list(purpose="batch"))
    return Counter(
        {
            "creates sent": service.count("POST", "/batches"),
            "of these accepted late": troubled.late.hits if troubled.late else 0,
            "batches made": len(batches),
            "of these without an input file": sum(map(_came_too_late, batches)),
            "input files uploaded": service.count("POST", "/files"),
            "of these still there and never of use": left,
        }
    )


def _came_too_late(batch: dict[str, Any]) -> bool:
    """Whether a batch was created behind the fence: its input file was gone, and so it failed and costs nothing."""
    problems = batch["errors"]["data"] if batch["errors"] else ()
    return batch["status"] == "failed" and {problem["param"] for problem in problems} == {"file_id"}


def at_service(
    job_id: str, plan: Plan, successes: int | None, batches: list[dict[str, Any]], troubled: TroubledService
) -> Faults:
    """By what the service was asked for and what it did; the user has so many `successes` of it."""
    faults = Faults()
    names = {job_id, job_id + EARLIER}
    found = [(batch, mark_of(batch["metadata"])) for batch in batches if not _came_too_late(batch)]
    marks = [(batch, mark) for batch, mark in found if mark is not None and mark.job in names]
    ours = [batch for batch, _ in marks]
    units = Counter((mark.job, *mark.key) for _, mark in marks)
    for (job, shard, generation, _), count in units.items():
        if count > 1:
            faults.duplicates.append(f"{job}: {count} batches of shard {shard}, generation {generation}")
    for batch in ours:
        if batch["status"] not in FINAL:
            faults.duplicates.append(f"{job_id}: batch {batch['id']} is {batch['status']}")
    for name in custom_ids(job_id):
        right, times = 1 + fails_once(name), troubled.answers[name]
        if times > right:
            faults.duplicates.append(f"{name}: answered {times} times instead of {right}")
        if times < right and plan.scenario != "cancel":
            faults.lost.append(f"{name}: answered {times} times instead of {right}")
    again = repeats(job_id) if plan.scenario == "spare" else []
    faults.duplicates += [
        f"{name}: sent, though it repeats another" for name in again if troubled.answers[name]
    ]
    completed = len(again) + sum(batch["request_counts"]["completed"] for batch in ours)
    if successes not in {None, completed} and not faults.duplicates:
        faults.lost.append(f"{job_id}: {completed} good answers were given, and {successes} arrived")
    return faults
