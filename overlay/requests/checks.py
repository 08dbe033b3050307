"""What the Batch API requires of an input file, line by line and as a whole.

An `InputCheck` is fed a file's lines in order and remembers what cannot be judged from one line alone: the
`custom_id`s so far, the first line's endpoint and model, the totals. Most lines are valid, so each is
decoded once into the few fields that matter, the rest being validated and skipped; only a line that
is not valid is examined again, slowly, to say why.

The rules are those of the Batch API's guide (https://platform.openai.com/docs/guides/batch) and of RFC 8259.
"""

from __future__ import annotations

import codecs
import hashlib
from pathlib import Path
from typing import Literal

import attrs
import msgspec

from overlay.errors import InvalidInputError, Problem
from overlay.lines import LINE_BYTES, NESTING
from overlay.requests.reasons import is_too_deep, nesting_reason, quoted, reasons

PROBLEMS_KEPT = 100


@attrs.frozen(kw_only=True)
class Limits:
    """How large an input file may be; None lifts a limit. The defaults are OpenAI's; other services
    differ.
    """

    requests: int | None = 50_000
    bytes: int | None = 200_000_000
    """The guide says 200 MB. Read as decimal, which is the smaller: such a file passes under either
    reading."""
    embedding_inputs: int | None = 50_000
    """Over all requests to `/v1/embeddings`: each text in a list counts."""
    line_bytes: int = LINE_BYTES
    """Our own limit: what is read into memory at once."""
    nesting: int = NESTING
    """Our own limit: how deep arrays and objects may be nested."""


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


class _Body(msgspec.Struct):
    model: str | None = None
    input: msgspec.Raw = msgspec.Raw()


class _Line(msgspec.Struct):
    custom_id: str
    method: Literal["POST"]
    url: str
    body: _Body


_decode = msgspec.json.Decoder(_Line).decode
_decode_input = msgspec.json.Decoder(list[msgspec.Raw]).decode


class InputCheck:
    """The state of one pass over an input file."""

    def __init__(self, *, endpoint: str | None, limits: Limits) -> None:
        self.limits = limits
        self.endpoint = endpoint
        self.model: str | None = None
        self.requests = 0
        self.bytes = 0
        self.embedding_inputs = 0
        self.problems: list[Problem] = []
        self.count = 0
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
            request = _decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            for reason in reasons(line, self.limits.nesting):
                self.report(reason)
            return
        if is_too_deep(line, self.limits.nesting):
            self.report(nesting_reason(self.limits.nesting))
            return
        self._compare(request.custom_id, request.url, request.body.model)
        if request.url.endswith("/embeddings"):
            self._count_inputs(request.body.input)

    def report(self, reason: str, *, line: int | None = None, whole_file: bool = False) -> None:
        """Record a problem with a line, by default the current one, or with the whole file."""
        self.count += 1
        if len(self.problems) < PROBLEMS_KEPT:
            self.problems.append(Problem(None if whole_file else line or self.requests, reason))

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
        )

    def raise_problems(self, path: str | Path | None) -> None:
        """Raise InvalidInputError if there has been any problem so far."""
        if self.count:
            raise InvalidInputError(path, self.problems, count=self.count)

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
        if model is not None and model != self.model:
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


def inputs_of(given: msgspec.Raw) -> int:
    """How many texts an embedding request holds: a string and an array of tokens are one each."""
    try:
        items = _decode_input(given)
    except (msgspec.MsgspecError, RecursionError):
        return 1
    if items and bytes(items[0])[:1] in {b'"', b"["}:
        return len(items)
    return 1
