"""Values of settings as somebody types them, `5000`, `none` or `24h,48h`, read by the type of their field."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

_NONE = "none"
_BOOLS = {"yes": True, "true": True, "no": False, "false": False}
_MOST_DIGITS = 18


def read_value(text: str, kind: Any) -> Any:
    """The value of a field of type `kind`. Raises `ValueError` that says what was expected.

    Numbers are plain, and not negative; the items of a list are separated by commas.
    """
    alternatives = _alternatives(kind)
    if NoneType in alternatives and text.lower() == _NONE:
        return None
    for each in alternatives:
        reader = _READERS.get(_family(each))
        value = reader(text, each) if reader else None
        if value is not None:
            return value
    raise ValueError(f"expected {expected(kind)}, got {text!r}")


def expected(kind: Any) -> str:
    """What may be typed for a field of this type; empty where nothing may."""
    said: list[str] = []
    for each in _alternatives(kind):
        family = _family(each)
        said += map(str, get_args(each)) if family is Literal else [_SAID[family]] if family in _SAID else []
    return " or ".join(said)


def read_pairs(texts: Iterable[str]) -> dict[str, str]:
    """`name=value` texts as a dict. Raises `ValueError` for one without a name, and for a name twice."""
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise ValueError(f"expected name=value, got {text!r}")
        if name in pairs:
            raise ValueError(f"{name} is given twice")
        pairs[name] = value
    return pairs


def _alternatives(kind: Any) -> tuple[Any, ...]:
    if get_origin(kind) is Annotated:
        return _alternatives(get_args(kind)[0])
    return get_args(kind) if get_origin(kind) in {Union, UnionType} else (kind,)


def _family(kind: Any) -> Any:
    """`int` for int, `Collection` for list[int] and its like."""
    origin: Any = get_origin(kind) or kind
    return Collection if _is_collection(origin) else origin


def _is_collection(kind: Any) -> bool:
    return (
        isinstance(kind, type)
        and issubclass(kind, Collection)
        and not issubclass(kind, str | bytes | Mapping)
    )


def _bool(text: str, _: Any) -> bool | None:
    return _BOOLS.get(text.lower())


def _whole(text: str, _: Any) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else None


def _number(text: str, _: Any) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _text(text: str, _: Any) -> str:
    return text


def _word(text: str, kind: Any) -> Any:
    return next((each for each in get_args(kind) if str(each) == text), None)


def _items(text: str, kind: Any) -> list[Any] | None:
    item, *_ = get_args(kind) or (str,)
    return [read_value(each, item) for part in text.split(",") if (each := part.strip())] or None


_READERS: dict[Any, Callable[[str, Any], Any]] = {
    bool: _bool,
    int: _whole,
    float: _number,
    str: _text,
    Literal: _word,
    Collection: _items,
}
_SAID: dict[Any, str] = {
    bool: "yes or no",
    int: "a whole number",
    float: "a number of 0 or more",
    str: "a text",
    Collection: "a list such as a,b",
    NoneType: _NONE,
}
