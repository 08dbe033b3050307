"""Together's objects: https://docs.together.ai/reference/batch-create and /reference/upload-file."""

from overlay.server.dialects.dialect import Json
from overlay.server.dialects.shapes import iso
from overlay.server.objects import FINAL


def asked(body: Json) -> Json:
    """A create; its model stands in the lines as well."""
    return {**body, "endpoint": body.get("endpoint", "/v1/chat/completions")}


def job(batch: Json) -> Json:
    """`progress` for counts, one `error`, one deadline."""
    counts = batch["request_counts"]
    done, total = counts["completed"] + counts["failed"], counts["total"]
    ended = max((batch.get(f"{status}_at") or 0 for status in FINAL), default=0)
    return {
        "id": batch["id"],
        "user_id": "user_embedded",
        "input_file_id": batch["input_file_id"],
        "file_size_bytes": 0,
        "status": batch["status"],
        "job_deadline": iso(batch["expires_at"]),
        "created_at": batch["created_at"],
        "endpoint": batch["endpoint"],
        "progress": 100.0 * done / total if total else 0.0,
        "model_id": batch.get("model"),
        "output_file_id": batch["output_file_id"],
        "error_file_id": batch["error_file_id"],
        "error": batch["errors"],
        "completed_at": ended or None,
    }


def created(shown: Json) -> Json:
    """The answer to a create, and to nothing else, is in an envelope."""
    return {"job": shown, "warning": ""}


def file(shown: Json) -> Json:
    return {
        "id": shown["id"],
        "object": "file",
        "created_at": shown["created_at"],
        "purpose": shown["purpose"],
        "filename": shown["filename"],
        "bytes": shown["bytes"],
        "FileType": "jsonl",
        "LineCount": 0,
        "Processed": shown["status"] == "processed",
    }
