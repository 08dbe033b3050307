"""Everything this SDK raises.

    OverlayError
    ├── ConfigurationError (ValueError)      no token, a base URL that cannot be used, a bad argument
    ├── InvalidInputError (ValueError)       a file of requests, with every bad line and its reason
    ├── CostLimitError                       the requests may cost more than max_cost
    ├── TokenProviderError                   the token provider raised, or returned no usable token
    ├── APIError                             the service, or the connection to it
    │   ├── APIConnectionError               no answer
    │   │   └── APITimeoutError              no answer in time
    │   ├── APIStatusError                   an answer with an error status
    │   │   ├── BadRequestError              400
    │   │   ├── AuthenticationError          401
    │   │   ├── PermissionDeniedError        403
    │   │   ├── NotFoundError                404
    │   │   │   └── FileGoneError            404 or 410 for a file the batch names
    │   │   ├── ConflictError                409
    │   │   ├── UnprocessableEntityError     422
    │   │   ├── RateLimitError               429
    │   │   └── InternalServerError          500 to 599
    │   ├── InvalidResponseError             an answer that is not what the API promises
    │   ├── UnsupportedError                 what the service is known not to offer; nothing was sent
    │   └── UnknownOutcomeError              a batch may or may not have been created
    ├── BatchFailedError                     the batch was refused as a whole; carries its errors
    ├── BatchNotEndedError                   results were requested while the batch is running
    ├── NoResultsError                       a completed batch that names no result file
    ├── IncompleteResultsError               result files that are cut whenever they are fetched
    ├── UnclaimedAnswersError                answers that name no request, and requests without an answer
    ├── WaitTimeoutError (TimeoutError)      the batch did not end in time
    ├── ResultError                          one line's failure, raised on request
    ├── AcceptError                          the caller's accept raised for an answer
    ├── WorkerError                          what stopped a worker of a job of uploaded shards
    ├── WebhookError                         a webhook that is forged, damaged or too old
    ├── JobNotFoundError                     no job with this id in the home folder
    ├── JobMismatchError                     the job has different requests, or another service
    ├── JobLockedError                       another process is working on the job
    ├── JobNotEndedError                     results were requested before the job is done
    └── StorageError (OSError)               a local file could not be read or written
        └── LedgerError                      a job's ledger is damaged, missing, or too new

All of them can be pickled, and none holds a token. What the service sent is shortened: error bodies are
truncated, HTML is reduced to its title.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import attrs


def _rebuild(cls: type[OverlayError], args: tuple[Any, ...], state: dict[str, Any]) -> OverlayError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


def one_line(text: str) -> str:
    """The text with line breaks and control characters made harmless: services send them, and what they send must
    not look like a line of a log, or command a terminal.
    """
    if text.isprintable():
        return text
    text = text.replace("\r\n", " ").replace("\n", " ")
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape", "surrogatepass").decode()
        for each in text
    )


class OverlayError(Exception):
    """The base of all errors of this package. `str(error)` says what happened and what to do, in one line."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))

    @property
    def message(self) -> str:
        return str(self.args[0]) if self.args else ""

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions whose __init__ takes keywords do not unpickle by default, so their state is passed along.
        return _rebuild, (type(self), self.args, self.__dict__)


class ConfigurationError(OverlayError, ValueError):
    """The client was set up, or called, in a way that cannot work. Nothing was sent."""


@attrs.frozen
class Problem:
    """One thing wrong with a file of requests."""

    line: int | None
    """The line's number, from 1; None for the file as a whole."""
    reason: str
    unit: Literal["line", "row"] = "line"
    """What is counted: the rows of a table are counted from 1, without its header."""
    same_as: int | None = None
    """The line that already has this custom_id, where that is what is wrong."""

    def __str__(self) -> str:
        return one_line(self.reason if self.line is None else f"{self.unit} {self.line}: {self.reason}")


class InvalidInputError(OverlayError, ValueError):
    """Requests that the service would refuse, or that would be paid for and then fail. Nothing was sent.

    `problems` holds the first hundred; `count` says how many there are.
    `warnings` and `warned` say the same of what may be wrong besides.
    """

    def __init__(
        self,
        path: str | Path | None,
        problems: Sequence[Problem],
        *,
        count: int | None = None,
        place: str | None = None,
        warnings: Sequence[Problem] = (),
        warned: int | None = None,
    ) -> None:
        """`place` is what the message calls what was read, by default the path, or "requests"."""
        self.path = None if path is None else Path(path)
        self.problems = tuple(problems)
        self.count = len(self.problems) if count is None else count
        self.warnings = tuple(warnings)
        self.warned = len(self.warnings) if warned is None else warned
        first = self.problems[0]
        self.line = first.line
        self.reason = first.reason
        place = place or (str(path) if path is not None else "requests")
        if self.line is not None:
            place = f"{place}, {first.unit} {self.line}"
        more = f" (and {self.count - 1:,} more)" if self.count > 1 else ""
        super().__init__(f"{place}: {self.reason}{more}")


class WebhookError(OverlayError):
    """A webhook that nobody vouches for: forged, damaged, or too old. Nothing may be done because of it."""


class TokenProviderError(OverlayError):
    """No usable token came from the token provider. Nothing was sent.

    The provider's own exception is named by its type only: its text may hold the secret.
    """


class APIError(OverlayError):
    """A call to the service failed."""

    request_id: str | None = None
    """What to quote to the service's support, if it sent one."""


class UnsupportedError(APIError):
    """The service is known not to offer this, so nothing was sent."""


class APIConnectionError(APIError):
    """No answer came: a wrong address, a network failure, or a broken connection.

    `sent` is False when nothing can have reached the service.
    """

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class APITimeoutError(APIConnectionError):
    """No answer came in time."""


class APIStatusError(APIError):
    """The service answered with a status other than success."""

    def __init__(
        self,
        message: str,
        *,
        status_code: int,
        request_id: str | None = None,
        code: str | None = None,
        type: str | None = None,  # noqa: A002 - the API's own word
        param: str | None = None,
        body: str = "",
        is_json: bool = False,
        retry_after: float | None = None,
        should_retry: bool | None = None,
    ) -> None:
        super().__init__(f"{message} (request {request_id})" if request_id else message)
        self.status_code = status_code
        self.request_id = request_id
        self.code = code
        """The service's own error code, such as `insufficient_quota`."""
        self.type = type
        self.param = param
        self.body = body
        """The answer's text, cut to 4,000 characters."""
        self.is_json = is_json
        """Whether the answer is the API's own, not that of a proxy in front of it."""
        self.retry_after = retry_after
        """Seconds the service asked us to wait."""
        self.should_retry = should_retry
        """What the service's `x-should-retry` header says, if there is one."""


class BadRequestError(APIStatusError):
    """400: the request is wrong; sending it again will not help."""


class AuthenticationError(APIStatusError):
    """401: the token was rejected, and so was a fresh one if a provider gave it."""


class PermissionDeniedError(APIStatusError):
    """403: the token is not allowed to do this."""


class NotFoundError(APIStatusError):
    """404: no such batch or file, or not visible to this token."""


class FileGoneError(NotFoundError):
    """A file that a batch names is no longer there: deleted, or expired."""


class ConflictError(APIStatusError):
    """409: not possible in the current state."""


class UnprocessableEntityError(APIStatusError):
    """422: the service could not make sense of the request."""


class RateLimitError(APIStatusError):
    """429: rate limited; with the code `insufficient_quota`, out of quota until the account is topped up."""


class InternalServerError(APIStatusError):
    """500 to 599: the service, or a proxy in front of it, failed."""


_BY_STATUS: dict[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: UnprocessableEntityError,
    429: RateLimitError,
}


def status_error_type(status_code: int) -> type[APIStatusError]:
    """The error class for an HTTP status."""
    if status_code >= 500:  # noqa: PLR2004 - the boundary of RFC 9110, section 15.6
        return InternalServerError
    return _BY_STATUS.get(status_code, APIStatusError)


class InvalidResponseError(APIError):
    """The answer is not what the API promises: not JSON, too large, cut short, or without an id."""


class UnknownOutcomeError(APIError):
    """`POST /batches` went unanswered and no batch for the file has shown up: it may exist, and be billed.

    Look for `input_file_id` in `client.batches.list()` before creating it again.
    """

    def __init__(self, message: str, *, input_file_id: str) -> None:
        super().__init__(message)
        self.input_file_id = input_file_id


class BatchFailedError(OverlayError):
    """The service refused the batch as a whole: nothing ran. `problems` are its reasons, by input line."""

    def __init__(self, message: str, *, batch_id: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.batch_id = batch_id
        self.problems = tuple(problems)


class BatchNotEndedError(OverlayError):
    """The batch has no final results yet."""

    def __init__(self, message: str, *, batch_id: str, status: str | None) -> None:
        super().__init__(message)
        self.batch_id = batch_id
        self.status = status


class NoResultsError(OverlayError):
    """The batch says that it is completed, yet names no result file."""

    def __init__(self, message: str, *, batch_id: str) -> None:
        super().__init__(message)
        self.batch_id = batch_id


class IncompleteResultsError(OverlayError):
    """The files of a batch hold fewer answers than it counts, or end within one, whenever they are fetched.

    Nothing is sent again for what is missing: it may have been answered, and paid for.
    """

    def __init__(self, message: str, *, batch_id: str) -> None:
        super().__init__(message)
        self.batch_id = batch_id


class UnclaimedAnswersError(OverlayError):
    """Answers came back under custom_ids that no request has, or under none, while requests have no answer.

    They were paid for, so nothing is sent again. If the service keeps the order of the requests, `match="order"`
    gives the `unclaimed` answers to the `missing` requests, each in their order. For a job, `path` is where the
    unclaimed lines are.
    """

    def __init__(
        self, message: str, *, missing: int = 0, unclaimed: int = 0, path: str | Path | None = None
    ) -> None:
        super().__init__(message)
        self.missing = missing
        self.unclaimed = unclaimed
        self.path = None if path is None else Path(path)


class WaitTimeoutError(OverlayError, TimeoutError):
    """The batch, or job, did not end in time. It keeps running at the service."""

    def __init__(self, message: str, *, batch_id: str | None, status: str | None) -> None:
        super().__init__(message)
        self.batch_id = batch_id
        self.status = status


class ResultError(OverlayError):
    """One request of a batch failed; raised by `Result.raise_for_error()`."""

    def __init__(
        self, message: str, *, custom_id: str | None, code: str | None, status_code: int | None
    ) -> None:
        super().__init__(message)
        self.custom_id = custom_id
        self.code = code
        self.status_code = status_code


class StorageError(OverlayError, OSError):
    """A local file could not be read or written. What was complete before is untouched."""

    def __init__(self, message: str, *, path: str | Path | None = None) -> None:
        OverlayError.__init__(self, message)
        self.path = None if path is None else Path(path)


class LedgerError(StorageError):
    """A job's ledger cannot be used: damaged, missing, not a ledger, or from a newer version of this SDK."""


class JobNotFoundError(OverlayError):
    """There is no job with this id in the home folder."""

    def __init__(self, message: str, *, job_id: str) -> None:
        super().__init__(message)
        self.job_id = job_id


class WorkerError(OverlayError):
    """A worker of a job of uploaded shards met an error, which the message says."""


class AcceptError(OverlayError):
    """The caller's `accept` raised an exception, which is this one's cause, for the request `custom_id`."""

    def __init__(self, message: str, *, custom_id: str | None) -> None:
        super().__init__(message)
        self.custom_id = custom_id


class CostLimitError(OverlayError):
    """The requests may cost more than `max_cost`, or nobody can tell what they cost (`cost` is None).

    Nothing was sent.
    """

    def __init__(self, message: str, *, cost: float | None, max_cost: float) -> None:
        super().__init__(message)
        self.cost = cost
        self.max_cost = max_cost


class JobMismatchError(OverlayError):
    """A job with this id exists, but with different requests or at another service."""

    def __init__(self, message: str, *, job_id: str) -> None:
        super().__init__(message)
        self.job_id = job_id


class JobLockedError(OverlayError):
    """Another process, `pid`, has been working on the job since `since`, a time in ISO 8601."""

    def __init__(self, message: str, *, job_id: str, pid: int | None, since: str | None) -> None:
        super().__init__(message)
        self.job_id = job_id
        self.pid = pid
        self.since = since


class JobNotEndedError(OverlayError):
    """The job still has unanswered requests."""

    def __init__(self, message: str, *, job_id: str) -> None:
        super().__init__(message)
        self.job_id = job_id
