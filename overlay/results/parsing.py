"""From a model's text to the caller's type."""

from __future__ import annotations

import re
import threading
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

# msgspec works out the fields of a type when it first meets it, in steps between which threads can change. A second
# one that meets the type then finds half of them, and the process crashes.
_lock = threading.RLock()

# Models that are asked for JSON often give it as a Markdown code block.
_FENCE = re.compile(r"\s*```(?:json|JSON)?[ \t]*\r?\n(.*?)\r?\n[ \t]*```\s*", re.DOTALL)


def parse_text(text: str, type: type[T]) -> T:  # noqa: A002 - the word msgspec and others use
    """Decode JSON text into `type`. Raises ValueError if the text does not fit."""
    fenced = _FENCE.fullmatch(text)
    try:
        with _lock:
            decoder = msgspec.json.Decoder(type, dec_hook=_from_pydantic)
        return decoder.decode(fenced[1] if fenced else text)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _from_pydantic(type: type[Any], value: Any) -> Any:  # noqa: A002 - as msgspec calls it
    # Known by its method, so that pydantic is never imported here. Its JSON mode is used, not its Python mode:
    # only there does a strict model take a date from a string.
    validate = getattr(type, "model_validate_json", None)
    if validate is None:
        raise NotImplementedError(f"JSON cannot be decoded as {type!r}")
    return validate(msgspec.json.encode(value))
