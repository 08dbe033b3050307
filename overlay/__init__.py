"""The OpenAI Batch API, and every service that speaks it: any number of requests, every answer once.

from overlay import Client

with Client() as client:
    file = client.files.upload("requests.jsonl")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions")
    client.batches.wait(batch.id)
    for result in client.batches.results(batch.id):
        print(result.custom_id, result.text if result.ok else result.error)

Names are loaded on first use: describing a Request loads neither httpx nor a client.
"""

from typing import TYPE_CHECKING

from overlay.lazily import loader
from overlay.public_names import HOMES
from overlay.version import VERSION

__version__ = VERSION

if TYPE_CHECKING:  # the one list of public names; `make format` writes public_names.py from it
    from overlay.client import (
        AsyncClient as AsyncClient,
        Client as Client,
    )
    from overlay.costs.estimate import (
        Estimate as Estimate,
        ModelEstimate as ModelEstimate,
    )
    from overlay.costs.prices import (
        Price as Price,
        Prices as Prices,
    )
    from overlay.costs.receipt import (
        ModelReceipt as ModelReceipt,
        Receipt as Receipt,
    )
    from overlay.errors import (
        AcceptError as AcceptError,
        APIConnectionError as APIConnectionError,
        APIError as APIError,
        APIStatusError as APIStatusError,
        APITimeoutError as APITimeoutError,
        AuthenticationError as AuthenticationError,
        BadRequestError as BadRequestError,
        BatchFailedError as BatchFailedError,
        BatchNotEndedError as BatchNotEndedError,
        ConfigurationError as ConfigurationError,
        ConflictError as ConflictError,
        CostLimitError as CostLimitError,
        FileGoneError as FileGoneError,
        IncompleteResultsError as IncompleteResultsError,
        InternalServerError as InternalServerError,
        InvalidInputError as InvalidInputError,
        InvalidResponseError as InvalidResponseError,
        JobLockedError as JobLockedError,
        JobMismatchError as JobMismatchError,
        JobNotEndedError as JobNotEndedError,
        JobNotFoundError as JobNotFoundError,
        LedgerError as LedgerError,
        NoResultsError as NoResultsError,
        NotFoundError as NotFoundError,
        OverlayError as OverlayError,
        PermissionDeniedError as PermissionDeniedError,
        Problem as Problem,
        RateLimitError as RateLimitError,
        ResultError as ResultError,
        StorageError as StorageError,
        TokenProviderError as TokenProviderError,
        UnclaimedAnswersError as UnclaimedAnswersError,
        UnknownOutcomeError as UnknownOutcomeError,
        UnprocessableEntityError as UnprocessableEntityError,
        UnsupportedError as UnsupportedError,
        WaitTimeoutError as WaitTimeoutError,
        WebhookError as WebhookError,
        WorkerError as WorkerError,
    )
    from overlay.jobs.origins import (
        Origin as Origin,
        Origins as Origins,
    )
    from overlay.jobs.results import (
        AsyncJobResults as AsyncJobResults,
        JobResults as JobResults,
    )
    from overlay.jobs.telling import JobEnd as JobEnd
    from overlay.jobs.uploaded import (
        Place as Place,
        ShardOutcome as ShardOutcome,
        ShardTask as ShardTask,
        UploadedShard as UploadedShard,
    )
    from overlay.jobs.views import (
        Cost as Cost,
        Job as Job,
        JobEvent as JobEvent,
        Shard as Shard,
    )
    from overlay.models import (
        Batch as Batch,
        File as File,
        Page as Page,
    )
    from overlay.pages import (
        AsyncListing as AsyncListing,
        Listing as Listing,
    )
    from overlay.requests.chats import (
        Chat as Chat,
        Response as Response,
    )
    from overlay.requests.checks import InputSummary as InputSummary
    from overlay.requests.request import (
        Request as Request,
        check_requests as check_requests,
        read_requests as read_requests,
        write_requests as write_requests,
    )
    from overlay.requests.rows import Embed as Embed
    from overlay.results.contents import ToolCall as ToolCall
    from overlay.results.failures import Failure as Failure
    from overlay.results.iterables import (
        AsyncResults as AsyncResults,
        Results as Results,
    )
    from overlay.results.joining import JoinReport as JoinReport
    from overlay.results.result import Result as Result
    from overlay.results.shapes import (
        LineError as LineError,
        Usage as Usage,
    )
    from overlay.services.limits import Limits as Limits
    from overlay.services.profile import ServiceProfile as ServiceProfile
    from overlay.tables.answers import Answers as Answers
    from overlay.tables.outcomes import AnsweredRow as AnsweredRow
    from overlay.telemetry.telemetry import Telemetry as Telemetry
    from overlay.wire.auth import (
        Token as Token,
        TokenProvider as TokenProvider,
    )
else:  # hidden from type checkers, which would then accept any name, even a misspelt one
    __getattr__ = loader(__name__, HOMES)
    __all__ = sorted({*HOMES, "__version__"})  # noqa: PLE0605 - derived from the list above


def __dir__() -> list[str]:
    return sorted({*HOMES, "__version__"})
