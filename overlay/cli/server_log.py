"""What `overlay serve` logs: a line for each event of a batch and, if wanted, each request; as text or as JSON."""

from __future__ import annotations

import json
import logging
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any


class JsonLines(logging.Handler):
    """Writes each record as one JSON object to stderr: time, level, message, and the fields of its event."""

    def emit(self, record: logging.LogRecord) -> None:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields: dict[str, Any] = getattr(record, "fields", {})
        said = {"time": moment, "level": record.levelname.lower(), "message": record.getMessage(), **fields}
        if record.exc_info and record.exc_info[1]:
            said["error"] = repr(record.exc_info[1])
        with suppress(OSError, ValueError):
            sys.stderr.write(json.dumps(said) + "\n")
            sys.stderr.flush()


def set_up(*, as_json: bool, requests: bool) -> None:
    """Have the server's log written so."""
    log = logging.getLogger("overlay")
    logging.getLogger("overlay.server.requests").setLevel(logging.INFO if requests else logging.WARNING)
    if as_json:
        handler = JsonLines()
        for each in (log, logging.getLogger("uvicorn")):
            each.handlers = [handler]
            each.propagate = False
