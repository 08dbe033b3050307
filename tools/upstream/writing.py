"""``openapi.yaml`` as text, the same for the same content, written whole or not at all."""

import os
import re
import tempfile
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from tools.upstream.canonical import LIMITS, REMOVED, Schema, in_order

ORIGIN = "x-upstream"
"""Where the specification is from: the document's address, its digest, and when it was taken."""
_HEADER = """\
# The batch section of the OpenAI API: its structure is taken from a published document by `make spec`,
# its descriptions are this project's own and are kept by it. `make generate` turns it into generated/.
"""
_OPERATION = (
    "operationId",
    "summary",
    "description",
    "tags",
    "deprecated",
    "parameters",
    "requestBody",
    "responses",
)
_PARAMETER = ("name", "in", "description", "required", "schema")
_SCHEMA = (
    *("description", "$ref", "type", "format", "enum", "anyOf", "items", "properties", "required"),
    *(*LIMITS, "deprecated", REMOVED),
)


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Without anchors: a schema used twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


# What some reader of YAML 1.1 or 1.2 takes for something else than a string; PyYAML quotes what its own would.
_AMBIGUOUS = re.compile(
    r"""
    [-+]?[0-9][0-9_,]*(\.[0-9_]*)?([eE][-+]?[0-9]*)? | [-+]?\.[0-9]+([eE][-+]?[0-9]+)?
    | [-+]?[0-9][0-9_]*(:[0-9]{1,2})+(\.[0-9_]*)? | [-+]?0[obxOBX][0-9a-fA-F_]+
    | [0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.* | [-+]?\.(inf|nan)
    | y | n | yes | no | on | off | true | false | null | ~ | = | <<
    """,
    re.VERBOSE | re.IGNORECASE,
)


# Line breaks of YAML 1.1 alone, and control characters: they survive where they are escaped, between double quotes.
_ESCAPED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]")


def _string(dumper: Any, text: str) -> Any:
    style = "'" if _AMBIGUOUS.fullmatch(text) else '"' if _ESCAPED.search(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _string)


def dump(document: dict[str, Any]) -> str:
    """The text of an ``openapi.yaml``."""
    paths = document["paths"]
    components = document["components"]
    ordered = {
        "openapi": document["openapi"],
        "info": _sorted(document["info"], ("title", "description", "version")),
        **({ORIGIN: document[ORIGIN]} if ORIGIN in document else {}),
        "servers": document["servers"],
        "security": document["security"],
        "tags": [_sorted(tag, ("name", "description")) for tag in document["tags"]],
        "paths": {
            path: {method: _operation(operation) for method, operation in sorted(paths[path].items())}
            for path in sorted(paths)
        },
        "components": {
            "securitySchemes": {
                name: _sorted(scheme, ("type", "description", "scheme"))
                for name, scheme in components["securitySchemes"].items()
            },
            "schemas": {name: _schema(schema) for name, schema in sorted(components["schemas"].items())},
        },
    }
    return _HEADER + str(yaml.dump(ordered, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True))


def _operation(operation: dict[str, Any]) -> dict[str, Any]:
    stated = dict(operation)
    if "parameters" in stated:
        stated["parameters"] = [
            {**_sorted(parameter, _PARAMETER), "schema": _schema(parameter["schema"])}
            for parameter in stated["parameters"]
        ]
    stated["responses"] = {
        code: _sorted(answer, ("description", "content")) for code, answer in stated["responses"].items()
    }
    return _sorted(stated, _OPERATION)


def _schema(schema: Schema) -> Schema:
    stated = dict(schema)
    if "anyOf" in stated:
        stated["anyOf"] = [_schema(part) for part in stated["anyOf"]]
    if "items" in stated:
        stated["items"] = _schema(stated["items"])
    if "properties" in stated:
        stated["properties"] = {key: _schema(part) for key, part in in_order(stated["properties"]).items()}
    if not stated.get("required", True):
        # Draft 2020-12 allows an empty list; the one before, which older tools know, does not.
        del stated["required"]
    return _sorted(stated, _SCHEMA)


def _sorted(mapping: dict[str, Any], first: tuple[str, ...]) -> dict[str, Any]:
    keys = [key for key in first if key in mapping]
    return {key: mapping[key] for key in [*keys, *sorted(mapping.keys() - set(keys))]}


def write(path: Path, text: str) -> None:
    """Write *text* to *path*: beside it first, then in its place, so that no partial file is ever there."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp's files are private; this one is as readable as the one it replaces.
        temporary.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
