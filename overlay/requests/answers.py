"""From the type of an answer to the schema that makes a model write one.

msgspec and pydantic write a schema of the type, which is then rewritten to the strict subset.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import attrs
import msgspec

from overlay.errors import ConfigurationError
from overlay.lines import is_object
from overlay.requests.rewriting import Rewriting, definitions
from overlay.requests.strict_subset import slips

_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST_NAME = 64
_TAKEN = "a dataclass, attrs class, TypedDict, msgspec Struct or pydantic model"
_LIBRARY_ERRORS = (TypeError, ValueError, NameError, AttributeError, RuntimeError)
"""What msgspec and pydantic raise for a type of which they know no schema."""


@attrs.frozen
class AnswerSchema:
    """A JSON schema in the strict subset, under its name."""

    name: str
    schema: dict[str, Any]
    with_formats: dict[str, Any] = attrs.field(repr=False)
    """The same, with the formats of its strings, such as dates, in their places: not all models take them."""

    def named(self) -> dict[str, Any]:
        """As `response_format` and `text.format` take it."""
        return {"name": self.name, "strict": True, "schema": self.schema}


def answer_schema(answer: Any) -> AnswerSchema:
    """The strict schema of a dataclass, attrs class, TypedDict, msgspec Struct or pydantic model, or of a JSON
    schema. Raises ConfigurationError for a type that is no object, and for what the strict subset cannot hold.
    """
    name = "answer" if is_object(answer) else type_name(answer)
    whole = _own_schema(answer, name)
    rewriting = Rewriting(definitions(whole), _times(answer))
    root = {key: value for key, value in whole.items() if key not in {"$defs", "definitions"}}
    seen: set[str] = set()
    while "$ref" in root:
        ref, found = rewriting.definition(root.pop("$ref"), name)
        if ref in seen:
            raise ConfigurationError(
                f"{name} cannot be the type of an answer: {ref} refers to itself, and says nothing"
            )
        seen.add(ref)
        root = {**found, **root}
    name = str(root.get("title") or name)
    if "properties" not in root or root.get("type", "object") != "object":
        raise ConfigurationError(
            f"an answer must be an object with fields, and {name} is none: give {_TAKEN}"
        )
    schema = _rewritten(rewriting, root, name)
    for slip in slips(schema):
        raise ConfigurationError(f"{name} cannot be the type of an answer: {slip}")
    with_formats = _rewritten(Rewriting(definitions(whole), rewriting.times, formats=True), root, name)
    return AnswerSchema(_NAME.sub("_", name)[:_LONGEST_NAME] or "answer", schema, with_formats)


def _rewritten(rewriting: Rewriting, root: dict[str, Any], name: str) -> dict[str, Any]:
    schema = rewriting.node(root, name)
    return {**schema, "$defs": rewriting.done} if rewriting.done else schema


def type_name(answer: Any) -> str:
    """What a type is called; a union such as `A | None` has no name of its own."""
    name: object = getattr(answer, "__name__", None)
    return name if isinstance(name, str) and not hasattr(answer, "__args__") else str(answer)


def _own_schema(answer: Any, name: str) -> dict[str, Any]:
    if is_object(answer):
        return answer
    try:
        own = _pydantic_schema(answer)
        return own("#/$defs/{model}") if own else msgspec.json.schema(answer, schema_hook=_nested)
    except NameError as error:
        raise ConfigurationError(
            f"{name} names a type that cannot be found ({error}): define it at the top of its module"
        ) from error
    except _LIBRARY_ERRORS as error:
        reason = " ".join(str(error).split())
        raise ConfigurationError(f"{name} cannot be the type of an answer: {reason}") from error


def _pydantic_schema(answer: Any) -> Callable[[str], dict[str, Any]] | None:
    """What writes the schema of a pydantic model; None for anything else. pydantic itself is not imported."""
    own = getattr(answer, "model_json_schema", None)
    return None if own is None else lambda refs: own(ref_template=refs)


def _nested(answer: Any) -> dict[str, Any]:
    """The schema of a pydantic model inside a type of msgspec's."""
    own = _pydantic_schema(answer)
    if own is None:
        raise NotImplementedError
    prefix = _NAME.sub("_", type_name(answer)) + "-"
    whole = own(f"#/$defs/{prefix}{{model}}")
    return {**whole, "$defs": {prefix + name: part for name, part in definitions(whole).items()}}


def _times(answer: Any) -> dict[tuple[str, str], str]:
    """The fields of dates with times, or times, of which msgspec's schema says only that they are strings."""
    if is_object(answer) or _pydantic_schema(answer):
        return {}
    from msgspec import inspect  # noqa: PLC0415 - for types of answers only

    found: dict[tuple[str, str], str] = {}
    kinds: dict[Any, str] = {inspect.DateTimeType: "date-time", inspect.TimeType: "time"}
    classes: list[Any] = [inspect.type_info(answer)]
    for info in classes:  # which grows meanwhile
        for field in getattr(info, "fields", ()):
            parts: list[Any] = [field.type]
            for part in parts:  # which grows, too
                kind = kinds.get(type(part))
                if kind is not None:
                    found[type_name(info.cls), field.encode_name] = kind
                parts += [getattr(part, name) for name in ("item_type", "type") if hasattr(part, name)]
                parts += getattr(part, "types", ())
                if hasattr(part, "fields") and not any(part.cls is each.cls for each in classes):
                    classes.append(part)
    return found
