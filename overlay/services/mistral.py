"""Mistral's batch jobs: other names for the fields, hours for the window, and pages by number.

As documented by Mistral, "Batch", https://docs.mistral.ai/api/#tag/batch.
"""

from __future__ import annotations

import re
from typing import Any

import attrs

from overlay.errors import ConfigurationError
from overlay.lines import is_array, is_object
from overlay.services.profile import Dialect, Sent

_PAGE = re.compile(r"page-([0-9]{1,9})")
_WINDOW = re.compile(r"([0-9]{1,4})([hd])")
_USUAL = 100
"""The size of a page where none was asked for."""
_HOURS = {"h": 1, "d": 24}
_NAMES = {"output_file": "output_file_id", "error_file": "error_file_id", "started_at": "in_progress_at"}


def _request(sent: Sent) -> Sent:
    if sent.operation == "create" and is_object(sent.json):
        return attrs.evolve(sent, json=_job(sent.json))
    if sent.operation in {"list", "files"}:
        return attrs.evolve(sent, query=_by_number(dict(sent.query)))
    return sent


def _job(body: dict[str, Any]) -> dict[str, Any]:
    asked = {name: body[name] for name in ("endpoint", "model", "metadata") if body.get(name) is not None}
    return {
        "input_files": [body.get("input_file_id")],
        "timeout_hours": _hours(str(body.get("completion_window"))),
        **asked,
    }


def _hours(window: str) -> int:
    found = _WINDOW.fullmatch(window)
    if found is None:
        raise ConfigurationError(f"completion_window {window!r}: Mistral takes hours or days, as 24h or 7d")
    return int(found[1]) * _HOURS[found[2]]


def _by_number(query: dict[str, Any]) -> dict[str, Any]:
    after, size = query.pop("after", None), query.pop("limit", None)
    found = _PAGE.fullmatch(str(after)) if after else None
    if after and found is None:
        raise ConfigurationError(
            f"after={str(after)!r:.100}: Mistral's lists have page numbers, and cannot start after an id"
        )
    return {**query, "page": int(found[1]) if found else 0, "page_size": int(size or _USUAL)}


def _answer(sent: Sent, answer: Any) -> Any:
    if not is_object(answer):
        return answer
    if sent.operation in {"list", "files"} and is_array(answer.get("data")):
        page, size, total = (
            sent.query.get("page", 0),
            sent.query.get("page_size", _USUAL),
            answer.get("total"),
        )
        more = (page + 1) * size < total if isinstance(total, int) else len(answer["data"]) >= size
        answer = {**answer, "has_more": more, "next_cursor": f"page-{page + 1}"}
    if sent.operation == "list":
        return {**answer, "data": [_batch(each) for each in answer.get("data") or ()]}
    if sent.operation in {"create", "retrieve", "cancel"}:
        return _batch(answer)
    if sent.operation == "files":
        return {**answer, "data": [_file(each) for each in answer.get("data") or ()]}
    return _file(answer)


def _batch(job: Any) -> Any:
    if not is_object(job):
        return job
    batch = {_NAMES.get(name, name): value for name, value in job.items()}
    files = batch.get("input_files")
    if is_array(files) and len(files) == 1:
        batch.setdefault("input_file_id", files[0])
    if isinstance(hours := batch.get("timeout_hours"), int):
        batch.setdefault("completion_window", f"{hours}h")
    return batch


def _file(file: Any) -> Any:
    if is_object(file) and "bytes" not in file and "size_bytes" in file:
        return {**file, "bytes": file["size_bytes"]}
    return file


MISTRAL = Dialect(request=_request, answer=_answer)
