"""Whether generated code runs: everything can be imported, and a sample of each model is read and written back.

Run by `tools.generate` as a process of its own, with the folder of the package and an ``openapi.yaml``.
"""

import importlib
import pkgutil
import sys
from pathlib import Path
from typing import Any

from tools.upstream.canonical import Schema, alternatives, is_object, referred, schemas_of
from tools.upstream.decoding import decode

_DEEPEST = 4
_SAMPLES: dict[str, Any] = {"string": "a", "integer": 1, "number": 1.5, "boolean": True, "null": None}


def sample(schema: Schema, schemas: dict[str, Schema], depth: int = 0) -> Any:
    """A value that a schema allows, with every field."""
    first = alternatives(schema)[0]
    for name in referred(first):
        target = schemas[name]
        if "enum" in target:
            return target["enum"][0]
        return sample(target, schemas, depth + 1) if depth < 2 * _DEEPEST else {}
    if is_object(first):
        wanted = first["properties"] if depth < _DEEPEST else {}
        needed = {name: first["properties"][name] for name in first.get("required", [])}
        return {name: sample(part, schemas, depth + 1) for name, part in {**wanted, **needed}.items()}
    if "items" in first:
        return [sample(first["items"], schemas, depth + 1)]
    if first.get("format") == "binary":
        return None
    return _SAMPLES.get(str(first.get("type")), "anything")


def main(arguments: list[str]) -> int:
    """Exit code 0 if all is well; else 1, with a sentence on stderr."""
    package, specification = Path(arguments[0]), Path(arguments[1])
    sys.path.insert(0, str(package.parent))
    root = importlib.import_module(package.name)
    for module in pkgutil.walk_packages(root.__path__, f"{package.name}."):
        importlib.import_module(module.name)
    models = importlib.import_module(f"{package.name}.models")
    schemas = schemas_of(decode(specification.read_bytes()))
    for name, schema in schemas.items():
        model = getattr(models, name, None)
        if not is_object(schema) or model is None or _holds_bytes(schema):
            continue
        given = sample(schema, schemas)
        answer = model.from_dict(given).to_dict()
        if answer != given:
            sys.stderr.write(f"{name} is not read as it is written: {given!r:.300} became {answer!r:.300}\n")
            return 1
    return 0


def _holds_bytes(schema: Schema) -> bool:
    return any(part.get("format") == "binary" for part in schema["properties"].values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
