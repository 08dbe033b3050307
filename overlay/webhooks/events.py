"""What a webhook says of a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs
import msgspec

from overlay.errors import WebhookError
from overlay.signatures import verify
from overlay.times import moment

_PREFIX = "batch."


@attrs.frozen(kw_only=True)
class BatchEvent:
    """An event of a batch, as a service tells it: https://platform.openai.com/docs/api-reference/webhook-events."""

    id: str
    """The same each time that the event is sent."""
    type: str
    """`batch.completed`, `batch.failed`, `batch.expired`, `batch.cancelled`, or one that is not known yet."""
    batch_id: str
    created: datetime | None
    """None if the service does not say."""
    raw: Mapping[str, Any] = attrs.field(repr=False, eq=False)
    """The event as it came."""


class _Data(msgspec.Struct):
    id: str


class _Event(msgspec.Struct):
    type: str
    data: _Data
    created_at: Any = None


_decode = msgspec.json.Decoder(_Event).decode


def unwrap(
    body: bytes,
    headers: Mapping[str, str],
    *,
    secret: str | Sequence[str],
    tolerance: float = 300.0,
    now: float | None = None,
) -> BatchEvent | None:
    """The event in a webhook whose signature is good; None for one that is not about a batch.

    Arguments and errors are those of `verify`; WebhookError, too, for a body that is no event.
    """
    name = verify(body, headers, secret, tolerance=tolerance, now=now)
    try:
        raw: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
        kind = raw.get("type")
        if isinstance(kind, str) and not kind.startswith(_PREFIX):
            return None
        event = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WebhookError(f"its body is no event: {error}") from None
    return BatchEvent(
        id=name, type=event.type, batch_id=event.data.id, created=moment(event.created_at), raw=raw
    )
