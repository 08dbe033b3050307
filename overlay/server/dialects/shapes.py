"""Batches, files and lists on their way out, as a dialect's data says. Pure functions of JSON."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from overlay.server.dialects.dialect import Dialect, Json


def iso(moment: float | None) -> str | None:
    """`2026-01-02T03:04:05Z`."""
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")


_TIMES: dict[str, Callable[[float], Any]] = {
    "seconds": lambda moment: moment,
    "iso": iso,
    "digits": lambda moment: str(int(moment)),
    "milliseconds": lambda moment: int(moment * 1000),
}


def shown_batch(batch: Json, dialect: Dialect) -> Json:
    """A batch as the service shows it."""
    shown = dict(batch)
    if dialect.counts != "always" and shown["status"] == "validating":
        shown["request_counts"] = None
        if dialect.counts == "absent":
            del shown["request_counts"]
    if not dialect.metadata:
        shown.pop("metadata", None)
    if shown.get("error_file_id") is None:
        shown["error_file_id"] = dialect.error_file
    if dialect.errors != "list" and shown.get("errors"):
        texts = [each["message"] for each in shown["errors"]["data"]]
        shown["errors"] = "; ".join(texts) if dialect.errors == "text" else texts
    if dialect.batch is not None:
        shown = dialect.batch(shown)
    word = dialect.words.get(batch["status"], batch["status"])
    shown["status"] = word.upper() if dialect.upper else word
    return _timed(shown, dialect)


def shown_file(file: Json, dialect: Dialect) -> Json:
    """A file as the service shows it."""
    shown = dict(file)
    if not dialect.pending_said:
        shown["status"] = "processed"
    if shown.get("purpose") == "batch" and dialect.purposes and "batch" not in dialect.purposes:
        shown["purpose"] = min(dialect.purposes)
    return dialect.file(shown) if dialect.file else shown


def provider_id(batch_id: str) -> str:
    """The id that a gateway's batch has at the provider behind it."""
    return "batch_" + hashlib.sha256(batch_id.encode()).hexdigest()[:32]


def unsaid(page: Json) -> Json:
    """A page that does not say whether there are more."""
    return {"object": "list", "data": page["data"]}


def numbered(entries: list[Any], number: int, size: int) -> Json:
    """A page by its number, from 0."""
    return {"object": "list", "data": entries[number * size : (number + 1) * size], "total": len(entries)}


def enveloped(value: Json) -> Json:
    """SiliconFlow's envelope."""
    return {"code": 20000, "message": "Ok", "status": True, "data": value}


def _timed(shown: Json, dialect: Dialect) -> Json:
    write = _TIMES[dialect.times]
    return {
        name: write(value) if name.endswith("_at") and isinstance(value, int | float) else value
        for name, value in shown.items()
    }
