"""One answer line, and everything a caller may ask of it.

A `Result` keeps the service's bytes and decodes them on first use: one decoding finds the
custom_id, the outcome, the text and the usage; the body is decoded in full only for `body`. A success
shaped as OpenAI documents it is decoded straight into those fields; anything else is read loosely
(`overlay.results.reading`), and what cannot be read at all is a failed result that still has its bytes: no line
breaks a loop.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Self, TypeVar

import msgspec

from overlay.errors import ResultError, one_line
from overlay.hidden import without_secrets
from overlay.lines import BOM, NESTING, brackets, decode_loosely, is_object, too_deep
from overlay.notebooks import facts_html
from overlay.results.contents import (
    ToolCall,
    candidates,
    embeddings_of,
    finish_of,
    flagged_of,
    images_of,
    refusal_of,
    texts_of,
    tool_calls_of,
)
from overlay.results.parsing import parse_text
from overlay.results.reading import body_of, read_loosely, usage_of
from overlay.results.shapes import MALFORMED, MISSING, TEXT_PARTS, LineError, Reading, Usage
from overlay.results.verdicts import FAILED_STATUSES

T = TypeVar("T")

_REPR_KEPT = 100
_LEAST, _PAST = 200, 300
"""The statuses of success (RFC 9110, section 15.3)."""


# Without the garbage collector: what is decoded from JSON never refers to itself.
class _Part(msgspec.Struct, gc=False):
    type: str | None = None
    text: str | None = None


class _Message(msgspec.Struct, gc=False):
    content: str | list[_Part] | None = None


class _Choice(msgspec.Struct, gc=False):
    index: int | None = None
    message: _Message | None = None
    text: str | None = None
    finish_reason: str | None = None
    error: None = None


class _OutputItem(msgspec.Struct, gc=False):
    type: str | None = None
    content: list[_Part] | None = None


class _Embedding(msgspec.Struct, gc=False):
    object: str | None = None
    error: None = None


class _Body(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    output: list[_OutputItem] | None = None
    data: list[_Embedding] | None = None
    usage: msgspec.Raw = msgspec.Raw(b"null")
    status: str | None = None
    error: None = None

    @property
    def is_answer(self) -> bool:
        """Whether it is surely one; anything else needs a second look."""
        if self.status is not None and self.status.lower() in FAILED_STATUSES:
            return False
        if self.choices:
            first = self.choices[0]
            named = first.message is not None or first.text is not None
            return named and not first.index and first.finish_reason != "error"
        if self.output:
            return self.output[0].type is not None
        return self.data is not None and any(item.object == "embedding" for item in self.data[:1])


class _Response(msgspec.Struct, gc=False):
    status_code: int
    body: _Body
    request_id: str | None = None


class _Success(msgspec.Struct, gc=False):
    """The usual line, with the attributes of a `Reading`."""

    custom_id: str
    response: _Response
    error: None = None

    @property
    def status_code(self) -> int:
        return self.response.status_code

    @property
    def request_id(self) -> str | None:
        return self.response.request_id

    @property
    def usage(self) -> Usage | None:
        return usage_of(decode_loosely(bytes(self.response.body.usage)))

    @property
    def text(self) -> str | None:
        body = self.response.body
        if choices := body.choices:
            message = choices[0].message
            if message is None:
                return choices[0].text
            content = message.content
            return _joined(content) if isinstance(content, list) else content
        return _joined(part for item in body.output or () for part in item.content or ())


class _BodyOnly(msgspec.Struct, gc=False):
    body: Any = None


class _LineOfBody(msgspec.Struct, gc=False):
    response: _BodyOnly | None = None


_decode = msgspec.json.Decoder(_Success).decode
_decode_body = msgspec.json.Decoder(_LineOfBody).decode


class Result(msgspec.Struct, eq=False, gc=False):
    """The answer to one request of a batch, or the reason there is none."""

    # A Struct, because its constructor is many times faster than one written in Python. Without the garbage
    # collector, because nothing that is kept here can refer to the result itself.
    _line: bytes
    _reading: _Success | Reading | None = None
    _body: Any = msgspec.UNSET  # None is a body too

    @property
    def raw(self) -> bytes:
        """The line as the service sent it, byte for byte, without its end."""
        return self._line.removesuffix(b"\n")

    @property
    def ok(self) -> bool:
        """Whether the request succeeded: by its own status and error, and in that there is an answer."""
        return (self._reading or self._read()).error is None

    @property
    def custom_id(self) -> str | None:
        """Which request it answers; None only if the line is malformed."""
        return (self._reading or self._read()).custom_id

    @property
    def status_code(self) -> int | None:
        """The HTTP status of this one request; None if it never ran."""
        return (self._reading or self._read()).status_code

    @property
    def request_id(self) -> str | None:
        """What to quote to the service's support."""
        return (self._reading or self._read()).request_id

    @property
    def text(self) -> str | None:
        """What the model wrote, in its first choice; None if there is no text."""
        return (self._reading or self._read()).text

    @property
    def texts(self) -> list[str | None]:
        """What the model wrote in each choice that did not fail, or in each message of a response, in order."""
        return texts_of(self._fields())

    @property
    def finish(self) -> str | None:
        """How the answer ended, in one vocabulary for all endpoints: `stop`, `length`, `content_filter` or
        `tool_calls`. Other words are as the service has them; None where an endpoint has none.
        """
        return finish_of(self._fields())

    @property
    def refusal(self) -> str | None:
        """Why the model would not answer, in its own words; None if it did not refuse."""
        return refusal_of(self._fields())

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The functions that the model wants called, in its first choice or its response, in order."""
        return tool_calls_of(self._fields())

    @property
    def embeddings(self) -> list[array[float]]:
        """The vectors, one for each text that was embedded, in their order: arrays of float32, whether the service
        sent numbers or base64. `numpy.asarray(vector)` shares their memory.

        Raises ResultError for a vector that is none.
        """
        return self._read_content(embeddings_of, "unexpected_embedding")

    @property
    def images(self) -> list[bytes | str]:
        """The pictures: the content of each one's file, or its address. Raises ResultError for what is neither."""
        return self._read_content(images_of, "unexpected_image")

    @property
    def flagged(self) -> bool | None:
        """Whether anything that was moderated is harmful; None if the answer is no moderation."""
        return flagged_of(self._fields())

    @property
    def usage(self) -> Usage | None:
        """The tokens counted for this request; None if the service does not say."""
        return (self._reading or self._read()).usage

    @property
    def error(self) -> LineError | None:
        """Why the request failed; None if it succeeded."""
        return (self._reading or self._read()).error

    @property
    def body(self) -> Any:
        """The answer's body as the endpoint documents it, decoded; None if there is none.

        Raises ResultError if arrays and objects are nested more than 200 deep in it.
        """
        if self._body is msgspec.UNSET:
            self._body = self._decode_body()
        return self._body

    def raise_for_error(self) -> Self:
        """Return the result itself if the request succeeded; else raise ResultError."""
        error = self.error
        if error is None:
            return self
        raise self._failure(str(error), error.code)

    def parse(self, type: type[T]) -> T:  # noqa: A002 - the word msgspec and others use
        """The text, which must be JSON, as a dataclass, attrs class, TypedDict, msgspec Struct or
        pydantic model.

        A Markdown fence around the whole text is removed. Where the text does not fit, of several messages the last
        that fits is taken, and then the arguments of a tool call.

        Raises ResultError, with the request's own code if it failed, else with `refusal`, `length`,
        `content_filter` or `tool_call` if that is why nothing fits, `no_text`, or `unexpected_text`.
        """
        text = self.raise_for_error().text
        problem: Exception | None = None
        if text:
            try:
                return parse_text(text, type)
            except (ValueError, msgspec.MsgspecError) as error:  # in older msgspec, not a ValueError
                problem = error
        for other in candidates(self._fields()):
            with suppress(ValueError, msgspec.MsgspecError):
                return parse_text(other, type)
        raise self._unparsed(_name(type), problem) from problem

    def _unparsed(self, wanted: str, problem: Exception | None) -> ResultError:
        """Why the answer is not what was wanted."""
        if refusal := self.refusal:
            return self._failure(f"the model refused: {refusal}", "refusal")
        finish = self.finish
        if finish == "length":
            return self._failure(f"the answer reached its limit before it was a valid {wanted}", finish)
        if finish == "content_filter":
            return self._failure("the answer was withheld by the service's content filter", finish)
        if problem is not None:
            return self._failure(f"the answer is not a valid {wanted}: {problem}", "unexpected_text")
        if self.tool_calls:
            return self._failure(f"no tool call's arguments are a valid {wanted}", "tool_call")
        return self._failure("the answer has no text to parse", "no_text")

    def _fields(self) -> dict[str, Any]:
        """The body of an answer; empty if there is none."""
        if self.error is not None:
            return {}
        body = self.body
        return body if is_object(body) else {}

    def _read_content(self, read: Callable[[dict[str, Any]], T], code: str) -> T:
        try:
            return read(self._fields())
        except ValueError as error:
            raise self._failure(str(error), code) from error

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

    def _read(self) -> _Success | Reading:
        try:
            success = _decode(self._line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass
        else:
            response = success.response
            if _LEAST <= response.status_code < _PAST and response.body.is_answer:
                self._reading = success
                return success
        self._reading = reading = read_loosely(self._line)
        return reading

    def _failure(self, message: str, code: str | None) -> ResultError:
        error = ResultError(
            without_secrets(message),
            custom_id=self.custom_id,
            code=None if code is None else without_secrets(code),
            status_code=self.status_code,
        )
        # Not in the message, by which failures are counted; a traceback shows it all the same.
        error.add_note(one_line(f"of request {self.custom_id!r}"))
        return error

    def __repr__(self) -> str:
        outcome = "ok" if self.error is None else without_secrets(str(self.error))[:_REPR_KEPT]
        return one_line(f"<Result {self.custom_id!r} {outcome}>")

    def _repr_html_(self) -> str:
        usage = self.usage
        return facts_html(
            "Result",
            [
                ("custom_id", self.custom_id),
                ("ok", self.ok),
                ("error", self.error),
                ("status", self.status_code),
                ("text", self.text),
                ("tokens", usage and f"{usage.input_tokens or 0:,} in, {usage.output_tokens or 0:,} out"),
            ],
        )

    def __eq__(self, other: object) -> bool:
        return self.raw == other.raw if isinstance(other, Result) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.raw)

    def __reduce__(self) -> tuple[type[Result], tuple[bytes]]:
        return Result, (self._line,)


def _name(type: Any) -> str:  # noqa: A002 - what it is
    """What a type is called; a union such as `A | None` has no name of its own."""
    name: object = getattr(type, "__name__", None)
    return name if isinstance(name, str) else str(type)


def _joined(parts: Iterable[_Part]) -> str | None:
    texts = [part.text for part in parts if part.type in TEXT_PARTS and part.text is not None]
    return "".join(texts) if texts else None


def missing_result(custom_id: str) -> Result:
    """The result of a request that no file answers: an output line with the error code `missing`."""
    return failed_result(custom_id, MISSING, "the service gave no answer to this request")


def renamed(result: Result, custom_id: str) -> Result:
    """The same answer under the custom_id of its request; a line that cannot be read becomes one that says so."""
    line = result.raw.removeprefix(BOM)
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        # All but the id stays as it is, byte for byte.
        fields = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        first = {name: fields.pop(name) for name in ("id",) if name in fields}
        name = msgspec.Raw(msgspec.json.encode(custom_id))
        return Result(msgspec.json.encode(first | {"custom_id": name} | fields | {"custom_id": name}) + b"\n")
    value = decode_loosely(line)
    with suppress(RecursionError):
        if value is not None:
            return Result(json.dumps(value | {"custom_id": custom_id}).encode() + b"\n")
    return failed_result(custom_id, MALFORMED, "the line of this request cannot be read")


def failed_result(custom_id: str, code: str, message: str) -> Result:
    """The result of a request that never ran, in the form of an output line."""
    line = {
        "id": None,
        "custom_id": custom_id,
        "response": None,
        "error": {"code": code, "message": message},
    }
    return Result(msgspec.json.encode(line) + b"\n")
