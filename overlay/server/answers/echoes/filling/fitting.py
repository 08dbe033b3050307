"""Whether a value fits a JSON Schema, by the keywords of draft 2020-12.

`format` is held against a value where formats.py knows it. The keywords `unevaluatedItems`, `unevaluatedProperties`
and `$dynamicRef` are not looked at.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from overlay.lines import is_array, is_object
from overlay.server.answers.echoes.filling.documents import Document
from overlay.server.answers.echoes.filling.formats import FORMATS
from overlay.server.answers.echoes.filling.parts import matches, of_property, tuple_parts


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": is_object,
    "array": is_array,
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": is_number,
    "integer": lambda value: is_number(value) and value == int(value),
}


def same(one: Any, other: Any) -> bool:
    """Equality as JSON has it: 1 is 1.0, and neither is true."""
    if is_array(one) and is_array(other):
        return len(one) == len(other) and all(map(same, one, other))
    if is_object(one) and is_object(other):
        return one.keys() == other.keys() and all(same(each, other[name]) for name, each in one.items())
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def fits(value: Any, schema: Any, document: Document, within: frozenset[str] = frozenset()) -> bool:
    """Whether `value` is valid under `schema`; `within` are the references that led here without a step into it."""
    if not is_object(schema):
        return schema is True

    def here(other: Any) -> bool:
        return fits(value, other, document, within)

    def below(part: Any, other: Any) -> bool:
        return fits(part, other, document)

    if "$ref" in schema:
        reference = schema["$ref"]
        # A circle of references that never looks at the value is no reason to let it pass.
        if reference in within or not fits(
            value, document.resolve(reference), document, within | {reference}
        ):
            return False
    if not _all(_ANY, value, schema) or not _combined(schema, here):
        return False
    if isinstance(value, str):
        return _all(_TEXT, value, schema)
    if is_number(value):
        return _number_fits(value, schema)
    if is_array(value):
        return _array_fits(value, schema, below)
    return not is_object(value) or _object_fits(value, schema, below, here)


def _all(checks: dict[str, Callable[[Any, Any], bool]], value: Any, schema: dict[str, Any]) -> bool:
    return all(check(value, schema[keyword]) for keyword, check in checks.items() if keyword in schema)


def _typed(value: Any, kinds: Any) -> bool:
    return any(_TYPES[kind](value) for kind in (kinds if is_array(kinds) else [kinds]))


_ANY: dict[str, Callable[[Any, Any], bool]] = {
    "type": _typed,
    "enum": lambda value, listed: any(same(value, each) for each in listed),
    "const": same,
}
_TEXT: dict[str, Callable[[str, Any], bool]] = {
    "minLength": lambda text, least: len(text) >= least,
    "maxLength": lambda text, most: len(text) <= most,
    "pattern": lambda text, pattern: matches(pattern, text),
    "format": lambda text, name: name not in FORMATS or FORMATS[name].fits(text),
}


def _combined(schema: dict[str, Any], here: Callable[[Any], bool]) -> bool:
    if not all(map(here, schema.get("allOf", ()))):
        return False
    if "anyOf" in schema and not any(map(here, schema["anyOf"])):
        return False
    if "oneOf" in schema and sum(map(here, schema["oneOf"])) != 1:
        return False
    if "not" in schema and here(schema["not"]):
        return False
    return "if" not in schema or here(schema.get("then" if here(schema["if"]) else "else", True))


def _number_fits(value: float, schema: dict[str, Any]) -> bool:
    low, high = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    return (
        not (
            "minimum" in schema
            and (value < schema["minimum"] or (low is True and value == schema["minimum"]))
        )
        and not (
            "maximum" in schema
            and (value > schema["maximum"] or (high is True and value == schema["maximum"]))
        )
        # true and false are how draft 4 has them, and OpenAPI 3.0 with it.
        and (low is None or isinstance(low, bool) or value > low)
        and (high is None or isinstance(high, bool) or value < high)
        and ("multipleOf" not in schema or _is_multiple(value, schema["multipleOf"]))
    )


def _is_multiple(value: float, step: float) -> bool:
    """By the digits as they are written, and by floating point as well: validators do the one or the other."""
    if (exact(value) / exact(step)).denominator != 1:
        return False
    return (isinstance(value, int) and isinstance(step, int)) or (value / step).is_integer()


def exact(number: float) -> Fraction:
    """The number that the shortest decimal of a float says."""
    return Fraction(str(number))


def _array_fits(value: list[Any], schema: dict[str, Any], below: Callable[[Any, Any], bool]) -> bool:
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        return False
    first, rest = tuple_parts(schema)
    if not all(map(below, value, first)) or not all(below(each, rest) for each in value[len(first) :]):
        return False
    if "contains" in schema:
        found = sum(below(each, schema["contains"]) for each in value)
        if not schema.get("minContains", 1) <= found <= schema.get("maxContains", found):
            return False
    return not schema.get("uniqueItems") or is_unique(value)


def is_unique(values: list[Any]) -> bool:
    return not any(same(one, other) for place, one in enumerate(values) for other in values[:place])


def _object_fits(
    value: dict[str, Any],
    schema: dict[str, Any],
    below: Callable[[Any, Any], bool],
    here: Callable[[Any], bool],
) -> bool:
    if not schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", len(value)):
        return False
    if not all(name in value for name in schema.get("required", ())):
        return False
    if "propertyNames" in schema and not all(below(name, schema["propertyNames"]) for name in value):
        return False
    for name, others in schema.get("dependentRequired", {}).items():
        if name in value and not all(other in value for other in others):
            return False
    for name, other in schema.get("dependentSchemas", {}).items():
        if name in value and not here(other):
            return False
    return all(below(each, part) for name, each in value.items() for part in of_property(name, schema))
