"""A JSON Schema as a document: what its references point to, and how far each schema is from an end."""

import math
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

from overlay.lines import is_array, is_object
from overlay.server.answers.echoes.filling.parts import of_property, tuple_parts


class UnfillableError(ValueError):
    """No data was found that fits; the message says where."""


class Document:
    """One schema with everything that it refers to."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._anchors: dict[str, Any] | None = None
        self._distances: dict[str, float] | None = None

    def resolve(self, reference: Any) -> Any:
        """The schema that a `$ref` points to. Raises `UnfillableError` where it is not in this document."""
        if isinstance(reference, str) and reference.startswith("#"):
            if reference.startswith("#/"):
                return self._point(reference)
            if reference == "#":
                return self._root
        if self._anchors is None:
            self._anchors = dict(_anchors(self._root))
        if isinstance(reference, str) and reference in self._anchors:
            return self._anchors[reference]
        raise UnfillableError(f"the reference {reference!r} leads nowhere in the schema")

    def distance(self, schema: Any) -> float:
        """How many references must be followed, at the least, until data ends; infinite where it never does."""
        if self._distances is None:
            self._distances = self._measured()
        return self._reach(schema, self._distances)

    def _point(self, reference: str) -> Any:
        found = self._root
        for part in reference[2:].split("/"):
            name = unquote(part).replace("~1", "/").replace("~0", "~")
            try:
                found = found[int(name)] if is_array(found) else found[name]
            except (KeyError, ValueError, IndexError, TypeError) as error:
                raise UnfillableError(f"the reference {reference!r} leads nowhere in the schema") from error
        return found

    def _measured(self) -> dict[str, float]:
        references: dict[str, Any] = {}
        waiting = [self._root]
        while waiting:
            for each in _objects(waiting.pop()):
                reference = each.get("$ref")
                if isinstance(reference, str) and reference not in references:
                    with suppress(UnfillableError):  # it may stand in an example, and matter to nobody
                        references[reference] = self.resolve(reference)
                        waiting.append(references[reference])
        distances = dict.fromkeys(references, math.inf)
        for _ in references:
            before = dict(distances)
            for reference, target in references.items():
                distances[reference] = 1 + self._reach(target, distances)
            if distances == before:
                break
        return distances

    def _reach(self, schema: Any, distances: dict[str, float]) -> float:
        if not is_object(schema):
            return math.inf if schema is False else 0
        if "enum" in schema or "const" in schema:
            return 0
        parts = [0.0]
        if isinstance(reference := schema.get("$ref"), str):
            parts.append(distances.get(reference, math.inf))
        parts += (self._reach(each, distances) for each in _list(schema.get("allOf")))
        for name in ("anyOf", "oneOf"):
            if alternatives := _list(schema.get(name)):
                parts.append(min(self._reach(each, distances) for each in alternatives))
        kinds = schema.get("type")
        ends = [self._end(kind, schema, distances) for kind in (kinds if is_array(kinds) else [kinds])]
        return max(*parts, min(ends, default=0))

    def _end(self, kind: Any, schema: dict[str, Any], distances: dict[str, float]) -> float:
        """How far a value of one type is from an end."""
        needed: list[Any] = []
        if kind in {"object", None}:
            needed = [part for name in _list(schema.get("required")) for part in of_property(name, schema)]
        elif kind == "array":
            first, rest = tuple_parts(schema)
            least = schema.get("minItems", 0)
            needed = [*first[:least], *[rest] * (least > len(first))]
        return max((self._reach(each, distances) for each in needed), default=0)


def _list(value: Any) -> list[Any]:
    return value if is_array(value) else []


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if is_object(each):
            yield each
            waiting.extend(each.values())
        elif is_array(each):
            waiting.extend(each)


def _anchors(root: Any) -> Iterator[tuple[str, Any]]:
    for each in _objects(root):
        if isinstance(anchor := each.get("$anchor"), str):
            yield f"#{anchor}", each
        if isinstance(name := each.get("$id"), str):
            yield name, each
