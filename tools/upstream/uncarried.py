"""What a document has on batches and files that the SDK does not carry: said every time, until it is decided."""

from collections.abc import Iterator
from typing import Any

from tools.upstream.changes import Change
from tools.upstream.operations import OPERATIONS
from tools.upstream.references import References
from tools.upstream.slicing import prefix_of, shape_of, shapes_of

_METHODS = ("get", "put", "post", "delete", "patch")
_ROOTS = ("/batches", "/files")
_BEARER = ("http", "bearer")


def uncarried(document: dict[str, Any]) -> list[Change]:
    """Operations below /batches and /files that are left out, and tokens of another kind than ours."""
    references = References(document)
    return [*_operations(document, references), *_security(document, references)]


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
