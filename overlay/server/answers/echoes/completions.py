"""/v1/completions, by https://platform.openai.com/docs/api-reference/completions/object."""

import time
from itertools import accumulate
from typing import Any

from overlay.server.answers.echoes import tokens
from overlay.server.answers.echoes.chat import MOST_CHOICES, usage
from overlay.server.answers.echoes.questions import count, flat, separate, tokens_in
from overlay.server.models import snapshot
from overlay.server.objects import new_id

_MOST_ALTERNATIVES = 5


def completions(body: dict[str, Any]) -> dict[str, Any]:
    """As many choices as `n` for each prompt, in the order of the prompts."""
    prompts = separate(body.get("prompt"))
    several = count(body.get("n"), MOST_CHOICES) or 1
    choices: list[dict[str, Any]] = []
    written = 0
    for prompt in prompts:
        text, short = _completion(flat(prompt), body)
        written += several * tokens.number_of(text)
        if body.get("echo"):
            text = flat(prompt) + text
        for _ in range(several):
            choices.append(
                {
                    "text": text,
                    "index": len(choices),
                    "logprobs": _logprobs(text, body.get("logprobs")),
                    "finish_reason": "length" if short else "stop",
                }
            )
    return {
        "id": new_id("cmpl-"),
        "object": "text_completion",
        "created": int(time.time()),
        "model": snapshot(body.get("model") or "echo"),
        "choices": choices,
        "usage": usage(sum(map(tokens_in, prompts)), written),
        "system_fingerprint": "fp_echo",
    }


def _completion(prompt: str, body: dict[str, Any]) -> tuple[str, bool]:
    text = tokens.stopped(f"echo: {prompt}", body.get("stop"))
    # None at all are asked for by who wants the log probabilities of the prompt.
    return tokens.cut(text, count(body.get("max_tokens"), least=0))


def _logprobs(text: str, asked: Any) -> dict[str, Any] | None:
    several = count(asked, _MOST_ALTERNATIVES, least=0)
    if several is None:
        return None
    found = tokens.split(text)
    return {
        "tokens": found,
        "token_logprobs": [0.0] * len(found),
        "top_logprobs": [{token: 0.0, **tokens.other_tokens(several)} for token in found]
        if several
        else None,
        "text_offset": [*accumulate(map(len, found), initial=0)][: len(found)],
    }
