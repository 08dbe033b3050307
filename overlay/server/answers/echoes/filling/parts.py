"""What a schema says of the parts of a value."""

import re
from typing import Any

from overlay.lines import is_array

_NAMED_GROUP = re.compile(r"\(\?<(?![=!])")  # Python puts a P between


def tuple_parts(schema: dict[str, Any]) -> tuple[list[Any], Any]:
    """The schemas of an array's first items, and that of the others."""
    if is_array(items := schema.get("items", True)):  # before 2020-12
        return items, schema.get("additionalItems", True)
    return schema.get("prefixItems", []), items


def of_property(name: str, schema: dict[str, Any]) -> list[Any]:
    """The schemas that one schema has for a property."""
    found = [schema["properties"][name]] if name in schema.get("properties", ()) else []
    found += [each for pattern, each in schema.get("patternProperties", {}).items() if matches(pattern, name)]
    if not found and "additionalProperties" in schema:
        return [schema["additionalProperties"]]
    return found


def matches(pattern: str, text: str) -> bool:
    """Whether a pattern in ECMAScript's notation is found in a text; not so where Python cannot read it."""
    try:
        return re.search(_NAMED_GROUP.sub("(?P<", pattern), text) is not None
    except re.error:
        return False
