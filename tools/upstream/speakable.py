"""Names that generated code cannot have: refused by name and place, before anything is written.

The generator makes one identifier of a name, takes it for an attribute, a keyword argument and a variable, and
never asks whether the function around it uses that variable itself.
"""

from collections.abc import Iterable
from typing import Any

from openapi_python_client.strings import PythonIdentifier

from tools.upstream.canonical import operations_of, schemas_of
from tools.upstream.refusal import Refused

_PREFIX = "field_"
_OF_MODELS = frozenset(
    {
        *("additional_keys", "additional_properties", "cast", "cls", "d", "field_dict", "from_dict"),
        *("isoparse", "json", "prop", "prop_name", "self", "src_dict", "to_dict", "to_multipart"),
    }
)
"""What the functions of a generated model call something else."""
_OF_OPERATIONS = frozenset(
    {"body", "client", "cookies", "headers", "params", "response", "_kwargs", "kwargs"}
)
"""The same of a generated operation."""


def refuse_unspeakable(specification: dict[str, Any]) -> None:
    """Raise Refused for names of fields and parameters that cannot become Python."""
    for model, schema in schemas_of(specification).items():
        _check(f"the schema {model}", schema.get("properties", {}), _OF_MODELS, "field")
    for name, operation in operations_of(specification).items():
        parameters = operation.get("parameters", [])
        for where in sorted({each["in"] for each in parameters}):
            here = [each["name"] for each in parameters if each["in"] == where]
            _check(f"the operation {name}", here, _OF_OPERATIONS, "parameter")
        for parameter in parameters:
            if parameter["in"] != "query" and parameter["schema"].get("type") == "array":
                raise Refused(
                    f"the operation {name} has a list in the {parameter['in']} parameter "
                    f"{parameter['name']!r}, which cannot be sent"
                )


def _check(place: str, names: Iterable[str], taken: frozenset[str], kind: str) -> None:
    first: dict[str, list[str]] = {}
    for name in names:
        identifier = str(PythonIdentifier(name, _PREFIX))
        if identifier in taken:
            raise Refused(
                f"{place} has a {kind} named {name!r}, which generated code needs for itself; rename it in the "
                "document, or leave it out"
            )
        if identifier.removeprefix(_PREFIX) == "":
            raise Refused(f"{place} has a {kind} named {name!r}, of which no letter can be kept")
        first.setdefault(identifier, []).append(name)
    for several in first.values():
        # The generator keeps two names apart where it can, by leaving them as they are; three are too many.
        if len({str(PythonIdentifier(name, _PREFIX, skip_snake_case=True)) for name in several}) < len(
            several
        ):
            quoted = ", ".join(map(repr, sorted(several)))
            raise Refused(f"{place} has {kind}s that become one name in Python: {quoted}")
