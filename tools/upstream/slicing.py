"""Finding the nine operations in a document, whatever it puts before their paths and calls their parameters.

Paths are recognized by their shape: `/v1/batches/{id}` is `/batches/{batch_id}` behind a prefix. Operation ids and
tags are ignored, since they change and may be missing.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from tools.upstream.operations import BYTES, JSON, OPERATIONS, Operation
from tools.upstream.references import References, items
from tools.upstream.refusal import Refused

_PLACE = re.compile(r"\{[^{}]*\}")


@dataclass
class Found:
    """One operation as the document has it: schemas unresolved, everything else resolved."""

    operation: Operation
    parameters: list[dict[str, Any]]
    sends: Any = None
    answers: Any = None
    codes: list[str] = field(default_factory=list)
    deprecated: bool = False


def find(document: dict[str, Any], references: References) -> dict[str, Found]:
    """The operations that *document* has, by our ids; those on files may be missing.

    Raises:
        Refused: It is not an OpenAPI 3 document, or lacks an operation on batches.

    """
    version = document.get("openapi")
    if "swagger" in document and version is None:
        raise Refused(
            f"the document is Swagger {document['swagger']}, not OpenAPI 3: convert it first, with swagger2openapi"
        )
    if not isinstance(version, str | int | float) or not str(version).startswith("3."):
        raise Refused("the document is not an OpenAPI 3 document: it does not say `openapi: 3.x`")
    paths = shapes_of(document, references)
    prefix = prefix_of(paths)
    found: dict[str, Found] = {}
    for operation in OPERATIONS:
        shape = shape_of(operation.path)
        item = paths.get(prefix + shape, {})
        if operation.method in item:
            try:
                found[operation.id] = _read(operation, item, references)
            except _UnsaidError:
                if operation.needed:
                    raise
    lacking = [str(operation) for operation in OPERATIONS if operation.needed and operation.id not in found]
    if lacking:
        raise Refused(f"the document has no {', no '.join(lacking)}")
    return found


class _UnsaidError(Refused):
    """The document has the operation and does not say what it sends or answers."""


def shape_of(path: str) -> str:
    return _PLACE.sub("{}", path.rstrip("/"))


def shapes_of(document: dict[str, Any], references: References) -> dict[str, dict[str, Any]]:
    """Path items by the shape of their paths."""
    shapes: dict[str, dict[str, Any]] = {}
    for path, item in references.mapping(document.get("paths")).items():
        if path.startswith("/"):
            shapes.setdefault(shape_of(path), {}).update(references.mapping(item))
    return shapes


def prefix_of(paths: dict[str, dict[str, Any]]) -> str:
    """What precedes the paths of the batch section: the prefix that most of its operations share."""
    needed = [operation for operation in OPERATIONS if operation.needed]
    prefixes = {
        shape.removesuffix(shape_of(operation.path))
        for shape in paths
        for operation in needed
        if shape.endswith(shape_of(operation.path))
    }

    def rank(prefix: str) -> tuple[int, int, str]:
        has = [op.method in paths.get(prefix + shape_of(op.path), {}) for op in needed]
        return -sum(has), len(prefix), prefix

    return min((prefix for prefix in prefixes if "{" not in prefix), key=rank, default="")


def _read(operation: Operation, item: dict[str, Any], references: References) -> Found:
    raw = references.mapping(item[operation.method])
    found = Found(
        operation,
        _parameters(operation, [*items(item.get("parameters")), *items(raw.get("parameters"))], references),
        deprecated=raw.get("deprecated") is True,
    )
    if operation.sends:
        body = references.mapping(raw.get("requestBody"))
        found.sends = _schema(body, operation.sends, references)
        if found.sends is None:
            raise _UnsaidError(f"the document does not say what {operation} sends as {operation.sends}")
    responses = references.mapping(raw.get("responses"))
    # Always 200, which is what services send; plus any other success that the document has.
    successes = sorted(code for code in responses if re.fullmatch(r"2\d\d", code))
    found.codes = sorted({"200", *successes})
    if operation.answers == BYTES:
        return found
    for code in ["200", *successes, "2XX", "2xx", "default"]:
        found.answers = _schema(references.mapping(responses.get(code)), JSON, references)
        if found.answers is not None:
            return found
    raise _UnsaidError(f"the document does not say what {operation} answers as {JSON}")


def _parameters(operation: Operation, raw: list[Any], references: References) -> list[dict[str, Any]]:
    """Those in the path, under our names, then the others by name; of two with one name, the last."""
    ours = [place[1:-1] for place in _PLACE.findall(operation.path)]
    parameters = {
        ("path", name): {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in ours
    }
    for entry in raw:
        parameter = references.mapping(entry)
        name, place = parameter.get("name"), parameter.get("in")
        if isinstance(name, str) and place in {"query", "header", "cookie"}:
            schema = parameter.get("schema")
            parameters[place, name] = {
                "name": name,
                "in": place,
                "required": parameter.get("required") is True,
                "schema": _schema(parameter, JSON, references) if schema is None else schema,
            }
    first = len(ours)
    placed = list(parameters.values())
    return placed[:first] + sorted(placed[first:], key=lambda parameter: (parameter["name"], parameter["in"]))


def _schema(holder: dict[str, Any], media_type: str, references: References) -> Any:
    """The schema that *holder* has for a media type, ignoring parameters like a charset; None if it has none."""
    for name, media in references.mapping(holder.get("content")).items():
        if name.split(";")[0].strip().lower() in {media_type, "*/*"}:
            return references.mapping(media).get("schema")
    return None
