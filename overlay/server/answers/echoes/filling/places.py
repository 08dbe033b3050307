"""The schemas that one place in the data is under, side by side, with the choices that are still to be made."""

from collections.abc import Iterator, Sequence
from typing import Any

from overlay.lines import is_array, is_object
from overlay.server.answers.echoes.filling.documents import Document

Plain = dict[str, Any]
"""A schema of which only the keywords of types are looked at."""

Alternative = Sequence[Any]
"""Schemas that apply together."""

_ORDER = ("string", "integer", "boolean", "number", "array", "object", "null")
# What a schema without a type is about, by the keywords that it has.
_HINTS = {
    "object": {"properties", "required", "additionalProperties", "patternProperties", "minProperties"},
    "array": {"items", "prefixItems", "contains", "minItems", "maxItems", "uniqueItems"},
    "string": {"minLength", "maxLength", "pattern", "format"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
}


class Place:
    """`given` as it was, and what it comes to: `plain` schemas, of which only the keywords of types count, and
    `choices`, of which each wants one alternative.
    """

    def __init__(self, document: Document, given: Sequence[Any]) -> None:
        self.document = document
        self.given = given
        self.plain: list[Plain] = []
        self.choices: list[list[Alternative]] = []
        self.possible = True
        self.followed: set[str] = set()
        self._add(given)

    def choosing(self, alternative: Alternative) -> "Place":
        """The same place with its first choice made."""
        chosen = Place(self.document, ())
        chosen.given, chosen.possible = self.given, self.possible
        chosen.plain, chosen.choices = list(self.plain), self.choices[1:]
        chosen.followed = set(self.followed)
        chosen._add(alternative)
        return chosen

    def listed(self) -> list[Any] | None:
        """The values of the first `enum` or `const`; None where there is none."""
        for each in self.plain:
            if "const" in each:
                return [each["const"]]
            if "enum" in each:
                return list(each["enum"])
        return None

    def kinds(self) -> list[str]:
        """The types that a value may have, the likeliest first."""
        named = [each["type"] for each in self.plain if "type" in each]
        if not named:
            hinted = [
                kind for kind, words in _HINTS.items() if any(words & each.keys() for each in self.plain)
            ]
            return list(dict.fromkeys([*hinted, *_ORDER]))
        allowed = _with_integers(named[0])
        for each in named[1:]:
            other = _with_integers(each)
            allowed = [kind for kind in allowed if kind in other]
        # Null says nothing, so it comes last.
        return sorted(allowed, key=lambda kind: kind == "null")

    def _add(self, schemas: Sequence[Any]) -> None:
        waiting = list(reversed(schemas))
        while waiting:
            schema = waiting.pop()
            if schema is True:
                continue
            if not is_object(schema):
                self.possible = False
                return
            # A reference that was followed to here applies already, so a circle of them ends.
            if "$ref" in schema and (reference := schema["$ref"]) not in self.followed:
                self.followed.add(reference)
                waiting.append(self.document.resolve(reference))
            waiting.extend(reversed(schema.get("allOf", ())))
            self.choices.extend(_choices(schema))
            self.plain.append(schema)


def _with_integers(kinds: Any) -> list[str]:
    """A list of the types, with that which every number may be."""
    several: list[str] = list(kinds) if is_array(kinds) else [kinds]
    return [*several, "integer"] if "number" in several and "integer" not in several else several


def _choices(schema: dict[str, Any]) -> Iterator[list[Alternative]]:
    for name in ("anyOf", "oneOf"):
        if name in schema:
            yield [[each] for each in schema[name]]
    if "if" in schema:
        yield [[schema["if"], schema.get("then", True)], [{"not": schema["if"]}, schema.get("else", True)]]
    # A property that brings conditions with it is there with them, or is not there.
    for name, others in schema.get("dependentRequired", {}).items():
        yield [[{"required": [name, *others]}], [{"properties": {name: False}}]]
    for name, other in schema.get("dependentSchemas", {}).items():
        yield [[{"required": [name]}, other], [{"properties": {name: False}}]]
