"""What the Batch API requires of an input file, line by line and as a whole.

An `InputCheck` is fed a file's lines in order and remembers what cannot be judged from one line alone: the
`custom_id`s so far, the first line's endpoint and model, the totals. Most lines are valid, so each is
decoded once into the few fields that matter, the rest being validated and skipped; only a line that
is not valid is examined again, slowly, to say why.

The rules are those of the Batch API's guide (https://platform.openai.com/docs/guides/batch) and of RFC 8259; what
a service asks otherwise is in its profile (`overlay.services`).
"""

from __future__ import annotations

import codecs
import hashlib
from pathlib import Path
from typing import Literal

import attrs
import msgspec

from overlay.errors import InvalidInputError, Problem
from overlay.requests.bodies import Body, body_problems, url_problem
from overlay.requests.reasons import is_too_deep, nesting_reason, quoted, reasons
from overlay.services import Limits, ServiceProfile, service_named

PROBLEMS_KEPT = 100


@attrs.frozen(kw_only=True)
class InputSummary:
    """What a checked input file holds."""

    path: Path
    requests: int
    bytes: int
    endpoint: str
    model: str | None
    """The model of all requests; None if no request names one."""
    sha256: str
    """The file's digest, in hexadecimal."""
    embedding_inputs: int
    """How many texts are to be embedded; 0 for other endpoints."""
    warnings: tuple[Problem, ...] = ()
    """What may be wrong with lines: the first hundred, each with its line."""
    warned: int = 0
    """How many warnings there were in all."""


class _Line(msgspec.Struct):
    custom_id: str
    method: Literal["POST"]
    url: str
    body: Body


class _ShortLine(msgspec.Struct):
    """A line of a service to which the endpoint is told once, for the whole batch."""

    custom_id: str
    body: Body
    method: Literal["POST"] = "POST"
    url: str = ""


class _RawBody(msgspec.Struct):
    body: msgspec.Raw


_raw_body = msgspec.json.Decoder(_RawBody).decode
_decode = msgspec.json.Decoder(_Line).decode
_decode_short = msgspec.json.Decoder(_ShortLine).decode
_decode_input = msgspec.json.Decoder(list[msgspec.Raw]).decode


class InputCheck:
    """The state of one pass over an input file, by the rules of a service, OpenAI's by default."""

    def __init__(
        self,
        *,
        endpoint: str | None = None,
        limits: Limits | None = None,
        service: str | ServiceProfile = "openai",
        bodies: bool = False,
    ) -> None:
        self._bodies = bodies
        self.service = service_named(service)
        self.limits = self.service.limits if limits is None else limits
        self._decode = _decode_short if self.service.optional_in_lines else _decode
        self.endpoint = endpoint
        self.model: str | None = None
        self.requests = 0
        self.bytes = 0
        self.embedding_inputs = 0
        self.problems: list[Problem] = []
        self.count = 0
        self.warnings: list[Problem] = []
        self.warned = 0
        self._endpoint_from = "the batch's endpoint" if endpoint else ""
        self._model_from = 0
        self._first_lines: dict[str, int] = {}
        self._digest = hashlib.sha256()
        self._is_utf16 = False

    def feed(self, line: bytes) -> None:
        r"""Check the next line, given with its `\n`."""
        self.requests += 1
        self.bytes += len(line)
        self._digest.update(line)
        if self.requests == 1:
            line = self._without_byte_order_mark(line)
        if self._is_utf16:
            return
        if self.requests - 1 == self.limits.requests:
            self.report(f"more than {self.limits.requests:,} requests")
        if len(line) > self.limits.line_bytes:
            self.report(f"longer than {self.limits.line_bytes:,} bytes")
            return
        try:
            if not line.isascii():
                line.decode()  # the decoder does not look into what it skips
            request = self._decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._note_id(line)
            for reason in reasons(line, self.limits.nesting, self.service.optional_in_lines):
                self.report(reason)
            return
        if is_too_deep(line, self.limits.nesting):
            self.report(nesting_reason(self.limits.nesting))
            return
        self._judge(request, line)

    def _judge(self, request: _Line | _ShortLine, line: bytes) -> None:
        """What there is to say of a request that is one."""
        url = request.url
        if not url and "url" in self.service.optional_in_lines:
            url = self.endpoint or self.service.usual_endpoint
        self._check_service(request.custom_id, url)
        self._check_body(url, request.body)
        if self._bodies:
            self._check_schema(url, _raw_body(line).body)
        self._compare(request.custom_id, url, request.body.model)
        if url.endswith("/embeddings"):
            self._count_inputs(request.body.input)

    def report(
        self, reason: str, *, line: int | None = None, whole_file: bool = False, same_as: int | None = None
    ) -> None:
        """Record a problem with a line, by default the current one, or with the whole file."""
        self.count += 1
        if len(self.problems) < PROBLEMS_KEPT:
            place = None if whole_file else line or self.requests
            self.problems.append(Problem(place, reason, same_as=same_as))

    def finish(self, path: str | Path) -> InputSummary:
        """Check the file as a whole. Raises InvalidInputError with the problems of all lines."""
        if self.limits.bytes is not None and self.bytes > self.limits.bytes:
            self.report(f"{self.bytes:,} bytes; at most {self.limits.bytes:,} are allowed", whole_file=True)
        if not self.requests:
            self.report("the file is empty", whole_file=True)
        self.raise_problems(path)
        return InputSummary(
            path=Path(path),
            requests=self.requests,
            bytes=self.bytes,
            endpoint=self.endpoint or "",
            model=self.model,
            sha256=self._digest.hexdigest(),
            embedding_inputs=self.embedding_inputs,
            warnings=tuple(self.warnings),
            warned=self.warned,
        )

    def raise_problems(self, path: str | Path | None) -> None:
        """Raise InvalidInputError if there has been any problem so far."""
        if self.count:
            raise InvalidInputError(
                path, self.problems, count=self.count, warnings=self.warnings, warned=self.warned
            )

    def _note_id(self, line: bytes) -> None:
        """Remember the id of a line that has another problem: a later line may have the same."""
        custom_id = custom_id_of(line)
        if custom_id:
            self._first_lines.setdefault(custom_id, self.requests)

    def _check_service(self, custom_id: str, url: str) -> None:
        """What the service takes, whatever the other lines are."""
        most, endpoints = self.limits.custom_id, self.service.endpoints
        if most is not None and len(custom_id) > most:
            self.report(f'"custom_id" has {len(custom_id):,} characters; {self.service} takes {most:,}')
        if endpoints is not None and url not in endpoints:
            self.report(f'"url" is {quoted(url)}; {self.service} takes {", ".join(endpoints)}')

    def _check_body(self, url: str, body: Body) -> None:
        """What OpenAI refuses for certain, and others perhaps."""
        say = self.report if self.service.refuses_as_openai else self.warn
        problem = url_problem(url)
        if problem is not None:
            say(problem)
        for reason in body_problems(url, body):
            say(reason)

    def _check_schema(self, url: str, body: msgspec.Raw) -> None:
        """What the API's own schema of the endpoint says: see `overlay.requests.schema_check`."""
        from overlay.requests.schema_check import schema_problems, unknown_names  # noqa: PLC0415 - an extra

        for problem in schema_problems(url, body):
            (self.report if self.service.refuses_as_openai else self.warn)(problem)
        if self.service.refuses_as_openai:
            for problem in unknown_names(url, body):
                self.warn(problem)

    def warn(self, reason: str) -> None:
        """Note what may be wrong with the current line."""
        self.warned += 1
        if len(self.warnings) < PROBLEMS_KEPT:
            self.warnings.append(Problem(self.requests, reason))

    def _without_byte_order_mark(self, line: bytes) -> bytes:
        if line.startswith(codecs.BOM_UTF8):
            self.report("the file begins with a byte order mark (BOM); save it as UTF-8 without one")
            return line.removeprefix(codecs.BOM_UTF8)
        if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            self.report("the file is not UTF-8 but UTF-16, by its byte order mark (BOM); save it as UTF-8")
            self._is_utf16 = True  # every further line would only say the same
        return line

    def _compare(self, custom_id: str, url: str, model: str | None) -> None:
        if not custom_id:
            self.report('"custom_id" is empty')
        # Past the limit the file is refused anyway, and memory must not grow with it.
        elif self.limits.requests is None or self.requests <= self.limits.requests:
            first = self._first_lines.setdefault(custom_id, self.requests)
            if first != self.requests:
                self.report(f'"custom_id" {quoted(custom_id)} is already used by line {first:,}')
        if self.endpoint is None:
            self.endpoint = url
            self._endpoint_from = f"that of line {self.requests:,}"
        elif url != self.endpoint:
            self.report(f'"url" is {quoted(url)}, {self._endpoint_from} is {quoted(self.endpoint)}')
        if model is not None and model != self.model and self.service.one_model:
            if self.model is None:
                self.model, self._model_from = model, self.requests
            else:
                self.report(
                    f"model {quoted(model)}; line {self._model_from:,} asks for {quoted(self.model)}, "
                    "but a batch has only one model"
                )

    def _count_inputs(self, given: msgspec.Raw) -> None:
        before = self.embedding_inputs
        self.embedding_inputs += inputs_of(given)
        most = self.limits.embedding_inputs
        if most is not None and before <= most < self.embedding_inputs:
            self.report(f"more than {most:,} texts to embed, counted up to this line")


class _Named(msgspec.Struct):
    custom_id: str


_decode_id = msgspec.json.Decoder(_Named).decode


def custom_id_of(line: bytes) -> str | None:
    """The custom_id of a line, whatever else is wrong with it; None if it has none."""
    try:
        return _decode_id(line).custom_id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def inputs_of(given: msgspec.Raw) -> int:
    """How many texts an embedding request holds: a string and an array of tokens are one each."""
    try:
        items = _decode_input(given)
    except (msgspec.MsgspecError, RecursionError):
        return 1
    if items and bytes(items[0])[:1] in {b'"', b"["}:
        return len(items)
    return 1
