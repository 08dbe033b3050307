"""The test data: requests and answers like those of a batch of chat completions."""

from __future__ import annotations

import json
import random
from pathlib import Path

_WORDS = [
    "the",
    "model",
    "reads",
    "each",
    "request",
    "once",
    "and",
    "answers",
    "it",
    "in",
    "its",
    "own",
    "words",
    "which",
    "may",
    "be",
    "many",
    "or",
    "few",
    "so",
    "that",
    "a",
    "result",
    "is",
    "mostly",
    "text",
    "with",
    "a",
    "little",
    "about",
    "the",
    "text",
    "and",
    "now",
    "and",
    "then",
    "a",
    "number",
    "such",
    "as",
    "42",
    "or",
    "3.14",
]


def seeded() -> random.Random:
    """The same random numbers in every run."""
    return random.Random(7)


def text(letters: int, source: random.Random) -> str:
    """Prose of about this many letters: words, line breaks, an occasional quotation."""
    words = []
    length = 0
    while length < letters:
        word = source.choice(_WORDS)
        if source.random() < 0.02:
            word = f'"{word}"\n'
        words.append(word)
        length += len(word) + 1
    return " ".join(words)


def request_line(number: int, prompt: str) -> bytes:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": prompt}]}
    line = {"custom_id": f"request-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
    return json.dumps(line).encode() + b"\n"


def answer_line(number: int, answer: str) -> bytes:
    message: dict[str, object] = {"role": "assistant", "content": answer, "refusal": None, "annotations": []}
    body = {
        "id": f"chatcmpl-{number:029}",
        "object": "chat.completion",
        "created": 1_700_000_000 + number,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": 30,
            "completion_tokens": len(answer) // 4,
            "total_tokens": 30 + len(answer) // 4,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
    }
    response = {"status_code": 200, "request_id": f"req_{number:032}", "body": body}
    line = {
        "id": f"batch_req_{number:024}",
        "custom_id": f"request-{number}",
        "response": response,
        "error": None,
    }
    return json.dumps(line).encode() + b"\n"


def write_batch(requests: Path, answers: Path, *, lines: int, line_bytes: int) -> None:
    """The files of a batch: requests in order, answers of about `line_bytes` each in another order."""
    source = seeded()
    sample = [text(line_bytes - 900, source) for _ in range(100)]
    with requests.open("wb") as file:
        file.writelines(request_line(number, "Say something about the number.") for number in range(lines))
    order = list(range(lines))
    source.shuffle(order)
    with answers.open("wb") as file:
        file.writelines(answer_line(number, sample[number % len(sample)]) for number in order)


def write_requests(path: Path, *, lines: int, line_bytes: int) -> None:
    """A file of requests of about `line_bytes` each."""
    source = seeded()
    sample = [text(line_bytes - 150, source) for _ in range(100)]
    with path.open("wb") as file:
        file.writelines(request_line(number, sample[number % len(sample)]) for number in range(lines))
