"""From the type of an answer to the schema that makes a model write one."""

from __future__ import annotations

from typing import Any

import attrs
import msgspec

from overlay.lines import is_array, is_object


@attrs.frozen
class AnswerSchema:
    """A JSON schema in the strict subset, under its name."""

    name: str
    schema: dict[str, Any]

    def named(self) -> dict[str, Any]:
        """As `response_format` and `text.format` take it."""
        return {"name": self.name, "strict": True, "schema": self.schema}


def answer_schema(answer: Any) -> AnswerSchema:
    """The strict schema of a dataclass, attrs class, TypedDict, msgspec Struct or pydantic model."""
    own = getattr(answer, "model_json_schema", None)
    whole = dict(answer) if is_object(answer) else own() if own else msgspec.json.schema(answer)
    defs = whole.pop("$defs", {})
    if "$ref" in whole:
        whole = defs[whole["$ref"].rpartition("/")[2]]
    if defs:
        whole = {**whole, "$defs": defs}
    return AnswerSchema(getattr(answer, "__name__", "answer"), _strict(whole))


def _strict(schema: Any) -> Any:
    if is_array(schema):
        return [_strict(each) for each in schema]
    if not is_object(schema):
        return schema
    if schema.get("type") == "object":
        schema = {**schema, "additionalProperties": False, "required": list(schema.get("properties", {}))}
    return {name: _strict(part) for name, part in schema.items() if name not in {"title", "default"}}
