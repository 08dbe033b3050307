"""One flow for each thing that can be done with a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from overlay import models
from overlay.errors import BadRequestError, ConflictError, InvalidResponseError
from overlay.flows.extras import checked_fields, with_extra
from overlay.flows.steps import Deadline, Flow, call
from overlay.generated.api.batch import cancel_batch, retrieve_batch
from overlay.models import Batch, Page
from overlay.operations.create import create_once
from overlay.operations.listing import batch_page
from overlay.operations.offers import require
from overlay.pages import Moment, checked_limit, window
from overlay.statuses import plain_status
from overlay.wire.clock import Seconds, seconds
from overlay.wire.connection import Settings


def create(
    settings: Settings,
    *,
    input_file_id: str,
    endpoint: str,
    completion_window: str | None = None,
    metadata: Mapping[str, str] | None = None,
    output_expires_after: Seconds | None = None,
    model: str | None = None,
    grace: Seconds = 180.0,
    extra_body: Mapping[str, Any] | None = None,
    extra_query: Mapping[str, Any] | None = None,
    extra_headers: Mapping[str, str] | None = None,
) -> Flow[Batch]:
    """Create a batch of the requests in an uploaded file. It is paid for once: see `UnknownOutcomeError`.

    `endpoint` is the path each line names, such as `/v1/chat/completions`; `completion_window` is `24h` at
    OpenAI; other services have others, and the usual one is the default.
    `metadata` holds up to 15 pairs: keys of 64, values of 512 characters.
    The API allows 16; the key `overlay` is ours, and holds a value that is new for each create, so that a batch
    whose creation went unanswered can be told from all others.
    `output_expires_after`, a timedelta or seconds from 3,600 to 2,592,000, limits how long the result files
    are kept. `model` is the model of all requests: it is sent only where batches name it beside the lines, as at
    Mistral.

    `extra_body`, `extra_query` and `extra_headers` are sent beside all that, for what this SDK does not know.

    The request is never repeated blindly. If its outcome is unknown (a timeout, a reset, a 5xx), the list of
    batches is searched for its batch for up to `grace`, and the batch found is returned. If the call is cancelled
    once the request is on its way, by asyncio or by Ctrl-C, the next call with the same arguments on this client
    finds out first what became of it, and returns the batch that came of it.

    An input file that the service has not taken in yet is waited for, and so is one that it does not find in its
    first minute. A service that finds out later gives a batch that fails with `Cannot find file`: nothing ran, and
    it can be created again, as jobs do by themselves.

    A service that keeps no metadata, as an earlier answer has shown, is searched for the only batch of the same
    file, endpoint and window that is not known yet.

    Raises UnknownOutcomeError if none shows up by then, BadRequestError and its siblings if the service
    refuses, InvalidInputError if it could not take the file in, ConfigurationError for arguments that cannot be
    sent.
    """
    flow = create_once(
        settings,
        input_file_id=input_file_id,
        endpoint=endpoint,
        completion_window=completion_window,
        metadata=metadata,
        output_expires_after=output_expires_after,
        model=model,
        grace=seconds(grace),
        extra_body=checked_fields(extra_body, "extra_body"),
    )
    return with_extra(flow, "create_batch", query=extra_query, headers=extra_headers)


def retrieve(
    settings: Settings,
    batch_id: str,
    *,
    extra_query: Mapping[str, Any] | None = None,
    extra_headers: Mapping[str, str] | None = None,
) -> Flow[Batch]:
    """The batch as it is now. Raises NotFoundError if there is none with this id.

    `extra_query` and `extra_headers` are sent beside what this SDK knows.
    """
    flow = retrieve_until(settings, batch_id, until=None)
    return with_extra(flow, "retrieve_batch", query=extra_query, headers=extra_headers)


def retrieve_until(settings: Settings, batch_id: str, *, until: Deadline | None) -> Flow[Batch]:
    """Like `retrieve`, with no try started after the deadline."""
    batch_id = models.checked_id(batch_id, "batch")
    received = models.batch((yield from call(settings, retrieve_batch, until=until, batch_id=batch_id)))
    if received.id != batch_id:
        if not _is_of(settings, batch_id, received):
            raise InvalidResponseError(f"asked for batch {batch_id}, got {received.id}")
        # A gateway gives the id that its provider has for it, under which it is not found here.
        received.id = batch_id
    return received


def _is_of(settings: Settings, batch_id: str, received: Batch) -> bool:
    """Whether an answer under another id is about the batch that was asked for."""
    known = settings.inputs.get(batch_id)
    if known is not None:
        return received.input_file_id == known
    return settings.service.answers_other_ids


def page(
    settings: Settings,
    *,
    after: str | None = None,
    limit: int | None = None,
    created_after: Moment | None = None,
    created_before: Moment | None = None,
    extra_query: Mapping[str, Any] | None = None,
    extra_headers: Mapping[str, str] | None = None,
) -> Flow[Page[Batch]]:
    """The batches of the project, newest first at OpenAI: iterate over all of them, or over `.pages()`.

    `after` is the id to start after, `limit` the size of a page (1 to 100; the service's default is 20).
    `created_after` (inclusive) and `created_before` (exclusive) are datetimes or ISO 8601 strings, UTC if
    they name no zone; they are applied here, as the API has no filter, and end the list early if it was seen to
    run newest first.

    `extra_query` and `extra_headers` are sent beside what this SDK knows.

    A batch that cannot be read is left out, logged, and counted in its page's `unreadable`. Raises
    InvalidResponseError if the answer is no list.
    """
    span = window(created_after, created_before)
    if after is not None:
        after = models.checked_id(after, "batch")
    flow = batch_page(settings, after=after, limit=checked_limit(limit), span=span)
    return (yield from with_extra(flow, "list_batches", query=extra_query, headers=extra_headers))


def cancel(
    settings: Settings,
    batch_id: str,
    *,
    extra_query: Mapping[str, Any] | None = None,
    extra_headers: Mapping[str, str] | None = None,
) -> Flow[Batch]:
    """Ask to stop a batch. It may take 10 minutes to become `cancelled`; finished work is kept, and billed.

    Cancelling a batch that is already cancelled returns it. Raises ConflictError if it has ended otherwise,
    UnsupportedError at a service that cannot cancel.
    """
    flow = _cancelled(settings, models.checked_id(batch_id, "batch"))
    return with_extra(flow, "cancel_batch", query=extra_query, headers=extra_headers)


def _cancelled(settings: Settings, batch_id: str) -> Flow[Batch]:
    require(settings, settings.service.cancels, "cancel batches", f"{batch_id} runs to its end")
    try:
        return models.batch((yield from call(settings, cancel_batch, final=ConflictError, batch_id=batch_id)))
    except (BadRequestError, ConflictError):
        # Services answer 200, 400 or 409 to the second cancel; a retry after an unanswered first one is the second.
        batch = yield from retrieve(settings, batch_id)
        if plain_status(batch.status) in {"cancelling", "cancelled"}:
            return batch
        raise
