"""`POST /batches` without paying twice.

The API takes no idempotency key, so a blind repeat makes, and bills, a second batch. What is known after one
attempt decides:

- it was not sent (no connection): try again;
- it was refused (a 4xx that the API itself words, or one that no batch can come of): nothing was created;
- anything else: unknown. The list of batches is searched, newest first, for ours: the same input file,
  created no earlier than the attempt, with the metadata we sent. One found is adopted; of several the oldest
  is kept and the others cancelled. None found is no proof while the attempt may still be under way and lists
  lag, so the search goes on for a grace time, and then says that the outcome is unknown.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from overlay import models, retry
from overlay.answers import http_date
from overlay.connection import Settings
from overlay.errors import (
    APIConnectionError,
    APIError,
    APIStatusError,
    BadRequestError,
    ConfigurationError,
    RateLimitError,
    UnknownOutcomeError,
)
from overlay.flow import Call, Flow, Seconds, Sleep, call, deadline, seconds
from overlay.generated.api.batch import cancel_batch, create_batch, list_batches
from overlay.generated.models import BatchFileExpirationAfter, CreateBatchRequest
from overlay.models import Batch

_log = logging.getLogger("overlay")

_REFUSED_BY_ANYONE = frozenset({401, 403, 404, 405, 410, 411, 413, 414, 415, 421, 422, 431})
_AMBIGUOUS = frozenset({408, 409, 499})
_PROPAGATION_SECONDS = 60.0
_LOOK_SECONDS = 5.0
_CLOCK_MARGIN = timedelta(seconds=5)
_UNKNOWN_SKEW = timedelta(minutes=5)
_METADATA_LIMITS = (16, 64, 512)
"""Pairs, and characters of a key and of a value: the API reference, "Create batch"."""


@attrs.frozen
class _Began:
    """When an attempt began."""

    monotonic: float
    here: float
    """By our own clock, which may be wrong, in seconds since 1970."""

    def by_the_service(self, settings: Settings) -> datetime:
        """By the service's clock, which `created_at` is written with, less a margin."""
        header, seen_at = settings.server_date or (None, 0.0)
        date = http_date(header)
        if date is None:
            return datetime.fromtimestamp(self.here, UTC) - _UNKNOWN_SKEW
        return date - timedelta(seconds=seen_at - self.monotonic) - _CLOCK_MARGIN


def create_once(
    settings: Settings,
    *,
    input_file_id: str,
    endpoint: str,
    completion_window: str,
    metadata: Mapping[str, str] | None,
    output_expires_after: Seconds | None,
    grace: float,
) -> Flow[Batch]:
    body = _body(input_file_id, endpoint, completion_window, metadata, output_expires_after)
    limit = deadline(settings, retry.READ.within)
    propagated = deadline(settings, _PROPAGATION_SECONDS)
    attempt = 0
    while True:
        began = _Began(settings.clock.monotonic(), settings.clock.time())
        try:
            return models.batch((yield Call(create_batch, {"body": body}, "create")))
        except APIError as error:
            if not _nothing_created(error):
                _log.warning("creating a batch of %s went unanswered: %s", input_file_id, error)
                found = yield from _search(settings, body, began, grace=grace, cause=error)
                if found is not None:
                    return found
                raise
            delay = _delay(error, attempt, settings.max_retries)
            limit = limit.later(retry.asked_wait(error))
            unpropagated = _is_propagation(error) and propagated.left > 0
            if unpropagated:
                delay = retry.jitter(attempt) + 1.0
            elif delay is None or delay > limit.left:
                raise
        yield Sleep(delay)
        attempt += 1


def _body(
    input_file_id: str,
    endpoint: str,
    completion_window: str,
    metadata: Mapping[str, str] | None,
    output_expires_after: Seconds | None,
) -> CreateBatchRequest:
    for name, value in (("endpoint", endpoint), ("completion_window", completion_window)):
        if not isinstance(value, str) or not value:
            raise ConfigurationError(f"{name} is a non-empty string, not {value!r}")
    body = CreateBatchRequest(
        input_file_id=models.checked_id(input_file_id, "file"),
        endpoint=endpoint,
        completion_window=completion_window,
    )
    if metadata is not None:
        body.metadata = _metadata(metadata)
    if output_expires_after is not None:
        body.output_expires_after = BatchFileExpirationAfter("created_at", int(seconds(output_expires_after)))
    return body


def _metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    pairs, key_length, value_length = _METADATA_LIMITS
    if len(metadata) > pairs:
        raise ConfigurationError(f"metadata has {len(metadata)} pairs; {pairs} are allowed")
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise ConfigurationError(f"metadata {key!r}: keys and values are strings")
        if len(key) > key_length or len(value) > value_length:
            raise ConfigurationError(
                f"metadata {key!r:.80}: keys have up to {key_length} characters, values up to {value_length}"
            )
    return dict(metadata)


def _nothing_created(error: APIError) -> bool:
    """Whether the attempt is known to have created nothing."""
    if isinstance(error, APIConnectionError):
        return not error.sent
    if not isinstance(error, APIStatusError) or error.status_code in _AMBIGUOUS:
        return False
    if error.status_code < 500:  # noqa: PLR2004 - RFC 9110, section 15.5
        return error.is_json or error.status_code < 400 or error.status_code in _REFUSED_BY_ANYONE  # noqa: PLR2004
    return False


def _delay(error: APIError, attempt: int, max_retries: int) -> float | None:
    """Seconds until the next attempt, where one may be made: nothing was created, and it may work later."""
    if attempt >= max_retries or not isinstance(error, APIConnectionError | RateLimitError):
        return None
    return retry.delay(error, attempt)


def _is_propagation(error: APIError) -> bool:
    """A file that was uploaded a moment ago may not be known yet where batches are made."""
    text = str(error).lower()
    return isinstance(error, BadRequestError) and ("cannot find file" in text or "not have access" in text)


def _search(
    settings: Settings,
    body: CreateBatchRequest,
    began: _Began,
    *,
    grace: float,
    cause: APIError,
) -> Flow[Batch | None]:
    """Our batch, once it shows up. None: the service refuses the search as it did the attempt."""
    until = deadline(settings, grace)
    while True:
        try:
            found = yield from _look(settings, body, began)
        except APIError as problem:
            if isinstance(problem, APIStatusError) and not retry.is_transient(problem):
                return None
            found = []
        if found:
            found.sort(key=lambda batch: batch.created_at or 0)
            for extra in found[1:]:
                _log.warning("batch %s is a duplicate of %s: cancelling it", extra.id, found[0].id)
                yield from call(settings, cancel_batch, batch_id=extra.id)
            return found[0]
        if until.left <= 0:
            raise UnknownOutcomeError(
                f"creating a batch of {body.input_file_id} went unanswered ({cause}), and no batch of that "
                f"file showed up within {grace:,.0f} s. It may still exist: look for the file in the list of "
                "batches before you create again",
                input_file_id=body.input_file_id,
            ) from None
        yield Sleep(min(_LOOK_SECONDS, max(until.left, 0.05)))


def _look(settings: Settings, body: CreateBatchRequest, began: _Began) -> Flow[list[Batch]]:
    found: list[Batch] = []
    cursor: str | None = None
    while True:
        received: Any = yield from call(settings, list_batches, after=cursor, limit=100)
        since = began.by_the_service(settings)
        data = [models.batch(item) for item in (received.data or ())]
        for batch in data:
            recent = batch.created is None or batch.created >= since
            if batch.input_file_id == body.input_file_id and recent and _same_metadata(body, batch):
                found.append(batch)
        last = data[-1] if data else None
        past = last is not None and last.created is not None and last.created < since
        if last is None or past or received.has_more is not True or last.id == cursor:
            return found
        cursor = last.id


def _same_metadata(body: CreateBatchRequest, batch: Batch) -> bool:
    # A service that keeps no metadata cannot speak against a batch.
    return not batch.metadata or batch.metadata == (body.metadata or {})
