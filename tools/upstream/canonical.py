"""The shape of ``openapi.yaml``, for the modules that read and write it.

Every object and every enum is a component; a property is a primitive, a reference, an array, an `anyOf` of these,
or `{}` for anything. Nothing else occurs, which is what makes two of them easy to compare.
"""

from collections.abc import Iterable, Iterator
from typing import Any

Schema = dict[str, Any]

# Numeric limits that a request must keep; `pattern` is left out, as it is in another language's regex syntax.
LIMITS = (
    *("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"),
    *("minLength", "maxLength", "minItems", "maxItems"),
)
PREFIX = "#/components/schemas/"
NULL: Schema = {"type": "null"}
# Set on what a document no longer has and the overlay still uses.
REMOVED = "x-removed-upstream"
# Values of an enum for which the same holds.
REMOVED_VALUES = "x-removed-values"
# What identifies an object comes first, where a reader looks for it.
_FIRST = ("id", "custom_id", "object")


def reference(name: str) -> Schema:
    """A reference to the component *name*."""
    return {"$ref": PREFIX + name}


def alternatives(schema: Schema) -> list[Schema]:
    """The alternatives of a schema; the schema itself if it has none."""
    return list(schema.get("anyOf", [schema]))


def joined(schemas: Iterable[Schema]) -> Schema:
    """One schema of several alternatives, each once."""
    once: list[Schema] = []
    for schema in schemas:
        for alternative in alternatives(schema):
            if alternative not in once:
                once.append(alternative)
    return once[0] if len(once) == 1 else {"anyOf": once}


def names(schema: Any) -> Iterator[str]:
    """The components that a schema refers to, at any depth, in order."""
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"].removeprefix(PREFIX)
        schema = schema.values()
    if not isinstance(schema, str | int | float | None):
        for part in schema:
            yield from names(part)


def referred(schema: Schema) -> list[str]:
    """The components that a schema, or one of its alternatives, refers to directly."""
    return [part["$ref"].removeprefix(PREFIX) for part in alternatives(schema) if "$ref" in part]


def closure(start: Iterable[str], schemas: dict[str, Schema]) -> set[str]:
    """The components in *start*, and all that they refer to, directly or not."""
    reached: set[str] = set()
    waiting = [name for name in start if name in schemas]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting.extend(inner for inner in names(schemas[name]) if inner in schemas)
    return reached


def is_object(schema: Schema) -> bool:
    return schema.get("type") == "object" and isinstance(schema.get("properties"), dict)


def without_words(schema: Any) -> Any:
    """A schema without its descriptions."""
    if isinstance(schema, list):
        return [without_words(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    # Among properties, one may have the name "description"; then its value is a schema.
    return {
        key: {name: without_words(part) for name, part in value.items()}
        if key == "properties"
        else without_words(value)
        for key, value in schema.items()
        if key != "description"
    }


def in_order(properties: dict[str, Schema]) -> dict[str, Schema]:
    """Properties in the order of ``openapi.yaml``, which owes nothing to the order of the document."""
    first = [name for name in _FIRST if name in properties]
    return {name: properties[name] for name in [*first, *sorted(properties.keys() - set(first))]}


def schemas_of(document: dict[str, Any]) -> dict[str, Schema]:
    """The components of an ``openapi.yaml``."""
    components = document.get("components")
    found = components.get("schemas") if isinstance(components, dict) else None
    return found if isinstance(found, dict) else {}


def operations_of(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The operations of an ``openapi.yaml`` by id, each with its `path` and `method`."""
    return {
        operation["operationId"]: {**operation, "path": path, "method": method}
        for path, item in document.get("paths", {}).items()
        for method, operation in item.items()
    }


def sent(operation: dict[str, Any]) -> Schema:
    """The schema of an operation's request body; empty if it has none."""
    return _only(operation.get("requestBody", {}))


def answered(operation: dict[str, Any]) -> Schema:
    """The schema of an operation's answer; empty if it has none."""
    return _only(operation.get("responses", {}).get("200", {}))


def _only(holder: dict[str, Any]) -> Schema:
    content = list(holder.get("content", {}).values())
    return content[0].get("schema", {}) if content else {}
