"""Where in the data a value goes, and what fills values that have parts."""

from collections.abc import Iterator, Sequence, Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, Protocol

_LONGEST_TEXT = 100


@dataclass(frozen=True, slots=True)
class Location:
    """A place, and how it is reached."""

    asked: str
    path: str = ""
    depth: int = 0
    name: str = ""
    """That of the property, or of the property that holds the list; empty at the top."""
    followed: frozenset[str] = frozenset()
    """The references that led here."""
    recurring: bool = False
    """One of them did so twice."""
    text_only: str | None = None

    @property
    def text(self) -> str:
        """What stands here if any text may."""
        if self.text_only is not None:
            return self.text_only
        name = f"{self.name}: " if self.name not in {"", "echo"} else ""
        return f"echo: {name}{self.asked}"[:_LONGEST_TEXT].rstrip()

    def following(self, references: AbstractSet[str]) -> "Location":
        """The same place, once it is known what leads to its value."""
        if not references:
            return self
        recurring = self.recurring or not self.followed.isdisjoint(references)
        return replace(self, followed=self.followed | references, recurring=recurring)

    def property(self, name: str) -> "Location":
        path = f"{self.path}.{name}" if self.path else name
        return replace(self, path=path, depth=self.depth + 1, name=name)

    def item(self, number: int) -> "Location":
        return replace(self, path=f"{self.path}[{number}]", depth=self.depth + 1)

    def naming(self) -> "Location":
        """The place of a name that the schema leaves open."""
        return replace(self, text_only="echo")


class Filling(Protocol):
    def values(self, given: Sequence[Any], location: Location) -> Iterator[Any]: ...

    def sparing(self, location: Location) -> bool:
        """Whether only what must be there is to be filled in."""
        ...
