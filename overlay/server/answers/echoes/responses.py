"""/v1/responses, with every field that https://platform.openai.com/docs/api-reference/responses/object has."""

import time
from typing import Any

from overlay.lines import is_array, is_object
from overlay.server.answers.echoes import tokens
from overlay.server.answers.echoes.questions import count, last_question, seed, tokens_asked
from overlay.server.answers.echoes.wanted import Tool, call, data, forced
from overlay.server.models import snapshot
from overlay.server.objects import new_id

# What a response repeats of its request, and what stands there if the request says nothing.
_REPEATED: dict[str, Any] = {
    "access_programs": None,
    "background": False,
    "image": None,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt": None,
    "prompt_cache_key": None,
    "prompt_cache_retention": None,
    "safety_identifier": None,
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
_CACHE = {"mode": "implicit", "ttl": "30m"}
_LOGPROBS = "message.output_text.logprobs"


def responses(body: dict[str, Any]) -> dict[str, Any]:
    asked = body.get("input")
    question = asked if isinstance(asked, str) else last_question(asked)
    form = body.get("text")
    form = form if is_object(form) else {}
    tool = forced(body)
    tools = body.get("tools")
    text = call(tool, question, seed(body)) if tool else data(form.get("format"), question, seed(body))
    text, short = tokens.cut(
        f"echo: {question}" if text is None else text, count(body.get("max_output_tokens"))
    )
    status = "incomplete" if short else "completed"
    now = int(time.time())
    repeated = {
        name: usual if (given := body.get(name)) is None else given for name, usual in _REPEATED.items()
    }
    return {
        "id": new_id("resp_"),
        "object": "response",
        "created_at": now,
        "completed_at": None if short else now,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if short else None,
        "model": snapshot(body.get("model") or "echo"),
        "output": [_calling(tool, text, status) if tool else _message(text, status, body)],
        **repeated,
        "service_tier": "default" if repeated["service_tier"] == "auto" else repeated["service_tier"],
        "conversation": {"id": given} if isinstance(given := body.get("conversation"), str) else given,
        "input_transformations": None,
        "metadata": body.get("metadata") or {},
        "moderation": None,
        "prompt_cache_diagnostics": None,
        "prompt_cache_options": _over(_CACHE, cached)
        if (cached := body.get("prompt_cache_options"))
        else None,
        "reasoning": _over({"effort": None, "summary": None}, body.get("reasoning")),
        "text": _over({"format": {"type": "text"}, "verbosity": "medium"}, form),
        "tool_usage": None,
        "tools": [_tool(each) for each in tools] if is_array(tools) else [],
        "usage": _usage(tokens_asked(asked), tokens.number_of(text)),
    }


def _message(text: str, status: str, body: dict[str, Any]) -> dict[str, Any]:
    included = body.get("include")
    logprobs: list[dict[str, Any]] = []
    if is_array(included) and _LOGPROBS in included:
        several = count(body.get("top_logprobs"), tokens.MOST_ALTERNATIVES) or 0
        logprobs = tokens.log_probabilities(tokens.split(text), several)
    return {
        "id": new_id("msg_"),
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": [{"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}],
    }


def _calling(tool: Tool, text: str, status: str) -> dict[str, Any]:
    if tool.takes_text:
        made = {"id": new_id("ctc_"), "type": "custom_tool_call", "input": text}
    else:
        made = {"id": new_id("fc_"), "type": "function_call", "arguments": text, "status": status}
    return made | {"call_id": new_id("call_"), "name": tool.name}


def _tool(given: Any) -> Any:
    """A tool of the request, with what the API fills in."""
    if is_object(given) and given.get("type") == "function":
        return {"description": None, "parameters": None, "strict": True, **given}
    return given


def _over(usual: dict[str, Any], given: Any) -> dict[str, Any]:
    return (
        usual | {name: value for name, value in given.items() if value is not None}
        if is_object(given)
        else usual
    )


def _usage(read: int, written: int) -> dict[str, Any]:
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": read + written,
    }
