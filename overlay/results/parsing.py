"""From a model's text to the caller's type."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

# Models that are asked for JSON often give it as a Markdown code block.
_FENCE = re.compile(r"\s*```(?:json|JSON)?[ \t]*\r?\n(.*?)\r?\n[ \t]*```\s*", re.DOTALL)


def parse_text(text: str, type: type[T]) -> T:  # noqa: A002 - the word msgspec and others use
    """Decode JSON text into `type`. Raises ValueError if the text does not fit."""
    fenced = _FENCE.fullmatch(text)
    try:
        return msgspec.json.decode(fenced[1] if fenced else text, type=type, dec_hook=_from_pydantic)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _from_pydantic(type: type[Any], value: Any) -> Any:  # noqa: A002 - as msgspec calls it
    # Known by its method, so that pydantic is never imported here. Its JSON mode is used, not its Python mode:
    # only there does a strict model take a date from a string.
    validate = getattr(type, "model_validate_json", None)
    if validate is None:
        raise NotImplementedError(f"JSON cannot be decoded as {type!r}")
    return validate(msgspec.json.encode(value))
