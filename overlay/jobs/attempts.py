"""Which failed requests are sent again: those that never ran, and those that may succeed yet.

An error status decides by itself. Anything else (no status, one that says the request never ran, an error under a
status of success) goes by the error's code and type: some will not pass however often the request is sent.
"""

from __future__ import annotations

import re

from overlay.results.result import Result
from overlay.results.shapes import MISSING, SHAPELESS, LineError

NEVER_RAN = frozenset({"batch_expired", "batch_cancelled", MISSING})
_REDIRECT, _REFUSED, _SERVER_ERROR = 300, 400, 500
"""Where the statuses begin that mean so (RFC 9110, section 15)."""
_WORTH_ANOTHER_TRY = frozenset({408, 409, 425, 429})

_LASTING = frozenset(
    "".join(filter(str.isalnum, code))
    for code in (
        "authentication_error",
        "bad_request",
        "bad_request_error",
        "billing_not_active",
        "content_filter",
        "content_filtered",
        "content_policy",
        "content_policy_violation",
        "context_length_exceeded",
        "context_window_exceeded",
        "data_inspection_failed",
        "empty_image_file",
        "forbidden",
        "image_content_policy_violation",
        "image_file_not_found",
        "image_file_too_large",
        "image_parse_error",
        "image_too_large",
        "image_too_small",
        "insufficient_permissions",
        "integer_above_max_value",
        "integer_below_min_value",
        "invalid_api_key",
        "invalid_argument",
        "invalid_base64_image",
        "invalid_image",
        "invalid_image_format",
        "invalid_image_mode",
        "invalid_image_url",
        "invalid_input",
        "invalid_json",
        "invalid_json_schema",
        "invalid_model",
        "invalid_parameter",
        "invalid_payload",
        "invalid_prompt",
        "invalid_request",
        "invalid_request_error",
        "invalid_schema",
        "invalid_type",
        "invalid_url",
        "invalid_value",
        "max_tokens_exceeded",
        "missing_required_parameter",
        "model_not_available",
        "model_not_found",
        "moderation_blocked",
        "moderation_flagged",
        "not_found",
        "not_found_error",
        "output_blocked",
        "permission_denied",
        "permission_error",
        "prompt_blocked",
        "prompt_too_long",
        "request_too_large",
        "responsible_ai_policy_violation",
        "safety",
        "sensitive_content",
        "streaming_unsupported",
        "string_above_max_length",
        "string_below_min_length",
        "unknown_parameter",
        "unknown_url",
        "unprocessable_entity",
        "unsupported_country_region_territory",
        "unsupported_image_media_type",
        "unsupported_model",
        "unsupported_parameter",
        "unsupported_value",
        "url_mismatch",
        "validation_error",
        "value_error",
    )
)
"""Codes and types of errors that will not pass."""
_PASSING = frozenset(
    "".join(filter(str.isalnum, code))
    for code in (
        "api_connection_error",
        "deadline_exceeded",
        "engine_overloaded",
        "internal_error",
        "internal_server_error",
        "overloaded",
        "overloaded_error",
        "rate_limit_error",
        "rate_limit_exceeded",
        "resource_exhausted",
        "server_error",
        "server_overloaded",
        "service_unavailable",
        "slow_down",
        "timeout",
        "too_many_requests",
        "unavailable",
        "upstream_error",
    )
)
"""Codes of errors that pass, whatever type a service gives them."""
_LASTING_WORDS = re.compile(
    r"context[ _]length|context window|content[ _](management )?policy|prompt is too long|maximum.{0,20} tokens",
    re.IGNORECASE,
)
"""What the messages of services say that give no code."""


def may_succeed(result: Result) -> bool:
    """Whether a failed request is worth sending again."""
    error, status = result.error, result.status_code
    if error is None:
        return False
    if status is not None and status >= _REDIRECT:
        return _status_may_pass(status)
    return error.code in NEVER_RAN | SHAPELESS or _error_may_pass(error)


def _status_may_pass(status: int) -> bool:
    return status in _WORTH_ANOTHER_TRY or status >= _SERVER_ERROR


def _error_may_pass(error: LineError) -> bool:
    code, kind = _plain(error.code), _plain(error.type)
    if code.isascii() and code.isdigit() and int(code[:9]) >= _REFUSED:
        return _status_may_pass(int(code[:9]))
    if code in _PASSING:
        return True
    if code in _LASTING or kind in _LASTING:
        return False
    return not _LASTING_WORDS.search(error.message)


def _plain(code: str | None) -> str:
    """A code as it is compared: services write `content_filter`, `ContentFilter` and `content-filter`."""
    return "".join(filter(str.isalnum, code or "")).lower()
