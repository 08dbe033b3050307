"""Lenient in what answers, strict in what is sent.

Services differ in what they answer: fields are missing, values are new. So what an answer reaches requires only
what identifies the object, and an enum there is an enum or anything else of its type. What only requests send stays
as the document has it. What is both is lenient: an answer must never fail to be read.
"""

from collections.abc import Iterable

from tools.upstream.canonical import LIMITS, Schema, alternatives, closure, is_object, joined, referred

# Strings of requests for which services have values of their own; that of a file's purpose did not have `batch`
# in the first revisions that had batches.
_OPEN = frozenset(
    {
        ("CreateBatchRequest", "endpoint"),
        ("CreateBatchRequest", "completion_window"),
        ("CreateFileRequest", "purpose"),
    }
)


def apply(schemas: dict[str, Schema], answered: Iterable[str], identified: Iterable[str]) -> None:
    """Make *schemas* lenient where *answered* reach; of those *identified*, `id` is still required.

    *identified* are the objects an operation answers with by themselves: a batch, a file, what was deleted.
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
    """For objects that are alternatives of each other, the fields that tell which one it is.

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
    """A field of an answer: without limits, open to values and alternatives that are new."""
    parts = [_without_limits(part, schemas) for part in alternatives(stated)]
    opened = _opened({**_words(stated), **joined(parts)}, schemas)
    objects = [name for name in referred(opened) if is_object(schemas[name])]
    if len(objects) > 1 and {} not in alternatives(opened):
        return {**_words(stated), "anyOf": [*alternatives(opened), {}]}
    return opened


def _without_limits(part: Schema, schemas: dict[str, Schema]) -> Schema:
    part = {key: value for key, value in part.items() if key not in {*LIMITS, "deprecated"}}
    if "items" not in part:
        return part
    return {**part, "items": _lenient(part["items"], schemas)}


def _opened(stated: Schema, schemas: dict[str, Schema]) -> Schema:
    """A schema whose enums are open: beside each stands its type."""
    types = [{"type": schemas[name]["type"]} for name in referred(stated) if "enum" in schemas[name]]
    if not types:
        return stated
    parts = [
        {key: value for key, value in part.items() if key != "deprecated"} for part in alternatives(stated)
    ]
    return {**_words(stated), **joined([*parts, *types])}


def _words(stated: Schema) -> Schema:
    return {key: value for key, value in stated.items() if key == "deprecated"}
