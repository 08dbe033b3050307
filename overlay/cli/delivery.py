"""Write results, byte for byte, where the user wants them, and sum them up."""

from __future__ import annotations

from collections.abc import Iterator

from overlay.cli import output
from overlay.cli.costs import receipt
from overlay.cli.destination import Destination
from overlay.cli.endings import Exit
from overlay.cli.job_tables import not_sent, say_failures
from overlay.cli.shell import Shell
from overlay.client import Client
from overlay.jobs.views import Job
from overlay.lines import BOM
from overlay.models import Batch
from overlay.results.failures import FailureTally
from overlay.results.iterables import Results
from overlay.results.shapes import MISSING, NOT_YET


def deliver(shell: Shell, results: Results, destination: Destination) -> Exit:
    """Write every line, and say how many there were; INCOMPLETE if some failed, or the batch did not complete.

    Raises what reading the results raises, and StorageError.
    """
    total = failed = missing = 0
    with results, destination.writing() as write:
        for result in results:
            write(result.raw.removeprefix(BOM) + b"\n")
            total += 1
            error = result.error
            if error is not None:
                failed += 1
                missing += error.code == MISSING
        batch = results.batch
    assert batch is not None
    _summarise(
        shell,
        batch,
        destination,
        {"total": total, "ok": total - failed, "failed": failed, "missing": missing},
    )
    _mention_oddities(shell, results)
    return Exit.OK if batch.succeeded and not failed else Exit.INCOMPLETE


def deliver_job(
    shell: Shell,
    client: Client,
    job: Job,
    destination: Destination,
    *,
    prices: dict[str, tuple[float, float]] | None = None,
    quiet: bool = False,
    failed_only: bool = False,
) -> Exit:
    """The same for a job that has ended, and what it took, by these prices or those that are known; with
    `failed_only`, the lines of what failed.
    """
    results, tally = client.jobs.results(job.id), FailureTally()
    with results, destination.writing(client.jobs.folder(job.id)) as write:
        for result in results:
            if job.failed:
                tally.add(result)
            if not failed_only or not result.ok:
                write(result.raw + b"\n")
    if shell.json and not destination.is_stdout:
        output.document({"job": job.to_dict(), "output": destination.path})
    elif not quiet:
        for text in _told(job, destination, prices):
            shell.say(text)
        say_failures(shell, job, tally.failures())
    if job.strays:
        shell.say(f"warning: {job.strays:,} answers match no request of the input and were left out")
    return Exit.OK if not job.failed and not job.cancelled else Exit.INCOMPLETE


def _told(job: Job, destination: Destination, prices: dict[str, tuple[float, float]] | None) -> Iterator[str]:
    """What people want to know once a job has ended."""
    text = f"{destination}: {job.requests:,} results, {job.ok:,} ok, {job.failed:,} failed"
    if job.missing:
        text += f", {job.missing:,} of them missing"
    yield f"{text}; the job was cancelled" if job.cancelled else text
    if told := not_sent(job):
        yield told
    if job.input_tokens or job.output_tokens:
        yield receipt(job, prices)


def deliver_partial(
    shell: Shell, job_id: str, results: Results, destination: Destination, *, failed_only: bool = False
) -> Exit:
    """What there is of a job's results so far; INCOMPLETE if any are still to come, or failed."""
    total = waiting = failed = 0
    with results, destination.writing() as write:
        for result in results:
            error = result.error
            if not failed_only or (error is not None and error.code != NOT_YET):
                write(result.raw + b"\n")
            total += 1
            if error is not None:
                waiting += error.code == NOT_YET
                failed += error.code != NOT_YET
    counts = {"total": total, "ok": total - waiting - failed, "failed": failed, "not_yet": waiting}
    if shell.json and not destination.is_stdout:
        output.document({"job": job_id, "output": destination.path, "results": counts})
    else:
        ok = counts["ok"]
        shell.say(
            f"{destination}: {total:,} results, {ok:,} ok, {failed:,} failed, {waiting:,} not yet answered"
        )
    return Exit.OK if not waiting and not failed else Exit.INCOMPLETE


def _summarise(shell: Shell, batch: Batch, destination: Destination, counts: dict[str, int]) -> None:
    if shell.json and not destination.is_stdout:
        output.document({"batch": batch.to_dict(), "output": destination.path, "results": counts})
        return
    text = f"{destination}: {counts['total']:,} results, {counts['ok']:,} ok, {counts['failed']:,} failed"
    if counts["missing"]:
        text += f", {counts['missing']:,} of them missing"
    if not batch.succeeded:
        text += f"; the batch is {batch.status}"
    shell.say(text)


def _mention_oddities(shell: Shell, results: Results) -> None:
    report = results.report
    if report is None:
        return
    for count, text in (
        (report.unknown, "answers match no request of the input and were left out"),
        (report.duplicates, "answers came twice and were written once"),
        (len(report.conflicts), "requests got conflicting answers; the first success was written"),
        (report.malformed, "lines could not be read"),
    ):
        if count:
            shell.say(f"warning: {count:,} {text}")
