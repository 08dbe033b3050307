"""The present ``openapi.yaml``, checked before it is used: it is edited by hand, and a slip is not a crash."""

from collections.abc import Iterator
from typing import Any

from tools.upstream.refusal import Refused

_METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})


def checked(document: dict[str, Any]) -> dict[str, Any]:
    """The document, if it has the shape that `make spec` writes. Raises Refused with the place of a slip."""
    slip = next(_slips(document), None)
    if slip is not None:
        raise Refused(slip)
    return document


def _slips(document: dict[str, Any]) -> Iterator[str]:
    paths = document.get("paths", {})
    if not isinstance(paths, dict):
        yield "paths is not a mapping"
        return
    for path, item in paths.items():
        if not isinstance(item, dict):
            yield f"paths, {path}: it is not a mapping of methods"
            continue
        for method, operation in item.items():
            yield from _of_operation(f"paths, {path}, {method}", method, operation)
    components = document.get("components", {})
    schemas = components.get("schemas", {}) if isinstance(components, dict) else None
    if not isinstance(schemas, dict):
        yield "components, schemas: it is not a mapping"
        return
    for name, schema in schemas.items():
        yield from _of_schema(f"components, schemas, {name}", schema)


def _of_operation(place: str, method: str, operation: Any) -> Iterator[str]:
    if method not in _METHODS:
        yield f"{place}: only methods may stand here, such as get or post"
        return
    if not isinstance(operation, dict) or not isinstance(operation.get("operationId"), str):
        yield f"{place}: it is not an operation with an operationId"
        return
    yield from _of_parameters(f"{place}, parameters", operation.get("parameters", []))
    for part in ("requestBody", "responses"):
        if not isinstance(operation.get(part, {}), dict):
            yield f"{place}, {part}: it is not a mapping"
            return
    bodies = [operation.get("requestBody", {}), *operation.get("responses", {}).values()]
    for body in bodies:
        content = body.get("content", {}) if isinstance(body, dict) else None
        if not isinstance(content, dict) or not all(isinstance(media, dict) for media in content.values()):
            yield f"{place}: a body or an answer has no content by media type"
            return
        for media in content.values():
            yield from _of_schema(f"{place}, content", media.get("schema", {}))


def _of_parameters(place: str, parameters: Any) -> Iterator[str]:
    if not isinstance(parameters, list):
        yield f"{place}: it is not a list"
        return
    for number, parameter in enumerate(parameters):
        here = f"{place}, {number + 1}"
        if not isinstance(parameter, dict) or not isinstance(parameter.get("name"), str):
            yield f"{here}: it is not a parameter with a name (a $ref is not followed here)"
        elif not isinstance(parameter.get("in"), str):
            yield f"{here}: it does not say where it is in"
        else:
            yield from _of_schema(f"{here}, schema", parameter.get("schema"))


def _of_schema(place: str, schema: Any) -> Iterator[str]:
    if not isinstance(schema, dict):
        yield f"{place}: it is {type(schema).__name__}, not a schema such as `type: string`"
        return
    if not isinstance(schema.get("$ref", ""), str):
        yield f"{place}: its $ref is not a string"
    for name in ("required", "enum", "anyOf"):
        if not isinstance(schema.get(name, []), list):
            yield f"{place}: its {name} is not a list"
            return
    for number, part in enumerate(schema.get("anyOf", [])):
        yield from _of_schema(f"{place}, anyOf, {number + 1}", part)
    if "items" in schema:
        yield from _of_schema(f"{place}, items", schema["items"])
    properties = schema.get("properties", {})
    if not isinstance(properties, dict):
        yield f"{place}: its properties are not a mapping"
        return
    for name, part in properties.items():
        yield from _of_schema(f"{place}, {name}", part)
