r"""The lines that go in: requests, one JSON object per line.

    {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": …, "messages": […]}}

Reading, writing and checking follow the same rules (`overlay.requests.checks`), so that what one of them accepts,
all do. A line ends at the byte `\n` only; `\r\n` is accepted, and so is a last line without an end; a
blank line is refused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import attrs
import msgspec

from overlay.errors import InvalidInputError, Problem
from overlay.lines import open_lines, replacing, split, storage_errors
from overlay.requests.answers import answer_schema
from overlay.requests.asking import (
    Message,
    chat_frame,
    chat_words,
    embedding_body,
    moderation_body,
    one_of,
    response_frame,
    response_words,
)
from overlay.requests.checks import InputCheck, InputSummary
from overlay.requests.images import Image
from overlay.services import Limits, ServiceProfile
from overlay.services.profile import CHAT, EMBEDDINGS, MODERATIONS, RESPONSES

__all__ = ["InputSummary", "Limits", "Request", "check_requests", "read_requests", "write_requests"]

_encode = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode
# Allowed unescaped in a JSON string, yet taken for line ends by `str.splitlines` and the like.
_LINE_ENDS = {"\u0085": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"}


@attrs.frozen
class Request:
    """One request of a batch.

    `custom_id` is yours, and unique within the batch: answers come in any order, and are matched by
    it. `body` is what the endpoint takes. `url` is the endpoint, the same for all requests of a batch.
    """

    custom_id: str
    body: Mapping[str, Any]
    url: str = attrs.field(default="/v1/chat/completions", kw_only=True)
    method: str = attrs.field(default="POST", kw_only=True)

    @classmethod
    def chat(
        cls,
        custom_id: str,
        *,
        model: str,
        prompt: str | None = None,
        messages: Sequence[Message] | None = None,
        system: str | None = None,
        images: Sequence[Image] = (),
        answer: Any = None,
        **fields: Any,
    ) -> Self:
        """Ask for a chat completion, by a prompt or by messages. Any other keyword is a field of the body.

        `images` are paths, URLs or bytes. `answer` is the type of the answer, which `Result.parse` takes as well: a
        dataclass, attrs class, TypedDict, msgspec Struct or pydantic model, or a JSON schema. Raises
        ConfigurationError for what cannot be asked.
        """
        words = one_of(prompt, messages, images)
        frame = chat_frame(model, None if answer is None else answer_schema(answer), fields)
        return cls(custom_id, frame | chat_words(words, system, images), url=CHAT)

    @classmethod
    def response(
        cls,
        custom_id: str,
        *,
        model: str,
        prompt: str | None = None,
        messages: Sequence[Message] | None = None,
        system: str | None = None,
        images: Sequence[Image] = (),
        answer: Any = None,
        **fields: Any,
    ) -> Self:
        """As `chat`, for /v1/responses: `system` becomes its instructions."""
        words = one_of(prompt, messages, images)
        frame = response_frame(model, None if answer is None else answer_schema(answer), fields)
        return cls(custom_id, frame | response_words(words, system, images), url=RESPONSES)

    @classmethod
    def embedding(
        cls,
        custom_id: str,
        *,
        model: str,
        input: str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]],  # noqa: A002 - the API's word
        dimensions: int | None = None,
        **fields: Any,
    ) -> Self:
        """Ask for the vector of a text, or of several, given as text or as tokens."""
        return cls(custom_id, embedding_body(model, input, dimensions, fields), url=EMBEDDINGS)

    @classmethod
    def moderation(
        cls,
        custom_id: str,
        *,
        model: str,
        input: str | Sequence[str] = (),  # noqa: A002 - the API's word
        images: Sequence[Image] = (),
        **fields: Any,
    ) -> Self:
        """Ask whether a text, or an image, is harmful. `images` are paths, URLs or bytes."""
        return cls(custom_id, moderation_body(model, input, images, fields), url=MODERATIONS)

    def to_line(self) -> bytes:
        r"""The request as a line of an input file, `\n` included.

        Raises InvalidInputError if the body cannot be JSON: NaN and infinities, objects without a
        JSON form, half of a surrogate pair.
        """
        try:
            body = dict(self.body)
            text = _encode(
                {"custom_id": self.custom_id, "method": self.method, "url": self.url, "body": body}
            )
            if not text.isascii():
                for character, escape in _LINE_ENDS.items():
                    text = text.replace(character, escape)
            return text.encode() + b"\n"
        except (TypeError, ValueError, RecursionError) as error:
            reason = f"request {self.custom_id!r} cannot be written as JSON: {error}"
            raise InvalidInputError(None, [Problem(None, reason)]) from error


class _Fields(msgspec.Struct):
    custom_id: str
    body: dict[str, Any]
    method: str = "POST"
    url: str = ""


_decode = msgspec.json.Decoder(_Fields).decode


def read_requests(
    path: str | os.PathLike[str],
    *,
    endpoint: str | None = None,
    limits: Limits | None = None,
    service: str | ServiceProfile = "openai",
    bodies: bool = False,
) -> Iterator[Request]:
    """The requests of a file, one after the other, in memory that does not grow with their bodies.

    Raises InvalidInputError, with its line number, at the first line that `check_requests` would refuse, and
    StorageError if the file cannot be read.
    """
    path = Path(path)
    check = InputCheck(endpoint=endpoint, limits=limits, service=service, bodies=bodies)
    with open_lines(path) as file:
        for line in split(file, check.limits.line_bytes):
            check.feed(line)
            check.raise_problems(path)
            try:
                fields = _decode(line)
            except msgspec.MsgspecError as error:
                # Valid JSON, with a number that no double can hold.
                raise InvalidInputError(path, [Problem(check.requests, str(error))]) from error
            url = fields.url or check.endpoint or check.service.usual_endpoint
            yield Request(fields.custom_id, fields.body, url=url, method=fields.method)
        check.finish(path)


def write_requests(
    path: str | os.PathLike[str],
    requests: Iterable[Request],
    *,
    endpoint: str | None = None,
    limits: Limits | None = None,
    service: str | ServiceProfile = "openai",
    bodies: bool = False,
) -> int:
    """Write requests to a file, and return how many.

    The file is written completely or not at all: an older one at `path` stays until the new one is safe on
    disk. Raises InvalidInputError with the problems of all requests (`line` counts them from 1), and
    StorageError if the file cannot be written.
    """
    path = Path(path)
    check = InputCheck(endpoint=endpoint, limits=limits, service=service, bodies=bodies)
    with replacing(path) as file:
        for request in requests:
            try:
                line = request.to_line()
            except InvalidInputError as error:
                check.requests += 1
                check.report(error.reason)
                continue
            check.feed(line)
            if not check.count:
                with storage_errors(path):
                    file.write(line)
        check.finish(path)
    return check.requests


def check_requests(
    path: str | os.PathLike[str],
    *,
    endpoint: str | None = None,
    limits: Limits | None = None,
    service: str | ServiceProfile = "openai",
    bodies: bool = False,
) -> InputSummary:
    """Check a whole input file in one pass, before anything is sent.

    `endpoint` is what every `url` must be; by default, the first line's. `service` is where it will be sent, and
    `limits` are by default that service's. With `bodies=True`, each body is checked by the API's own schema of its
    endpoint, which needs the extra `check`. What may be wrong, or is refused by some services only, is in the
    summary's `warnings`. Raises InvalidInputError with the first hundred problems and their
    count, and StorageError if the file cannot be read.
    """
    path = Path(path)
    check = InputCheck(endpoint=endpoint, limits=limits, service=service, bodies=bodies)
    with open_lines(path) as file:
        for line in split(file, check.limits.line_bytes):
            check.feed(line)
    return check.finish(path)
