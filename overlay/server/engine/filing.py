"""What becomes a file, in one piece or in parts: the checks and the object are the same."""

from typing import Any

from overlay.server.engine.creation import keep_time
from overlay.server.objects import UPLOAD_PURPOSES, File
from overlay.server.refusals import Refusal, missing_parameter

# "By default, files with purpose=batch expire after 30 days and all other files are persisted": POST /files.
_KEEP_BATCH_INPUT = 30 * 86400


def described(
    file_id: str, *, filename: str, size: int, purpose: str | None, expires_after: Any, now: float
) -> File:
    """The object of a file of `size` bytes. Raises `Refusal` for a purpose or a policy that there is not."""
    if purpose is None:
        raise missing_parameter("purpose")
    if purpose not in UPLOAD_PURPOSES:
        raise Refusal(
            400,
            f"Invalid value: {purpose!r}. Supported values are: {', '.join(map(repr, UPLOAD_PURPOSES))}.",
            param="purpose",
            code="invalid_value",
        )
    keep = keep_time(expires_after, "expires_after")
    if keep is None and purpose == "batch":
        keep = _KEEP_BATCH_INPUT
    return File(
        id=file_id,
        bytes=size,
        created_at=int(now),
        expires_at=None if keep is None else int(now) + keep,
        filename=filename,
        purpose=purpose,
    )
