"""Bodies checked by the API's own schemas: `schemas.json`, which `make spec` slices from a published document.

The validator is jsonschema-rs, of the extra `check`, loaded where it is used.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from typing import Any

import attrs
import msgspec

from overlay.errors import ConfigurationError
from overlay.lines import is_array, is_object
from overlay.requests.reasons import quoted

_EXTRA = "openai-batch-overlay[check]"
_NEAR = 0.75
_TELLING = frozenset({"role", "type", "object"})
"""Fields that tell alternatives apart: an alternative that fails there was not meant."""
_SHOWN = 8
_MOST = 5
"""Problems of one body that are told."""
_LONGEST = 200


@attrs.frozen
class _Endpoint:
    validator: Any
    names: frozenset[str]
    """What a body may have at its top, as far as the schema says."""


def can_check() -> bool:
    """Whether the validator is installed."""
    return find_spec("jsonschema_rs") is not None


def schema_problems(url: str, body: msgspec.Raw) -> Iterator[str]:
    """What the schema of an endpoint refuses in a body, each with its place; nothing for an unknown endpoint.

    Raises ConfigurationError if the validator is not installed.
    """
    endpoint = _endpoint(url)
    if endpoint is None:
        return
    value = msgspec.json.decode(body)
    if endpoint.validator.is_valid(value):
        return
    told = dict.fromkeys(
        text for error in endpoint.validator.iter_errors(value) for text in _told(error) if text
    )
    yield from list(told)[:_MOST]


def unknown_names(url: str, body: msgspec.Raw) -> Iterator[str]:
    """The fields at the top of a body that the schema does not have, each with the nearest that it has."""
    endpoint = _endpoint(url)
    value = msgspec.json.decode(body) if endpoint is not None else None
    if endpoint is None or not endpoint.names or not is_object(value):
        return
    for name in value:
        if name not in endpoint.names:
            near = get_close_matches(name, endpoint.names, n=1, cutoff=_NEAR)
            hint = f": did you mean {near[0]}?" if near else ", which is not documented"
            yield f"body.{name}{hint}"


@cache
def _endpoint(url: str) -> _Endpoint | None:
    try:
        import jsonschema_rs  # noqa: PLC0415 - an extra, and 8 MB
    except ImportError:
        raise ConfigurationError(f"checking bodies needs jsonschema-rs: pip install '{_EXTRA}'") from None
    schemas = _schemas()
    root = schemas["endpoints"].get(url)
    if root is None:
        return None
    whole = {"$defs": schemas["$defs"], **(root if is_object(root) else {})}
    return _Endpoint(jsonschema_rs.Draft202012Validator(whole), frozenset(_names(root, schemas["$defs"])))


@cache
def _schemas() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((files("overlay.requests") / "schemas.json").read_bytes())
    return found


def _names(schema: Any, defs: dict[str, Any]) -> Iterator[str]:
    if not is_object(schema):
        return
    if "$ref" in schema:
        yield from _names(defs.get(schema["$ref"].rpartition("/")[2]), defs)
    yield from schema.get("properties", {})
    for part in (*schema.get("allOf", ()), *schema.get("anyOf", ())):
        yield from _names(part, defs)


def _told(error: Any) -> Iterator[str]:
    """What an error says, looking into the alternatives that may have been meant."""
    context = getattr(error.kind, "context", None)
    if not context:
        yield f"{_place(error.instance_path)}: {_words(error)}"
        return
    meant = [branch for branch in context if not any(_is_telling(each) for each in branch)]
    if meant:
        # The one that comes nearest: with the fewest problems, and those deepest inside.
        best = min(meant, key=lambda branch: (len(branch), -max(len(each.instance_path) for each in branch)))
        for each in best:
            yield from _told(each)
        return
    telling = [each for branch in context for each in branch if _is_telling(each)]
    for path in dict.fromkeys(tuple(each.instance_path) for each in telling):
        here = [each for each in telling if tuple(each.instance_path) == path]
        values = list(dict.fromkeys(value for each in here for value in _allowed(each)))
        shown = ", ".join(json.dumps(value) for value in values[:_SHOWN])
        more = ", ..." if len(values) > _SHOWN else ""
        yield f"{_place(path)}: {_value(here[0])} is none of {shown}{more}"


def _is_telling(error: Any) -> bool:
    path = error.instance_path
    return bool(path) and path[-1] in _TELLING and bool(_allowed(error))


def _allowed(error: Any) -> Sequence[Any]:
    options = getattr(error.kind, "options", None)
    if is_array(options):
        return options
    expected = getattr(error.kind, "expected_value", None)
    return [] if expected is None else [expected]


def _value(error: Any) -> str:
    value = getattr(error, "instance", None)
    return quoted(value) if isinstance(value, str) else json.dumps(value, default=str)[:_LONGEST]


def _words(error: Any) -> str:
    allowed = _allowed(error)
    if allowed:
        shown = ", ".join(json.dumps(value) for value in allowed[:_SHOWN])
        return f"{_value(error)} is none of {shown}"
    return str(error.message)[:_LONGEST]


def _place(path: Iterable[str | int]) -> str:
    """`body.messages[0].role`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "body" + "".join(parts)
