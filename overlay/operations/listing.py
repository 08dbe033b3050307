"""Pages of the service's lists, read entry by entry.

A list is what a project shares: one entry that cannot be read, somebody else's perhaps, must not take the others
with it, and is counted. And a list is evidence only if it is one: an answer without an array of entries is an
error that may pass, never an empty list.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar

import attrs

from overlay import models
from overlay.errors import InvalidResponseError
from overlay.flows.steps import Flow, call
from overlay.generated import models as generated
from overlay.generated.api.batch import list_batches
from overlay.generated.api.files import list_files
from overlay.generated.types import Response
from overlay.lines import is_object
from overlay.models import Batch, File, Page
from overlay.operations.offers import require
from overlay.pages import Window
from overlay.wire.connection import Settings
from overlay.wire.reading import listed

_log = logging.getLogger("overlay")

M = TypeVar("M", Batch, File)

_UNREADABLE = (InvalidResponseError, ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""What reading one entry may raise: generated code does not expect other shapes than the specified ones."""
_BUILD = "_get_kwargs"
"""The function of a generated operation that builds its request."""
_USUAL = 20
"""The size of a page where none was asked for."""
_WORDS_KEPT = 500
_TOLD = 1_000
"""How many warnings are remembered, so that each is given once."""


@attrs.frozen
class _Received:
    """A page as it came, its entries still decoded JSON."""

    entries: Sequence[Any]
    has_more: bool | None = attrs.field(kw_only=True)
    """Whether more follows; None where the service does not say."""
    last_id: Any
    next_cursor: Any = None
    """What the service says to continue with, where it does."""
    bare: bool = False
    """Whether it is an array and nothing around it."""


class _Undecided:
    """A generated list operation whose entries are left as decoded JSON.

    An answer that is no list raises InvalidResponseError, so that it is retried as others that cannot be read.
    """

    def __init__(self, operation: Any, what: str) -> None:
        self.__name__: str = operation.__name__
        self._build: Callable[..., dict[str, Any]] = getattr(operation, _BUILD)
        self._what = what

    def sync_detailed(self, *, client: Any, **arguments: Any) -> Response[_Received]:
        return self._answer(client.get_httpx_client().request(**self._build(**arguments)))

    async def asyncio_detailed(self, *, client: Any, **arguments: Any) -> Response[_Received]:
        return self._answer(await client.get_async_httpx_client().request(**self._build(**arguments)))

    def _answer(self, response: Any) -> Response[_Received]:
        status = HTTPStatus(response.status_code)
        # Any other status is raised by whoever called.
        parsed = self._listed(response.json()) if status is HTTPStatus.OK else None
        return Response(status, response.content, response.headers, parsed)

    def _listed(self, decoded: Any) -> _Received:
        entries = listed(decoded)
        if entries is None:
            raise InvalidResponseError(
                f"the service's list of {self._what} is no list: {_words(decoded)}; it proves nothing"
            )
        if not is_object(decoded):
            return _Received(entries, has_more=None, last_id=None, bare=True)
        has_more = decoded.get("has_more")
        return _Received(
            entries,
            has_more=has_more if isinstance(has_more, bool) else None,
            last_id=decoded.get("last_id"),
            next_cursor=decoded.get("next_cursor"),
        )


_BATCHES = _Undecided(list_batches, "batches")
_FILES = _Undecided(list_files, "files")


def batch_page(
    settings: Settings, *, after: str | None, limit: int | None, span: Window | None = None
) -> Flow[Page[Batch]]:
    """One page of the project's batches. Raises InvalidResponseError if the answer is no list, UnsupportedError."""
    require(settings, settings.service.lists, "list batches")
    received = yield from call(settings, _BATCHES, after=after, limit=limit)
    return _page(settings, received, partial(_read, settings, "batch", _batch), span or Window(), limit)


def file_page(
    settings: Settings, *, after: str | None, limit: int | None, purpose: str | None, span: Window
) -> Flow[Page[File]]:
    """One page of the project's files. Raises InvalidResponseError if the answer is no list, UnsupportedError."""
    require(settings, settings.service.lists_files, "list files")
    received = yield from call(settings, _FILES, after=after, limit=limit, purpose=purpose)
    return _page(settings, received, partial(_read, settings, "file", _file), span, limit)


def _page(
    settings: Settings,
    received: _Received,
    read: Callable[[Any], M | None],
    span: Window,
    limit: int | None,
) -> Page[M]:
    entries = received.entries
    data = [found for found in map(read, entries) if found is not None]
    has_more = received.has_more
    if has_more is None:
        # A full page of a service that does not say: ask, and see whether anything follows.
        has_more = not received.bare and len(entries) >= (limit or _USUAL)
    page = span.page(
        data,
        has_more=has_more,
        cursor=_cursor(received),
        unreadable=len(entries) - len(data),
    )
    if received.bare and entries:
        settings.bare_lists = True
    # From others, an empty array is what a broken service says, too: no proof that there is nothing.
    doubtful = received.bare and not entries and not settings.bare_lists
    return attrs.evolve(page, cut=True) if doubtful else page


def _batch(entry: Any) -> Batch:
    return models.batch(generated.Batch.from_dict(entry))


def _file(entry: Any) -> File:
    return models.file(generated.OpenAIFile.from_dict(entry))


def _read(settings: Settings, kind: str, build: Callable[[Any], M], entry: Any) -> M | None:
    try:
        return build(entry)
    except _UNREADABLE as error:
        _pass_over(settings, _name(entry, kind), error)
        return None


def _pass_over(settings: Settings, name: str, error: Exception) -> None:
    why = error if isinstance(error, InvalidResponseError) else type(error).__name__
    text = f"{name} in the service's list cannot be read, and is passed over: {why}"
    # A job that waits looks at the list every minute.
    _log.log(logging.DEBUG if text in settings.told else logging.WARNING, "%s", text)
    if len(settings.told) < _TOLD:
        settings.told.add(text)


def _cursor(received: _Received) -> str | None:
    """What the service says to continue with; else the id of the last entry that has a usable one."""
    ids = (entry.get("id") for entry in reversed(received.entries) if is_object(entry))
    return next(filter(models.is_id, (received.next_cursor, *ids, received.last_id)), None)


def _name(entry: Any, kind: str) -> str:
    known = is_object(entry) and models.is_id(entry.get("id"))
    return f"{kind} {entry['id']}" if known else f"a {kind} without a usable id"


def _words(decoded: Any) -> str:
    """What the service says in place of a list."""
    error = decoded.get("error") if is_object(decoded) else None
    message = error.get("message") if is_object(error) else error
    if isinstance(message, str) and message.strip():
        return " ".join(message.split())[:_WORDS_KEPT]
    return "its data is missing" if is_object(decoded) else f"it is {type(decoded).__name__}"
