"""What a schema says of the parts of a value."""

import re
from typing import Any

from overlay.lines import is_array

_ESCAPED = re.compile(r"\\.", re.DOTALL)
_REPEATED_GROUP = re.compile(r"\)(?:[*+]|\{\d+,?\d*\})")
_REPEAT = re.compile(r"[*+]|\{\d+,\d*\}")
_LONGEST = {0: 1 << 20, 1: 4_000, 2: 300}
"""In characters, by the number of repeats in a pattern."""
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
    """Whether a pattern in ECMAScript's notation is found in a text; not so where Python cannot read it, or where
    the search might take too long: it holds up everything else in the process.
    """
    if len(text) > _longest(pattern):
        return False
    try:
        return re.search(_NAMED_GROUP.sub("(?P<", pattern), text) is not None
    except re.error:
        return False


def _longest(pattern: str) -> int:
    """The length of text up to which searching takes moments, however the search goes astray.

    A repeated group can be tried in exponentially many ways; n repeats one after the other in about text to the n.
    """
    bare = _ESCAPED.sub("x", pattern)
    if _REPEATED_GROUP.search(bare):
        return 16
    return _LONGEST.get(len(_REPEAT.findall(bare)), 60)
