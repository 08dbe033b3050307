"""What a document has on batches and files that the SDK does not carry: said every time, until it is decided."""

from collections.abc import Iterator
from typing import Any

from tools.upstream.changes import Change
from tools.upstream.flattening import Flattener
from tools.upstream.operations import OPERATIONS
from tools.upstream.references import References
from tools.upstream.slicing import find, prefix_of, shape_of, shapes_of

_METHODS = ("get", "put", "post", "delete", "patch")
_ROOTS = ("/batches", "/files")
_BEARER = ("http", "bearer")


def uncarried(document: dict[str, Any]) -> list[Change]:
    """What openapi.yaml does not have as the document has it.

    Operations below /batches and /files that are left out, tokens of another kind than ours, moments that are text,
    and metadata that is no object.
    """
    references = References(document)
    return [
        *_operations(document, references),
        *_security(document, references),
        *_retyped(document, references),
    ]


def _retyped(document: dict[str, Any], references: References) -> Iterator[Change]:
    """Fields that `naming` gives the type that services send, whatever the document has."""
    flattener = Flattener(references)
    told: dict[str, Change] = {}
    for name, found in find(document, references).items():
        for form in flattener.read(found.answers).forms if found.answers is not None else ():
            for key, raw in form.raw.get("properties", {}).items() if form.kind == "object" else ():
                kinds = {each.kind for each in flattener.read(raw).forms}
                place = f"{name}.{key}"
                if key.endswith("_at") and "string" in kinds:
                    words = "is text in the document, and read as an integer"
                    told[place] = Change("!", "type", place, words)
                elif key == "metadata" and (other := sorted(kinds - {"any", "object"})):
                    words = f"is {', '.join(other)} in the document, and read as an object"
                    told[place] = Change("!", "type", place, words)
    yield from (told[place] for place in sorted(told))


def _operations(document: dict[str, Any], references: References) -> Iterator[Change]:
    shapes = shapes_of(document, references)
    prefix = prefix_of(shapes)
    carried = {(operation.method, prefix + shape_of(operation.path)) for operation in OPERATIONS}
    for shape, item in sorted(shapes.items()):
        below = shape.removeprefix(prefix)
        if not any(below == root or below.startswith(root + "/") for root in _ROOTS):
            continue
        for method in _METHODS:
            if method in item and (method, shape) not in carried:
                yield Change("!", "operation", f"{method.upper()} {shape}", "is not carried")


def _security(document: dict[str, Any], references: References) -> Iterator[Change]:
    components = references.mapping(document.get("components"))
    for name, raw in sorted(references.mapping(components.get("securitySchemes")).items()):
        scheme = references.mapping(raw)
        kind = str(scheme.get("type", "")).lower(), str(scheme.get("scheme", "")).lower()
        if kind != _BEARER:
            words = " ".join(str(scheme[key]) for key in ("type", "in", "name", "scheme") if key in scheme)
            breaks = "the token is sent as a bearer token by wire/auth.py"
            yield Change("!", "token", name, words, breaks)
