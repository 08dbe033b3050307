"""One small batch, and what was seen of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import attrs

from overlay.client import Client
from overlay.doctor.comparing import compare
from overlay.doctor.findings import Finding, note, ok, wrong
from overlay.doctor.recording import Recording
from overlay.errors import APIError, ConfigurationError, OverlayError, WaitTimeoutError
from overlay.models import Batch, File
from overlay.requests.request import Request, write_requests
from overlay.wire.connection import Settings

_LINES = 3
_PROMPT_TOKENS, _ANSWER_TOKENS = 30, 16
"""Of a line, at most: a short question, and the limit that each line sets."""
_DEAREST = 150e-6, 600e-6
"""Dollars a token, in and out: more than any model costs in a batch."""
WORST = _LINES * (_PROMPT_TOKENS * _DEAREST[0] + _ANSWER_TOKENS * _DEAREST[1])
"""What the batch costs at most, in dollars."""


@attrs.define
class Seen:
    """What was seen of a service."""

    file: File | None = None
    created: Batch | None = None
    ended: Batch | None = None
    custom_ids: list[str | None] = attrs.field(factory=list[str | None])
    statuses: list[str | None] = attrs.field(factory=list[str | None])
    listed_after: float | None = None
    """Seconds from the create until the list showed the batch."""
    ended_after: float | None = None


def requests_for(settings: Settings, model: str) -> Iterator[Request]:
    """Three lines, as cheap as they can be."""
    url = settings.service.usual_endpoint
    for number in range(_LINES):
        if url.endswith("/embeddings"):
            yield Request(f"doctor-{number}", {"model": model, "input": "hi"}, url=url)
        else:
            question = [{"role": "user", "content": f"Say {number}."}]
            body = {"model": model, "messages": question, "max_tokens": _ANSWER_TOKENS}
            yield Request(f"doctor-{number}", body, url=url)


def live(
    client: Client,
    settings: Settings,
    recording: Recording,
    *,
    model: str,
    max_cost: float,
    timeout: float,
    say: Callable[[str], object],
) -> Iterator[Finding]:
    """Run one small batch, and hold what comes back against the profile. `timeout` is in seconds.

    Raises ConfigurationError if it may cost more than `max_cost` dollars.
    """
    if max_cost < WORST:
        raise ConfigurationError(
            f"{_LINES} short requests cost at most ${WORST:.3f}, whatever the model; --max-cost is ${max_cost:g}"
        )
    seen = Seen()
    with tempfile.TemporaryDirectory(prefix="overlay-doctor-") as folder:
        path = Path(folder) / "doctor.jsonl"
        write_requests(path, requests_for(settings, model), service=settings.service)
        try:
            yield from _run(client, settings, seen, path, model=model, timeout=timeout, say=say)
        except OverlayError as error:
            yield wrong("live", str(error))
    yield from compare(settings.service, seen, recording)


def _run(
    client: Client,
    settings: Settings,
    seen: Seen,
    path: Path,
    *,
    model: str,
    timeout: float,
    say: Callable[[str], object],
) -> Iterator[Finding]:
    say("uploading three lines")
    seen.file = client.files.upload(path)
    url = settings.service.usual_endpoint
    seen.created = client.batches.create(
        input_file_id=seen.file.id, endpoint=url, metadata={"doctor": "live"}, model=model
    )
    began = settings.clock.monotonic()
    say(f"batch {seen.created.id} was created; waiting for it")
    if settings.service.lists:
        with suppress(APIError):
            _find(client, settings, seen, began)
    try:
        seen.ended = client.batches.wait(
            seen.created.id, timeout=timeout, on_change=lambda batch: seen.statuses.append(batch.status)
        )
    except WaitTimeoutError as error:
        yield note("live", f"{error}; what is seen so far is below")
        if settings.service.cancels:
            client.batches.cancel(seen.created.id)
        return
    seen.ended_after = settings.clock.monotonic() - began
    yield ok("batch", f"it is {seen.ended.status} after {seen.ended_after:,.0f} s")
    results = client.batches.results(seen.created.id, ordered=False)
    answered = 0
    for result in results:
        seen.custom_ids.append(result.custom_id)
        answered += result.ok
        if result.error is not None:
            yield note("line", f"{result.custom_id}: {result.error.code}: {result.error.message}")
    found = ok if answered == _LINES else wrong
    yield found("results", f"{answered} of {_LINES} requests were answered")
    if settings.service.deletes:
        client.files.delete(seen.file.id)
        yield ok("delete", "the input file was deleted")


def _find(client: Client, settings: Settings, seen: Seen, began: float) -> None:
    assert seen.created is not None
    until = began + 60
    while settings.clock.monotonic() < until:
        page = next(iter(client.batches.list(limit=20).pages()), None)
        if page is not None and seen.created.id in {batch.id for batch in page.data}:
            seen.listed_after = settings.clock.monotonic() - began
            return
        settings.clock.sleep(1.0)
