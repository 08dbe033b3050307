"""The subset of JSON Schema that a model can be held to: the guide on structured outputs, "Supported schemas".

The rules are data, as they change; `slips` names what breaks them, each with its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from overlay.lines import is_array, is_object

DEEPEST = 10
"""Levels of objects: "Objects have limitations"."""
MOST_PROPERTIES = 5_000
MOST_VALUES = 1_000
"""Of all enums together."""
TYPES = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})
REFUSED = frozenset(
    {"allOf", "oneOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "default"}
    | {"patternProperties", "propertyNames", "prefixItems", "contains", "uniqueItems", "unevaluatedItems"}
    | {"unevaluatedProperties", "minProperties", "maxProperties"}
)
"""Keywords that the service does not permit; `format`, `minimum` and their like it does, with newer models."""


def slips(schema: Any) -> Iterator[str]:
    """What a strict schema must not have, each with its place; the first of each place."""
    if not is_object(schema) or schema.get("type") != "object":
        yield 'a strict schema must be an object at its top, with "type": "object"'
        return
    defs = _definitions(schema)
    found = next(_slips(schema, "", 1, defs), None) or _too_deep(schema, defs) or _too_many(schema)
    if found is not None:
        yield f"a strict schema is refused: {found}"


def _definitions(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    defs = schema.get("$defs")
    return {f"#/$defs/{name}": part for name, part in defs.items()} if is_object(defs) else {}


def _slips(schema: Any, place: str, depth: int, defs: Mapping[str, Any]) -> Iterator[str]:
    if not is_object(schema):
        return
    where = place or "at its top"
    for keyword in sorted(REFUSED.intersection(schema)):
        yield f'{where}: "{keyword}" is not permitted'
    beside = sorted(name for name in schema if name not in {"$ref", "$defs"}) if "$ref" in schema else []
    if beside:
        yield f'{where}: "$ref" cannot have "{beside[0]}" beside it'
    properties = schema.get("properties")
    if schema.get("type") == "object" or is_object(properties):
        yield from _object_slips(schema, where)
        if depth > DEEPEST:
            yield f"{where}: objects are nested more than {DEEPEST} deep"
            return
        for name, part in (properties or {}).items():
            yield from _slips(part, f"{place}.{name}".lstrip("."), depth + 1, defs)
    yield from _slips(schema.get("items"), f"{place}[]", depth, defs)
    parts = schema.get("anyOf")
    for part in parts if is_array(parts) else ():
        yield from _slips(part, place, depth, defs)
    if is_array(parts):
        yield from (f"{where}: {words}" for words in _alike(parts, defs))
    inner = schema.get("$defs")
    for name, part in inner.items() if is_object(inner) else ():
        yield from _slips(part, f"$defs.{name}", depth, defs)


def _too_deep(schema: Any, defs: Mapping[str, Any]) -> str | None:
    """Whether objects are nested too deep through references; one that leads back to itself adds nothing."""
    known: dict[str, int] = {}

    def levels(part: Any, above: frozenset[str]) -> int:
        if not is_object(part):
            return 0
        ref = str(part.get("$ref"))
        if ref in defs:
            if ref not in known and ref not in above:
                known[ref] = levels(defs[ref], above | {ref})
            return known.get(ref, 0)
        inner: list[Any] = [part.get("items")]
        if is_array(options := part.get("anyOf")):
            inner += options
        properties = part.get("properties")
        if is_object(properties):
            inner += properties.values()
        return is_object(properties) + max((levels(each, above) for each in inner), default=0)

    return f"objects are nested more than {DEEPEST} deep" if levels(schema, frozenset()) > DEEPEST else None


def _object_slips(schema: dict[str, Any], where: str) -> Iterator[str]:
    if schema.get("additionalProperties") is not False:
        yield f'{where}: "additionalProperties" must be false'
    named, required = set(schema.get("properties") or {}), schema.get("required")
    missing = sorted(named - set(required if is_array(required) else ()))
    if missing:
        yield f'{where}: "required" must have every property, and lacks {", ".join(missing[:5])}'


def _alike(parts: list[Any], defs: Mapping[str, Any]) -> Iterator[str]:
    """Objects in one anyOf that begin alike: a model could not tell which one it is writing."""
    seen: dict[str, list[Any]] = {}
    for part in parts:
        found: Any = defs.get(str(part.get("$ref")), part) if is_object(part) else None
        properties: Any = found.get("properties") if is_object(found) else None
        if not is_object(properties) or not properties:
            continue
        name, first = next(iter(properties.items()))
        values = first.get("enum") if is_object(first) else None
        told = values if is_array(values) else None
        for other in seen.get(name, []):
            if told is None or other is None or any(value in other for value in told):
                yield f'two objects of an "anyOf" begin with the same property, {name}'
                return
        seen.setdefault(name, []).append(told)


def _too_many(schema: dict[str, Any]) -> str | None:
    properties = values = 0
    level: list[Any] = [schema]
    while level:
        part = level.pop()
        if not is_object(part):
            continue
        if is_object(found := part.get("properties")):
            properties += len(found)
            level += found.values()
        if is_array(found := part.get("enum")):
            values += len(found)
        if is_array(found := part.get("anyOf")):
            level += found
        if is_object(found := part.get("$defs")):
            level += found.values()
        level.append(part.get("items"))
    if properties > MOST_PROPERTIES:
        return f"it has {properties:,} properties, and {MOST_PROPERTIES:,} are the most"
    return (
        None if values <= MOST_VALUES else f"it has {values:,} enum values, and {MOST_VALUES:,} are the most"
    )
