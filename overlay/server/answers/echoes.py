"""Answers that repeat what was asked, in the shape of each endpoint, and never pass for a model's.

Every answer names the model `echo:` and what was asked for; every text begins with "echo: ".
"""

import time
from collections.abc import Callable
from typing import Any
from zlib import crc32

from overlay.lines import is_array, is_object
from overlay.server.objects import new_id
from overlay.server.refusals import error_object

_DIMENSIONS = 8


def echo(request: dict[str, Any]) -> dict[str, Any] | tuple[int, dict[str, Any]]:
    """Answer one line of an input file."""
    url: str = request["url"]
    # Azure's have no /v1.
    shape = _SHAPES.get(url if url.startswith("/v1/") else f"/v1{url}")
    if shape is None:
        return 400, error_object(f"The echo has no answer for {request['url']}.", param="url")
    body = request["body"]
    answer = shape(body)
    answer["model"] = f"echo:{body.get('model') or 'default'}"
    return answer


def _chat(body: dict[str, Any]) -> dict[str, Any]:
    text = f"echo: {_last_message(body.get('messages'))}"
    return {
        "id": new_id("chatcmpl-"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": "",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, "refusal": None, "annotations": []},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": _usage("prompt", "completion", body.get("messages"), text),
        "system_fingerprint": "fp_echo",
    }


def _responses(body: dict[str, Any]) -> dict[str, Any]:
    asked = body.get("input")
    text = f"echo: {asked if isinstance(asked, str) else _last_message(asked)}"
    return {
        "id": new_id("resp_"),
        "object": "response",
        "created_at": int(time.time()),
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "metadata": body.get("metadata") or {},
        "model": "",
        "output": [
            {
                "type": "message",
                "id": new_id("msg_"),
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}],
            }
        ],
        "parallel_tool_calls": True,
        "temperature": body.get("temperature", 1.0),
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p", 1.0),
        "usage": _usage("input", "output", asked, text),
    }


def _completions(body: dict[str, Any]) -> dict[str, Any]:
    text = f"echo: {_flat(body.get('prompt'))}"
    return {
        "id": new_id("cmpl-"),
        "object": "text_completion",
        "created": int(time.time()),
        "model": "",
        "choices": [{"text": text, "index": 0, "logprobs": None, "finish_reason": "stop"}],
        "usage": _usage("prompt", "completion", body.get("prompt"), text),
        "system_fingerprint": "fp_echo",
    }


def _embeddings(body: dict[str, Any]) -> dict[str, Any]:
    asked = body.get("input")
    inputs = asked if is_array(asked) and asked and not isinstance(asked[0], int) else [asked]
    size = body.get("dimensions")
    size = size if isinstance(size, int) and 0 < size <= 4096 else _DIMENSIONS  # noqa: PLR2004  a sane most
    usage = _usage("prompt", "completion", asked, "")
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _vector(_flat(each), size)}
            for index, each in enumerate(inputs)
        ],
        "model": "",
        "usage": {"prompt_tokens": usage["prompt_tokens"], "total_tokens": usage["total_tokens"]},
    }


def _moderations(body: dict[str, Any]) -> dict[str, Any]:
    asked = body.get("input")
    inputs = asked if is_array(asked) else [asked]
    categories = ("harassment", "hate", "illicit", "self-harm", "sexual", "violence")
    return {
        "id": new_id("modr-"),
        "model": "",
        "results": [
            {
                "flagged": False,
                "categories": dict.fromkeys(categories, False),
                "category_scores": dict.fromkeys(categories, 0.0),
            }
            for _ in inputs
        ],
    }


_SHAPES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "/v1/chat/completions": _chat,
    "/v1/responses": _responses,
    "/v1/completions": _completions,
    "/v1/embeddings": _embeddings,
    "/v1/moderations": _moderations,
}


def _last_message(messages: Any) -> str:
    if not is_array(messages):
        return _flat(messages)
    for message in reversed(messages):
        if is_object(message) and message.get("role") == "user":
            return _flat(message.get("content"))
    return ""


def _flat(content: Any) -> str:
    """The text of a content, which is a string or a list of parts."""
    if isinstance(content, str):
        return content
    if is_array(content):
        parts = (part.get("text") if is_object(part) else part for part in content)
        return " ".join(str(part) for part in parts if part is not None)
    return "" if content is None else str(content)


def _vector(text: str, size: int) -> list[float]:
    """Numbers in [-1, 1) that depend on the text alone and mean nothing."""
    return [crc32(f"{place}:{text}".encode("utf-8", "surrogatepass")) / 2**31 - 1 for place in range(size)]


def _usage(prompt: str, completion: str, asked: Any, text: str) -> dict[str, Any]:
    """Words counted as tokens, which is an estimate like any other."""
    words = _flat(asked) if not is_array(asked) else " ".join(map(_words, asked))
    asked_tokens, text_tokens = max(1, len(words.split())), len(text.split())
    return {
        f"{prompt}_tokens": asked_tokens,
        f"{completion}_tokens": text_tokens,
        "total_tokens": asked_tokens + text_tokens,
        f"{prompt}_tokens_details": {"cached_tokens": 0},
        f"{completion}_tokens_details": {"reasoning_tokens": 0},
    }


def _words(part: Any) -> str:
    return _flat(part.get("content") if is_object(part) else part)
