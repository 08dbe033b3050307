"""The bodies of requests, from what one wants to ask: the same few words for every endpoint.

A frame is all of a body but the words: it is the same for every row of a table, and made once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from overlay.errors import ConfigurationError
from overlay.lines import is_object
from overlay.requests.answers import AnswerSchema
from overlay.requests.images import image_url

Message: TypeAlias = Mapping[str, Any]
"""A message as the endpoint documents it, such as `{"role": "user", "content": "Hello"}`."""
Words: TypeAlias = str | Sequence[Message]
"""A prompt, or messages in its place."""


def chat_frame(model: str, answer: AnswerSchema | None, fields: Mapping[str, Any]) -> dict[str, Any]:
    """For /v1/chat/completions. Raises ConfigurationError for a field that another argument gives already."""
    given: dict[str, Any] = {"model": _named(model), "messages": []}
    if answer is not None:
        given["response_format"] = {"type": "json_schema", "json_schema": answer.named()}
    return _joined(given, fields)


def chat_words(words: Words, system: str | None, images: Iterable[object]) -> dict[str, Any]:
    """What goes into the frame. Raises ConfigurationError for an image that is none."""
    parts = [{"type": "image_url", "image_url": {"url": image_url(image)}} for image in images]
    messages = _messages(words, "text", parts)
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    return {"messages": messages}


def response_frame(model: str, answer: AnswerSchema | None, fields: Mapping[str, Any]) -> dict[str, Any]:
    """For /v1/responses."""
    given: dict[str, Any] = {"model": _named(model), "input": ""}
    rest = dict(fields)
    if answer is not None:
        text = rest.pop("text", {})  # which may also say how verbose the answer is to be
        if not is_object(text) or "format" in text:
            raise ConfigurationError("answer= gives the text's format: leave it out of text=")
        given["text"] = {**text, "format": {"type": "json_schema", **answer.named()}}
    return _joined(given, rest)


def response_words(words: Words, system: str | None, images: Iterable[object]) -> dict[str, Any]:
    """What goes into the frame. Raises ConfigurationError for an image that is none."""
    parts = [{"type": "input_image", "image_url": image_url(image)} for image in images]
    asked = _messages(words, "input_text", parts) if parts or not isinstance(words, str) else words
    return {"input": asked} if system is None else {"input": asked, "instructions": system}


def embedding_body(
    model: str, text: object, dimensions: int | None, fields: Mapping[str, Any]
) -> dict[str, Any]:
    """For /v1/embeddings."""
    given: dict[str, Any] = {"model": _named(model), "input": text}
    return _joined(given if dimensions is None else {**given, "dimensions": dimensions}, fields)


def moderation_body(
    model: str, text: str | Sequence[str], images: Iterable[object], fields: Mapping[str, Any]
) -> dict[str, Any]:
    """For /v1/moderations. Raises ConfigurationError for an image that is none."""
    parts = [{"type": "image_url", "image_url": {"url": image_url(image)}} for image in images]
    if not parts:
        if not text:
            raise ConfigurationError("there is nothing to moderate: give input= or images=")
        return _joined({"model": _named(model), "input": text}, fields)
    texts = [text] if isinstance(text, str) else text
    words = [{"type": "text", "text": each} for each in texts if each]
    return _joined({"model": _named(model), "input": [*words, *parts]}, fields)


def one_of(prompt: Any, messages: Any, images: Sequence[object]) -> Any:
    """What is asked. Raises ConfigurationError unless it is exactly one of the two."""
    if (prompt is None) == (messages is None):
        raise ConfigurationError("give prompt= or messages=, one of the two")
    if messages is not None and images:
        raise ConfigurationError("images= go with prompt=; in messages, they are parts of the content")
    return prompt if messages is None else messages


def _messages(words: Words, kind: str, images: list[dict[str, Any]]) -> list[Message]:
    if isinstance(words, str):
        content: Any = [{"type": kind, "text": words}, *images] if images else words
        return [{"role": "user", "content": content}]
    if images:
        raise ConfigurationError(
            "images= go with a prompt that is text; in messages, they are parts of the content"
        )
    return list(words)


def _named(model: str) -> str:
    if not isinstance(model, str) or not model:
        raise ConfigurationError(f"model= is the model's name, not {model!r:.100}")
    return model


def _joined(given: dict[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    for name in fields:
        if name in given:
            raise ConfigurationError(f"{name}= is given twice: other arguments of the request say it already")
    return {**given, **fields}
