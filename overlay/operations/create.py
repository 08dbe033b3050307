"""`POST /batches` without paying twice.

The API takes no idempotency key, so a blind repeat makes, and bills, a second batch. What is known after one
attempt decides:

- it was not sent (no connection): try again;
- it was refused (a 4xx that the API itself words, or one that cannot create a batch): nothing was created;
- anything else: unknown. The list of batches is searched, newest first, for ours: the same input file,
  created no earlier than the attempt, with the metadata we sent. One found is adopted; of several the oldest
  is kept and the others cancelled. Finding none proves nothing while the attempt may still be in flight and
  lists lag, so the search continues for a grace time, and then reports that the outcome is unknown.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import attrs

from overlay import models
from overlay.errors import (
    APIConnectionError,
    APIError,
    APIStatusError,
    BadRequestError,
    ConfigurationError,
    RateLimitError,
    UnknownOutcomeError,
)
from overlay.flows.steps import Call, Flow, deadline, pause
from overlay.generated.api.batch import create_batch
from overlay.generated.models import BatchFileExpirationAfter, CreateBatchRequest
from overlay.models import Batch, plain_status
from overlay.operations.adopting import Began, Sought, keep_oldest, search
from overlay.operations.caps import limit_of
from overlay.wire import retry
from overlay.wire.clock import Seconds, seconds
from overlay.wire.connection import Settings

_log = logging.getLogger("overlay")

_REFUSED_BY_ANYONE = frozenset({401, 403, 404, 405, 410, 411, 413, 414, 415, 421, 422, 429, 431})
_AMBIGUOUS = frozenset({408, 409, 499})
_PROPAGATION_SECONDS = 60.0
_METADATA_LIMITS = (16, 64, 512)
"""Pairs, and characters of a key and of a value: the API reference, "Create batch"."""


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
    """What `overlay.operations.batches.create` describes; `grace` is in seconds."""
    body = request_body(input_file_id, endpoint, completion_window, metadata, output_expires_after)
    sent = yield from send(settings, body)
    return (yield from _adopt(settings, body, sent, grace=grace)) if isinstance(sent, Unanswered) else sent


@attrs.frozen
class Unanswered:
    """An attempt that may or may not have created a batch."""

    cause: APIError
    began: Began


def send(settings: Settings, body: CreateBatchRequest) -> Flow[Batch | Unanswered]:
    """Create a batch, with retries until an attempt is sent. Raises an error only when none was created."""
    limit = deadline(settings, retry.READ.within)
    propagated = deadline(settings, _PROPAGATION_SECONDS)
    attempt = 0
    while True:
        began = Began(settings.clock.monotonic(), settings.clock.time())
        try:
            return models.batch((yield Call(create_batch, {"body": body}, "create")))
        except APIError as error:
            if not _nothing_created(error):
                _log.warning("creating a batch of %s went unanswered: %s", body.input_file_id, error)
                return Unanswered(error, began)
            delay = _delay(error, attempt, settings.max_retries)
            limit = limit.later(retry.asked_wait(error))
            if lacks_file(error) and propagated.left > 0:
                delay = retry.jitter(attempt) + 1.0
            elif delay is None or delay > limit.left:
                raise
            why = str(error)
        yield from pause(why, delay)
        attempt += 1


def request_body(
    input_file_id: str,
    endpoint: str,
    completion_window: str,
    metadata: Mapping[str, str] | None,
    output_expires_after: Seconds | None,
) -> CreateBatchRequest:
    for name, value in (("endpoint", endpoint), ("completion_window", completion_window)):
        if not isinstance(value, str) or not value:
            raise ConfigurationError(f"{name} must be a non-empty string, not {value!r}")
    body = CreateBatchRequest(
        input_file_id=models.checked_id(input_file_id, "file"),
        endpoint=endpoint,
        completion_window=completion_window,
    )
    if metadata is not None:
        body.metadata = checked_metadata(metadata)
    if output_expires_after is not None:
        body.output_expires_after = BatchFileExpirationAfter("created_at", int(seconds(output_expires_after)))
    return body


def checked_metadata(metadata: Mapping[str, str], *, taken: int = 0) -> dict[str, str]:
    """Metadata that the API accepts, with `taken` pairs already used. Raises ConfigurationError."""
    pairs, key_length, value_length = _METADATA_LIMITS
    if len(metadata) > pairs - taken:
        raise ConfigurationError(f"metadata has {len(metadata)} pairs; {pairs - taken} are allowed")
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise ConfigurationError(f"metadata {key!r}: keys and values must be strings")
        if len(key) > key_length or len(value) > value_length:
            raise ConfigurationError(
                f"metadata {key!r:.80}: keys have at most {key_length} characters, values {value_length}"
            )
    return dict(metadata)


def _nothing_created(error: APIError) -> bool:
    """Whether the attempt that ended in this error is known to have created nothing."""
    if isinstance(error, APIConnectionError):
        return not error.sent
    if not isinstance(error, APIStatusError) or error.status_code in _AMBIGUOUS:
        return False
    if error.status_code < 500:  # noqa: PLR2004 - RFC 9110, section 15.5
        return error.is_json or error.status_code < 400 or error.status_code in _REFUSED_BY_ANYONE  # noqa: PLR2004
    return False


def _delay(error: APIError, attempt: int, max_retries: int) -> float | None:
    """Seconds until the next attempt, which is made if nothing was created and it may work later; or None."""
    if attempt >= max_retries or not isinstance(error, APIConnectionError | RateLimitError):
        return None
    if limit_of(error) is not None:
        return None  # it passes when batches end, which takes longer than anybody waits here
    return retry.delay(error, attempt)


def lacks_file(error: APIError) -> bool:
    """Whether the service cannot find the file: just after an upload, batches may not see it yet."""
    return isinstance(error, BadRequestError) and _misses_a_file(str(error))


def failed_for_its_file(batch: Batch) -> bool:
    """Whether a batch failed because its input file was not there: nothing ran, and it counts as never created.

    OpenAI is said to answer such a create, and to let the batch fail afterwards.
    """
    problems = batch.errors.data if batch.errors is not None else None
    return plain_status(batch.status) == "failed" and any(
        _misses_a_file(problem.message or "") for problem in problems or ()
    )


def _misses_a_file(words: str) -> bool:
    words = words.lower()
    return "cannot find file" in words or "not have access" in words


def _adopt(
    settings: Settings, body: CreateBatchRequest, unanswered: Unanswered, *, grace: float
) -> Flow[Batch]:
    sought = Sought(body.input_file_id, body.metadata, unanswered.began)
    try:
        found = yield from search(settings, sought, grace=grace)
    except APIError as problem:
        if isinstance(problem, APIStatusError) and not retry.is_transient(problem):
            # Refused like the attempt itself: a wrong address, most likely, rather than a lost answer.
            raise unanswered.cause from None
        found = []
    if not found:
        raise UnknownOutcomeError(
            f"creating a batch of {sought.input_file_id} went unanswered ({unanswered.cause}), and no batch of "
            f"that file appeared within {grace:,.0f} s. It may still exist: look for the file in the list of "
            "batches before you create it again",
            input_file_id=sought.input_file_id,
        ) from None
    return (yield from keep_oldest(settings, found))
