"""Did a request succeed? Pure decisions on what a line holds, whatever a service has put there.

A success is a status from 200 to 299 with an answer in the body: an object that is not the request itself, reports
no error that says something and no failed status, and in which what the endpoints call an answer (`choices`,
`output`, `data`, `results`) is not empty. An object of a shape that nobody knows, such as a score, is a success.
Services also report errors under a status of 200; where the answer has several parts, one of them may have failed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from overlay.lines import decode_text, is_array, is_object
from overlay.results.shapes import MALFORMED, NEVER_RAN, NO_ANSWER, LineError, string

_SUCCESS = range(200, 300)
_MESSAGE_KEPT = 1_000
"""Characters; the line itself has them all."""
_DEPTH = 4
"""How far errors are followed into errors."""

ANSWERS = ("choices", "output", "data", "results", "output_text")
"""Where the endpoints put their answers."""
_PARTS = ("choices", "data", "results")
"""Those whose parts may fail one by one. (An item of `output` that failed, a tool call say, is still output.)"""
_PROMISED = {
    "chat.completion": "choices",
    "text_completion": "choices",
    "response": "output",
    "list": "data",
}
"""What an object of a known kind must have."""
FAILED_STATUSES = frozenset({"failed", "failure", "error", "errored"})
_SILENT = frozenset({"", "0", "null", "none", "nil", "ok", "success", "no error"})
"""What stands in an error that is none."""
_ENVELOPE = frozenset(
    {
        "code",
        "created",
        "detail",
        "errors",
        "id",
        "message",
        "object",
        "param",
        "path",
        "request_id",
        "status",
    }
    | {"status_code", "success", "timestamp", "trace_id", "type"}
)
"""The fields of a body that is nothing but a refusal, as web frameworks write it."""
_AROUND = frozenset(
    {"created", "created_at", "error", "id", "metadata", "model", "object", "service_tier", "status"}
    | {"system_fingerprint", "usage"}
)
"""The fields that stand around an answer."""
_MESSAGES = ("message", "msg", "detail", "reason", "error_message", "description")
_NESTED = ("error", "innererror", "inner_error", "cause")
_INPUTS = ("messages", "input", "prompt", "query", "contents")
_REQUEST_FIELDS = frozenset(
    {"audio", "background", "best_of", "conversation", "contents", "dimensions", "documents", "echo"}
    | {"encoding_format", "extra_body", "frequency_penalty", "function_call", "functions", "include", "input"}
    | {"instructions", "logit_bias", "logprobs", "max_completion_tokens", "max_output_tokens", "max_tokens"}
    | {"max_tool_calls", "messages", "metadata", "min_p", "modalities", "model", "moderation", "n"}
    | {"output_compression", "output_format", "parallel_tool_calls", "prediction", "presence_penalty"}
    | {"previous_response_id", "prompt", "prompt_cache_key", "provider", "quality", "query", "reasoning"}
    | {"reasoning_effort", "repetition_penalty", "response_format", "return_documents", "safety_identifier"}
    | {
        "seconds",
        "seed",
        "service_tier",
        "size",
        "stop",
        "store",
        "stream",
        "stream_options",
        "style",
        "suffix",
    }
    | {"temperature", "text", "tool_choice", "tools", "top_k", "top_logprobs", "top_n", "top_p", "truncation"}
    | {"user", "verbosity", "web_search_options"}
)
"""The parameters of the endpoints that a batch may name: a body of nothing else is the request come back."""


def verdict(said: Any, status_code: int | None, body: Any) -> LineError | None:
    """Why a request failed; None if it succeeded.

    `said` is the error that the line itself reports, if any; without a status, the body decides.
    """
    if says_something(said):
        return _line_error(said, status_code)
    if status_code is not None and status_code <= 0 and not says_something(body):
        # OpenAI's own error files hold such lines, with an empty body and no error.
        return LineError(NEVER_RAN, "the service gave this request up before it ran")
    if status_code is not None and status_code not in _SUCCESS:
        return _refused(status_code, body)
    if status_code is None and (body is None or body in ({}, "")):
        return LineError(MALFORMED, "the line has no response")
    if body is None or body == "":
        return LineError(NO_ANSWER, "the response has no body")
    if not is_object(body):
        said = body if isinstance(body, str) else f"it is {type(body).__name__}"
        return LineError(NO_ANSWER, _shortened(f"the response's body is no JSON object: {said}"))
    return _without_answer(body)


def says_something(error: Any, depth: int = _DEPTH) -> bool:
    """Whether an error is more than a placeholder such as `{}` or `{"code": null, "message": null}`."""
    if isinstance(error, str):
        return error.strip().lower() not in _SILENT
    if is_object(error) or is_array(error):
        items = error.values() if is_object(error) else error
        return bool(items) if depth == 0 else any(says_something(item, depth - 1) for item in items)
    if isinstance(error, bool):
        return error
    return error is not None and error != 0 and error not in _SUCCESS


def is_failed_part(part: Mapping[str, Any]) -> bool:
    """Whether one of several parts of an answer is an error in place of an answer."""
    return says_something(part.get("error")) or part.get("finish_reason") == "error"


def parts_of(value: Any) -> list[dict[str, Any]]:
    """The objects in an array; an object that stands in place of the array is its only one."""
    if is_object(value):
        return [value]
    return [item for item in value if is_object(item)] if is_array(value) else []


def _refused(status_code: int, body: Any) -> LineError:
    if status_code < min(_SUCCESS):
        # OpenAI's own error files have lines with status 0 and an empty body.
        said = _reported(body) if is_object(body) else body
        if not says_something(said):
            return LineError(None, f"the request never ran (status {status_code})")
        return _line_error(said, status_code)
    return _line_error(_reported(body) or body if is_object(body) else body, status_code)


def _reported(body: Mapping[str, Any]) -> Any:
    """What a body that is a refusal says; None if it is none."""
    return next(
        (body[name] for name in ("error", "detail", "errors") if says_something(body.get(name))), None
    )


def _without_answer(body: dict[str, Any]) -> LineError | None:
    """Why there is no answer in the body of a response that says it succeeded; None if there is one."""
    error = body.get("error")
    if says_something(error):
        return _line_error(error, None)
    status = body.get("status")
    status = status.lower() if isinstance(status, str) else ""
    if status in FAILED_STATUSES:
        return _line_error(_reported(body) or body.get("message"), None, f"its status is {status!r}")
    found = [name for name in ANSWERS if _holds(body.get(name))]
    if found:
        return _failed_parts(body, found)
    if body.get("object") == "error" or (body.keys() <= _ENVELOPE and _reported(body) is not None):
        return _line_error(_reported(body) or body, None)
    return _emptiness(body, status)


def _holds(value: Any) -> bool:
    """Whether there is anything in it."""
    return value not in (None, {}, [], "")


def _failed_parts(body: Mapping[str, Any], found: list[str]) -> LineError | None:
    """The error of the first part, if there is nothing but parts that failed."""
    parts = [part for name in found for part in parts_of(body[name])]
    if not parts or any(name not in _PARTS for name in found) or not all(map(is_failed_part, parts)):
        return None
    return _line_error(parts[0].get("error"), None, "the answer stopped with an error")


def _emptiness(body: dict[str, Any], status: str) -> LineError | None:
    """Why a body in which no known answer was found is none; None if it is an answer of its own kind."""
    kind = body.get("object")
    promised = _PROMISED.get(kind) if isinstance(kind, str) else None
    empty = [name for name in ANSWERS if name in body]
    if status == "incomplete" and (promised == "output" or "output" in body):
        return None  # the token budget was spent before there was any
    if promised is not None and promised not in empty:
        return LineError(NO_ANSWER, f"the answer is {kind!r} without {promised!r}")
    # A null may be one of several kinds of answers that a service writes out; an empty array is an empty answer.
    if any(body[name] is not None for name in empty) or (empty and body.keys() <= _AROUND | set(ANSWERS)):
        return LineError(NO_ANSWER, f"the answer's {empty[0]!r} is empty")
    if all(value in (None, {}, []) for value in body.values()):
        return LineError(NO_ANSWER, "the response's body is empty")
    if _is_request(body):
        return LineError(NO_ANSWER, "the request came back in place of an answer")
    return None


def _is_request(body: Mapping[str, Any]) -> bool:
    """Whether it is what a request asks, not what answers it: the body of one, or its whole line."""
    if is_object(body.get("body")) and "url" in body and "method" in body:
        return True
    if not any(name in body for name in _INPUTS):
        return False
    # A service's own parameters are not known here: with messages, a model and no sign of an answer, it is one.
    asks = is_array(body.get("messages")) and "model" in body and not body.keys() & {"id", "object", "usage"}
    return asks or body.keys() <= _REQUEST_FIELDS


def _line_error(error: Any, status_code: int | None, otherwise: str = "") -> LineError:
    """What an error says. `otherwise` is the message of one that says nothing."""
    code, kind, message = _words(error)
    if not message and says_something(error):
        with suppress(RecursionError):
            message = string(error) or json.dumps(error)
    if not message:
        message = otherwise or (f"status {status_code}" if status_code is not None else "no reason given")
    return LineError(code or kind, _shortened(message), kind)


def _words(error: Any, depth: int = _DEPTH) -> tuple[str | None, str | None, str | None]:
    """The code, type and message of an error, however far inside they are."""
    if isinstance(error, str) and error.lstrip().startswith("{"):
        error = decode_text(error)
    if is_array(error):
        error = next((item for item in error if is_object(item) and says_something(item)), None)
    if not is_object(error):
        return None, None, None
    code, kind = _code(error.get("code")), string(error.get("type"))
    message = next((text for name in _MESSAGES if (text := string(error.get(name)))), None)
    inner = next((error[name] for name in _NESTED if says_something(error.get(name))), None)
    if inner is not None and depth and not message:
        inner_code, inner_kind, message = _words(inner, depth - 1)
        code, kind, message = code or inner_code, kind or inner_kind, message or string(inner)
    return code, kind, message


def _code(value: Any) -> str | None:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number else string(value) or None


def _shortened(message: str) -> str:
    return message if len(message) <= _MESSAGE_KEPT else message[:_MESSAGE_KEPT] + "..."
