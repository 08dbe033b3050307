"""Faults as one types them, on a command line for one.

    POST /batches reject status=503 headers.Retry-After=1 times=2
    GET /files/*/content cut after=1000 framing=chunked
    POST /batches accept then=reset rate=0.1 times=forever
    * delay before=0.5

First the pattern, then the effect by its name, then its fields and the fault's own (`times`, `skip`, `rate`) in any
order; a dot reaches into a field. Words are split as a shell does, so that a text with spaces can be quoted.
"""

import math
import shlex
from collections.abc import Callable, Mapping
from types import UnionType
from typing import Any, TypeGuard, cast, get_args, get_origin

import msgspec
from msgspec.structs import FieldInfo, fields

from overlay.server.faults.kinds import Effect, is_header
from overlay.server.faults.matching import Fault
from overlay.server.values import read_pairs, read_value

_FOREVER = "forever"


def read_fault(text: str) -> Fault:
    """Raises `ValueError` that says what is wrong with the text, and what may stand in its place."""
    words = shlex.split(text)
    # A lone * is a whole pattern.
    alone = words[:1] == ["*"] and not "".join(words[1:2]).startswith(("/", "*"))
    length = 1 if alone else 2
    match, effect = " ".join(words[:length]), words[length : length + 1]
    if not effect:
        raise ValueError(f"expected a pattern and an effect, as in 'POST /batches reject', got {text!r}")
    pairs = read_pairs(words[length + 1 :])
    own = {name: read(pairs.pop(name)) for name, read in _OWN.items() if name in pairs}
    return Fault(match, _effect(effect[0], pairs, Effect), **own)


def _times(text: str) -> int | None:
    if text == _FOREVER:
        return None
    try:
        return int(read_value(text, int))
    except ValueError:
        raise ValueError(f"times: expected a whole number or {_FOREVER}, got {text!r}") from None


def _skip(text: str) -> int:
    try:
        return int(read_value(text, int))
    except ValueError as error:
        raise ValueError(f"skip: {error}") from None


def _rate(text: str) -> float:
    try:
        rate = float(read_value(text, float))
    except ValueError:
        rate = math.inf
    if rate > 1:
        raise ValueError(f"rate: expected a number from 0 to 1, got {text!r}")
    return rate


_OWN: dict[str, Callable[[str], Any]] = {"times": _times, "skip": _skip, "rate": _rate}


def _effect(name: str, pairs: Mapping[str, str], kinds: Any) -> Any:
    """An effect, one of `kinds`, with the fields that `pairs` give by name, or by name, dot and name."""
    named = {each.__struct_config__.tag: each for each in _structs(kinds)}
    kind = named.get(name.replace("-", "_"))
    if kind is None:
        raise ValueError(f"there is no effect {name!r} here; there are {', '.join(sorted(map(str, named)))}")
    own = {field.name: field for field in fields(kind)}
    inner: dict[str, dict[str, str]] = {}
    for key, text in pairs.items():
        field, _, rest = key.partition(".")
        if field not in own:
            takes = ", ".join(own) or "no fields"
            raise ValueError(f"{name} has no {key!r}; it takes {takes}, and as any fault times, skip, rate")
        inner.setdefault(field, {})[rest] = text
    if lacking := [field.name for field in own.values() if field.required and field.name not in inner]:
        raise ValueError(f"{name} needs {lacking[0]}=…")
    return kind(**{field: _field(own[field], texts) for field, texts in inner.items()})


def _field(field: FieldInfo, texts: dict[str, str]) -> Any:
    """The value of a field, from the text given for itself, under "", or those for what is in it."""
    if _structs(field.type):
        # `then.status=503` alone is of the kind that stands there by default.
        name = texts.pop("", None) or str(cast("msgspec.Struct", field.default).__struct_config__.tag)
        return _effect(name, texts, field.type)
    if field.type == dict[str, str]:
        return _headers(field.name, texts)
    if field.type == dict[str, Any]:
        return {name: _json(text) for name, text in texts.items()}
    if texts.keys() != {""}:
        raise ValueError(f"{field.name} has no fields")
    try:
        return msgspec.convert(read_value(texts[""], field.type), field.type)
    except msgspec.ValidationError as error:
        raise ValueError(f"{field.name}={texts['']}: {error}".replace("`", "")) from None
    except ValueError as error:
        raise ValueError(f"{field.name}: {error}") from None


def _headers(field: str, texts: Mapping[str, str]) -> dict[str, str]:
    for name, text in texts.items():
        if not is_header(name, text):
            raise ValueError(f"expected a header, as in {field}.Retry-After=1, got {field}.{name}={text}")
    return dict(texts)


def _json(text: str) -> Any:
    """What the text is in JSON, else the text itself."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _structs(kind: Any) -> tuple[type[msgspec.Struct], ...]:
    """The effects that a type stands for; none where it stands for something else."""
    alternatives = get_args(kind) if get_origin(kind) is UnionType else (kind,)
    return alternatives if all(_is_struct(each) for each in alternatives) else ()


def _is_struct(kind: Any) -> TypeGuard[type[msgspec.Struct]]:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)
