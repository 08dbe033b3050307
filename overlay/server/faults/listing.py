"""Lists as some services give them: oldest first, out of date, with entries that are no objects of the API.

    service.faults.add("GET /batches", Oldest(), times=None)
    service.faults.add("GET /files", EmptyPages(2), times=None)

A client meets the fault with each page that it asks for, so `times` is usually None. Several effects on one list
combine. A page is a pure function of the effects, the whole list and what was asked for.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from overlay.lines import is_object
from overlay.server.faults.effect import EffectValue
from overlay.server.faults.past import as_of

_FAR = 10**18
_LONG = 2000


def odd_entries() -> list[Any]:
    """Entries that no list should hold, one of each kind."""
    row = {"object": "batch", "status": "completed", "created_at": 1_750_000_000}
    return [
        None,
        "batch_text",
        7,
        [],
        {},
        row,
        {**row, "id": None},
        {**row, "id": 7},
        {**row, "id": ""},
        {**row, "id": ".."},
        {**row, "id": "batch_" + "x" * _LONG},
        {**row, "id": "batch_line\nfeed"},
        {**row, "id": "batch_far", "created_at": _FAR},
        {**row, "id": "batch_early", "created_at": -_FAR},
        {**row, "id": "batch_float", "created_at": 1e300},
        {**row, "id": "batch_date", "created_at": "2025-06-15T15:06:40Z"},
        {**row, "id": "batch_word", "created_at": "yesterday"},
        {**row, "id": "batch_dateless", "created_at": None},
    ]


class Oldest(EffectValue, frozen=True, tag="oldest"):
    """List the oldest first."""


class Stale(EffectValue, frozen=True, tag="stale"):
    """List batches and files as they were `seconds` ago, as far as their own timestamps tell. Asked for by id, each
    is shown as it is now.
    """

    seconds: float


class Odd(EffectValue, frozen=True, tag="odd"):
    """Put these entries before the rows of each page, or after its `last`. The default has one of each kind: null,
    a string, an object without id, with an absurd id, with an absurd `created_at`, and so on.
    """

    entries: list[Any] = msgspec.field(default_factory=odd_entries)
    last: bool = False


class Repeat(EffectValue, frozen=True, tag="repeat"):
    """Show each row of a page this many `times`."""

    times: int = 2


class Overlap(EffectValue, frozen=True, tag="overlap"):
    """Begin each page but the first with the last `rows` of the one before it."""

    rows: int = 1


class EmptyPages(EffectValue, frozen=True, tag="empty_pages"):
    """Before each page, answer this many empty `pages`, with `has_more` true and a `last_id` that leads on."""

    pages: int = 1


class Endless(EffectValue, frozen=True, tag="endless"):
    """Always say `has_more`. After the last page come empty ones, whose `last_id` is where they begin."""


ListEffect = Oldest | Stale | Odd | Repeat | Overlap | EmptyPages | Endless

_T = TypeVar("_T")
_EMPTY = re.compile(r"(.*)\.empty(\d{1,9})", re.DOTALL)


class Asked(NamedTuple):
    """What a client asked a list for: where to begin, how many rows, and in which order."""

    after: str | None
    limit: int
    ascending: bool = False


def weather(effects: Sequence[object], query: bytes) -> list[ListEffect] | None:
    """The effects on a list; None where it is to stay as it is.

    A client that was given an empty page goes on with a cursor that only this module knows, even where the fault
    has had its `times` by then.
    """
    met = [each for each in effects if isinstance(each, ListEffect)]
    return met if met or b".empty" in query else None


def page(effects: Sequence[ListEffect], rows: list[Any], asked: Asked, now: float) -> dict[str, Any] | None:
    """The page that was asked for, of a list of decoded objects with the newest first; None where no row has the id
    to begin after. `now` is the moment of the asking.
    """
    rows = rows[::-1] if asked.ascending or _of(effects, Oldest) else rows
    for stale in _of(effects, Stale):
        rows = [then for each in rows if (then := as_of(each, now - stale.seconds, now)) is not None]
    after, empties = _without_empties(asked.after)
    start = _behind(rows, after)
    if start is None:
        return None
    if empties < max((each.pages for each in _of(effects, EmptyPages)), default=0):
        return _page([], None, f"{after or ''}.empty{empties + 1}", more=True)
    shown = rows[start : start + asked.limit]
    endless = bool(_of(effects, Endless))
    first, last = (shown[0]["id"], shown[-1]["id"]) if shown else (None, after if endless else None)
    for each in effects:
        shown = _spoiled(each, shown, before=rows[:start])
    return _page(shown, first, last, more=endless or start + asked.limit < len(rows))


def _of(effects: Sequence[object], kind: type[_T]) -> list[_T]:
    return [each for each in effects if isinstance(each, kind)]


def _without_empties(after: str | None) -> tuple[str | None, int]:
    """The row to begin after, and how many empty pages were given there."""
    found = _EMPTY.fullmatch(after or "")
    return (found[1] or None, int(found[2])) if found else (after, 0)


def _behind(rows: Sequence[Any], after: str | None) -> int | None:
    if after is None:
        return 0
    places = (place for place, row in enumerate(rows, 1) if is_object(row) and row.get("id") == after)
    return next(places, None)


def _spoiled(effect: ListEffect, shown: list[Any], *, before: list[Any]) -> list[Any]:
    match effect:
        case Odd(entries, last):
            return [*shown, *entries] if last else [*entries, *shown]
        case Repeat(times):
            return [row for row in shown for _ in range(times)]
        case Overlap(rows):
            return [*before[max(0, len(before) - rows) :], *shown]
        case _:
            return shown


def _page(data: list[Any], first: str | None, last: str | None, *, more: bool) -> dict[str, Any]:
    return {"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": more}
