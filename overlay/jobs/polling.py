"""Watching a job's batches with as few requests as possible, and finding those that should not exist.

Many batches share pages of the list; a few are retrieved one by one, and so are those that the list has shown
unchanged for long: it may be stale. A batch of one of our input files that is not the one we know is a duplicate if
its metadata proves that this job created it: a create that went unanswered, and was given up, has succeeded
after all. Without that proof it may be a colleague's, who uses the same file, and is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

from overlay.errors import (
    APIError,
    APIStatusError,
    InvalidResponseError,
    NotFoundError,
    OverlayError,
    TokenProviderError,
    UnsupportedError,
)
from overlay.flows.steps import Deadline, Flow, Together, Work, deadline
from overlay.jobs.adopting import meet_duplicate
from overlay.jobs.context import JobContext
from overlay.jobs.ending import abandon
from overlay.jobs.observing import observed_look
from overlay.jobs.records import LostFile, Unit, UnitKey
from overlay.jobs.troubles import concerns_one, is_final
from overlay.models import Batch
from overlay.operations.batches import page, retrieve_until
from overlay.operations.files import delete, retrieve as retrieve_file
from overlay.operations.oddities import Oddities
from overlay.pages import Cursor
from overlay.statuses import rank_of
from overlay.wire import retry
from overlay.wire.connection import Settings

Units = Mapping[UnitKey, Unit]

_LOOKS_AT_ONCE = 4
_FEW = 2
"""Up to this many batches are retrieved one by one; more share pages of the list."""
_PAGE = 100
_PATIENCE = 600.0
"""How long, in seconds, a batch may be missing, a token provider fail, or answers be unreadable."""
_STALE = 300.0
"""After so many seconds without news in the list, by the monotonic clock, a batch is retrieved."""

News = tuple[str | None, int, int]


class Poller:
    """What has been seen of a job's batches from one round to the next."""

    def __init__(
        self, context: JobContext, units: Units, note: Callable[[Unit, OverlayError], Flow[None]]
    ) -> None:
        self._context = context
        self._units = units
        self._note = note
        self._missing_since: dict[UnitKey, Deadline] = {}
        self._trouble_since: Deadline | None = None
        self._seen_any = False
        self._oddities = Oddities(context.settings, self._say)
        self.pages = 0
        """How many pages of the list the last look took."""
        self._listed: dict[str, tuple[News, Deadline]] = {}
        """What the list last showed of each batch, and when that is too old to be believed."""

    @property
    def misses_any(self) -> bool:
        """Whether a batch of ours is not visible: the token may be another project's, so nothing is started."""
        return bool(self._missing_since)

    def bears(self, error: APIError | TokenProviderError) -> bool:
        """Whether an error may go away by itself."""
        if isinstance(error, TokenProviderError | InvalidResponseError):
            self._trouble_since = self._trouble_since or deadline(self._context.settings, _PATIENCE)
            return self._trouble_since.left > 0
        return retry.is_transient(error)

    def calm(self) -> None:
        """A call succeeded: the token provider works, and answers can be read."""
        self._trouble_since = None

    def sees_ours(self, without: Collection[UnitKey]) -> Flow[bool]:
        """Whether the token is known to be the right one: something of ours, of other units, is visible to it."""
        if not self._seen_any:
            others = [unit for key, unit in self._units.items() if key not in without]
            look_at_batch = partial(retrieve_until, until=self._context.until)
            looks: list[Callable[[Settings], Flow[object]]] = [
                *(
                    partial(look_at_batch, batch_id=each)
                    for each in _latest(unit.batch_id for unit in others)
                ),
                *(partial(retrieve_file, file_id=each) for each in _latest(unit.file_id for unit in others)),
            ]
            for look in looks:
                try:
                    yield from look(self._context.settings)
                except APIError as error:
                    if not is_final(error):
                        raise
                else:
                    self._seen_any = True
                    break
        return self._seen_any

    def look(self, without: Collection[UnitKey] = ()) -> Flow[None]:
        """See how the live batches are doing, except for those of some units that are stuck."""
        live = {
            unit.batch_id or "": unit
            for unit in self._units.values()
            if unit.state == "created" and unit.key not in without
        }
        if not live:
            self._missing_since.clear()
            return
        yield from observed_look(self._context, len(live), self._look(live))

    def _look(self, live: Mapping[str, Unit]) -> Flow[None]:
        try:
            lost: list[LostFile] = yield Work(self._context.ledger.lost)
            seen = (yield from self._pages(live, lost)) if len(live) > _FEW or lost else {}
            doubted = set(self._doubted(seen))
            left = [unit for name, unit in live.items() if name not in seen or name in doubted]
            looks = [self._one(unit) for unit in left]
            odd: list[tuple[Unit, APIError]] = []
            for unit, batch in zip(left, (yield Together(looks, _LOOKS_AT_ONCE)), strict=True):
                if isinstance(batch, APIError):
                    odd.append((unit, batch))
                elif batch is not None:
                    seen[unit.batch_id or ""] = batch
        except (APIError, TokenProviderError) as error:
            if not self.bears(error):
                raise
            self._context.report("outage", None, str(error))
            return
        self.calm()
        if self._context.watched is not None:
            self._context.watched.saw()
        self._seen_any = self._seen_any or bool(seen)
        for batch_id, batch in seen.items():
            self._missing_since.pop(live[batch_id].key, None)
            yield from self._saw(live[batch_id], batch)
        for unit, trouble in odd:
            yield from self._note(unit, trouble)
        yield from self._abandon([unit for unit in left if self._is_gone(unit)])

    def _doubted(self, seen: Mapping[str, Batch]) -> list[str]:
        """A few of the batches that the list has shown unchanged for so long that it may be stale."""
        for name, batch in seen.items():
            news = _news(batch)
            if self._listed.get(name, (None, None))[0] != news:
                self._listed[name] = news, deadline(self._context.settings, _STALE)
        old = [name for name in seen if self._listed[name][1].left <= 0]
        chosen = sorted(old, key=lambda name: self._listed[name][1].left)[:_LOOKS_AT_ONCE]
        for name in chosen:
            self._listed[name] = self._listed[name][0], deadline(self._context.settings, _STALE)
        return chosen

    def _pages(self, live: Mapping[str, Unit], lost: Sequence[LostFile]) -> Flow[dict[str, Batch]]:
        """Those that pages of the list show, as long as a page is cheaper than retrieving them one by one."""
        seen: dict[str, Batch] = {}
        ours = self._ours(lost)
        cursor = Cursor(None, _oldest([*live.values(), *lost]))
        pages = 0
        while not cursor.ended and len(seen) < len(live) and pages <= len(seen) + _FEW:
            try:
                got = yield from page(self._context.settings, after=cursor.after, limit=_PAGE)
            except (APIStatusError, InvalidResponseError, UnsupportedError) as error:
                if isinstance(error, APIStatusError) and retry.is_transient(error):
                    raise
                return seen  # a service without a list, then, or with an unreadable one
            pages += 1
            self.pages = pages
            for batch in got.data:
                if batch.id in live:
                    seen[batch.id] = batch
                else:
                    yield from self._meet(batch, ours)
            cursor.takes(got)
        return seen

    def _one(self, unit: Unit) -> Flow[Batch | APIError | None]:
        try:
            return (
                yield from retrieve_until(
                    self._context.settings, unit.batch_id or "", until=self._context.until
                )
            )
        except NotFoundError:
            self._missing_since.setdefault(unit.key, deadline(self._context.settings, _PATIENCE))
            return None
        except APIStatusError as error:
            if retry.is_transient(error) or not is_final(error):
                raise
            return error

    def _is_gone(self, unit: Unit) -> bool:
        """Whether a batch is missing for good: a new one may be slow to appear, and a replica may lag."""
        if unit.key not in self._missing_since:
            return False
        old = self._context.settings.clock.time() - (unit.created_at or 0.0) > _PATIENCE
        return self._missing_since[unit.key].left <= 0 or (old and not self._seen_any)

    def _abandon(self, units: Sequence[Unit]) -> Flow[None]:
        for unit in units:
            self._missing_since.pop(unit.key)
            try:
                yield from abandon(self._context, unit)
            except OverlayError as error:
                if not concerns_one(error):
                    raise
                yield from self._note(unit, error)

    def _say(self, batch: Batch, sentence: str) -> None:
        unit = next((unit for unit in self._units.values() if unit.batch_id == batch.id), None)
        shard = f"shard {unit.shard}: " if unit is not None else ""
        self._context.report("waiting", unit, shard + sentence)

    def _saw(self, unit: Unit, batch: Batch) -> Flow[None]:
        self._oddities.saw(batch)
        news = _news(batch)
        if news == (unit.status, unit.completed, unit.failed) and not batch.ended:
            return
        if not batch.ended and _goes_back(unit, news):
            return
        unit.status, unit.completed, unit.failed = news
        unit.trouble = None
        if batch.ended:
            unit.state = "ended"
        yield from self._context.save(unit)
        done = unit.completed + unit.failed
        self._context.report("progress", unit, f"shard {unit.shard}: {batch.status}, {done:,} done")

    def _ours(self, lost: Sequence[LostFile]) -> Mapping[str, Unit]:
        """The units by the input files that they have, or had."""
        had = {file.file_id: self._units[file.key] for file in lost if file.key in self._units}
        return had | {unit.file_id: unit for unit in self._units.values() if unit.file_id}

    def _meet(self, batch: Batch, ours: Mapping[str, Unit], *, last: bool = False) -> Flow[None]:
        """Deal with a batch that is not being waited for: it may be a duplicate of ours."""
        unit = ours.get(batch.input_file_id or "")
        # One that was given up without a batch wants none.
        if unit is not None and batch.id != unit.batch_id and (unit.batch_id or unit.over):
            yield from meet_duplicate(self._context, unit, batch, last=last)

    def sweep(self) -> Flow[None]:
        """When all is done, find duplicates that appeared late, and delete what is no longer needed.

        What the service refuses here is reported; the results are safe.
        """
        try:
            service = self._context.settings.service
            if service.lists:
                yield from self._meet_all()
            if self._context.record.options.delete_files and service.deletes:
                yield from self._delete_litter()
        except (APIError, TokenProviderError) as error:
            self._context.report("outage", None, str(error))
        else:
            self._context.record.swept = True
            yield Work(partial(self._context.ledger.save_job, self._context.record))

    def _meet_all(self) -> Flow[None]:
        lost: list[LostFile] = yield Work(self._context.ledger.lost)
        oldest, ours = _oldest([*self._units.values(), *lost]), self._ours(lost)
        cursor = Cursor(None, oldest)
        while oldest is not None and not cursor.ended:
            got = yield from page(self._context.settings, after=cursor.after, limit=_PAGE)
            for batch in got.data if cursor.takes(got) else ():
                yield from self._meet(batch, ours, last=True)

    def _delete_litter(self) -> Flow[None]:
        ledger = self._context.ledger
        for file_id in (yield Work(ledger.litter)):
            with suppress(NotFoundError):
                yield from delete(self._context.settings, file_id)
            yield Work(partial(ledger.remove_litter, file_id))


def _news(batch: Batch) -> News:
    counts = batch.request_counts
    numbers = (counts.completed, counts.failed) if counts is not None else (0, 0)
    completed, failed = (number if isinstance(number, int) else 0 for number in numbers)
    return batch.status, completed, failed


def _latest(ids: Iterable[str | None]) -> list[str]:
    return [each for each in ids if each][-_FEW:]


def _oldest(files: Sequence[Unit | LostFile]) -> datetime | None:
    """When the oldest of our input files was created, by the service's clock; None if it does not say."""
    oldest = min((file.file_created_at for file in files if file.file_created_at), default=None)
    return None if oldest is None else datetime.fromtimestamp(oldest, UTC)


def _goes_back(unit: Unit, news: News) -> bool:
    """Whether what was seen is older than what is known: replicas and lists lag."""
    status, completed, failed = news
    now, known = rank_of(status), rank_of(unit.status)
    return completed + failed < unit.completed + unit.failed if now == known else -1 < now < known
