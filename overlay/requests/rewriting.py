"""A JSON schema, rewritten to the strict subset.

Every property is required, as the model must write each; one that may be absent is a union with null only where
its type has None. What the subset cannot say about a value, such as its least or its format, is said in the
description, and held against the answer when it is parsed. What it cannot hold at all is refused, by place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import attrs

from overlay.errors import ConfigurationError
from overlay.lines import is_array, is_object
from overlay.requests.strict_subset import TYPES

_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_SAID: Mapping[str, str] = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "pattern": "matching {}",
    "format": "{}",
    "contentEncoding": "in {}",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
}
"""How a constraint reads in a description."""
_FORMATS: Mapping[str, str] = {
    "date-time": "date and time as in RFC 3339",
    "date": "date, as 2026-01-31",
    "time": "time, as 23:59:59",
    "duration": "duration as in ISO 8601",
    "uuid": "UUID",
    "decimal": "decimal number",
    "binary": "in base64",
}
_OPEN = "an object with names of any kind (a dict) is outside the strict subset: use a list of name and value"


def definitions(schema: Mapping[str, Any]) -> dict[str, Any]:
    """What a schema defines for its references, under either name."""
    found = (schema.get("definitions"), schema.get("$defs"))
    return {name: part for defs in found if is_object(defs) for name, part in defs.items()}


@attrs.define
class Rewriting:
    """One schema on its way into the subset."""

    defs: dict[str, Any]
    times: Mapping[tuple[str, str], str]
    formats: bool = False
    """Whether formats stay in their places. Only newer models take them there."""
    done: dict[str, Any] = attrs.field(factory=dict[str, Any])
    _inlined: list[str] = attrs.field(factory=list[str])

    def definition(self, ref: Any, place: str) -> tuple[str, dict[str, Any]]:
        """What a reference leads to, and its name."""
        name = str(ref).removeprefix("#/$defs/").removeprefix("#/definitions/")
        found = self.defs.get(name.replace("~1", "/").replace("~0", "~"))
        if not is_object(found):
            raise _refused(place, f"its reference {ref!r:.100} leads nowhere")
        return name, found

    def node(self, schema: Any, place: str) -> dict[str, Any]:
        """A part of the schema, rewritten."""
        if not is_object(schema):
            raise _refused(place, "it may be anything; give it a type")
        self.defs |= definitions(schema)
        if "$ref" in schema:
            return self._reference(schema, place)
        for keyword in _OUTSIDE.intersection(schema):
            raise _refused(place, _WHY.get(keyword, f'"{keyword}" is outside the strict subset'))
        if is_array(parts := schema.get("allOf")):
            if len(parts) != 1:
                raise _refused(place, '"allOf" is outside the strict subset')
            return self.node(parts[0] | {name: schema[name] for name in schema if name != "allOf"}, place)
        parts = schema.get("anyOf", schema.get("oneOf"))
        return self._union(schema, parts, place) if is_array(parts) else self._typed(schema, place)

    def _typed(self, schema: dict[str, Any], place: str) -> dict[str, Any]:
        if is_array(values := [schema["const"]] if "const" in schema else schema.get("enum")):
            return self._values(schema, values, place)
        kind = schema.get("type", "object" if "properties" in schema else None)
        if is_array(kind):
            said = {"description": schema.get("description")}
            return self._union(said, [{**schema, "type": each, "description": None} for each in kind], place)
        if not isinstance(kind, str) or kind not in TYPES:
            raise _refused(place, "it may be anything; give it a type")
        if kind == "object":
            return self._object(schema, place)
        described = _described(schema) | {"type": kind}
        if self.formats and "format" in schema:
            described["format"] = schema["format"]
        return (
            described | {"items": self.node(schema.get("items"), f"{place}[]")}
            if kind == "array"
            else described
        )

    def _reference(self, schema: dict[str, Any], place: str) -> dict[str, Any]:
        name, found = self.definition(schema["$ref"], place)
        words = schema.get("description")
        if words and name not in self._inlined:
            # Beside a reference nothing may stand: what is said of this one needs a copy.
            self._inlined.append(name)
            copy = self.node({**found, "description": words}, place)
            self._inlined.pop()
            return copy
        clean = _NAME.sub("_", name)
        if clean not in self.done:
            self.done[clean] = {}  # already there when the definition refers to itself
            self.done[clean] = self.node(found, str(found.get("title", name)))
        return {"$ref": f"#/$defs/{clean}"}

    def _union(self, schema: dict[str, Any], parts: list[Any], place: str) -> dict[str, Any]:
        options: list[dict[str, Any]] = []
        for part in parts:
            option = self.node(part, place)
            flat = option["anyOf"] if option.keys() == {"anyOf"} else [option]
            options += [each for each in flat if each not in options]
        if {"type": "number"} in options:
            options = [each for each in options if each != {"type": "integer"}]  # which is a number, too
        _begin_differently([self._resolved(option) for option in options])
        said = {"description": schema["description"]} if schema.get("description") else {}
        if len(options) == 1 and (not said or "$ref" not in options[0]):
            return options[0] | said
        return said | {"anyOf": options}

    def _resolved(self, option: dict[str, Any]) -> dict[str, Any]:
        ref = str(option.get("$ref", "")).removeprefix("#/$defs/")
        found: dict[str, Any] = self.done.get(ref, option)
        return found

    def _values(self, schema: dict[str, Any], values: list[Any], place: str) -> dict[str, Any]:
        kinds: dict[str, list[Any]] = {}
        for value in values:
            kind = _KINDS.get(type(value))  # pyright: ignore[reportUnknownArgumentType] - of any type
            if kind is None:
                raise _refused(place, f"the value {value!r:.100} is no string, number, boolean or null")
            kinds.setdefault(kind, []).append(value)
        said = {"description": schema["description"]} if schema.get("description") else {}
        options: list[dict[str, Any]] = [
            {"type": kind} if kind == "null" else {"type": kind, "enum": each} for kind, each in kinds.items()
        ]
        if not options:
            raise _refused(place, "it has no value that it may be")
        return said | (options[0] if len(options) == 1 else {"anyOf": options})

    def _object(self, schema: dict[str, Any], place: str) -> dict[str, Any]:
        properties = schema.get("properties")
        if not is_object(properties) or not properties:
            open_to = schema.get("additionalProperties", not is_object(properties))
            raise _refused(place, "it has no fields" if open_to is False or properties == {} else _OPEN)
        title = str(schema.get("title", ""))
        parts: dict[str, Any] = {}
        for name, part in properties.items():
            kind = self.times.get((title, name))
            parts[name] = self.node(_with_format(part, kind) if kind else part, f"{place}.{name}")
        return _described(schema) | {
            "type": "object",
            "properties": parts,
            "required": list(parts),
            "additionalProperties": False,
        }


_KINDS = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}
_OUTSIDE = frozenset({"patternProperties", "propertyNames", "not", "if", "dependentRequired", "prefixItems"})
_WHY = {
    "patternProperties": _OPEN,
    "propertyNames": _OPEN,
    "prefixItems": "a tuple of fixed places is outside the strict subset: use a class with fields",
}


def _refused(place: str, reason: str) -> ConfigurationError:
    return ConfigurationError(f"{place} cannot be part of an answer: {reason}")


def _described(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The description, and in it what else the subset cannot say."""
    words = schema.get("description")
    said = [
        form.format(_FORMATS.get(str(schema[name]), schema[name]))
        for name, form in _SAID.items()
        if schema.get(name) is not None
    ]
    if schema.get("uniqueItems") is True:
        said.append("no item twice")
    if not said:
        return {"description": words} if isinstance(words, str) and words else {}
    return {"description": f"{words} ({'; '.join(said)})" if words else "; ".join(said)}


def _with_format(schema: Any, kind: str) -> Any:
    """The strings in a property that are times."""
    if not is_object(schema):
        return schema
    changed = dict(schema)
    if schema.get("type") == "string" and "enum" not in schema:
        changed.setdefault("format", kind)
    if "items" in schema:
        changed["items"] = _with_format(schema["items"], kind)
    if is_array(parts := schema.get("anyOf")):
        changed["anyOf"] = [_with_format(part, kind) for part in parts]
    return changed


def _begin_differently(options: list[dict[str, Any]]) -> None:
    """Bring to the front of each object of a union what tells it from the others: a property whose values differ,
    or one that the others do not have.
    """
    objects = [option for option in options if option.get("properties")]
    first = [next(iter(each["properties"])) for each in objects]
    if len({*first}) == len(first):
        return
    for name in objects[0]["properties"]:
        values = [each["properties"].get(name, {}).get("enum") for each in objects]
        told = [value for one in values for value in one or [None]]
        if None not in told and len(told) == len({*told}):
            for each in objects:
                _to_front(each, name)
            return
    for each in objects:
        others = [other["properties"] for other in objects if other is not each]
        own = next((name for name in each["properties"] if not any(name in other for other in others)), None)
        if own is not None:
            _to_front(each, own)


def _to_front(schema: dict[str, Any], name: str) -> None:
    properties = schema["properties"]
    schema["properties"] = {name: properties[name]} | properties
    schema["required"] = list(schema["properties"])
