"""Objects to propose: every property that the schemas name, or, where room is short, those that must be there."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from overlay.server.answers.echoes.filling.locations import Filling, Location
from overlay.server.answers.echoes.filling.parts import of_property
from overlay.server.answers.echoes.filling.places import Plain

_VARIATIONS = 20
_CLOSING = ("additionalProperties", "unevaluatedProperties")


def objects(filling: Filling, schemas: list[Plain], location: Location) -> Iterator[dict[str, Any]]:
    """Proposals for a place under all these schemas: one, and others that differ from it in one property."""
    draft = _Draft(filling, schemas, location)
    if draft.complete():
        yield draft.made
        for name, others in draft.others.items():
            yield from ({**draft.made, name: each} for each in islice(others, _VARIATIONS))


class _Draft:
    def __init__(self, filling: Filling, schemas: list[Plain], location: Location) -> None:
        self.made: dict[str, Any] = {}
        self.others: dict[str, Iterator[Any]] = {}
        """Further values for each property."""
        self._filling = filling
        self._schemas = schemas
        self._location = location

    def complete(self) -> bool:
        """Fill the object; False where that cannot be."""
        schemas = self._schemas
        required = {name for each in schemas for name in each.get("required", ())}
        named = list(dict.fromkeys(name for each in schemas for name in each.get("properties", ())))
        least = max((each.get("minProperties", 0) for each in schemas), default=0)
        most = min((each["maxProperties"] for each in schemas if "maxProperties" in each), default=None)
        optional = [name for name in named if name not in required]
        if self._filling.sparing(self._location):
            del optional[max(0, least - len(required)) :]
        elif most is not None:
            del optional[max(0, most - len(required)) :]
        for name in (
            *(each for each in named if each in required or each in optional),
            *sorted(required - {*named}),
        ):
            if not self._add(name) and name in required:
                return False
        if len(self.made) < least:
            self._invent(least)
        elif not self.made and most != 0 and self._is_map() and not self._filling.sparing(self._location):
            self._invent(1)
        return len(self.made) >= least

    def _is_map(self) -> bool:
        """Whether its names are left open; such a one says more with an entry in it."""
        return not any("properties" in each for each in self._schemas)

    def _add(self, name: str) -> bool:
        given = [part for each in self._schemas for part in of_property(name, each)]
        values = self._filling.values(given, self._location.property(name))
        for value in values:
            self.made[name] = value
            self.others[name] = values
            return True
        return False

    def _invent(self, least: int) -> None:
        """Add properties that no schema names, where they are allowed, until there are `least`."""
        for name in self._names():
            if len(self.made) >= least:
                break
            if name not in self.made:
                self._add(name)

    def _names(self) -> Iterator[str]:
        named = [each["propertyNames"] for each in self._schemas if "propertyNames" in each]
        kinds: list[Any] = [
            {"type": "string", "pattern": pattern}
            for each in self._schemas
            for pattern in each.get("patternProperties", ())
        ]
        if not any(each.get(closing) is False for each in self._schemas for closing in _CLOSING):
            kinds.append({"type": "string"})
        for kind in kinds:
            yield from self._filling.values([kind, *named], self._location.naming())
