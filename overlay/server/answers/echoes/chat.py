"""/v1/chat/completions, by https://platform.openai.com/docs/api-reference/chat/object."""

import time
from typing import Any

from overlay.server.answers.echoes import tokens
from overlay.server.answers.echoes.questions import count, last_question, seed, tokens_asked
from overlay.server.answers.echoes.wanted import Tool, call, data, forced, forced_function
from overlay.server.models import snapshot
from overlay.server.objects import new_id

MOST_CHOICES = 128
# Without any of these, the answer is one choice of plain text, as most are.
_SHAPING = frozenset({
    "n",
    "logprobs",
    "response_format",
    "tools",
    "functions",
    "stop",
    "max_tokens",
    "max_completion_tokens",
})  # fmt: skip


def chat(body: dict[str, Any]) -> dict[str, Any]:
    messages = body.get("messages")
    asked = last_question(messages)
    if _SHAPING.isdisjoint(body):
        text = f"echo: {asked}"
        choices, written = [_choice(0, _message(text), "stop")], tokens.number_of(text)
    else:
        choices, written = _shaped(body, asked)
    read = tokens_asked(messages)
    return {
        "id": new_id("chatcmpl-"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": snapshot(body.get("model") or "echo"),
        "choices": choices,
        "usage": usage(read, written),
        "service_tier": "default",
        "system_fingerprint": "fp_echo",
    }


def usage(read: int, written: int) -> dict[str, Any]:
    """That of chat completions, and of completions."""
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _message(content: str | None) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "refusal": None, "annotations": []}


def _choice(index: int, message: dict[str, Any], reason: str, logprobs: Any = None) -> dict[str, Any]:
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": reason}


def _shaped(body: dict[str, Any], asked: str) -> tuple[list[dict[str, Any]], int]:
    """The choices, and how many tokens they have together."""
    most = count(body.get("max_completion_tokens") or body.get("max_tokens"))
    tool = forced(body) or forced_function(body)
    chance = seed(body)
    choices: list[dict[str, Any]] = []
    written = 0
    for index in range(count(body.get("n"), MOST_CHOICES) or 1):
        if tool:
            text, short = tokens.cut(call(tool, asked, chance + index), most)
            # A call that was forced by name ends with "stop"; second-hand, from what users of the API report.
            reason = "length" if short else "stop" if tool.named else "tool_calls"
            choices.append(_choice(index, _calling(tool, text), reason))
        else:
            text = data(body.get("response_format"), asked, chance + index) or f"echo: {asked}"
            text, short = tokens.cut(tokens.stopped(text, body.get("stop")), most)
            logprobs = _logprobs(text, body.get("top_logprobs")) if body.get("logprobs") else None
            choices.append(_choice(index, _message(text), "length" if short else "stop", logprobs))
        written += tokens.number_of(text)
    return choices, written


def _calling(tool: Tool, text: str) -> dict[str, Any]:
    if tool.deprecated:
        return _message(None) | {"function_call": {"name": tool.name, "arguments": text}}
    if tool.takes_text:
        called = {"type": "custom", "custom": {"name": tool.name, "input": text}}
    else:
        called = {"type": "function", "function": {"name": tool.name, "arguments": text}}
    return _message(None) | {"tool_calls": [{"id": new_id("call_"), **called}]}


def _logprobs(text: str, alternatives: Any) -> dict[str, Any]:
    several = count(alternatives, tokens.MOST_ALTERNATIVES) or 0
    return {"content": tokens.log_probabilities(tokens.split(text), several), "refusal": None}
