"""What a document no longer has but the overlay still uses stays in ``openapi.yaml``, marked.

Services keep sending a field after its documentation is gone, and the SDK talks to services whose authors never
read it. So a removal does not break the overlay's imports and attributes; it is reported as breaking, with the
modules that use what was removed, and the mark (`x-removed-upstream`) stays until somebody decides. What nothing
uses is dropped.
"""

from typing import Any

from tools.upstream.canonical import (
    REMOVED,
    REMOVED_VALUES,
    Schema,
    alternatives,
    in_order,
    is_object,
    joined,
    names,
    operations_of,
    schemas_of,
    without_words,
)
from tools.upstream.operations import OPERATIONS
from tools.upstream.promised_values import lost_values
from tools.upstream.promises import Promises


def keep(result: dict[str, Any], present: dict[str, Any], promises: Promises) -> None:
    """Add to *result* what it lacks, *present* has, and something uses."""
    before, after = operations_of(present), operations_of(result)
    for operation in OPERATIONS:
        if operation.id in after and operation.id in before:
            here, there = after[operation.id], before[operation.id]
            _keep_parameters(result["paths"][operation.path][operation.method], here, there, promises)
        elif operation.id in before:
            whole = {
                key: value for key, value in before[operation.id].items() if key not in {"path", "method"}
            }
            result["paths"].setdefault(operation.path, {})[operation.method] = {**whole, REMOVED: True}
    used = {name for operation in operations_of(result).values() for name in names(operation)}
    _keep_schemas(schemas_of(result), schemas_of(present), used | promises.imported, promises)


def _keep_parameters(
    operation: dict[str, Any], here: dict[str, Any], there: dict[str, Any], promises: Promises
) -> None:
    has = {(one["name"], one["in"]) for one in here.get("parameters", [])}
    lost = [
        {**one, REMOVED: True}
        for one in there.get("parameters", [])
        if (one["name"], one["in"]) not in has and promises.senders(here["operationId"], one["name"])
    ]
    if lost:
        parameters = [*here.get("parameters", []), *lost]
        operation["parameters"] = sorted(
            parameters, key=lambda one: (one["in"] != "path", one["name"], one["in"])
        )


def _is_list(stated: Schema) -> bool:
    return any("items" in part for part in alternatives(stated))


def _keep_schemas(
    schemas: dict[str, Any], present: dict[str, Any], wanted: set[str], promises: Promises
) -> None:
    waiting = sorted(name for name in wanted if name not in schemas and name in present)
    while waiting:
        name = waiting.pop()
        if name not in schemas:
            schemas[name] = without_words(present[name])
            waiting.extend(inner for inner in names(present[name]) if inner in present)
    for name in sorted(schemas.keys() & present.keys()):
        schema, before = schemas[name], present[name]
        if "enum" in schema and "enum" in before:
            lost_here = lost_values({*before["enum"]} - {*schema["enum"]}, name, promises)
            if lost_here:
                schema["enum"] = sorted({*schema["enum"], *lost_here})
                schema[REMOVED_VALUES] = sorted(lost_here)
            continue
        if not is_object(schema) or not is_object(before):
            continue
        lost = {
            key: {**stated, REMOVED: True}
            for key, stated in before["properties"].items()
            if key not in schema["properties"] and promises.readers(name, key)
        }
        for key, stated in before["properties"].items():
            now = schema["properties"].get(key)
            if now is not None and _is_list(stated) and not _is_list(now) and promises.readers(name, key):
                # Services go on sending what they have always sent, whatever a document says of it now.
                schema["properties"][key] = joined([without_words(stated), now])
        if lost:
            schema["properties"] = in_order({**schema["properties"], **lost})
            # The schemas it refers to may have lost fields as well, so repeat for them.
            inner = {found for stated in lost.values() for found in names(stated)}
            _keep_schemas(schemas, present, inner, promises)
