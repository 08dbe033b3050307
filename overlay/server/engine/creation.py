"""The body of POST /v1/batches, checked as the API checks it before it answers."""

import json
import re
from collections.abc import Collection
from typing import Any

import msgspec

from overlay.lines import is_object
from overlay.server.refusals import Refusal, missing_parameter
from overlay.server.settings import Limits

_PARAMETERS = frozenset(
    {"input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after"}
)
_MOST_PAIRS, _LONGEST_KEY, _LONGEST_VALUE = 16, 64, 512
# More are a range, of which the ends are said.
_MOST_LISTED = 12
SHORTEST_KEEP, LONGEST_KEEP = 3600, 2_592_000
_DIGITS = re.compile(r"\d{1,9}")


class Creation(msgspec.Struct):
    """What a client asked for."""

    input_file_id: str
    endpoint: str
    completion_window: str
    metadata: dict[str, str] | None
    keep_output: int | None
    """Seconds."""
    model: str | None = None
    """The one of lines that name none, where a service takes it with the batch."""


def read_creation(body: bytes, limits: Limits, *, azure: bool = False) -> Creation:
    """Decode and check. `azure` says that endpoints are taken with and without /v1. Raises `Refusal`."""
    asked = read_parameters(body, _PARAMETERS)
    windows = list(limits.windows)
    return Creation(
        input_file_id=read_text(asked, "input_file_id"),
        endpoint=_endpoint(read_text(asked, "endpoint"), limits, azure=azure),
        completion_window=_one_of(read_text(asked, "completion_window"), windows, "completion_window"),
        metadata=_metadata(asked.get("metadata")),
        keep_output=keep_time(asked.get("output_expires_after"), "output_expires_after"),
    )


def read_parameters(body: bytes, known: Collection[str]) -> dict[str, Any]:
    """The JSON object that a body is. Raises `Refusal` for any other, and for a parameter that is not known."""
    try:
        asked = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refusal(400, "We could not parse the JSON body of your request.") from None
    if not is_object(asked):
        raise Refusal(400, "The body of the request must be a JSON object.")
    if unknown := sorted(asked.keys() - set(known)):
        raise Refusal(400, f"Unknown parameter: {unknown[0]!r}.", param=unknown[0], code="unknown_parameter")
    return asked


def keep_time(policy: Any, param: str) -> int | None:
    """The seconds of an expiration policy: an object, its JSON, or None. Raises `Refusal`."""
    if isinstance(policy, str):
        try:
            policy = json.loads(policy)
        except (ValueError, RecursionError):
            raise Refusal(400, f"Invalid type for {param!r}: expected an object.", param=param) from None
    if policy is None:
        return None
    if not is_object(policy):
        raise Refusal(
            400, f"Invalid type for {param!r}: expected an object.", param=param, code="invalid_type"
        )
    _one_of(policy.get("anchor"), ["created_at"], f"{param}.anchor")
    seconds: object = policy.get("seconds")
    if isinstance(seconds, str) and _DIGITS.fullmatch(seconds):
        seconds = int(seconds)
    if type(seconds) is not int or not SHORTEST_KEEP <= seconds <= LONGEST_KEEP:
        raise Refusal(
            400,
            f"Invalid value for {param}.seconds: expected a whole number from {SHORTEST_KEEP} to {LONGEST_KEEP}.",
            param=f"{param}.seconds",
            code="invalid_value",
        )
    return seconds


def read_text(asked: dict[str, Any], name: str) -> str:
    """A parameter that must be there, and be a string. Raises `Refusal`."""
    value = asked.get(name)
    if value is None:
        raise missing_parameter(name)
    if not isinstance(value, str):
        raise Refusal(400, f"Invalid type for {name!r}: expected a string.", param=name, code="invalid_type")
    return value


def _endpoint(value: str, limits: Limits, *, azure: bool) -> str:
    if limits.takes_endpoint(value) or (azure and limits.takes_endpoint(f"/v1{value}")):
        return value
    if limits.endpoints is None:
        raise Refusal(
            400,
            f"Invalid value: {value!r}. Expected a path such as '/v1/score'.",
            param="endpoint",
            code="invalid_value",
        )
    return _one_of(value, list(limits.endpoints), "endpoint")


def _one_of(value: Any, known: list[str], param: str) -> str:
    if value not in known:
        raise Refusal(
            400,
            f"Invalid value: {value!r}. Supported values are: {_listed(known)}.",
            param=param,
            code="invalid_value",
        )
    return str(value)


def _listed(known: list[str]) -> str:
    if len(known) > _MOST_LISTED:
        return f"{known[0]!r} to {known[-1]!r}"
    return ", ".join(map(repr, known))


def _metadata(value: Any) -> dict[str, str] | None:
    if value is None:
        return None
    if not is_object(value):
        raise Refusal(
            400, "Invalid type for 'metadata': expected an object.", param="metadata", code="invalid_type"
        )
    if len(value) > _MOST_PAIRS:
        raise Refusal(
            400,
            f"Invalid 'metadata': {len(value)} pairs, and at most {_MOST_PAIRS} are allowed.",
            param="metadata",
            code="object_above_max_properties",
        )
    for key, text in value.items():
        if not isinstance(text, str):
            raise Refusal(
                400,
                f"Invalid type for 'metadata.{key}': expected a string.",
                param=f"metadata.{key}",
                code="invalid_type",
            )
        if len(key) > _LONGEST_KEY or len(text) > _LONGEST_VALUE:
            raise Refusal(
                400,
                f"Invalid 'metadata': a key has at most {_LONGEST_KEY} characters and a value {_LONGEST_VALUE}.",
                param="metadata",
                code="string_above_max_length",
            )
    return value
