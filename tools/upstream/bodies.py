"""The request bodies of the endpoints that a batch may name, as JSON Schema 2020-12: structure and nothing else.

A document's schemas cannot be used as they are: `nullable: true` means nothing to 2020-12, alternatives of a
`oneOf` overlap and refuse what the document itself shows, `$recursiveRef` is of an older draft, and forms stand
beside JSON. So what only describes is dropped, and what refuses too much is relaxed, for a reason that stands here.
"""

from typing import Any

from tools.upstream.references import References

ENDPOINTS = (
    "/chat/completions",
    "/responses",
    "/embeddings",
    "/completions",
    "/moderations",
    "/images/generations",
    "/images/edits",
    "/videos",
)
_PREFIX = "#/components/schemas/"
_KEPT = frozenset(
    {
        *("type", "enum", "const", "required", "minimum", "maximum", "minLength", "maxLength"),
        *("minItems", "maxItems", "minProperties", "maxProperties", "uniqueItems"),
    }
)
_NUMBERS_ONLY = ("exclusiveMinimum", "exclusiveMaximum")
"""In 3.0 these are booleans, which 2020-12 does not know."""
OPTIONAL: dict[str, frozenset[str]] = {
    # Required since 2025, and left out by the document's own examples.
    "FunctionTool": frozenset({"strict", "parameters"}),
    "FunctionObject": frozenset({"strict"}),
    "InputImageContent": frozenset({"detail"}),
    "InputMessage": frozenset({"type"}),
    "EasyInputMessage": frozenset({"type"}),
    "OutputMessage": frozenset({"id", "status"}),
    "ReasoningItem": frozenset({"id", "summary"}),
    "OutputTextContent": frozenset({"annotations", "logprobs"}),
}
"""Fields that a schema requires and the service does not."""


def bodies(document: dict[str, Any]) -> dict[str, Any]:
    """One schema for all: `$defs`, and under `endpoints` a reference for each endpoint that the document has."""
    references = References(document)
    slicer = _Slicer(references)
    endpoints: dict[str, Any] = {}
    for path, item in references.mapping(document.get("paths")).items():
        ending = next((each for each in ENDPOINTS if path.endswith(each)), None)
        if ending is None:
            continue
        post = references.mapping(references.mapping(item).get("post"))
        content = references.mapping(references.mapping(post.get("requestBody")).get("content"))
        schema = references.mapping(content.get("application/json")).get("schema")
        if schema is not None:
            endpoints["/v1" + ending] = slicer.sliced(schema)
    slicer.finish()
    return {"endpoints": dict(sorted(endpoints.items())), "$defs": dict(sorted(slicer.defs.items()))}


class _Slicer:
    def __init__(self, references: References) -> None:
        self.defs: dict[str, Any] = {}
        self._references = references
        self._waiting: list[str] = []

    def finish(self) -> None:
        """Slice all that was referred to."""
        while self._waiting:
            name = self._waiting.pop()
            if name not in self.defs:
                self.defs[name] = True  # while it is under way
                found, _ = self._references.resolve({"$ref": _PREFIX + name})
                self.defs[name] = _relaxed(name, self.sliced(found))

    def sliced(self, schema: Any) -> Any:
        """A schema's structure."""
        if not isinstance(schema, dict) or "$recursiveRef" in schema or schema.get("format") == "binary":
            return True
        reference = schema.get("$ref")
        if isinstance(reference, str):
            if not reference.startswith(_PREFIX):
                return True
            name = reference.removeprefix(_PREFIX)
            self._waiting.append(name)
            return {"$ref": f"#/$defs/{name}"}
        result = self._parts(schema)
        if schema.get("nullable") is True and result:
            return {"anyOf": [result, {"type": "null"}]}
        return result or True

    def _parts(self, schema: dict[str, Any]) -> dict[str, Any]:
        result = {key: value for key, value in schema.items() if key in _KEPT}
        result |= {key: schema[key] for key in _NUMBERS_ONLY if type(schema.get(key)) in {int, float}}
        if isinstance(schema.get("properties"), dict):
            result["properties"] = {
                name: self.sliced(part) for name, part in sorted(schema["properties"].items())
            }
        if "items" in schema:
            result["items"] = self.sliced(schema["items"])
        if isinstance(schema.get("additionalProperties"), dict):
            result["additionalProperties"] = self.sliced(schema["additionalProperties"])
        alternatives = [*_listed(schema, "anyOf"), *_listed(schema, "oneOf")]
        if alternatives:
            result["anyOf"] = [self.sliced(part) for part in alternatives]
        if parts := _listed(schema, "allOf"):
            result["allOf"] = [self.sliced(part) for part in parts]
        return result


def _listed(schema: dict[str, Any], key: str) -> list[Any]:
    found = schema.get(key)
    return found if isinstance(found, list) else []


def _relaxed(name: str, schema: Any) -> Any:
    optional = OPTIONAL.get(name)
    if optional is None or not isinstance(schema, dict) or "required" not in schema:
        return schema
    return {**schema, "required": [each for each in schema["required"] if each not in optional]}
