"""Lenient in answers, strict in requests.

Services differ in what they answer: fields are missing, values are new. So a schema used in answers requires only
what identifies the object, and an enum there accepts anything else of its type. A schema used only in requests
stays as the document has it. One used in both is lenient: reading an answer must never fail.
"""

from collections.abc import Iterable

from tools.upstream.canonical import LIMITS, Schema, alternatives, closure, is_object, joined, referred

# Strings in requests for which services have values of their own; a file's purpose lacked `batch` in the first
# revisions that had batches.
_OPEN = frozenset(
    {
        ("CreateBatchRequest", "endpoint"),
        ("CreateBatchRequest", "completion_window"),
        ("CreateFileRequest", "purpose"),
    }
)


def apply(schemas: dict[str, Schema], answered: Iterable[str], identified: Iterable[str]) -> None:
    """Make *schemas* lenient as far as *answered* reach; those *identified* still require `id`.

    *identified* are the objects that an operation answers with: a batch, a file, a deleted file.
    """
    lenient = closure(answered, schemas)
    kinds = _kinds(schemas, lenient)
    for name, schema in schemas.items():
        if not is_object(schema):
            continue
        properties: dict[str, Schema] = schema["properties"]
        if name not in lenient:
            for key, stated in properties.items():
                if (name, key) in _OPEN:
                    properties[key] = _opened(stated, schemas)
            continue
        fixed = kinds.get(name, set())
        identifying = {"id"} & properties.keys() if name in identified else set()
        schema["required"] = sorted(fixed | identifying)
        for key, stated in properties.items():
            if key not in fixed:
                properties[key] = _lenient(stated, schemas)


def _kinds(schemas: dict[str, Schema], lenient: set[str]) -> dict[str, set[str]]:
    """For objects that are alternatives of each other, the fields that tell them apart.

    Generated code takes the first alternative that does not fail, so these fields must be able to fail.
    """
    found: dict[str, set[str]] = {}
    for name in lenient:
        for stated in schemas[name].get("properties", {}).values():
            for schema in (stated, stated.get("items", {})):
                objects = [inner for inner in referred(schema) if is_object(schemas[inner])]
                for inner in objects if len(objects) > 1 else []:
                    found[inner] = _constants(schemas[inner], schemas)
    return found


def _constants(schema: Schema, schemas: dict[str, Schema]) -> set[str]:
    return {
        key
        for key in schema["required"]
        for inner in referred(schema["properties"][key])
        if len(schemas[inner].get("enum", [])) == 1
    }


def _lenient(stated: Schema, schemas: dict[str, Schema]) -> Schema:
    """A field of an answer: without limits, open to new values and alternatives."""
    parts = [_without_limits(part, schemas) for part in alternatives(stated)]
    opened = _opened({**_words(stated), **joined(parts)}, schemas)
    objects = [name for name in referred(opened) if is_object(schemas[name])]
    if len(objects) > 1 and {} not in alternatives(opened):
        return {**_words(stated), "anyOf": [*alternatives(opened), {}]}
    return opened


def _without_limits(part: Schema, schemas: dict[str, Schema]) -> Schema:
    # In JSON, bytes are a string; "format: binary" is for forms and downloads.
    part = {key: value for key, value in part.items() if key not in {*LIMITS, "deprecated", "format"}}
    if "items" not in part:
        return part
    return {**part, "items": _lenient(part["items"], schemas)}


def _opened(stated: Schema, schemas: dict[str, Schema]) -> Schema:
    """The schema with open enums: each is joined by its type."""
    types = [{"type": schemas[name]["type"]} for name in referred(stated) if "enum" in schemas[name]]
    if not types:
        return stated
    parts = [
        {key: value for key, value in part.items() if key != "deprecated"} for part in alternatives(stated)
    ]
    return {**_words(stated), **joined([*parts, *types])}


def _words(stated: Schema) -> Schema:
    return {key: value for key, value in stated.items() if key == "deprecated"}
