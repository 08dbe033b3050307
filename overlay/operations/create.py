"""`POST /batches` without paying twice.

The API takes no idempotency key, so a blind repeat makes, and bills, a second batch. What is known after one
attempt decides:

- it was not sent (no connection): try again;
- it was refused (a 4xx that the API itself words, or one that cannot create a batch): nothing was created;
- anything else: unknown. The list of batches is searched for the one that carries the nonce of this create in its
  metadata; see `overlay.operations.adopting`. One found is adopted. Finding none proves nothing while the
  attempt may still be in flight and lists lag, so the search continues for a grace time, and then reports that
  the outcome is unknown.

A call that is cancelled while its request is on its way leaves the same question behind, and nobody to ask it.
It is noted in the client's settings, and the next call that asks for the same asks it first.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import attrs

from overlay import models
from overlay.errors import (
    APIConnectionError,
    APIError,
    APIStatusError,
    BadRequestError,
    ConfigurationError,
    InvalidInputError,
    NotFoundError,
    RateLimitError,
    UnknownOutcomeError,
)
from overlay.flows.steps import Call, Flow, deadline, pause
from overlay.generated.api.batch import create_batch
from overlay.generated.models import BatchFileExpirationAfter, CreateBatchRequest
from overlay.models import Batch
from overlay.operations.adopting import Began, Found, Sought, has_nonce, keep_oldest, looks_needed, search
from overlay.operations.caps import limit_of
from overlay.operations.marks import KEY, Mark, mark_of, new_nonce
from overlay.operations.young_files import Youth, until_ready
from overlay.services import ServiceProfile
from overlay.statuses import plain_status
from overlay.wire import retry
from overlay.wire.clock import Seconds, seconds
from overlay.wire.connection import Settings

_log = logging.getLogger("overlay")

_REFUSED_BY_ANYONE = frozenset({401, 403, 404, 405, 410, 411, 413, 414, 415, 421, 422, 429, 431})
_AMBIGUOUS = frozenset({408, 409, 499})
_METADATA_LIMITS = (16, 64, 512)
"""Pairs, and characters of a key and of a value: the API reference, "Create batch"."""
_OURS = 1
"""How many of the pairs are ours: the mark, with its nonce."""


def create_once(
    settings: Settings,
    *,
    input_file_id: str,
    endpoint: str,
    completion_window: str | None,
    metadata: Mapping[str, str] | None,
    output_expires_after: Seconds | None,
    model: str | None,
    grace: float,
    extra_body: Mapping[str, Any],
) -> Flow[Batch]:
    """What `overlay.operations.batches.create` describes; `grace` is in seconds."""
    own = checked_metadata(metadata or {}, taken=_OURS)
    window = settings.service.window if completion_window is None else completion_window
    body = request_body(
        settings.service,
        input_file_id=input_file_id,
        endpoint=endpoint,
        completion_window=window,
        metadata=own,
        output_expires_after=output_expires_after,
        model=model,
    )
    for name, value in extra_body.items():
        body[name] = value
    wish = _wish(body, own)
    attempt = _cancelled_before(settings, wish) or Attempt(new_nonce())
    body.metadata = {**own, **Mark(attempt.nonce).pair()}
    try:
        if attempt.unanswered is None:
            sent = yield from send(settings, body, attempt)
            if not isinstance(sent, Unanswered):
                return sent
            attempt.unanswered = sent
        return (yield from _adopt(settings, body, attempt.nonce, attempt.unanswered, grace=grace))
    except GeneratorExit:  # the caller is gone: Ctrl-C, or a task that was cancelled
        if attempt.began is not None or attempt.unanswered is not None:
            attempt.cancelled = True
            cause = APIConnectionError(
                f"the call that was to create a batch of {input_file_id} was cancelled"
            )
            if attempt.began is not None:
                attempt.unanswered = attempt.unanswered or Unanswered(cause, attempt.began)
            settings.unresolved.setdefault(wish, []).append(attempt)
        raise
    except UnknownOutcomeError:
        raise  # now the caller knows
    except APIError:
        if attempt.cancelled:
            settings.unresolved.setdefault(wish, []).append(attempt)
        raise


@attrs.frozen
class Unanswered:
    """An attempt that may or may not have created a batch."""

    cause: APIError
    began: Began


@attrs.define
class Attempt:
    """A create, and what is known of it."""

    nonce: str
    began: Began | None = None
    """When a request was begun that may have created a batch; None as long as there is none."""
    unanswered: Unanswered | None = None
    cancelled: bool = False


def _wish(body: CreateBatchRequest, own: Mapping[str, str]) -> Any:
    """What a call asks for, as a key: the same for calls with the same arguments."""
    expires = body.output_expires_after
    kept = expires.seconds if expires is not None else None
    more = repr(sorted(body.additional_properties.items()))
    return body.input_file_id, body.endpoint, body.completion_window, tuple(sorted(own.items())), kept, more


def _cancelled_before(settings: Settings, wish: Any) -> Attempt | None:
    """An earlier call of the same wish that was cancelled. Only one of the next calls gets it."""
    try:
        attempt: Attempt = settings.unresolved[wish].pop(0)
    except (KeyError, IndexError):
        return None
    return attempt


def send(
    settings: Settings, body: CreateBatchRequest, attempt: Attempt, *, patient: bool = True
) -> Flow[Batch | Unanswered]:
    """Create a batch, with retries until an attempt is sent. Raises an error only when none was created.

    Where the service takes an idempotency key, the nonce is one, and an attempt that goes unanswered is repeated.
    If it is not `patient`, a refusal for a file that is too young is raised as any other.
    """
    key = settings.service.idempotency_field
    if key is not None:
        body[key] = attempt.nonce
    sent = yield from _send(settings, body, attempt, patient=patient)
    for count in range(settings.max_retries if key is not None else 0):
        delay = retry.delay(sent.cause, count) if isinstance(sent, Unanswered) else None
        if not isinstance(sent, Unanswered) or delay is None:
            break
        # The first one that went unanswered stays so, whatever becomes of the next.
        attempt.unanswered = attempt.unanswered or sent
        yield from pause(str(sent.cause), delay)
        try:
            again = yield from _send(settings, body, attempt, patient=patient)
        except (APIError, InvalidInputError):
            # Refused by now: the first may have created one all the same.
            attempt.began = sent.began
            break
        sent = sent if isinstance(again, Unanswered) else again
    return sent


def _send(
    settings: Settings, body: CreateBatchRequest, attempt: Attempt, *, patient: bool
) -> Flow[Batch | Unanswered]:
    limit = deadline(settings, retry.READ.within)
    youth = Youth(settings, body.input_file_id)
    yield from until_ready(settings, body.input_file_id)
    count = 0
    while True:
        attempt.began = began = Began(settings.clock.monotonic(), settings.clock.time())
        try:
            batch = models.batch((yield Call(create_batch, {"body": body}, "create")))
        except APIError as error:
            if not _nothing_created(error):
                _log.warning("creating a batch of %s went unanswered: %s", body.input_file_id, error)
                return Unanswered(error, began)
            attempt.began = None
            if patient and (yield from youth.passes(error)):
                continue
            delay = _delay(error, count, settings.max_retries)
            limit = limit.later(retry.asked_wait(error))
            if delay is None or delay > limit.left:
                raise
            why = str(error)
        else:
            settings.keeps_metadata = has_nonce(batch)
            if not settings.keeps_metadata:
                settings.given.add(batch.id)
            settings.note_batch(batch.id, body.input_file_id)
            return batch
        yield from pause(why, delay)
        count += 1


def request_body(
    service: ServiceProfile,
    *,
    input_file_id: str,
    endpoint: str,
    completion_window: str,
    metadata: Mapping[str, str] | None,
    output_expires_after: Seconds | None,
    model: str | None,
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
    if service.names_model and model is not None:
        body["model"] = model
    return body


def checked_metadata(metadata: Mapping[str, str], *, taken: int = 0) -> dict[str, str]:
    """Metadata that the API accepts, with `taken` pairs used by us, without a mark of ours that was copied from
    another batch. Raises ConfigurationError.
    """
    pairs, key_length, value_length = _METADATA_LIMITS
    own = dict(metadata)
    if taken and KEY in own:
        if mark_of({KEY: own[KEY]}) is None:
            raise ConfigurationError(f"the metadata key {KEY} is reserved: it tells our batches from others")
        del own[KEY]
    if len(own) > pairs - taken:
        why = f" (the API takes {pairs}, and {taken} tells our batches from others)" if taken else ""
        raise ConfigurationError(f"metadata has {len(own)} pairs; {pairs - taken} are allowed{why}")
    for key, value in own.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise ConfigurationError(f"metadata {key!r}: keys and values must be strings")
        if len(key) > key_length or len(value) > value_length:
            raise ConfigurationError(
                f"metadata {key!r:.80}: keys have at most {key_length} characters, values {value_length}"
            )
    return own


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
    """Whether the service cannot find the file, however long it was waited for."""
    words = str(error).lower()
    if isinstance(error, NotFoundError):
        return "file" in words
    return isinstance(error, BadRequestError) and ("cannot find file" in words or "not have access" in words)


def failed_without_file(batch: Batch) -> bool:
    """Whether a batch failed because its input file was not to be found, as OpenAI says it: nothing ran."""
    entries = (batch.errors.data if batch.errors is not None else None) or ()
    return plain_status(batch.status) == "failed" and any(
        entry.param == "file_id" or "cannot find file" in str(entry.message).lower() for entry in entries
    )


def _adopt(
    settings: Settings, body: CreateBatchRequest, nonce: str, unanswered: Unanswered, *, grace: float
) -> Flow[Batch]:
    sought = Sought(
        nonce=nonce,
        input_file_id=body.input_file_id,
        endpoint=body.endpoint,
        window=body.completion_window,
        metadata=body.metadata,
        since=unanswered.began,
        given=settings.given,
    )
    found = Found()
    try:
        found = yield from search(settings, sought, grace=grace, needed=looks_needed(grace))
    except APIError as problem:
        if isinstance(problem, APIStatusError) and not retry.is_transient(problem):
            # Refused like the attempt itself: a wrong address, most likely, rather than a lost answer.
            raise unanswered.cause from None
    if found.ours:
        kept = yield from keep_oldest(settings, found.ours)
        settings.given.add(kept.id)
        settings.note_batch(kept.id, body.input_file_id)
        return kept
    missing = found.obstacle or f"no batch of that create appeared within {grace:,.0f} s"
    raise UnknownOutcomeError(
        f"creating a batch of {body.input_file_id} went unanswered ({unanswered.cause}), and {missing}. "
        "It may still exist: look for the file in the list of batches before you create it again",
        input_file_id=body.input_file_id,
    ) from None
