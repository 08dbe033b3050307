"""One answer line, and everything a caller may ask of it.

A `Result` keeps the service's bytes and looks into them when first asked: one decoding finds who is
answered, how it went, the text and the usage; the body is decoded in full only for `body`. Lines
shaped as OpenAI documents them are decoded straight into those fields. Whatever else a service sends
is read loosely, and what cannot be read at all is a failed result that still has its bytes: no line
ends a loop.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Self, TypeVar

import msgspec

from overlay.errors import ResultError
from overlay.lines import NESTING, brackets, is_object, too_deep
from overlay.odd_lines import (
    FAILED,
    MISSING,
    TEXT_PARTS,
    LineError,
    Usage,
    body_of,
    decode_loosely,
    read_loosely,
    usage_of,
)
from overlay.parsing import parse_text

T = TypeVar("T")


class _Part(msgspec.Struct):
    type: str | None = None
    text: str | None = None


class _Message(msgspec.Struct):
    content: str | list[_Part] | None = None


class _Choice(msgspec.Struct):
    message: _Message | None = None
    text: str | None = None


class _OutputItem(msgspec.Struct):
    content: list[_Part] | None = None


class _Body(msgspec.Struct):
    choices: list[_Choice] | None = None
    output: list[_OutputItem] | None = None
    usage: msgspec.Raw = msgspec.Raw(b"null")


class _Response(msgspec.Struct):
    status_code: int
    request_id: str | None = None
    body: _Body | None = None


class _Line(msgspec.Struct):
    custom_id: str
    response: _Response | None = None
    error: Any = None


class _BodyOnly(msgspec.Struct):
    body: Any = None


class _LineOfBody(msgspec.Struct):
    response: _BodyOnly | None = None


_decode = msgspec.json.Decoder(_Line).decode
_decode_body = msgspec.json.Decoder(_LineOfBody).decode
_UNREAD: Any = object()


class Result:
    """The answer to one request of a batch, or the reason why there is none."""

    __slots__ = (
        "_body",
        "_custom_id",
        "_error",
        "_line",
        "_ok",
        "_request_id",
        "_status_code",
        "_text",
        "_usage",
    )

    _custom_id: str | None
    _error: LineError | None
    _ok: bool
    _request_id: str | None
    _status_code: int | None
    _text: str | None
    _usage: Any

    def __init__(self, line: bytes) -> None:
        self._line = line
        self._ok = _UNREAD
        self._body: Any = _UNREAD

    @property
    def raw(self) -> bytes:
        """The line as the service sent it, byte for byte, without its end."""
        return self._line.removesuffix(b"\n")

    @property
    def ok(self) -> bool:
        """Whether the request succeeded, by its own status and error."""
        if self._ok is _UNREAD:
            self._read()
        return self._ok

    @property
    def custom_id(self) -> str | None:
        """Whose answer it is; None only for a malformed line."""
        if self._ok is _UNREAD:
            self._read()
        return self._custom_id

    @property
    def status_code(self) -> int | None:
        """The HTTP status of this one request; None where it never ran."""
        if self._ok is _UNREAD:
            self._read()
        return self._status_code

    @property
    def request_id(self) -> str | None:
        """What to quote to the service's support."""
        if self._ok is _UNREAD:
            self._read()
        return self._request_id

    @property
    def text(self) -> str | None:
        """What the model wrote, whichever text endpoint it was; None where there is no text."""
        if self._ok is _UNREAD:
            self._read()
        return self._text

    @property
    def error(self) -> LineError | None:
        """Why the request failed; None where it succeeded."""
        if self._ok is _UNREAD:
            self._read()
        return self._error

    @property
    def usage(self) -> Usage | None:
        """The tokens counted for this request; None where the service says nothing."""
        if self._ok is _UNREAD:
            self._read()
        if not isinstance(self._usage, Usage | None):
            self._usage = usage_of(decode_loosely(bytes(self._usage)))
        return self._usage

    @property
    def body(self) -> Any:
        """The answer's body as the endpoint documents it, decoded; None where there is none.

        Raises ResultError where arrays and objects are nested more than 200 deep in it.
        """
        if self._body is _UNREAD:
            self._body = self._decode_body()
        return self._body

    def _decode_body(self) -> Any:
        body = None
        with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            line = _decode_body(self._line)
            body = line.response and line.response.body
        if not is_object(body):  # one of the shapes that need a second look, such as an object in a string
            body = body_of(decode_loosely(self._line))
        if brackets(self._line) > NESTING and too_deep(body):
            raise self._failure(f"the body is nested more than {NESTING} deep", "nested_too_deep")
        return body

    def raise_for_error(self) -> Self:
        """Return the result itself if the request succeeded; else raise ResultError."""
        error = self.error
        if error is None:
            return self
        raise self._failure(str(error), error.code)

    def parse(self, type: type[T]) -> T:  # noqa: A002 - the word msgspec and others use
        """The text, which must be JSON, as a dataclass, attrs class, TypedDict, msgspec Struct or
        pydantic model.

        A Markdown fence around the whole text is taken off. Raises ResultError where the request
        failed, where there is no text, and where the text does not fit.
        """
        text = self.raise_for_error().text
        if text is None:
            raise self._failure("the answer has no text to parse", "no_text")
        try:
            return parse_text(text, type)
        except ValueError as error:
            raise self._failure(f"the text is no {type.__name__}: {error}", "unexpected_text") from error

    def _failure(self, message: str, code: str | None) -> ResultError:
        return ResultError(
            f"request {self.custom_id!r}: {message}",
            custom_id=self.custom_id,
            code=code,
            status_code=self.status_code,
        )

    def _read(self) -> None:
        try:
            line = _decode(self._line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._read_loosely()
            return
        response = line.response
        body = None if response is None else response.body
        if line.error is not None or response is None or body is None or response.status_code >= FAILED:
            self._read_loosely()
            return
        self._custom_id = line.custom_id
        self._status_code = response.status_code
        self._request_id = response.request_id
        self._error = None
        self._usage = body.usage
        self._text = _text(body)
        self._ok = True

    def _read_loosely(self) -> None:
        reading = read_loosely(self._line)
        self._custom_id = reading.custom_id
        self._status_code = reading.status_code
        self._request_id = reading.request_id
        self._body = reading.body
        self._usage = reading.usage
        self._error = reading.error
        self._text = reading.text
        self._ok = reading.error is None

    def __repr__(self) -> str:
        return f"<Result {self.custom_id!r} {'ok' if self.ok else f'failed: {self.error}'}>"

    def __eq__(self, other: object) -> bool:
        return self.raw == other.raw if isinstance(other, Result) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.raw)

    def __reduce__(self) -> tuple[type[Result], tuple[bytes]]:
        return Result, (self._line,)


def _text(body: _Body) -> str | None:
    if body.choices:
        choice = body.choices[0]
        if choice.message is None:
            return choice.text
        content = choice.message.content
        return _joined(content) if isinstance(content, list) else content
    if body.output:
        return _joined(part for item in body.output for part in item.content or ())
    return None


def _joined(parts: Iterable[_Part]) -> str | None:
    texts = [part.text for part in parts if part.type in TEXT_PARTS and part.text is not None]
    return "".join(texts) if texts else None


def missing_result(custom_id: str) -> Result:
    """The result of a request that no file answers: an output line with the error code `missing`."""
    message = "the service gave no answer to this request"
    line = {
        "id": None,
        "custom_id": custom_id,
        "response": None,
        "error": {"code": MISSING, "message": message},
    }
    return Result(msgspec.json.encode(line) + b"\n")
