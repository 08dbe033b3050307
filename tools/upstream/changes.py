"""The differences between two ``openapi.yaml``, one line each, and which of them break a promise of the overlay.

Both are flattened first, into places and what is stated of each; then the places are compared, without
descriptions.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tools.upstream.canonical import (
    LIMITS,
    REMOVED,
    REMOVED_VALUES,
    Schema,
    alternatives,
    answered,
    operations_of,
    referred,
    schemas_of,
    sent,
)
from tools.upstream.promised_values import builders, lost_values
from tools.upstream.promises import Promises


@dataclass(frozen=True)
class Change:
    """One difference: `sign` is `+`, `-` or `~`; `breaks` says what it breaks, and in which modules."""

    sign: str
    kind: str
    place: str
    detail: str = ""
    breaks: str = ""

    def __str__(self) -> str:
        line = escaped(f"{self.sign} {self.kind:<7} {self.place}  {self.detail}".rstrip())
        return f"{line}\n      BREAKING: {escaped(self.breaks)}" if self.breaks else line


def escaped(text: str) -> str:
    """The text on one line, whatever a document has put into its names."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode()
        for character in text
    )


@dataclass
class _Place:
    """What is at one place of a specification."""

    kind: str
    owner: str
    name: str
    type: str = ""
    values: set[Any] = field(default_factory=set)
    enums: set[str] = field(default_factory=set)
    required: bool = False
    deprecated: bool = False
    limits: str = ""
    where: str = ""
    """Where a parameter is in, unless that is the query."""

    def __str__(self) -> str:
        name = f"{self.name} ({self.where})" if self.where else self.name
        return f"{self.owner}.{name}" if self.owner else name

    def stating(self, schema: Schema, schemas: dict[str, Schema]) -> "_Place":
        """The place itself, with what its schema says."""
        self.type = _describe(schema, schemas)
        self.values = {
            value
            for one in _enums(schema, schemas)
            for value in one["enum"]
            if value not in one.get(REMOVED_VALUES, [])
        }
        self.enums = {name for name in referred(schema) if "enum" in schemas.get(name, {})}
        self.deprecated = schema.get("deprecated", False)
        parts = [f"{key} {part[key]:,}" for part in alternatives(schema) for key in LIMITS if key in part]
        self.limits = ", ".join(parts)
        return self


_REQUEST = "Request"
"""How the names of the bodies of requests end."""


def compare(before: dict[str, Any], after: dict[str, Any], promises: Promises) -> list[Change]:
    """The differences in structure between two specifications, in the order of their places."""
    old, new = _places(before), _places(after)
    changes: list[Change] = []
    was, now = (document.get("info", {}).get("version") for document in (before, after))
    if was != now:
        changes.append(Change("~", "version", "info.version", f"{was} → {now}"))
    # The parameters of an operation come and go with it.
    both = {key for key in old.keys() | new.keys() if _stays(old.get(key) or new[key], old, new)}
    for key in sorted(both):
        if key not in old:
            changes.append(_added(new[key], promises))
        elif key not in new:
            changes.append(_removed(old[key], promises, kept=_is_kept(after, old[key])))
        else:
            changes.extend(_differences(old[key], new[key], promises))
    return changes


def _added(place: _Place, promises: Promises) -> Change:
    detail = f"{place.type}, required" if place.required and place.kind == "param" else place.type
    if place.kind == "field" and place.owner.endswith(_REQUEST):
        detail += f"; sent with extra_body={{{place.name!r}: ...}}"
    elif place.kind == "param" and not place.where:
        detail += f"; sent with extra_query={{{place.name!r}: ...}}"
    adder = promises.adder(place.owner, place.name) if place.kind == "field" else None
    if adder:
        breaks = f"{adder} already adds {place.name} to {place.owner}"
    else:
        breaks = _newly_required(place, promises) if place.required else ""
    return Change("+", place.kind, str(place), detail, breaks)


def _removed(place: _Place, promises: Promises, *, kept: bool) -> Change:
    # What is used has been kept (see `keeping`); what went with an unused field is unused too.
    users = _users(place, promises) if kept else ""
    note = "kept in openapi.yaml until you decide" if kept else ""
    return Change("-", place.kind, str(place), note, f"used by {users}" if users else "")


def _differences(old: _Place, new: _Place, promises: Promises) -> Iterator[Change]:
    kind, place = new.kind, str(new)
    if old.type != new.type:
        users = _users(new, promises)
        yield Change("~", "type", place, f"{old.type} → {new.type}", f"used by {users}" if users else "")
    for sign, values in (("+", new.values - old.values), ("-", old.values - new.values)):
        relied = {
            value: module
            for enum in old.enums | new.enums
            for value, module in (lost_values(values, enum, promises) if sign == "-" else {}).items()
        }
        for value in sorted(values, key=str):
            user = relied.get(str(value))
            kept = "kept in openapi.yaml until you decide" if user else ""
            detail = f"{value}  {kept}".rstrip()
            yield Change(sign, "value", place, detail, f"used by {user}" if user else "")
    if old.required != new.required:
        breaks = _newly_required(new, promises) if new.required else ""
        yield Change("~", kind, place, "now required" if new.required else "no longer required", breaks)
    if old.deprecated != new.deprecated:
        yield Change("~", kind, place, "now deprecated" if new.deprecated else "no longer deprecated")
    if old.limits != new.limits:
        yield Change("~", kind, place, f"{old.limits or 'no limits'} → {new.limits or 'no limits'}")


def _users(place: _Place, promises: Promises) -> str:
    if place.kind == "operation":
        return ", ".join([*promises.importers(place.name), *builders(place.name, promises)])
    if place.kind == "param":
        return ", ".join(promises.senders(place.owner, place.name))
    return ", ".join(promises.readers(place.owner, place.name))


def _newly_required(place: _Place, promises: Promises) -> str:
    """What breaks when a request must have what was optional before; answers are never strict."""
    users = ", ".join(promises.importers(place.owner))
    return f"must now be sent by {users}" if users else ""


def _places(document: dict[str, Any]) -> dict[tuple[str, str], _Place]:
    """What is where, without what is only kept."""
    schemas = schemas_of(document)
    places: list[_Place] = []
    for name, operation in operations_of(document).items():
        if REMOVED in operation:
            continue
        stated = _describe(answered(operation), schemas)
        if body := sent(operation):
            stated = f"{_describe(body, schemas)} to {stated}"
        codes = {int(code) for code in operation["responses"]}
        deprecated = operation.get("deprecated", False)
        places.append(_Place("operation", "", name, stated, codes, deprecated=deprecated))
        for parameter in operation.get("parameters", []):
            if REMOVED not in parameter:
                where = "" if parameter["in"] == "query" else parameter["in"]
                place = _Place(
                    "param", name, parameter["name"], required=parameter.get("required", False), where=where
                )
                places.append(place.stating(parameter["schema"], schemas))
    for name, schema in schemas.items():
        for key, stated in schema.get("properties", {}).items():
            if REMOVED not in stated:
                place = _Place("field", name, key, required=key in schema.get("required", []))
                places.append(place.stating(stated, schemas))
    return {_key(place): place for place in places}


def pending(document: dict[str, Any], promises: Promises) -> list[Change]:
    """What is kept though upstream no longer has it, until somebody decides."""
    found: list[Change] = []
    kept = "is kept, though upstream no longer has it"
    for name, operation in operations_of(document).items():
        if REMOVED in operation:
            place = _Place("operation", "", name)
            found.append(Change("!", "operation", name, kept, f"used by {_users(place, promises)}"))
        found += [
            Change("!", "param", f"{name}.{one['name']}", kept)
            for one in operation.get("parameters", [])
            if REMOVED in one
        ]
    for name, schema in schemas_of(document).items():
        for key, stated in schema.get("properties", {}).items():
            if REMOVED in stated:
                users = ", ".join(promises.readers(name, key))
                found.append(Change("!", "field", f"{name}.{key}", kept, f"used by {users}"))
        found += [Change("!", "value", f"{name} {value}", kept) for value in schema.get(REMOVED_VALUES, [])]
    return found


def _key(place: _Place) -> tuple[str, str]:
    return str(place.kind != "operation"), str(place)


def _stays(place: _Place, *sides: dict[tuple[str, str], _Place]) -> bool:
    holder = _key(_Place("operation", "", place.owner))
    return place.kind != "param" or all(holder in side for side in sides)


def _describe(schema: Schema, schemas: dict[str, Schema]) -> str:
    """A type in a few words; that of an enum is the type of its values."""
    stated: list[str] = []
    for part in alternatives(schema):
        if "$ref" in part:
            name = referred(part)[0]
            found = schemas.get(name, {})
            stated.append(str(found["type"]) if "enum" in found else name)
        elif "items" in part:
            stated.append(f"list of {_describe(part['items'], schemas)}")
        elif part.get("format") == "binary":
            stated.append("bytes")
        else:
            stated.append(str(part.get("type", "any")))
    return " | ".join(dict.fromkeys(stated))


def _enums(stated: Schema, schemas: dict[str, Schema]) -> list[Schema]:
    parts = [inner for part in alternatives(stated) for inner in (part, *alternatives(part.get("items", {})))]
    return [schemas[name] for part in parts for name in referred(part) if "enum" in schemas.get(name, {})]


def _is_kept(document: dict[str, Any], place: _Place) -> bool:
    if place.kind == "operation":
        return place.name in operations_of(document)
    if place.kind == "param":
        operation = operations_of(document).get(place.owner, {})
        return any(one["name"] == place.name for one in operation.get("parameters", []))
    return place.name in schemas_of(document).get(place.owner, {}).get("properties", {})
