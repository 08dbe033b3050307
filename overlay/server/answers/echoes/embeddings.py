"""/v1/embeddings, by https://platform.openai.com/docs/api-reference/embeddings/object."""

import math
import struct
from base64 import b64encode
from hashlib import shake_128
from typing import Any

from overlay.server.answers.echoes.questions import count, flat, separate, tokens_in
from overlay.server.models import snapshot

# https://platform.openai.com/docs/guides/embeddings; of other models nothing is known, and short ones do.
_DIMENSIONS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536}
_USUAL_DIMENSIONS = 8
_MOST_DIMENSIONS = 4096


def embeddings(body: dict[str, Any]) -> dict[str, Any]:
    inputs = separate(body.get("input"))
    model = body.get("model") or "echo"
    size = count(body.get("dimensions"), _MOST_DIMENSIONS) or _DIMENSIONS.get(model, _USUAL_DIMENSIONS)
    as_text = body.get("encoding_format") == "base64"
    vectors = [_vector(flat(each), size) for each in inputs]
    read = sum(map(tokens_in, inputs))
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _base64(vector) if as_text else vector}
            for index, vector in enumerate(vectors)
        ],
        "model": snapshot(model),
        "usage": {"prompt_tokens": read, "total_tokens": read},
    }


def _vector(text: str, size: int) -> list[float]:
    """Numbers that depend on the text alone and mean nothing, of length 1 together as those of the API."""
    noise = shake_128(text.encode("utf-8", "surrogatepass")).digest(4 * size)
    numbers = [number / 2**31 - 1 for number in struct.unpack(f"<{size}I", noise)]
    length = math.hypot(*numbers) or 1.0
    return [round(number / length, 8) for number in numbers]


def _base64(vector: list[float]) -> str:
    """Little-endian float32, which is what clients of the API unpack."""
    return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
