"""Arrays to propose: a few items, or as many as there must be."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from overlay.server.answers.echoes.filling.fitting import same
from overlay.server.answers.echoes.filling.locations import Filling, Location
from overlay.server.answers.echoes.filling.parts import tuple_parts
from overlay.server.answers.echoes.filling.places import Plain

_SOME = 2
_SOME_PLACES = 10
_MOST_CONTAINED = 1000
_UNBOUNDED = 1 << 30
_VARIATIONS = 20


def arrays(filling: Filling, schemas: list[Plain], location: Location) -> Iterator[list[Any]]:
    """Proposals for a place under all these schemas: one, and others that differ from it in one item."""
    draft = _Draft(filling, schemas, location)
    least = max((each.get("minItems", 0) for each in schemas), default=0)
    most = min((each["maxItems"] for each in schemas if "maxItems" in each), default=_UNBOUNDED)
    usual = least if filling.sparing(location) else max(least, draft.first or _SOME)
    yield from draft.filled(least, min(usual, most), {})
    contained = [
        each["contains"]
        for each in schemas
        if "contains" in each
        for _ in range(min(each.get("minContains", 1), _MOST_CONTAINED))
    ]
    if not contained:
        return
    # It is not contained by chance: it is put behind the items that have a place of their own, or among them.
    behind = max(draft.first, least - len(contained))
    for start in (behind, *range(min(behind, _SOME_PLACES))):
        count = max(least, start + len(contained))
        if count <= most:
            yield from draft.filled(least, count, dict(enumerate(contained, start)))


class _Draft:
    def __init__(self, filling: Filling, schemas: list[Plain], location: Location) -> None:
        self._filling = filling
        self._location = location
        self._parts = [tuple_parts(each) for each in schemas]
        self._unique = any(each.get("uniqueItems") for each in schemas)
        self.first = max((len(each) for each, _ in self._parts), default=0)
        """How many items have schemas of their own."""

    def filled(self, least: int, wanted: int, contained: dict[int, Any]) -> Iterator[list[Any]]:
        """Up to `wanted` items, some of them, by number, under one more schema."""
        made: list[Any] = []
        others: list[Iterator[Any]] = []
        for number in range(wanted):
            given = [each[number] if number < len(each) else rest for each, rest in self._parts]
            given += [contained[number]] if number in contained else []
            values = self._filling.values(given, self._location.item(number))
            for value in values:
                if not (self._unique and any(same(value, each) for each in made)):
                    made.append(value)
                    others.append(values)
                    break
            else:
                break
        if len(made) < least:
            return
        yield made
        for number, values in enumerate(others):
            yield from ([*made[:number], each, *made[number + 1 :]] for each in islice(values, _VARIATIONS))
