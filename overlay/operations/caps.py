"""What a service's refusal says about the account's limits: pure decisions.

OpenAI lets the batches of one model hold a number of prompt tokens at a time, by tier. A batch over it is created,
and fails with `token_limit_exceeded` (https://platform.openai.com/docs/guides/batch, "Rate limits"). Other services
refuse the create itself, with 400 or 429, and many limit how many batches may run at a time.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal, TypeAlias

from overlay.errors import APIError, APIStatusError

Limit: TypeAlias = Literal["tokens", "batches"]

_TOKEN_CODES = frozenset(
    {"token_limit_exceeded", "enqueued_token_limit_exceeded", "queued_token_limit_exceeded"}
)
_BATCH_CODES = frozenset(
    {"too_many_batches", "batch_limit_exceeded", "max_active_batches", "concurrent_batch_limit_exceeded"}
)
_REFUSING = frozenset({400, 403, 409, 429})
_TOKENS = re.compile(r"(?:enqueued|queued)\s+(?:prompt\s+)?token", re.IGNORECASE)
_BATCHES = re.compile(
    r"(?:too many|max(?:imum)?(?: number of)?|limit (?:of|on)(?: \d+)?|\d+)\s+"
    r"(?:active|concurrent|live|running|in[- _]progress|unfinished|pending|queued|open)?\s*batch",
    re.IGNORECASE,
)
_HOURLY = re.compile(r"\b(?:hour|minute|second|day)\b", re.IGNORECASE)
_STATED = re.compile(r"limit(?:\s+(?:is|of))?\s*:?\s*(\d[\d,_ ]*\d|\d)", re.IGNORECASE)


def limit_in(codes: Collection[str | None], message: str) -> Limit | None:
    """Which limit a refusal is about; None where it is another reason."""
    words = {(code or "").lower() for code in codes}
    if words & _TOKEN_CODES or _TOKENS.search(message):
        return "tokens"
    if words & _BATCH_CODES or (_BATCHES.search(message) and not _HOURLY.search(message)):
        return "batches"
    return None


def limit_of(error: APIError) -> Limit | None:
    """The same, of a refused create."""
    if not isinstance(error, APIStatusError) or error.status_code not in _REFUSING:
        return None
    return limit_in([error.code, error.type], str(error))


def stated_limit(message: str) -> int | None:
    """The number that a refusal states as the limit; None where it states none."""
    found = _STATED.search(message)
    digits = re.sub(r"\D", "", found[1]) if found else ""
    return int(digits) if 0 < len(digits) <= 15 and int(digits) > 0 else None  # noqa: PLR2004 - a sane number


def learned_tokens(tokens: int, *, others: int, stated: int | None, refused_before: bool) -> int | None:
    """What a model's batches may hold, learned from the refusal of a batch of so many tokens, by our estimate.

    `others` is what else of ours was running. None: no conclusion yet, for somebody else may hold the rest, and the
    same batch is tried once more.
    """
    if stated is not None and stated < tokens:
        return stated
    if others:
        return stated or others
    if stated is not None and not refused_before:
        return None
    # It runs alone and is too large, or the service counts more tokens than we estimate.
    return max(1, tokens // 2)
