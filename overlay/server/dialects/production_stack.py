"""The objects of vLLM's production stack: vllm_router/routers/batches_router.py in its repository."""

from overlay.server.dialects.dialect import Json

_SAME = ("id", "status", "input_file_id", "created_at", "endpoint", "completion_window")
_FILES = ("output_file_id", "error_file_id")
_MOMENTS = (
    "in_progress",
    "expires",
    "finalizing",
    "completed",
    "failed",
    "expired",
    "cancelling",
    "cancelled",
)


def batch(shown: Json) -> Json:
    """Counts stand beside the rest, and nothing says that this is a batch."""
    counts = shown["request_counts"]
    return {
        **{name: shown[name] for name in (*_SAME, *_FILES)},
        **{f"{name}_at": shown[f"{name}_at"] for name in _MOMENTS},
        "total_requests": counts["total"] or None,
        "completed_requests": counts["completed"],
        "failed_requests": counts["failed"],
        "errors": shown["errors"],
        "metadata": shown["metadata"],
    }


def file(shown: Json) -> Json:
    return {name: shown[name] for name in ("id", "bytes", "created_at", "filename", "purpose")}
