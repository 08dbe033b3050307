"""What answers the lines of a batch: a source of answers takes lines as they stand in the input file and gives
back outcomes, ready to be written.

    Function    any Python callable, sync or async; `echo` is the one by default
    Forwarding  real OpenAI-compatible servers: see overlay.server.upstreams

What the service encodes itself has no U+2028, U+2029 or U+0085 in it, at which some readers cut lines, and no half
of a surrogate pair; what an upstream server sent stays as it is.
"""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

import msgspec

from overlay.lines import is_array, is_object
from overlay.server.objects import new_id
from overlay.server.refusals import error_object

Reply = dict[str, Any] | tuple[int, dict[str, Any]]
AnswerFunction = Callable[[dict[str, Any]], Reply | Awaitable[Reply]]

WAITS_FOR_KEY = "upstream_key_needed"
WAITS_FOR_ROOM = "disk_full"
"""The codes by which a batch in progress says what it waits for, in its `errors`."""

# A thread gives back what it has after this time, in seconds, so that counts move and a cancel is seen.
_SLICE = 0.05
_MOST_THREADS = 32
_FIRST_ERROR_STATUS = 400


class Outcome(msgspec.Struct):
    """One line of an output or error file."""

    line: bytes
    ok: bool
    code: str = ""
    """Of a failure: its status, or the code of its error."""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass
class Caller:
    """On whose behalf lines are answered."""

    batch_id: str
    token: str | None = None
    """The bearer token that the batch was created with, where it is still known."""
    token_lost: bool = False
    """It was created with one that is not known any more."""
    priority: int = 0
    one_model: bool = False
    """Whether all lines are known to name the same model."""
    say: Callable[[str | None, str], None] = lambda _, __: None
    """Tells what the batch waits for and a code for it, or that it does no longer; from any thread."""


class Work(Protocol):
    """Lines by number, from a batch's input to its output."""

    caller: Caller

    def take(self) -> int | None:
        """The next line that is not answered; None when there is none."""
        ...

    def line(self, number: int) -> bytes: ...

    def write(self, numbers: Sequence[int], outcomes: Sequence[Outcome]) -> None:
        """Raises `NoRoomError` where the disk is full; what was given goes with the next, which may be none."""
        ...

    def damaged(self, number: int) -> Outcome:
        """The answer to a line that cannot be read."""
        ...


@runtime_checkable
class Drives(Protocol):
    """A source that takes lines of all batches together, and answers them in its own time."""

    async def drive(self, work: Work) -> None:
        """Return when every line of the work is answered. Cancelled, it leaves no line half written."""
        ...


@runtime_checkable
class Forwards(Protocol):
    """A source with servers behind it."""

    @property
    def passes_tokens(self) -> bool:
        """Whether it sends on the tokens of those who created batches."""
        ...

    @property
    def priority(self) -> str | None:
        """The key of a batch's metadata that says which goes first."""
        ...

    def keys_changed(self) -> None:
        """A token is known that was not."""
        ...

    async def drain(self, within: float) -> None:
        """Begin nothing more, and return when all that is under way is answered, or after so many seconds."""
        ...


class Source(Protocol):
    """Answers lines. `at_once` calls may be under way together, each given up to `batch_of` lines.

    A source may also have `limits`, which the service has unless it is given others, and `models`: see
    `routes.models.KnowsModels`.
    """

    at_once: int
    batch_of: int

    async def answer(self, lines: Sequence[bytes], token: str | None) -> Sequence[Outcome]:
        """Answer at least the first of the lines, or as many as were at hand; the rest is asked for again.

        `token` is the bearer token that the batch was created with, where it is still known.
        """
        ...

    async def close(self) -> None: ...


class _Details(msgspec.Struct):
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    """Chat completions, completions and embeddings have one set of names, responses the other."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None


class _Body(msgspec.Struct):
    usage: _Usage | None = None


_body_decoder = msgspec.json.Decoder(_Body)


class Head(msgspec.Struct):
    """A line with its body left as it is."""

    custom_id: str
    url: str
    body: msgspec.Raw


class _Answered(msgspec.Struct):
    status_code: int
    request_id: str
    body: msgspec.Raw


class _NotRun(msgspec.Struct):
    code: str
    message: str


class _OutputLine(msgspec.Struct):
    id: str
    custom_id: str | msgspec.Raw
    response: _Answered | None
    error: _NotRun | None


class _Reread(msgspec.Struct):
    custom_id: str
    response: _Answered | None
    error: _NotRun | None = None


_encoder = msgspec.json.Encoder()
_line_decoder = msgspec.json.Decoder(_Reread)
_SEPARATORS = {b"\xe2\x80\xa8": rb"\u2028", b"\xe2\x80\xa9": rb"\u2029", b"\xc2\x85": rb"\u0085"}


def outcome(custom_id: str, status: int, body: bytes, request_id: str | None = None) -> Outcome:
    """A line that was answered, with `body` as JSON on one line. Status 0 is that of one that never ran.

    A `request_id` that is not ASCII is replaced.
    """
    if not request_id or not request_id.isascii():
        # A line's own request id is bare: 32 hexadecimal digits, or a UUID.
        request_id = new_id()
    answered = _Answered(status, request_id, msgspec.Raw(body))
    line = _encoder.encode(_OutputLine(new_id("batch_req_"), _named(custom_id), answered, None)) + b"\n"
    return _measured(line, answered)


def never_ran(custom_id: str) -> Outcome:
    """A line that the service gave up without a word: OpenAI's error files hold such."""
    return outcome(custom_id, 0, b"{}")


def reread(line: bytes) -> tuple[str, Outcome]:
    """The custom_id and the outcome of a line that was written before."""
    written = _line_decoder.decode(line)
    return written.custom_id, _measured(line, written.response, written.error)


def _measured(line: bytes, answered: _Answered | None, error: _NotRun | None = None) -> Outcome:
    if answered is None:
        return Outcome(line, ok=False, code=error.code if error else "unknown")
    if not 0 < answered.status_code < _FIRST_ERROR_STATUS:
        return Outcome(line, ok=False, code=str(answered.status_code))
    try:
        usage = _body_decoder.decode(answered.body).usage
    except msgspec.MsgspecError:
        usage = None
    if usage is None:
        return Outcome(line, ok=True)
    details_in = usage.prompt_tokens_details or usage.input_tokens_details
    details_out = usage.completion_tokens_details or usage.output_tokens_details
    return Outcome(
        line,
        ok=True,
        input_tokens=usage.prompt_tokens or usage.input_tokens or 0,
        output_tokens=usage.completion_tokens or usage.output_tokens or 0,
        cached_tokens=(details_in.cached_tokens or 0) if details_in else 0,
        reasoning_tokens=(details_out.reasoning_tokens or 0) if details_out else 0,
    )


def not_run(custom_id: str, code: str, message: str) -> Outcome:
    """The line of a request that was never run."""
    line = _OutputLine(new_id("batch_req_"), _named(custom_id), None, _NotRun(code, message))
    return Outcome(_encoder.encode(line) + b"\n", ok=False, code=code)


def _named(custom_id: str) -> str | msgspec.Raw:
    return custom_id if custom_id.isascii() else msgspec.Raw(_encoded(custom_id))


def _encoded(value: Any) -> bytes:
    """JSON that is one line to every reader."""
    try:
        encoded = _encoder.encode(value)
    except UnicodeEncodeError:
        encoded = _encoder.encode(_mended(msgspec.to_builtins(value)))
    if not encoded.isascii():
        for separator, escape in _SEPARATORS.items():
            encoded = encoded.replace(separator, escape)
    return encoded


def _mended(value: Any) -> Any:
    """The same with U+FFFD for each half of a surrogate pair, which UTF-8 does not have."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if is_array(value):
        return [_mended(each) for each in value]
    return {_mended(name): _mended(each) for name, each in value.items()} if is_object(value) else value


class Function:
    """Answers from a callable, given a line as a dict and returning a body, or a status and a body; `0, {}` is the
    answer of a line that never ran.

    A sync callable runs in threads, `at_once` of them; an async one in as many tasks. What it raises becomes the
    answer of its line, with status 500.
    """

    def __init__(self, function: AnswerFunction, *, at_once: int | None = None) -> None:
        called = function if inspect.isroutine(function) else type(function).__call__
        self._function = function
        self._async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)
        self.at_once = at_once or (16 if self._async else 1)
        self.batch_of = 1 if self._async else 256
        # Threads of its own: a callable that blocks for ever must not take those that files are read in, nor keep
        # the service from ending.
        self._threads: ThreadPoolExecutor | None = None

    async def answer(self, lines: Sequence[bytes], token: str | None) -> Sequence[Outcome]:
        del token
        if not self._async:
            self._threads = self._threads or ThreadPoolExecutor(_MOST_THREADS, "overlay-answers")
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._slice, lines)
        request = msgspec.json.decode(lines[0])
        try:
            reply = self._function(request)
            return [_replied(request, await reply if inspect.isawaitable(reply) else reply)]
        except Exception as error:  # noqa: BLE001  whatever the callable raises is its answer
            return [_raised(request, error)]

    async def close(self) -> None:
        if self._threads:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None

    def _slice(self, lines: Sequence[bytes]) -> Sequence[Outcome]:
        until = time.monotonic() + _SLICE
        outcomes: list[Outcome] = []
        for line in lines:
            request = msgspec.json.decode(line)
            try:
                outcomes.append(_replied(request, self._function(request)))
            except Exception as error:  # noqa: BLE001  whatever the callable raises is its answer
                outcomes.append(_raised(request, error))
            if time.monotonic() > until:
                break
        return outcomes


def _replied(request: dict[str, Any], reply: Any) -> Outcome:
    status, body = cast("tuple[int, Any]", reply) if isinstance(reply, tuple) else (200, reply)
    return outcome(request["custom_id"], status, _encoded(body))


def _raised(request: dict[str, Any], error: Exception) -> Outcome:
    body = error_object(f"{type(error).__name__}: {error}", kind="server_error")
    return outcome(request["custom_id"], 500, _encoded(body))
