"""Lists of many pages: where the next one begins, when to stop, and what may be concluded from them.

The API's cursor is the id of the last object seen. A service may say `has_more` for ever with the same cursor, so
a list ends when its cursor has been seen before. OpenAI lists newest first, others oldest first or in no order: no
order is assumed before it was seen.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, Self, TypeAlias, TypeVar

import attrs

from overlay.errors import ConfigurationError, OverlayError
from overlay.models import Page
from overlay.notebooks import rows_html

Moment: TypeAlias = datetime | str


class _Listed(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def created(self) -> datetime | None: ...


T = TypeVar("T")
_SHOWN = 20
"""Objects in a notebook's table."""
L = TypeVar("L", bound=_Listed)


@attrs.frozen
class Window:
    """A half-open span of time: from `after` on, and before `before`."""

    after: datetime | None = None
    before: datetime | None = None

    def page(
        self, data: Sequence[L], *, has_more: bool, cursor: str | None = None, unreadable: int = 0
    ) -> Page[L]:
        """A received page without what lies outside the window. An object without a creation time is kept.

        `cursor` is where the service says that the next page begins, if there is nothing on this one to tell it.
        """
        kept = data
        if self.after or self.before:
            kept = [item for item in data if self._holds(item.created)]
        # The API's `last_id` says the same as the last object, and may be wrong.
        following = (cursor or (data[-1].id if data else None)) if has_more else None
        return Page(
            kept,
            following,
            unreadable=unreadable,
            cut=has_more and following is None,
            moments=[item.created for item in data],
            since=self.after,
        )

    def _holds(self, created: datetime | None) -> bool:
        if created is None:
            return True
        return not (self.after and created < self.after) and not (self.before and created >= self.before)


def window(created_after: Moment | None, created_before: Moment | None) -> Window:
    """The span of time between two bounds. Raises ConfigurationError if one is not a date."""
    return Window(_moment("created_after", created_after), _moment("created_before", created_before))


def _moment(name: str, value: Moment | None) -> datetime | None:
    if value is None:
        return None
    if isinstance(value, str):
        from dateutil.parser import isoparse  # noqa: PLC0415 - slow to load, and seldom needed

        try:
            value = isoparse(value)
        except ValueError as error:
            raise ConfigurationError(f"{name}: {value!r} is not an ISO 8601 date: {error}") from None
    if not isinstance(value, datetime):
        raise ConfigurationError(
            f"{name}: {type(value).__name__} is neither a datetime nor an ISO 8601 string"
        )
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value


def checked_limit(limit: int | None) -> int | None:
    """A page size, or an error before anything is sent."""
    if limit is None or (isinstance(limit, int) and not isinstance(limit, bool) and limit >= 1):
        return limit
    raise ConfigurationError(f"limit (the page size) must be an integer of at least 1, not {limit!r}")


@attrs.define
class Order:
    """What has been seen of the order of a list."""

    _falls: bool = False
    _rises: bool = False
    _last: datetime | None = None

    def see(self, moments: Iterable[datetime | None]) -> None:
        """Take in the creation times of the next objects, as they come."""
        for moment in moments:
            if moment is None:
                continue
            if self._last is not None:
                self._falls = self._falls or moment < self._last
                self._rises = self._rises or moment > self._last
            self._last = moment

    @property
    def newest_first(self) -> bool:
        """Whether the list was seen to run from new to old, and nowhere otherwise."""
        return self._falls and not self._rises

    def is_past(self, moment: datetime | None) -> bool:
        """Whether all that follows is older than this moment."""
        return moment is not None and self.newest_first and self._last is not None and self._last < moment


def objects_html(objects: Sequence[Any], *, more: bool) -> str:
    """A table of objects, each with what there is to say of it."""
    facts = [dict(each._facts()) for each in objects]  # noqa: SLF001 - what this package's objects tell of themselves
    header = [
        name for name in (facts[0] if facts else ()) if any(each.get(name) is not None for each in facts)
    ]
    note = "and more: iterate over it" if more else "" if facts else "none"
    return rows_html(header, [[each.get(name) for name in header] for each in facts], note)


class Cursor:
    """The position in a list.

    `since` is the moment before which nothing is wanted: once the list was seen to run newest first, it ends there.
    By default it is the beginning of the page's own span of time.
    """

    def __init__(self, after: str | None, since: datetime | None = None) -> None:
        self.after = after
        """Where the next page begins."""
        self.ended = False
        self.complete = True
        """Whether the pages so far leave no gap: once the list has ended, what they did not show is not there."""
        self.since = since
        self._order = Order()
        self._seen: set[str | None] = {None}

    def takes(self, page: Page[Any]) -> bool:
        """Move on past a page; False if it ends where an earlier one did, which means it is the same page again."""
        repeated = page.next is not None and page.next in self._seen
        if not repeated:
            self._order.see(page.moments)
        past = self._order.is_past(self.since or page.since)
        self.complete = self.complete and not page.unreadable and (past or not (page.cut or repeated))
        self.after = page.next
        self.ended = past or page.next is None or repeated
        self._seen.add(page.next)
        return not repeated


class Listing(Generic[T]):
    """All objects of a list, fetched a page at a time, on demand; `pages()` gives the pages."""

    def __init__(self, fetch: Callable[[str | None], Page[T]], after: str | None) -> None:
        self._fetch = fetch
        self._after = after

    def pages(self) -> Iterator[Page[T]]:
        cursor = Cursor(self._after)
        while not cursor.ended:
            page = self._fetch(cursor.after)
            if cursor.takes(page):
                yield page

    def __iter__(self) -> Iterator[T]:
        for page in self.pages():
            yield from page.data

    def __repr__(self) -> str:
        return "<Listing: iterate over it, or take its pages()>"

    def _repr_html_(self) -> str | None:
        """The first of its objects, as far as they are on the first page; None if they cannot be had."""
        try:
            page = next(self.pages(), None)
        except OverlayError:
            return None
        return (
            objects_html(page.data[:_SHOWN], more=page.has_more or len(page.data) > _SHOWN) if page else None
        )


class AsyncListing(Generic[T]):
    """The same, for `async for`."""

    def __init__(self, fetch: Callable[[str | None], Awaitable[Page[T]]], after: str | None) -> None:
        self._fetch = fetch
        self._after = after

    def pages(self) -> AsyncIterator[Page[T]]:
        return _AsyncPages(self._fetch, Cursor(self._after))

    def __aiter__(self) -> AsyncIterator[T]:
        return _AsyncItems(self.pages())


# Not async generators: one that is left halfway is closed by the event loop late or never, and trio warns.
class _AsyncPages(Generic[T]):
    def __init__(self, fetch: Callable[[str | None], Awaitable[Page[T]]], cursor: Cursor) -> None:
        self._fetch = fetch
        self._cursor = cursor

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Page[T]:
        while not self._cursor.ended:
            page = await self._fetch(self._cursor.after)
            if self._cursor.takes(page):
                return page
        raise StopAsyncIteration


class _AsyncItems(Generic[T]):
    def __init__(self, pages: AsyncIterator[Page[T]]) -> None:
        self._pages = pages
        self._items: Iterator[T] = iter(())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while True:
            for item in self._items:
                return item
            self._items = iter((await anext(self._pages)).data)
