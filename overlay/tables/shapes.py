"""From the JSON schema of an answer to columns of Arrow, and from answers to what is in them.

Objects are structs, arrays are lists, an enumeration of texts is a dictionary, `date`, `date-time` and `time` are
what they say. What Arrow has no type for, a union of several types, anything at all, a schema that contains itself,
is a column of JSON texts.
"""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import msgspec

from overlay.lines import is_array, is_object
from overlay.tables.arrow import Type, pa

_PLAIN = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
}
_TIMES = (dt.date, dt.time)
_FORMATS: dict[str, tuple[Any, Any]] = {
    "date": (pa.date32(), dt.date.fromisoformat),
    "date-time": (pa.timestamp("us", tz="UTC"), dt.datetime.fromisoformat),
    "time": (pa.time64("us"), dt.time.fromisoformat),
}


class Shape(ABC):
    """The type of a column, and how values become one."""

    @property
    @abstractmethod
    def type(self) -> Type:
        """What Arrow calls it."""

    @abstractmethod
    def array(self, values: Sequence[Any]) -> Any:
        """The values as an array; None is null. Raises what pyarrow raises for a value that does not fit."""


@attrs.frozen
class Plain(Shape):
    """Numbers, texts, truth values."""

    kind: Type

    @property
    def type(self) -> Type:
        return self.kind

    def array(self, values: Sequence[Any]) -> Any:
        return pa.array(values, type=self.type)


@attrs.frozen
class _Text(Shape):
    """Texts; dates and times, where the schema does not say that they are, as ISO 8601."""

    @property
    def type(self) -> Type:
        return pa.string()

    def array(self, values: Sequence[Any]) -> Any:
        return pa.array(
            [each.isoformat() if isinstance(each, _TIMES) else each for each in values], type=self.type
        )


@attrs.frozen
class _Parsed(Shape):
    """Dates and times, which JSON has as text."""

    kind: Type
    parse: Any

    @property
    def type(self) -> Type:
        return self.kind

    def array(self, values: Sequence[Any]) -> Any:
        return pa.array(
            [self.parse(each) if isinstance(each, str) else each for each in values], type=self.type
        )


@attrs.frozen
class _Words(Shape):
    """One of a few texts: the same dictionary in every batch."""

    words: tuple[str, ...]

    @property
    def type(self) -> Type:
        return pa.dictionary(pa.int32(), pa.string())

    def array(self, values: Sequence[Any]) -> Any:
        places = {word: place for place, word in enumerate(self.words)}
        try:
            at = [None if each is None else places[each] for each in values]
        except (KeyError, TypeError) as error:
            raise pa.ArrowInvalid(f"{error} is none of {', '.join(self.words)}") from None
        return pa.DictionaryArray.from_arrays(pa.array(at, type=pa.int32()), pa.array(self.words))


@attrs.frozen
class _Json(Shape):
    """Whatever else, as JSON text."""

    @property
    def type(self) -> Type:
        return pa.string()

    def array(self, values: Sequence[Any]) -> Any:
        return pa.array(
            [None if each is None else msgspec.json.encode(each).decode() for each in values], type=self.type
        )


@attrs.frozen
class Struct(Shape):
    """An object with named parts."""

    parts: Mapping[str, Shape]

    @property
    def type(self) -> Type:
        return pa.struct([pa.field(name, part.type) for name, part in self.parts.items()])

    def array(self, values: Sequence[Any]) -> Any:
        for each in values:
            if each is not None and not is_object(each):
                raise pa.ArrowInvalid(f"{each!r:.60} is no object")
        arrays = [
            part.array([None if each is None else each.get(name) for each in values])
            for name, part in self.parts.items()
        ]
        fields = [pa.field(name, part.type) for name, part in self.parts.items()]
        return pa.StructArray.from_arrays(
            arrays, fields=fields, mask=pa.array([each is None for each in values], type=pa.bool_())
        )


@attrs.frozen
class List(Shape):
    """An array of items."""

    items: Shape

    @property
    def type(self) -> Type:
        return pa.list_(self.items.type)

    def array(self, values: Sequence[Any]) -> Any:
        ends, flat = [0], list[Any]()
        for each in values:
            if each is not None and not isinstance(each, list | tuple):
                raise pa.ArrowInvalid(f"{each!r:.60} is no array")
            flat += each or []
            ends.append(len(flat))
        return pa.ListArray.from_arrays(
            pa.array(ends, type=pa.int32()),
            self.items.array(flat),
            mask=pa.array([each is None for each in values], type=pa.bool_()),
        )


@attrs.frozen
class Vector(Shape):
    """An embedding; of a length that is known, or of any."""

    length: int | None

    @property
    def type(self) -> Type:
        return pa.list_(pa.float32()) if self.length is None else pa.list_(pa.float32(), self.length)

    def array(self, values: Sequence[Any]) -> Any:
        # By their bytes: from numbers of Python's it would take many times as long.
        flat, ends = array("f"), array("i", [0])
        nothing = array("f", bytes(4 * (self.length or 0)))
        for each in values:
            if each is not None and self.length is not None and len(each) != self.length:
                raise pa.ArrowInvalid(f"a vector of {len(each):,} numbers, not of {self.length:,}")
            flat.extend(nothing if each is None else each)
            ends.append(len(flat))
        numbers = pa.Array.from_buffers(pa.float32(), len(flat), [None, pa.py_buffer(flat)])
        absent = pa.array([each is None for each in values], type=pa.bool_())
        if self.length is not None:
            return pa.FixedSizeListArray.from_arrays(numbers, self.length, mask=absent)
        places = pa.Array.from_buffers(pa.int32(), len(ends), [None, pa.py_buffer(ends)])
        return pa.ListArray.from_arrays(places, numbers, mask=absent)


def shape_of(schema: Mapping[str, Any]) -> Shape:
    """The shape of what a JSON schema describes."""
    return _shape(schema, schema.get("$defs") or schema.get("definitions") or {}, ())


def _shape(schema: Any, defs: Mapping[str, Any], above: tuple[str, ...]) -> Shape:
    if not is_object(schema):
        return _Json()
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return _Json() if name in above or name not in defs else _shape(defs[name], defs, (*above, name))
    for word in ("anyOf", "oneOf", "allOf"):
        if is_array(schema.get(word)):
            others = [each for each in schema[word] if not _is_null(each)]
            return _shape(others[0], defs, above) if len(others) == 1 else _Json()
    values = schema.get("enum") or ([schema["const"]] if "const" in schema else None)
    if is_array(values):
        return _one_of([each for each in values if each is not None])
    kind = _kind(schema.get("type"))
    if kind == "object" and schema.get("properties"):
        return Struct({name: _shape(part, defs, above) for name, part in schema["properties"].items()})
    if kind == "array" and "items" in schema:
        return List(_shape(schema["items"], defs, above))
    if kind == "string":
        return _Parsed(*_FORMATS[schema["format"]]) if schema.get("format") in _FORMATS else _Text()
    return Plain(_PLAIN[kind]) if kind in _PLAIN else _Json()


def _kind(given: Any) -> str | None:
    """The one type of a schema besides null; None if there are several, or none is named."""
    kinds = {each for each in (given if is_array(given) else [given]) if isinstance(each, str)} - {"null"}
    if kinds == {"integer", "number"}:
        return "number"
    return kinds.pop() if len(kinds) == 1 else None


def _one_of(values: list[Any]) -> Shape:
    if all(isinstance(each, str) for each in values):
        return _Words(tuple(dict.fromkeys(values)))
    if all(isinstance(each, bool) for each in values):
        return Plain(pa.bool_())
    if all(isinstance(each, int) and not isinstance(each, bool) for each in values):
        return Plain(pa.int64())
    return _Json()


def _is_null(schema: Any) -> bool:
    return is_object(schema) and schema.get("type") == "null"
