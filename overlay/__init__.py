"""The OpenAI Batch API, and every service that speaks it: any number of requests, every answer once.

from overlay import Client

with Client() as client:
    file = client.files.upload("requests.jsonl")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions")
    client.batches.wait(batch.id)
    for result in client.batches.results(batch.id):
        print(result.custom_id, result.text if result.ok else result.error)

Names are loaded when they are first asked for: to describe a Request takes neither httpx nor a client.
"""

from typing import TYPE_CHECKING

from overlay.lazily import loader
from overlay.version import VERSION as __version__  # noqa: N811 - the name that packages give it

if TYPE_CHECKING:
    from overlay.client import AsyncClient, Client
    from overlay.errors import (
        APIConnectionError,
        APIError,
        APIStatusError,
        APITimeoutError,
        AuthenticationError,
        BadRequestError,
        BatchFailedError,
        BatchNotEndedError,
        ConfigurationError,
        ConflictError,
        FileGoneError,
        InternalServerError,
        InvalidInputError,
        InvalidResponseError,
        JobLockedError,
        JobMismatchError,
        JobNotEndedError,
        JobNotFoundError,
        LedgerError,
        NoResultsError,
        NotFoundError,
        OverlayError,
        PermissionDeniedError,
        Problem,
        RateLimitError,
        ResultError,
        StorageError,
        TokenProviderError,
        UnknownOutcomeError,
        UnprocessableEntityError,
        WaitTimeoutError,
    )
    from overlay.jobs.views import Cost, Job, JobEvent, Price, Shard
    from overlay.models import Batch, File, Page
    from overlay.pages import AsyncListing, Listing
    from overlay.requests.checks import InputSummary, Limits
    from overlay.requests.request import Request, check_requests, read_requests, write_requests
    from overlay.results.files import JoinReport, LineError, Result, Usage
    from overlay.results.iterables import AsyncResults, Results
    from overlay.wire.auth import Token, TokenProvider

__all__ = [
    "APIConnectionError",
    "APIError",
    "APIStatusError",
    "APITimeoutError",
    "AsyncClient",
    "AsyncListing",
    "AsyncResults",
    "AuthenticationError",
    "BadRequestError",
    "Batch",
    "BatchFailedError",
    "BatchNotEndedError",
    "Client",
    "ConfigurationError",
    "ConflictError",
    "Cost",
    "File",
    "FileGoneError",
    "InputSummary",
    "InternalServerError",
    "InvalidInputError",
    "InvalidResponseError",
    "Job",
    "JobEvent",
    "JobLockedError",
    "JobMismatchError",
    "JobNotEndedError",
    "JobNotFoundError",
    "JoinReport",
    "LedgerError",
    "Limits",
    "LineError",
    "Listing",
    "NoResultsError",
    "NotFoundError",
    "OverlayError",
    "Page",
    "PermissionDeniedError",
    "Price",
    "Problem",
    "RateLimitError",
    "Request",
    "Result",
    "ResultError",
    "Results",
    "Shard",
    "StorageError",
    "Token",
    "TokenProvider",
    "TokenProviderError",
    "UnknownOutcomeError",
    "UnprocessableEntityError",
    "Usage",
    "WaitTimeoutError",
    "__version__",
    "check_requests",
    "read_requests",
    "write_requests",
]

_HOMES = {
    "APIConnectionError": "errors",
    "APIError": "errors",
    "APIStatusError": "errors",
    "APITimeoutError": "errors",
    "AsyncClient": "client",
    "AsyncListing": "pages",
    "AsyncResults": "results.iterables",
    "AuthenticationError": "errors",
    "BadRequestError": "errors",
    "Batch": "models",
    "BatchFailedError": "errors",
    "BatchNotEndedError": "errors",
    "Client": "client",
    "ConfigurationError": "errors",
    "ConflictError": "errors",
    "Cost": "jobs.views",
    "File": "models",
    "FileGoneError": "errors",
    "InputSummary": "requests.checks",
    "InternalServerError": "errors",
    "InvalidInputError": "errors",
    "InvalidResponseError": "errors",
    "Job": "jobs.views",
    "JobEvent": "jobs.views",
    "JobLockedError": "errors",
    "JobMismatchError": "errors",
    "JobNotEndedError": "errors",
    "JobNotFoundError": "errors",
    "JoinReport": "results.files",
    "LedgerError": "errors",
    "Limits": "requests.checks",
    "LineError": "results.files",
    "Listing": "pages",
    "NoResultsError": "errors",
    "NotFoundError": "errors",
    "OverlayError": "errors",
    "Page": "models",
    "PermissionDeniedError": "errors",
    "Price": "jobs.views",
    "Problem": "errors",
    "RateLimitError": "errors",
    "Request": "requests.request",
    "Result": "results.files",
    "ResultError": "errors",
    "Results": "results.iterables",
    "Shard": "jobs.views",
    "StorageError": "errors",
    "Token": "wire.auth",
    "TokenProvider": "wire.auth",
    "TokenProviderError": "errors",
    "UnknownOutcomeError": "errors",
    "UnprocessableEntityError": "errors",
    "Usage": "results.files",
    "WaitTimeoutError": "errors",
    "check_requests": "requests.request",
    "read_requests": "requests.request",
    "write_requests": "requests.request",
}


if not TYPE_CHECKING:  # to type checkers it would say that any name will do, a misspelt one too
    __getattr__ = loader(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
