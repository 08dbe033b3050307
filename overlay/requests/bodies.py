"""What a body must have, by rules that need no schema.

What OpenAI refuses for certain is an error there; elsewhere, where services differ, it is a warning.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from overlay.lines import is_array, is_object
from overlay.requests.reasons import quoted
from overlay.requests.strict_subset import slips
from overlay.services.profile import CHAT, COMPLETIONS, EMBEDDINGS, MODERATIONS, RESPONSES

ENDPOINTS = (
    *(CHAT, RESPONSES, EMBEDDINGS, COMPLETIONS, MODERATIONS),
    *("/v1/images/generations", "/v1/images/edits", "/v1/videos"),
)
"""What a batch may name at OpenAI: the API reference, "Create batch"."""
_NEED_MODEL = frozenset({CHAT, COMPLETIONS, EMBEDDINGS})
_NEAR = 0.85
"""How alike two paths must be for one to be a slip of the other."""


class Body(msgspec.Struct):
    """The fields of a body that the rules are about."""

    model: str | None = None
    input: msgspec.Raw = msgspec.Raw()
    messages: msgspec.Raw = msgspec.Raw()
    prompt: msgspec.Raw = msgspec.Raw()
    stream: Any = None
    response_format: msgspec.Raw = msgspec.Raw()
    text: msgspec.Raw = msgspec.Raw()
    tools: msgspec.Raw = msgspec.Raw()


def url_problem(url: str) -> str | None:
    """What is wrong with a line's url; None if it may be an endpoint."""
    if url in ENDPOINTS:
        return None
    from difflib import get_close_matches  # noqa: PLC0415 - for the few urls that are none

    path = url.partition("://")[2].partition("/")[2] if "://" in url else url
    near = get_close_matches(f"/{path.strip('/')}", ENDPOINTS, n=1, cutoff=_NEAR)
    hint = f"; did you mean {near[0]}?" if near else ""
    if not url:
        return '"url" is empty'
    if not url.startswith("/") or url.endswith("/") or near:
        return f'"url" is {quoted(url)}, which is no endpoint{hint}'
    return None


def body_problems(url: str, body: Body) -> Iterator[str]:
    """What an endpoint refuses in a body."""
    if body.stream is True:
        yield '"body" has "stream": a batch cannot stream'
    if url in _NEED_MODEL and not body.model:
        yield '"body" has no "model"' if body.model is None else '"model" in "body" is empty'
    if url == EMBEDDINGS and not bytes(body.input):
        yield '"body" has no "input"'
    if url == RESPONSES and bytes(body.messages) and not bytes(body.input):
        yield '"body" has "messages", which is for /v1/chat/completions; /v1/responses takes "input"'
    for schema in _strict_schemas(body):
        yield from slips(schema)


def _strict_schemas(body: Body) -> Iterator[Any]:
    """The schemas of a body that are marked as strict: of the answer, and of functions."""
    for raw in (body.response_format, body.text, body.tools):
        if b"strict" not in bytes(raw):
            continue
        decoded = msgspec.json.decode(raw)
        for each in decoded if is_array(decoded) else [decoded]:
            yield from _in(each)


def _in(holder: Any) -> Iterator[Any]:
    if not is_object(holder):
        return
    for name, key in (("json_schema", "schema"), ("function", "parameters"), ("format", "schema")):
        inner = holder.get(name)
        if is_object(inner) and inner.get("strict") is True and is_object(inner.get(key)):
            yield inner[key]
    if (
        holder.get("type") == "function"
        and holder.get("strict") is True
        and is_object(holder.get("parameters"))
    ):
        yield holder["parameters"]
