"""Answer types on their way to workers.

A class of a script or a notebook travels by value, and msgspec leaves in it what it has worked out about it, which
does not pickle. It is worked out again where it is missing. A Struct that travels by value would arrive without its
fields. A dataclass says by one certain object that a field has no default: a copy of it, as pickle makes one, would
be a default.
"""

from __future__ import annotations

import copyreg
import dataclasses
import typing
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec

from overlay.errors import ConfigurationError

_CACHE = "__msgspec_cache__"

copyreg.pickle(type(dataclasses.MISSING), lambda _: "MISSING")  # by its name, in its module


def check_travels(kind: Any) -> None:
    """Raises ConfigurationError for a type that does not arrive as it is."""
    for each in _classes(kind, set()):
        by_value = each.__module__ == "__main__" or "<locals>" in each.__qualname__
        if issubclass(each, msgspec.Struct) and by_value:
            raise ConfigurationError(
                f"{each.__qualname__} is a msgspec.Struct of this script, which cannot be sent to workers: move it "
                "into a module that they can import, or make it a dataclass"
            )


def forget(kind: Any) -> None:
    """Remove what msgspec knows of a type, and of all that it is made of."""
    for each in _classes(kind, set()):
        if _CACHE in vars(each):
            delattr(each, _CACHE)


def _classes(kind: Any, seen: set[int]) -> Iterator[type]:
    """The classes that a type is made of."""
    if id(kind) in seen:
        return
    seen.add(id(kind))
    for part in typing.get_args(kind):
        yield from _classes(part, seen)
    if not isinstance(kind, type):
        return
    yield from (each for each in kind.__mro__ if each.__module__ != "builtins")
    hints: dict[str, Any] = {}
    with suppress(NameError, TypeError):
        hints = typing.get_type_hints(kind, include_extras=True)
    for part in hints.values():
        yield from _classes(part, seen)
