"""What a schema means, however it is spelt.

The same thing is written in many ways across revisions: `nullable: true`, `type: [X, "null"]`, `anyOf` or `oneOf`
with a null; a reference alone, or in an `allOf` with a description beside it; `const` or an `enum` of one. All of
them become a list of alternatives, each of one kind, and a flag for whether null is allowed.
"""

from dataclasses import dataclass, field
from typing import Any

from tools.upstream.references import References, items
from tools.upstream.refusal import Refused

PRIMITIVES = ("string", "integer", "number", "boolean")
_STRUCTURE = frozenset(
    {
        "$ref",
        "type",
        "properties",
        "items",
        "enum",
        "const",
        "allOf",
        "anyOf",
        "oneOf",
        "additionalProperties",
    }
)
_DEEPEST = 50
# A batch section takes a few hundred; alternatives of alternatives can be written so that they never end.
_MOST_READ = 20_000


@dataclass
class Form:
    """One alternative. `kind` is a primitive, `object`, `array`, `enum`, `binary` or `any`."""

    kind: str
    raw: dict[str, Any] = field(default_factory=dict)
    pointer: str | None = None
    values: list[str] | list[int] = field(default_factory=list)


@dataclass
class Meaning:
    """What a schema allows."""

    forms: list[Form]
    nullable: bool = False
    deprecated: bool = False


class Flattener:
    """Reads schemas of one document."""

    def __init__(self, references: References) -> None:
        self._references = references
        self._left = _MOST_READ

    def read(self, raw: Any, *, above: tuple[str, ...] = ()) -> Meaning:
        """The meaning of *raw*; *above* are the references that led here, so that a loop ends."""
        node, pointer = self._joined(raw, above)
        marks = raw if isinstance(raw, dict) else {}
        nullable = any(one.get("nullable") is True or _lists_null(one) for one in (marks, node))
        deprecated = any(one.get("deprecated") is True for one in (marks, node))
        above = (*above, pointer) if pointer else above
        alternatives = self._alternatives(node)
        if not alternatives or len(above) > _DEEPEST:
            forms, null = _forms(node, pointer)
            return Meaning(forms, nullable or null, deprecated)
        read = [self.read(part, above=above) for part in alternatives if self.pointer_of(part) not in above]
        nullable |= any(meaning.nullable for meaning in read)
        told = [meaning for meaning in read if meaning.forms]
        if len(told) == 1:
            deprecated |= told[0].deprecated
        forms = []
        for meaning in told:
            forms.extend(form for form in meaning.forms if form not in forms)
        return Meaning(forms or [Form("any")], nullable, deprecated)

    def _joined(self, raw: Any, above: tuple[str, ...]) -> tuple[dict[str, Any], str | None]:
        """*raw* without a reference and without `allOf`, and the reference that names it."""
        self._left -= 1
        if self._left < 0:
            raise Refused("the schemas of the document refer to each other without end")
        node, pointer = self._references.resolve(raw)
        if isinstance(node, bool):
            return {}, pointer
        if not isinstance(node, dict):
            raise Refused(f"the document has {type(node).__name__} where a schema belongs")
        if not isinstance(node.get("allOf"), list):
            return node, pointer
        above = (*above, pointer) if pointer else above
        own = {key: value for key, value in node.items() if key != "allOf"}
        parts = [
            self._joined(part, above)
            for part in items(node["allOf"])
            if self.pointer_of(part) not in above and len(above) <= _DEEPEST
        ]
        parts = [(part, name) for part, name in [*parts, (own, None)] if _STRUCTURE & part.keys()]
        if len(parts) == 1:
            # One schema with a description beside it: it keeps its name.
            only, name = parts[0]
            return {**only, **_flags(own)}, name or pointer
        return _merged([part for part, _ in parts]), pointer

    def _alternatives(self, node: dict[str, Any]) -> list[Any]:
        """The alternatives of *node*, those of a discriminator included; none where it is one thing."""
        base = {key: value for key, value in node.items() if key not in {"anyOf", "oneOf", "discriminator"}}
        listed = [
            part
            for key in ("anyOf", "oneOf")
            for part in items(node.get(key))
            # An alternative that only says what is required is a rule about the fields, not another shape.
            if isinstance(part, dict) and (_STRUCTURE & part.keys() or not part)
        ]
        mapped = self._mapped(node, {self.pointer_of(part) for part in listed})
        if isinstance(base.get("properties"), dict):
            listed = [{"allOf": [base, part]} for part in listed]
            if mapped and not listed:
                listed = [base]
        elif isinstance(base.get("type"), list):
            return [*listed, *mapped] or [{**base, "type": name} for name in base["type"]]
        return [*mapped, *listed]

    def _mapped(self, node: dict[str, Any], listed: set[str | None]) -> list[dict[str, str]]:
        discriminator = node.get("discriminator")
        mapping = discriminator.get("mapping") if isinstance(discriminator, dict) else None
        targets = (
            [name for name in mapping.values() if isinstance(name, str)] if isinstance(mapping, dict) else []
        )
        # https://spec.openapis.org/oas/v3.1.0#discriminator-object: a name, or a reference.
        pointers = [name if "#" in name else f"#/components/schemas/{name}" for name in targets]
        return [{"$ref": pointer} for pointer in dict.fromkeys(pointers) if pointer not in listed]

    def pointer_of(self, node: Any) -> str | None:
        """The last reference to what *node* stands for; None if it is not a reference."""
        return self._references.resolve(node)[1]


def _lists_null(node: dict[str, Any]) -> bool:
    return isinstance(node.get("type"), list) and "null" in node["type"]


def _flags(node: dict[str, Any]) -> dict[str, Any]:
    return {key: node[key] for key in ("nullable", "deprecated") if key in node}


def _merged(parts: list[dict[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    required: list[Any] = []
    for part in parts:
        merged.update({key: value for key, value in part.items() if key != "discriminator"})
        if isinstance(part.get("properties"), dict):
            properties.update(part["properties"])
        required += items(part.get("required"))
    return {**merged, "properties": properties, "required": required} if properties else merged


def _forms(node: dict[str, Any], pointer: str | None) -> tuple[list[Form], bool]:
    """The one or several kinds of a schema without alternatives, and whether null is among its values."""
    values = (
        node["enum"] if isinstance(node.get("enum"), list) else [node["const"]] if "const" in node else None
    )
    if values is not None:
        return _enum([value for value in values if value is not None], pointer), None in values
    if isinstance(node.get("properties"), dict) and node["properties"]:
        return [Form("object", node, pointer)], False
    named = node.get("type")
    if named == "null":
        return [], True
    if named == "array" or (named is None and "items" in node):
        return [Form("array", node)], False
    if named == "string" and (node.get("format") == "binary" or "contentMediaType" in node):
        return [Form("binary", node)], False
    # An object without properties is a mapping of the sender's own: it stays a plain dict, as metadata does.
    return [Form(named, node) if named in PRIMITIVES else Form("any")], False


def _enum(values: list[Any], pointer: str | None) -> list[Form]:
    kinds = {type(value) for value in values}
    if kinds == {str}:
        return [Form("enum", pointer=pointer, values=sorted(set(values)))]
    if kinds == {int}:
        return [Form("enum", pointer=pointer, values=sorted(set(values)))]
    names = {str: "string", int: "integer", float: "number", bool: "boolean"}
    return [Form(names.get(kind, "any")) for kind in sorted(kinds, key=lambda kind: kind.__name__)]
