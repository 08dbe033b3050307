"""What stops one shard, and what stops them all: pure decisions, and the words for them.

A shard is stuck when no waiting is known to help: a create that went unanswered and whose file is gone, a batch
that the service has forgotten, a result file that was deleted, a batch that was refused. The others go on. What
concerns the account, the network or the disk stops them all.
"""

from __future__ import annotations

import errno
from typing import Literal

from overlay.errors import (
    APIConnectionError,
    APIError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    BatchFailedError,
    ConfigurationError,
    InternalServerError,
    JobLockedError,
    LedgerError,
    OverlayError,
    PermissionDeniedError,
    RateLimitError,
    StorageError,
    TokenProviderError,
    UnprocessableEntityError,
)
from overlay.jobs.records import Unit
from overlay.operations.create import lacks_file

_THE_ACCOUNT = (AuthenticationError, PermissionDeniedError, RateLimitError)
_EVERYTHING = (
    *_THE_ACCOUNT,
    APIConnectionError,
    InternalServerError,
    ConfigurationError,
    JobLockedError,
    LedgerError,
    TokenProviderError,
)
_PAYMENT_REQUIRED = 402
_OUT_OF_MONEY = ("insufficient_quota", "billing_")
_MAY_STILL_START = frozenset({"planned", "uploading", "uploaded"})


def concerns_one(error: OverlayError) -> bool:
    """Whether an error stops one shard only."""
    if isinstance(error, StorageError):
        cause = error.__cause__
        # Either we found a file of this shard damaged or missing, or the disk itself failed.
        return not isinstance(error, LedgerError) and (
            not isinstance(cause, OSError) or cause.errno == errno.ENOENT
        )
    if isinstance(error, APIStatusError) and error.status_code == _PAYMENT_REQUIRED:
        return False
    return not isinstance(error, _EVERYTHING)


def is_refusal(error: OverlayError, unit: Unit) -> bool:
    """Whether the service refused a shard for what it is, and has no batch of it."""
    if unit.state not in _MAY_STILL_START:
        return False
    if isinstance(error, BatchFailedError):
        return not any(word in str(error) for word in _OUT_OF_MONEY)
    return isinstance(error, BadRequestError | UnprocessableEntityError) and not lacks_file(error)


def concerns_its_kind(error: OverlayError) -> bool:
    """Whether a refusal is about the model or the endpoint, so that it holds for shards that were not sent yet."""
    lines = [problem.line for problem in error.problems] if isinstance(error, BatchFailedError) else []
    return not lines or None in lines


def trouble_of(error: OverlayError, unit: Unit) -> Literal["stuck", "refused"]:
    """What a unit is after an error that concerns it alone, for its ledger."""
    return "refused" if is_refusal(error, unit) else "stuck"


def is_final(error: APIError) -> bool:
    """Whether asking for the same thing once more will get the same answer."""
    return isinstance(error, APIStatusError) and concerns_one(error)


def stuck_error(job_id: str, unit: Unit, error: OverlayError, *, others: int) -> OverlayError:
    """The error with which a job stops: it is of the same type, and names the shard and the ways on."""
    more = f" (and {others:,} more)" if others else ""
    again = f"{job_id} --shard {unit.shard}"
    return reworded(
        error,
        f"{error}; job {job_id}, shard {unit.shard}{more} is stuck: resume the job to try it again, "
        f"`overlay jobs give-up {again}` to make its unanswered requests failures, or "
        f"`overlay jobs send-again {again}` to pay for them again",
    )


def refused_error(job_id: str, error: OverlayError) -> OverlayError:
    """The error with which a job ends that the service refused as a whole."""
    return reworded(
        error,
        f"{error}; the service refused all of job {job_id}, nothing ran, and the job has ended as failed: mend the "
        f"requests and run them as a new job or, if the service was to blame, `overlay jobs send-again {job_id}`",
    )


def reworded(error: OverlayError, text: str) -> OverlayError:
    error.args = (text,)
    return error
