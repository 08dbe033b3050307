"""Objects and enums as components, under names that do not change.

A document writes the same object inline in one revision and named in another, and renames it in a third. Its place
stays: so what is at a place that the present ``openapi.yaml`` has keeps its name from there. Only what is new gets
a name: the document's, or one made from the parent and the property (`BatchErrors`, `BatchStatus`).
"""

import re
from typing import Any

from tools.upstream.canonical import (
    LIMITS,
    NULL,
    Schema,
    alternatives,
    in_order,
    is_object,
    joined,
    reference,
    referred,
)
from tools.upstream.flattening import Flattener, Form
from tools.upstream.references import items

# Names that generated modules import for themselves.
_TAKEN = frozenset(
    {
        *(
            "annotations",
            "any",
            "authenticatedclient",
            "binaryio",
            "bytesio",
            "cast",
            "client",
            "errors",
            "file",
        ),
        *("generator", "generic", "httpstatus", "httpx", "json", "literal", "mapping", "models", "response"),
        *("t", "textio", "typechecking", "types", "typevar", "unset"),
    }
)
_TIMESTAMP_KINDS = frozenset({"any", "enum", "integer", "number", "string"})


def pascal(text: str) -> str:
    """`input_tokens_details` as `InputTokensDetails`; capitals stay."""
    return "".join(word[0].upper() + word[1:] for word in re.split(r"[^0-9A-Za-z]+", text) if word)


class Components:
    """The components that the places given to `place` lead to, in `schemas`.

    `known` and `owners` are what an earlier pass over the same places has learnt: which of the document's schemas
    has which name by its place, so that a new place seen early does not take the name of an old one seen late.
    """

    def __init__(
        self, flattener: Flattener, present: dict[str, Schema], earlier: "Components | None" = None
    ) -> None:
        self.schemas: dict[str, Schema] = {}
        self.known: dict[str, str] = dict(earlier.known) if earlier else {}
        self.owners: dict[str, str] = dict(earlier.owners) if earlier else {}
        self._named: dict[str, str] = {}
        self._claimed: dict[str, str] = dict(self.owners)
        self._flattener = flattener
        self._present = present
        self._done: set[tuple[str, str]] = set()
        self._above: list[str] = []
        """The references that led to what is being placed."""

    def place(self, raw: Any, present: Schema, fallback: str, *, null: bool = False) -> Schema:
        """The schema to put at a place for *raw*.

        *present* is there now (empty if the place is new), and *fallback* names an object or enum that has no name
        yet. Only with *null* is null allowed there: a field that is null counts as absent.
        """
        pointer = self._flattener.pointer_of(raw)
        if pointer is not None and self._above.count(pointer) > 1:
            return {}  # it holds itself, however deep: anything, then
        if pointer is not None:
            self._above.append(pointer)
        try:
            return self._placed(raw, present, fallback, null=null)
        finally:
            if pointer is not None:
                self._above.pop()

    def _placed(self, raw: Any, present: Schema, fallback: str, *, null: bool) -> Schema:
        meaning = self._flattener.read(raw)
        forms = _one_enum_each(meaning.forms)
        names_for = self._names_for(forms, present, fallback)
        stated = [self._state(form, present, name) for form, name in zip(forms, names_for, strict=True)]
        if null and meaning.nullable and {} not in stated:
            stated.append(NULL)
        return joined(stated or [{}])

    def forms_of(self, raw: Any) -> list[Form]:
        """The alternatives of a schema of the document."""
        return self._flattener.read(raw).forms

    def present_fields(self, name: str) -> set[str]:
        """The fields that a component has in the present openapi.yaml."""
        return {*self._present.get(name, {}).get("properties", {})}

    def adopt(self, name: str, ours: Schema) -> None:
        """Add what the present component *ours* has to what the document has under its name."""
        schema = self.schemas.setdefault(name, ours)
        if is_object(schema) and is_object(ours):
            schema["properties"] = in_order({**ours["properties"], **schema["properties"]})
            schema["required"] = sorted(ours.get("required", []))

    def _state(self, form: Form, present: Schema, name: str) -> Schema:
        limits = {key: _number(form.raw[key]) for key in LIMITS if type(form.raw.get(key)) in {int, float}}
        match form.kind:
            case "enum":
                self._enum(name, form)
                return reference(name)
            case "object":
                self._object(name, form)
                return reference(name)
            case "array":
                below: Schema = next((part["items"] for part in alternatives(present) if "items" in part), {})
                inner = self.place(form.raw.get("items", {}), below, name + "Item", null=True)
                return {"type": "array", "items": inner, **limits}
            case "binary":
                return {"type": "string", "format": "binary"}
            case "any":
                return {}
            case primitive:
                return {"type": primitive, **limits}

    def _enum(self, name: str, form: Form) -> None:
        before = self.schemas.get(name, {}).get("enum", [])
        kind = "string" if isinstance(form.values[0], str) else "integer"
        self.schemas[name] = {"type": kind, "enum": sorted({*before, *form.values})}

    def _object(self, name: str, form: Form) -> None:
        # A place seen twice, as a batch is in four answers, is one component with what each of them has.
        source = (name, form.pointer or str(id(form.raw.get("properties"))))
        if source in self._done:
            return
        self._done.add(source)
        fresh = name not in self.schemas
        schema = self.schemas.setdefault(name, {"type": "object", "properties": {}, "required": []})
        required = {key for key in items(form.raw.get("required")) if isinstance(key, str)}
        present = self._present.get(name, {}).get("properties", {})
        properties = dict(schema["properties"])
        for key, raw in sorted(form.raw["properties"].items()):
            stated = self._property(name, key, raw, present.get(key, {}))
            properties.setdefault(key, stated)
        schema["properties"] = in_order(properties)
        kept = required if fresh else required & set(schema["required"])
        schema["required"] = sorted(kept & properties.keys())

    def _property(self, parent: str, key: str, raw: Any, present: Schema) -> Schema:
        meaning = self._flattener.read(raw)
        if key == "metadata":
            # A mapping of the caller's own: a plain dict, not a class without `get`.
            stated: Schema = {}
        elif key.endswith("_at") and all(form.kind in _TIMESTAMP_KINDS for form in meaning.forms):
            # Unix seconds on the wire, as all examples have it, although one revision types them as strings.
            stated = {"type": "integer"}
        else:
            stated = self.place(raw, present, parent + pascal(key))
        return {**stated, "deprecated": True} if meaning.deprecated else stated

    def _names_for(self, forms: list[Form], present: Schema, fallback: str) -> list[str]:
        """A name for each form; one that is neither an object nor an enum passes it on to what is in it."""
        here = referred(present)
        named = [form for form in forms if form.kind in {"object", "enum"}]
        chosen: dict[int, str] = {}
        for kind in ("object", "enum"):
            those = [form for form in named if form.kind == kind]
            free = [name for name in here if is_object(self._present.get(name, {})) == (kind == "object")]
            for form in those:
                if (own := _own_name(form)) in free:
                    chosen[id(form)] = own
                    free.remove(own)
            rest = [form for form in those if id(form) not in chosen]
            if len(rest) == len(free):
                chosen.update({id(form): name for form, name in zip(rest, free, strict=True)})
        result = []
        for number, form in enumerate(forms):
            if form not in named:
                result.append(fallback)
            elif id(form) in chosen:
                self._own(chosen[id(form)], form)
                result.append(chosen[id(form)])
            else:
                result.append(
                    self._new_name(form, fallback if len(named) == 1 else f"{fallback}{number + 1}")
                )
        return result

    def _own(self, name: str, form: Form) -> None:
        """Note that a name belongs to a schema by its place."""
        owner = form.pointer or f"at {name}"
        self.owners.setdefault(_key(name), owner)
        self._claimed.setdefault(_key(name), owner)
        if form.pointer:
            self.known.setdefault(form.pointer, name)

    def _new_name(self, form: Form, fallback: str) -> str:
        if form.pointer and (known := self.known.get(form.pointer) or self._named.get(form.pointer)):
            return known
        owner = form.pointer or f"at {fallback}"
        wanted = [name for name in (_own_name(form), fallback) if name]
        wanted += [f"{fallback}{number}" for number in range(2, 100)]
        for name in wanted:
            if _key(name) not in _TAKEN and self._claimed.setdefault(_key(name), owner) == owner:
                self._named[owner] = name
                return name
        raise AssertionError("a hundred schemas with one name")


def _number(value: float) -> float:
    """A limit as it is written: 3600.0 is 3600."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _own_name(form: Form) -> str:
    return pascal(form.pointer.rpartition("/")[2]) if form.pointer else ""


def _key(name: str) -> str:
    """What two names must not share: they would be one module."""
    return name.replace("_", "").lower()


def _one_enum_each(forms: list[Form]) -> list[Form]:
    """The forms, with enums of the same type merged."""
    result: list[Form] = []
    for form in forms:
        twin = next((one for one in result if _same_enum_type(one, form)), None)
        if twin is None:
            result.append(form)
        else:
            merged = Form(
                "enum", twin.raw, twin.pointer or form.pointer, sorted({*twin.values, *form.values})
            )
            result[result.index(twin)] = merged
    return result


def _same_enum_type(one: Form, other: Form) -> bool:
    return one.kind == other.kind == "enum" and type(one.values[0]) is type(other.values[0])
