"""The OpenAI Batch API, and every service that speaks it: any number of requests, every answer once.

from overlay import Client

with Client() as client:
    file = client.files.upload("requests.jsonl")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions")
    client.batches.wait(batch.id)
    for result in client.batches.results(batch.id):
        print(result.custom_id, result.text if result.ok else result.error)
"""

from overlay.auth import Token, TokenProvider
from overlay.checks import InputSummary, Limits
from overlay.client import AsyncClient, Client
from overlay.connection import VERSION as __version__  # noqa: N811 - the name that packages give it
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
from overlay.job import Cost, Job, JobEvent, Price, Shard
from overlay.jsonl import Request, check_requests, read_requests, write_requests
from overlay.listing import AsyncListing, Listing
from overlay.models import Batch, File, Page
from overlay.reading import AsyncResults, Results
from overlay.results import JoinReport, LineError, Result, Usage

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
