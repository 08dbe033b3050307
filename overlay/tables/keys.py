"""What tells a row from all others: the custom_id of its request."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import uuid
from collections.abc import Sequence
from typing import Any

from overlay.errors import ConfigurationError
from overlay.tables.arrow import Schema, pa

_TEXTUAL = (str, int, decimal.Decimal, dt.date, dt.time, uuid.UUID)


def check_key(schema: Schema, key: str) -> None:
    """Raises ConfigurationError for a column whose values cannot be keys."""
    kind: Any = schema.field(key).type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_nested(kind) or "binary" in str(kind) or pa.types.is_duration(kind):
        raise ConfigurationError(
            f"column {key!r} cannot be the key: it is {kind}; a key is text, a whole number or a date"
        )


def keys_of_texts(texts: Sequence[str | None], kind: Any) -> Any:
    """An array of keys of a type, of their texts. Raises ConfigurationError for a type that texts do not become."""
    if pa.types.is_dictionary(kind):
        return keys_of_texts(texts, kind.value_type).dictionary_encode().cast(kind)
    try:
        return pa.array(texts, pa.string()).cast(kind)
    except pa.ArrowException as error:
        raise ConfigurationError(f"a key cannot be {kind} here: {error}; cast the column to text") from None


def key_text(value: object) -> str:
    """The key as text. Raises ValueError that says what is wrong with it."""
    if value is None:
        raise ValueError("is missing")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        if math.isnan(value):
            raise ValueError("is missing (NaN)")
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, dt.date):  # a datetime is one, too
        return value.isoformat()
    if isinstance(value, _TEXTUAL):
        text = str(value)
        if not text.strip():
            raise ValueError("is empty")
        return text
    raise ValueError(f"is a {type(value).__name__}")
