"""Holds an answer of the service against `strict_schema.json`, which leaves nothing open."""

import json
from pathlib import Path

from jsonschema import Draft202012Validator

_SCHEMA = json.loads(Path(__file__).with_name("strict_schema.json").read_text())


def check(kind, value):
    """`kind` is one of the definitions there. Raises `jsonschema.ValidationError`."""
    Draft202012Validator({**_SCHEMA, "$ref": f"#/$defs/{kind}"}).validate(value)
