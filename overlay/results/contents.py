"""What is in an answer's body besides its text, whichever endpoint and service it is from.

Each function takes the body, decoded, of an answer that counts as one, and gives what it finds: other shapes than
those of the API are read as far as they can only mean one thing.
"""

from __future__ import annotations

import base64
import binascii
import json
import sys
from array import array
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from overlay.lines import is_array, is_object
from overlay.results.reading import place_of, words_of
from overlay.results.shapes import string
from overlay.results.verdicts import is_failed_part, parts_of

_FINISHES: Mapping[str, str] = {
    "completed": "stop",
    "complete": "stop",
    "end_turn": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "max_output_tokens": "length",
    "max_tokens": "length",
    "model_length": "length",
    "content_filtered": "content_filter",
    "safety": "content_filter",
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
}
"""Other words for how an answer ended, in lower case."""


@attrs.frozen
class ToolCall:
    """A function that the model wants called."""

    name: str
    arguments: str
    """JSON, as the model wrote it: it may not be valid."""
    id: str | None = None
    """What the answer to the call must name."""


def finish_of(body: Mapping[str, Any]) -> str | None:
    """How the answer ended: `stop`, `length`, `content_filter` or `tool_calls`; other words as they come."""
    choices = _choices(body)
    if choices:
        said: Any = choices[0].get("finish_reason")
    else:
        said = body.get("status") if "output" in body else None
        details = body.get("incomplete_details")
        if said == "incomplete" and is_object(details) and isinstance(details.get("reason"), str):
            said = details["reason"]
        if said == "completed" and _calls_of_items(body) and not texts_of(body):
            said = "tool_calls"
    word = string(said)
    return None if word is None else _FINISHES.get(word.lower(), word.lower() if word.isupper() else word)


def refusal_of(body: Mapping[str, Any]) -> str | None:
    """Why the model would not answer, in its own words."""
    for message in _messages(body)[:1] or _items(body):
        if said := string(message.get("refusal")):
            return said
        for part in parts_of(message.get("content")):
            if part.get("type") == "refusal" and (said := string(part.get("refusal"))):
                return said
    return None


def tool_calls_of(body: Mapping[str, Any]) -> list[ToolCall]:
    """What the model wants called, of its first choice, in its order."""
    found: list[ToolCall] = []
    for message in _messages(body)[:1]:
        for call in [*parts_of(message.get("tool_calls")), *parts_of(message.get("function_call"))]:
            function: Any = call.get("function", call)
            found += _call(function if is_object(function) else {}, call.get("id"))
    return found or _calls_of_items(body)


def _calls_of_items(body: Mapping[str, Any]) -> list[ToolCall]:
    calls = [item for item in _items(body) if item.get("type") in {"function_call", "tool_call"}]
    return [found for call in calls for found in _call(call, call.get("call_id", call.get("id")))]


def _call(function: Mapping[str, Any], call_id: Any) -> list[ToolCall]:
    name, arguments = string(function.get("name")), function.get("arguments")
    if name is None:
        return []
    # Some services give the arguments decoded.
    text = json.dumps(arguments) if is_object(arguments) else string(arguments) or ""
    return [ToolCall(name, text, string(call_id))]


def texts_of(body: Mapping[str, Any]) -> list[str | None]:
    """The text of each choice that did not fail, in order; or of each message of a response."""
    choices = _choices(body)
    if choices:
        return [
            words_of(message.get("content"))
            if is_object(message := choice.get("message"))
            else string(choice.get("text"))
            for choice in choices
        ]
    return [text for item in _items(body) if (text := words_of(item.get("content"))) is not None]


def embeddings_of(body: Mapping[str, Any]) -> list[array[float]]:
    """The vectors, in the order of what was embedded, as float32. Raises ValueError for one that is none."""
    found = [part for part in parts_of(body.get("data")) if part.get("embedding") is not None]
    return [_vector(part["embedding"]) for part in sorted(found, key=place_of)]


def _vector(value: Any) -> array[float]:
    if isinstance(value, str):
        try:
            vector = array("f", base64.b64decode(value, validate=True))
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"an embedding is no base64 of float32 numbers: {error}") from error
        if sys.byteorder == "big":
            vector.byteswap()  # the API's are little-endian
        return vector
    try:
        return array("f", value if is_array(value) else [value])
    except (TypeError, OverflowError) as error:
        raise ValueError(f"an embedding is no list of numbers: {error}") from error


def images_of(body: Mapping[str, Any]) -> list[bytes | str]:
    """The pictures, each as the content of its file, or its address. Raises ValueError for one that is neither."""
    found: list[bytes | str] = []
    for part in parts_of(body.get("data")):
        coded, address = part.get("b64_json"), string(part.get("url"))
        if isinstance(coded, str):
            found.append(_picture(coded))
        elif address is not None:
            found.append(address)
    made = [item.get("result") for item in _items(body) if item.get("type") == "image_generation_call"]
    return found + [_picture(coded) for coded in made if isinstance(coded, str)]


def _picture(coded: str) -> bytes:
    try:
        return base64.b64decode(coded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"an image is no base64: {error}") from error


def flagged_of(body: Mapping[str, Any]) -> bool | None:
    """Whether anything that was moderated is harmful; None in an answer that is no moderation."""
    flags = [
        part["flagged"] for part in parts_of(body.get("results")) if isinstance(part.get("flagged"), bool)
    ]
    return any(flags) if flags else None


def candidates(body: Mapping[str, Any]) -> Iterator[str]:
    """What may be the answer if the text as a whole is not: each message, the last first, then calls of tools."""
    if not _choices(body):
        yield from (text for text in reversed(texts_of(body)) if text)
    yield from (call.arguments for call in tool_calls_of(body))


def _choices(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    good = [choice for choice in parts_of(body.get("choices")) if not is_failed_part(choice)]
    return sorted(good, key=place_of)


def _messages(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [message for choice in _choices(body) if is_object(message := choice.get("message"))]


def _items(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    return parts_of(body.get("output"))
