"""Mistral's jobs: https://docs.mistral.ai/api/#tag/batch."""

from typing import Any

from overlay.server.dialects.dialect import Json
from overlay.server.refusals import Refusal, missing_parameter

_LONGEST = 168


def asked(body: Json) -> Json:
    """A create: one input file, hours, and the model of all lines. Raises `Refusal`."""
    files: Any = body.get("input_files")
    if not isinstance(files, list) or not files:
        raise missing_parameter("input_files")
    if len(files) > 1:  # pyright: ignore[reportUnknownArgumentType]
        raise Refusal(400, "The embedded service takes one input file.", param="input_files")
    if "endpoint" not in body:
        raise missing_parameter("endpoint")
    if not body.get("model"):
        raise missing_parameter("model")
    hours = body.get("timeout_hours", 24)
    if type(hours) is not int or not 1 <= hours <= _LONGEST:
        raise Refusal(422, f"timeout_hours is a whole number from 1 to {_LONGEST}.", param="timeout_hours")
    return {
        "input_file_id": files[0],
        "endpoint": body["endpoint"],
        "completion_window": f"{hours}h",
        "metadata": body.get("metadata"),
        "model": body["model"],
    }


def job(batch: Json) -> Json:
    counts = batch["request_counts"]
    problems: list[Json] = batch["errors"]["data"] if batch["errors"] else []
    return {
        "id": batch["id"],
        "object": "batch",
        "input_files": [batch["input_file_id"]],
        "metadata": batch["metadata"],
        "endpoint": batch["endpoint"],
        "model": batch["model"],
        "agent_id": None,
        "output_file": batch["output_file_id"],
        "error_file": batch["error_file_id"],
        "errors": [{"message": each["message"], "count": 1} for each in problems],
        "status": batch["status"],
        "created_at": batch["created_at"],
        "total_requests": counts["total"],
        "completed_requests": counts["completed"] + counts["failed"],
        "succeeded_requests": counts["completed"],
        "failed_requests": counts["failed"],
        "started_at": batch["in_progress_at"],
        "completed_at": batch["completed_at"] or batch["expired_at"] or batch["cancelled_at"],
    }


def file(shown: Json) -> Json:
    kind = "batch_result" if shown["purpose"] == "batch_output" else "batch_request"
    kept = ("id", "object", "bytes", "created_at", "filename")
    more = {"purpose": "batch", "sample_type": kind, "source": "upload", "num_lines": None}
    return {**{name: shown[name] for name in kept}, **more}
