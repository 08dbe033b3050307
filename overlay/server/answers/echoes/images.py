"""/v1/images/generations and /v1/images/edits, by https://platform.openai.com/docs/api-reference/images/object."""

import re
import time
from base64 import b64encode
from typing import Any

from overlay.server.answers.echoes.pictures import png
from overlay.server.answers.echoes.questions import count, flat, tokens_asked
from overlay.server.objects import new_id

_SIZE = re.compile(r"([1-9]\d{0,3})x([1-9]\d{0,3})")
_USUAL_SIZE = "1024x1024"
_MOST_IMAGES = 10
_QUALITIES = ["low", "medium", "high", "xhigh", "max"]


def images(body: dict[str, Any]) -> dict[str, Any]:
    """Black pictures of the size that was asked for. They are PNGs whatever was asked for, and said to be."""
    prompt = flat(body.get("prompt"))
    size = str(body.get("size"))
    size = size if _SIZE.fullmatch(size) else _USUAL_SIZE
    several = count(body.get("n"), _MOST_IMAGES) or 1
    read = tokens_asked(prompt)
    quality = body.get("quality")
    return {
        "created": int(time.time()),
        "background": "opaque",
        "data": [_image(body, size) | {"revised_prompt": f"echo: {prompt}"} for _ in range(several)],
        "output_format": "png",
        "quality": quality if quality in _QUALITIES else "medium",
        "size": size,
        "usage": {
            "input_tokens": read,
            "input_tokens_details": {"image_tokens": 0, "text_tokens": read},
            "output_tokens": several,
            "output_tokens_details": {"image_tokens": several, "text_tokens": 0},
            "total_tokens": read + several,
        },
    }


def _image(body: dict[str, Any], size: str) -> dict[str, Any]:
    # The DALL·E models answer with a URL unless told otherwise; the others cannot.
    usual = "url" if str(body.get("model")).startswith("dall-e") else "b64_json"
    if (body.get("response_format") or usual) == "url":
        return {
            "url": f"https://images.echo.invalid/{new_id('img-')}.png"
        }  # a name that leads nowhere: RFC 2606
    width, height = map(int, size.split("x"))
    return {"b64_json": b64encode(png(width, height)).decode()}
