"""The API's objects, field for field, with absent values written as null.

Field names and the order of fields follow https://platform.openai.com/docs/api-reference/batch/object and
https://platform.openai.com/docs/api-reference/files/object.
"""

import secrets
from collections.abc import Sequence

import msgspec

STATUSES = (
    "validating",
    "failed",
    "in_progress",
    "finalizing",
    "completed",
    "expired",
    "cancelling",
    "cancelled",
)
FINAL = frozenset({"failed", "completed", "expired", "cancelled"})
ENDPOINTS = (
    "/v1/responses",
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/completions",
    "/v1/moderations",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/videos",
)
UPLOAD_PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
NO_DOWNLOAD = frozenset({"assistants", "user_data"})
"""Purposes of files whose content the API keeps to itself."""
ORGANIZATION = "org-embedded"
"""Who the service says that every caller belongs to, in headers and in messages."""

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_FILE_ID_LENGTH = 22


def new_id(prefix: str = "") -> str:
    """An id that was never given before, as the real service makes them: 22 characters of base 58 behind `file-`,
    and 32 hexadecimal digits behind `batch_`, `batch_req_` and `req_`, or behind nothing.
    """
    if prefix == "file-":
        return prefix + "".join(secrets.choice(_BASE58) for _ in range(_FILE_ID_LENGTH))
    return prefix + secrets.token_hex(16)


class Counts(msgspec.Struct):
    total: int = 0
    completed: int = 0
    failed: int = 0


class Problem(msgspec.Struct):
    """One reason why a batch failed; `line` counts from 1."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


class Problems(msgspec.Struct):
    data: list[Problem]
    object: str = "list"


class InputDetails(msgspec.Struct):
    cached_tokens: int = 0


class OutputDetails(msgspec.Struct):
    reasoning_tokens: int = 0


class Usage(msgspec.Struct):
    input_tokens: int = 0
    input_tokens_details: InputDetails = msgspec.field(default_factory=InputDetails)
    output_tokens: int = 0
    output_tokens_details: OutputDetails = msgspec.field(default_factory=OutputDetails)
    total_tokens: int = 0


class Batch(msgspec.Struct, kw_only=True):
    id: str
    object: str = "batch"
    endpoint: str
    model: str | None = None
    errors: Problems | None = None
    input_file_id: str
    completion_window: str
    status: str = "validating"
    output_file_id: str | None = None
    error_file_id: str | None = None
    created_at: int
    in_progress_at: int | None = None
    expires_at: int
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    request_counts: Counts = msgspec.field(default_factory=Counts)
    usage: Usage | None = None
    metadata: dict[str, str] | None = None


class File(msgspec.Struct, kw_only=True):
    id: str
    object: str = "file"
    bytes: int
    created_at: int
    expires_at: int | None = None
    filename: str
    purpose: str
    status: str = "processed"
    status_details: str | None = None


class Deleted(msgspec.Struct):
    id: str
    object: str = "file"
    deleted: bool = True


class Upload(msgspec.Struct, kw_only=True):
    """A file that arrives in parts: https://platform.openai.com/docs/api-reference/uploads/object."""

    id: str
    object: str = "upload"
    bytes: int
    created_at: int
    filename: str
    purpose: str
    status: str = "pending"
    expires_at: int
    file: File | None = None


# Made once, when this is imported: while msgspec works out the fields of a type that it meets for the first time,
# a second thread that meets the same type crashes the process.
decode_batch = msgspec.json.Decoder(Batch).decode
decode_file = msgspec.json.Decoder(File).decode
decode_upload = msgspec.json.Decoder(Upload).decode


class UploadPart(msgspec.Struct, kw_only=True):
    id: str
    object: str = "upload.part"
    created_at: int
    upload_id: str


class Model(msgspec.Struct, kw_only=True):
    id: str
    object: str = "model"
    created: int
    owned_by: str


class Page(msgspec.Struct):
    """One page of a list; the items are encoded already."""

    data: Sequence[msgspec.Raw]
    first_id: str | None
    last_id: str | None
    has_more: bool
    object: str = "list"
