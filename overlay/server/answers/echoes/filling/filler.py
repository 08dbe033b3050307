"""From schemas to values: every place proposes, the first proposal that fits is taken."""

import math
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from overlay.server.answers.echoes.filling.arrays import arrays
from overlay.server.answers.echoes.filling.documents import Document, UnfillableError
from overlay.server.answers.echoes.filling.fitting import fits
from overlay.server.answers.echoes.filling.locations import Location
from overlay.server.answers.echoes.filling.numbers import numbers
from overlay.server.answers.echoes.filling.objects import objects
from overlay.server.answers.echoes.filling.places import Alternative, Place, Plain
from overlay.server.answers.echoes.filling.strings import strings

# Beyond either, and where a schema stands in itself, only what must be there is filled in, by the shortest way.
_ROOMY_DEPTH = 6
_ROOMY_TRIES = 400
_MOST_TRIES = 20_000


def fill(schema: Any, *, asked: str, seed: int, also: Sequence[Any] = ()) -> Any:
    """Data that fits a JSON Schema, and those of `also` that refer to nothing; the same for the same arguments.

    `asked` is quoted in its strings; `seed` decides between values that fit alike. Raises `UnfillableError` where
    the schema is not valid, allows nothing, or allows nothing that is found in 20,000 tries.
    """
    filler = _Filler(Document(schema), Random(seed))  # noqa: S311  repeatable on purpose
    try:
        for value in filler.values([schema, *also], Location(" ".join(asked.split()))):
            return value
    except RecursionError as error:
        raise UnfillableError("the schema is nested too deep") from error
    except UnfillableError:
        raise
    except (TypeError, AttributeError, LookupError, ArithmeticError, ValueError) as error:
        raise UnfillableError(f"the schema is not valid: {type(error).__name__}: {error}") from error
    raise UnfillableError(f"no data was found that fits {filler.stuck}")


class _Filler:
    def __init__(self, document: Document, draw: Random) -> None:
        self.stuck = "it"
        """The path of the deepest place for which no value was found."""
        self._stuck_depth = 0
        self._document = document
        self._draw = draw
        self._tries = 0

    def values(self, given: Sequence[Any], location: Location) -> Iterator[Any]:
        """Values for a place under all of `given`, as many as come to mind."""
        if location.depth > _ROOMY_DEPTH and max(map(self._document.distance, given), default=0) == math.inf:
            return
        found = False
        for value in self._proposals(Place(self._document, given), location):
            self._try()
            if all(fits(value, each, self._document) for each in given):
                found = True
                yield value
        if not found and location.depth > self._stuck_depth:
            self.stuck, self._stuck_depth = location.path, location.depth

    def sparing(self, location: Location) -> bool:
        return location.recurring or location.depth > _ROOMY_DEPTH or self._tries > _ROOMY_TRIES

    def _try(self) -> None:
        self._tries += 1
        if self._tries > _MOST_TRIES:
            raise UnfillableError(f"no data was found that fits {self.stuck} in {_MOST_TRIES:,} tries")

    def _turned(self, options: list[Any]) -> Iterator[Any]:
        """All of them, from one of them on."""
        start = self._draw.randrange(len(options)) if options else 0
        return iter(options[start:] + options[:start])

    def _proposals(self, place: Place, location: Location) -> Iterator[Any]:
        self._try()
        if not place.possible:
            return
        if place.choices:
            for alternative in self._alternatives(place.choices[0], location):
                yield from self._proposals(place.choosing(alternative), location)
            return
        if (listed := place.listed()) is not None:
            yield from self._turned(listed)
            return
        location = location.following(place.followed)
        kinds = place.kinds()
        if self.sparing(location):
            kinds.sort(key=lambda kind: kind in {"object", "array"})
        for kind in kinds:
            yield from self._of_kind(kind, place.plain, location)

    def _of_kind(self, kind: str, schemas: list[Plain], location: Location) -> Iterator[Any]:
        if kind == "object":
            return objects(self, schemas, location)
        if kind == "array":
            return arrays(self, schemas, location)
        if kind == "string":
            return strings(schemas, location.text, self._draw)
        if kind in {"integer", "number"}:
            return numbers(schemas, self._draw, whole=kind == "integer")
        if kind in {"boolean", "null"}:
            return self._turned([True, False] if kind == "boolean" else [None])
        raise UnfillableError(f"the schema is not valid: there is no type {kind!r}")

    def _alternatives(self, options: list[Alternative], location: Location) -> list[Alternative]:
        distance = self._document.distance
        possible = [each for each in self._turned(options) if max(map(distance, each)) < math.inf]
        if self.sparing(location):
            return sorted(possible, key=lambda each: max(map(distance, each)))
        # Null says nothing, so it comes last.
        return sorted(possible, key=lambda each: each[0] == {"type": "null"})
