"""What a document states and openapi.yaml does not: its servers, and the defaults of parameters and of fields sent.

They change nothing in the SDK, which has a base URL of its own and sends only what it is given; but services act on
them. They are kept beside the origin in openapi.yaml, so that a change of them is said, once.
"""

from collections.abc import Iterator
from typing import Any

from tools.upstream.changes import Change
from tools.upstream.flattening import Flattener
from tools.upstream.references import References, items
from tools.upstream.slicing import find

SERVERS, DEFAULTS = "servers", "defaults"


def unstated(document: dict[str, Any]) -> dict[str, Any]:
    """Servers by address, and defaults by place, as JSON values."""
    references = References(document)
    addresses = [references.mapping(each).get("url") for each in items(document.get("servers"))]
    return {
        SERVERS: [each for each in addresses if isinstance(each, str)],
        DEFAULTS: dict(sorted(_defaults(document, references))),
    }


def _defaults(document: dict[str, Any], references: References) -> Iterator[tuple[str, Any]]:
    flattener = Flattener(references)
    for name, found in find(document, references).items():
        for parameter in found.parameters:
            yield from _default(f"{name}.{parameter['name']}", parameter["schema"], references)
        for form in flattener.read(found.sends).forms if found.sends is not None else ():
            for key, raw in form.raw.get("properties", {}).items() if form.kind == "object" else ():
                yield from _default(f"{name}.{key}", raw, references)


def _default(place: str, raw: Any, references: References) -> Iterator[tuple[str, Any]]:
    stated, _ = references.resolve(raw)
    for schema in (raw, stated):
        if isinstance(schema, dict) and isinstance(schema.get("default"), str | int | float | bool):
            yield place, schema["default"]
            return


def compare_unstated(before: dict[str, Any], after: dict[str, Any]) -> list[Change]:
    """The differences; none where nothing was noted before."""
    changes: list[Change] = []
    if not {SERVERS, DEFAULTS} <= before.keys() & after.keys():
        return changes
    if before[SERVERS] != after[SERVERS]:
        told = (", ".join(map(str, each[SERVERS])) or "none" for each in (before, after))
        changes.append(Change("~", "servers", "servers", " → ".join(told)))
    old, new = before[DEFAULTS], after[DEFAULTS]
    for place in sorted(old.keys() | new.keys()):
        was, now = (repr(each[place]) if place in each else "none" for each in (old, new))
        if was != now:
            changes.append(Change("~", "default", place, f"{was} → {now}"))
    return changes
