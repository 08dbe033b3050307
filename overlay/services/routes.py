"""Which operation a request is, and where a service wants it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

from overlay.lines import is_array, is_object
from overlay.services.profile import Operation, Sent, ServiceProfile

_ROUTES: dict[Operation, str] = {
    "create": "POST /batches",
    "list": "GET /batches",
    "retrieve": "GET /batches/{id}",
    "cancel": "POST /batches/{id}/cancel",
    "upload": "POST /files",
    "files": "GET /files",
    "file": "GET /files/{id}",
    "content": "GET /files/{id}/content",
    "delete": "DELETE /files/{id}",
}
"""The API's own."""
_PATTERNS: dict[Operation, re.Pattern[str]] = {
    operation: re.compile(re.escape(route).replace(r"\{id\}", "[^/]+"))
    for operation, route in _ROUTES.items()
}
_BATCHES: frozenset[Operation] = frozenset({"create", "list", "retrieve", "cancel"})


def sent_to(
    profile: ServiceProfile, method: str, path: str, query: Mapping[str, Any], json: Any
) -> Sent | None:
    """A request of generated code as a service wants it; None if it is none of the API's operations."""
    operation = _operation_of(f"{method.upper()} {path}")
    if operation is None:
        return None
    own_method, own_path = profile.routes.get(operation, _ROUTES[operation]).split(" ", 1)
    if "{id}" in own_path:
        name = unquote(path.split("/")[2])
        own_path = own_path.replace("{id}", quote(name, safe="/" if profile.slash_in_ids else ""))
    sent = Sent(operation=operation, method=own_method, path=own_path, query=query, json=json)
    return profile.dialect.request(sent) if profile.dialect else sent


def _operation_of(asked: str) -> Operation | None:
    for operation, pattern in _PATTERNS.items():
        if pattern.fullmatch(asked):
            return operation
    return None


def answered(profile: ServiceProfile, sent: Sent, answer: Any) -> Any:
    """The answer to a request, as decoded JSON, in the API's own words."""
    if profile.dialect:
        answer = profile.dialect.answer(sent, answer)
    if profile.statuses and sent.operation in _BATCHES:
        _with_plain_statuses(profile.statuses, answer)
    return answer


def _with_plain_statuses(meaning: Mapping[str, str], answer: Any) -> None:
    inside = answer if is_array(answer) else answer.get("data") if is_object(answer) else None
    for each in inside if is_array(inside) else [answer]:
        if is_object(each) and isinstance(status := each.get("status"), str):
            each["status"] = meaning.get(status.lower(), status)
