"""The nine operations of a document, and all they refer to, as an ``openapi.yaml`` with our descriptions."""

from dataclasses import dataclass
from typing import Any

from tools.upstream import keeping, roles, wording
from tools.upstream.canonical import (
    Schema,
    alternatives,
    answered,
    closure,
    is_object,
    names,
    operations_of,
    reference,
    referred,
    schemas_of,
    sent,
    without_words,
)
from tools.upstream.flattening import Flattener, Form
from tools.upstream.naming import Components, pascal
from tools.upstream.operations import BYTES, FORM, LINES, OPERATIONS, Operation
from tools.upstream.promises import Promises
from tools.upstream.references import References, items
from tools.upstream.refusal import Refused
from tools.upstream.slicing import Found, find

_INPUT = "input_file_id"
_BINARY: Schema = {"type": "string", "format": "binary"}
# https://spec.openapis.org/oas/v3.1.0#security-scheme-object
_SECURITY = {"bearer": {"type": "http", "scheme": "bearer"}}
_SERVER = "https://api.openai.com/v1"


@dataclass
class _Placed:
    """One operation with its schemas in their places."""

    found: Found
    parameters: list[dict[str, Any]]
    sends: Schema
    answers: Schema


def assemble(
    document: dict[str, Any], present: dict[str, Any], promises: Promises, *, complete: bool
) -> dict[str, Any]:
    """The ``openapi.yaml`` made from *document*; the *present* one supplies names and descriptions.

    *complete* says whether the document's text ends as a complete text does.

    Raises:
        Refused: The document cannot be used.

    """
    references = References(document)
    references.refuse_cut_off(complete=complete)
    found = find(document, references)
    flattener = Flattener(references)
    # Twice, since the first pass learns which names belong to places that the present openapi.yaml has.
    first = Components(flattener, schemas_of(present))
    _place(document, found, present, first)
    components = Components(flattener, schemas_of(present), earlier=first)
    placed = _place(document, found, present, components)
    schemas = components.schemas

    answering = [one.answers for one in placed.values()]
    roles.apply(
        schemas,
        answered=[*(name for schema in answering for name in names(schema)), "BatchRequestOutput"],
        identified=_identified(answering, schemas),
    )
    result: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "OpenAI Batch API", "version": _version(document)},
        "servers": [{"url": _SERVER}],
        "security": [{name: []} for name in _SECURITY],
        "tags": [{"name": tag} for tag in sorted({operation.tag for operation in OPERATIONS})],
        "paths": _paths(placed),
        "components": {"securitySchemes": _SECURITY, "schemas": schemas},
    }
    keeping.keep(result, present, promises)
    used = [name for operation in operations_of(result).values() for name in names(operation)]
    reached = closure([*used, *LINES, *promises.imported], schemas)
    result["components"]["schemas"] = {name: schemas[name] for name in sorted(reached)}
    wording.lend(result, present)
    return result


def _version(document: dict[str, Any]) -> str:
    info = document.get("info")
    return str(info.get("version", "")) if isinstance(info, dict) else ""


def _identified(answering: list[Schema], schemas: dict[str, Schema]) -> set[str]:
    """The objects that are answers, or items of an answer's `data`."""
    tops = {name for schema in answering for name in referred(schema)}
    data = [schemas[name].get("properties", {}).get("data", {}) for name in tops]
    items = [part.get("items", {}) for schema in data for part in alternatives(schema)]
    return tops | {name for schema in items for name in referred(schema)}


def _place(
    document: dict[str, Any], found: dict[str, Found], present: dict[str, Any], components: Components
) -> dict[str, _Placed]:
    placed = {}
    now = operations_of(present)
    for operation in OPERATIONS:
        if operation.id in found:
            one = found[operation.id]
            placed[operation.id] = _place_operation(one, now.get(operation.id, {}), components)
    _place_lines(document, present, components)
    return placed


def _place_operation(found: Found, now: dict[str, Any], components: Components) -> _Placed:
    operation = found.operation
    here = {(one["name"], one["in"]): one.get("schema", {}) for one in now.get("parameters", [])}
    parameters = []
    for parameter in found.parameters:
        at = here.get((parameter["name"], parameter["in"]), {})
        name = operation.class_name + pascal(parameter["name"])
        schema = components.place(parameter["schema"], at, name)
        parameters.append({**parameter, "schema": schema})
    sends: Schema = {}
    if operation.sends:
        known = {key for name in referred(sent(now)) for key in components.present_fields(name)}
        meant = _of_files(found.sends, components, known) if operation.id == "createBatch" else found.sends
        sends = components.place(meant, sent(now), f"{operation.class_name}Request")
        _refuse_fieldless(operation, sends, components)
    if operation.sends == FORM:
        # The content of a file is bytes, whatever it is called.
        for name in referred(sends):
            properties = components.schemas[name].get("properties", {})
            if "file" in properties:
                properties["file"] = _BINARY
    answers = _BINARY
    if operation.answers != BYTES:
        answers = components.place(
            found.answers, answered(now), f"{operation.class_name}Response", null=False
        )
        _refuse_fieldless(operation, answers, components)
    return _Placed(found, parameters, sends, answers)


def _of_files(raw: Any, components: Components, known: set[str]) -> Any:
    """The body of a create: of alternatives for batches of a file, the one nearest to the fields that are *known*.

    What others add can be sent with extra_body.
    """
    forms = [form for form in components.forms_of(raw) if form.kind == "object"]
    with_file = [form for form in forms if _INPUT in form.raw["properties"]]
    if forms and not with_file:
        raise Refused(
            f"POST /batches takes no {_INPUT} in the document: it is another API than the Batch API"
        )
    if len(forms) <= 1:
        return raw

    def distance(form: Form) -> tuple[int, int]:
        unknown = form.raw["properties"].keys() - known
        return len(unknown & {*items(form.raw.get("required"))}), len(unknown)

    only = min(with_file, key=distance)
    return {"$ref": only.pointer} if only.pointer else only.raw


def _refuse_fieldless(operation: Operation, schema: Schema, components: Components) -> None:
    if any("items" in part for part in alternatives(schema)):
        raise Refused(
            f"{operation} answers with a bare array in the document: one can be read, but pages are objects"
        )
    if not any(is_object(components.schemas[name]) for name in referred(schema)):
        raise Refused(f"the document does not say which fields {operation} sends or answers with")


def _place_lines(document: dict[str, Any], present: dict[str, Any], components: Components) -> None:
    """The schemas of lines: ours, with what a document that still has them adds."""
    theirs = schemas_of(document)
    for name in LINES:
        if name in theirs:
            components.place(reference(name), reference(name), name)
    ours = schemas_of(present)
    for name in sorted(closure(LINES, ours)):
        components.adopt(name, without_words(ours[name]))


def _paths(placed: dict[str, _Placed]) -> dict[str, dict[str, Any]]:
    paths: dict[str, dict[str, Any]] = {}
    for one in placed.values():
        operation = one.found.operation
        paths.setdefault(operation.path, {})[operation.method] = _operation(one, operation)
    return paths


def _operation(one: _Placed, operation: Operation) -> dict[str, Any]:
    stated: dict[str, Any] = {"operationId": operation.id, "tags": [operation.tag]}
    if one.found.deprecated:
        stated["deprecated"] = True
    if one.parameters:
        stated["parameters"] = one.parameters
    if operation.sends:
        stated["requestBody"] = {"required": True, "content": {operation.sends: {"schema": one.sends}}}
    content = {operation.answers: {"schema": one.answers}}
    # Only successes: a documented error would be returned by generated code as if it were a value.
    stated["responses"] = {code: {"content": content} for code in one.found.codes}
    return stated
