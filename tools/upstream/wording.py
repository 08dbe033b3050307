"""The descriptions in ``openapi.yaml`` are this project's own; only structure is taken from a document.

Whatever has a description in the present file keeps it as long as its path, schema or property is there. What is
new has none until somebody writes it.
"""

from typing import Any

from tools.upstream.canonical import Schema, operations_of, schemas_of

_NO_WORDS_YET = "The answer."


def lend(result: dict[str, Any], present: dict[str, Any]) -> None:
    """Give *result* the descriptions that *present* has for what is in both."""
    _copy(result["info"], present.get("info", {}), "title")
    _copy(result["info"], present.get("info", {}))
    for key in ("servers", "security"):
        result[key] = present.get(key, result[key])
    tags = {tag["name"]: tag for tag in present.get("tags", [])}
    for tag in result["tags"]:
        _copy(tag, tags.get(tag["name"], {}))
    now = operations_of(present)
    for path in result["paths"].values():
        for operation in path.values():
            _lend_operation(operation, now.get(operation["operationId"], {}))
    components = present.get("components", {})
    schemes = components.get("securitySchemes", {})
    result["components"]["securitySchemes"] = schemes or result["components"]["securitySchemes"]
    for name, schema in result["components"]["schemas"].items():
        result["components"]["schemas"][name] = _lend_schema(schema, schemas_of(present).get(name, {}))


def wordless(result: dict[str, Any]) -> list[str]:
    """What in *result* has no description yet, such as `Batch.usage`."""
    found = [name for name, operation in operations_of(result).items() if "summary" not in operation]
    for name, schema in schemas_of(result).items():
        properties = schema.get("properties", {})
        found += [f"{name}.{key}" for key, stated in properties.items() if "description" not in stated]
    return sorted(found)


def _lend_operation(operation: dict[str, Any], now: dict[str, Any]) -> None:
    for key in ("summary", "description"):
        _copy(operation, now, key)
    parameters = {(one["name"], one["in"]): one for one in now.get("parameters", [])}
    if "parameters" in operation:
        operation["parameters"] = [_described(one, parameters) for one in operation["parameters"]]
    answers = now.get("responses", {})
    operation["responses"] = {
        code: {
            **answer,
            # OpenAPI requires one.
            "description": answers.get(code, answers.get("200", {})).get("description", _NO_WORDS_YET),
        }
        for code, answer in operation["responses"].items()
    }


def _described(parameter: dict[str, Any], now: dict[tuple[str, str], dict[str, Any]]) -> dict[str, Any]:
    described = dict(parameter)
    _copy(described, now.get((parameter["name"], parameter["in"]), {}))
    return described


def _lend_schema(schema: Schema, now: Schema) -> Schema:
    lent = dict(schema)
    _copy(lent, now)
    if "properties" in schema:
        before = now.get("properties", {})
        lent["properties"] = {}
        for key, stated in schema["properties"].items():
            lent["properties"][key] = dict(stated)
            _copy(lent["properties"][key], before.get(key, {}))
    return lent


def _copy(target: dict[str, Any], source: dict[str, Any], key: str = "description") -> None:
    if key in source:
        target[key] = source[key]
