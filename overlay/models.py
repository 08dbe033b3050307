"""What callers see: the API's own objects, with times, absences and endings made plain.

`Batch` and `File` are the generated models with properties added, so that every field of the specification, a new
one included, is there and typed; a field newer than the specification can be read too, as the attribute of its
name. Wire names keep wire types (`created_at: int | None`); what is added here has names of its own
(`created: datetime | None`). An absent value is always None.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeGuard, TypeVar, cast

import attrs

from overlay.errors import ConfigurationError, InvalidResponseError
from overlay.generated import models
from overlay.notebooks import described, facts_html
from overlay.statuses import ENDED, is_known, plain_status, rank_of
from overlay.times import moment, unix_seconds

T = TypeVar("T")

_TEXTS = ("input_file_id", "output_file_id", "error_file_id")
"""The ids of a batch that our own logic reads, besides its own."""
_WORDS = ("status", "endpoint", "completion_window")
"""Its words that we act on, or store."""
_texts_of = attrgetter(*_TEXTS)
_LONGEST_ID = 1024
_PERCENT = 100
_REASONS_SHOWN = 5


class Batch(models.Batch):
    """A batch, with every field the service sent. See the class it extends for the fields themselves."""

    # No attributes of its own, and not an attrs class: attrs' slots would drop a property named like a field.
    __slots__ = ()
    _stands_for_its_id = True

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            return _unspecified(self, name)

    def __repr__(self) -> str:
        return described("Batch", self._facts())

    def _repr_html_(self) -> str:
        more = [("reason", each) for each in self.reasons[:_REASONS_SHOWN]]
        return facts_html("Batch", [*self._facts(), *more])

    def _facts(self) -> Iterator[tuple[str, Any]]:
        """What people want to know of it; what it does not say is None."""
        counts = self.request_counts
        yield "id", self.id
        yield "status", self.status
        yield "endpoint", self.endpoint
        for name in ("completed", "failed", "total"):
            yield name, None if counts is None else getattr(counts, name)
        yield "created", self.created
        yield "ended", self._end
        yield "expires", None if self.ended else self.expires
        for name in _TEXTS:
            yield name, getattr(self, name) or None

    @property
    def ended(self) -> bool:
        """Whether the batch has ended: completed, failed, expired or cancelled, in whatever words.

        A status that nobody knows counts as an end where the batch says when it ended, or where it names a result
        file and its counts add up to the total.
        """
        if is_known(self.status):
            return plain_status(self.status) in ENDED
        return self._end is not None or self._is_answered

    @property
    def succeeded(self) -> bool:
        """Whether the batch completed. Single lines may still have failed."""
        return plain_status(self.status) == "completed"

    @property
    def progress(self) -> float | None:
        """The share of lines that have been answered or have failed, from 0.0 to 1.0; None if unknown.

        Where there are no counts, it is what the service says in percent, as Together does.
        """
        counts = self.request_counts
        if counts is None or not counts.total:
            said: object = self.additional_properties.get("progress")
            if isinstance(said, bool) or not isinstance(said, int | float) or not 0 <= said <= _PERCENT:
                return None
            return said / _PERCENT
        done = (counts.completed or 0, counts.failed or 0)
        # Generated code does not check numbers.
        if not all(isinstance(number, int) for number in (counts.total, *done)):
            return None
        return min(1.0, sum(done) / counts.total)

    @property
    def object(self) -> str | None:
        """What the service says that it is: `batch`. (Generated code appends an underscore to such names.)"""
        return self.object_ if isinstance(self.object_, str) else None

    @property
    def reasons(self) -> list[str]:
        """Why it failed, or what is wrong with it so far, in the service's words."""
        said = (self.errors.data if self.errors is not None else None) or ()
        return [text for each in said if (text := each.message or each.code)]

    @property
    def _end(self) -> datetime | None:
        return self.completed or self.failed or self.expired or self.cancelled

    @property
    def _is_answered(self) -> bool:
        counts = self.request_counts
        if counts is None or not (self.output_file_id or self.error_file_id) or not counts.total:
            return False
        return (counts.completed or 0) + (counts.failed or 0) == counts.total

    @property
    def created(self) -> datetime | None:
        return moment(self.created_at)

    @property
    def in_progress(self) -> datetime | None:
        """When the service began to answer lines."""
        return moment(self.in_progress_at)

    @property
    def expires(self) -> datetime | None:
        """When the service will stop, finished or not."""
        return moment(self.expires_at)

    @property
    def finalizing(self) -> datetime | None:
        """When the service began to write the result files."""
        return moment(self.finalizing_at)

    @property
    def completed(self) -> datetime | None:
        return moment(self.completed_at)

    @property
    def failed(self) -> datetime | None:
        return moment(self.failed_at)

    @property
    def expired(self) -> datetime | None:
        return moment(self.expired_at)

    @property
    def cancelling(self) -> datetime | None:
        """When cancellation was requested."""
        return moment(self.cancelling_at)

    @property
    def cancelled(self) -> datetime | None:
        return moment(self.cancelled_at)


class File(models.OpenAIFile):
    """A file at the service, with every field it sent."""

    __slots__ = ()
    _stands_for_its_id = True

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            return _unspecified(self, name)

    def __repr__(self) -> str:
        return described("File", self._facts())

    def _repr_html_(self) -> str:
        return facts_html("File", self._facts())

    def _facts(self) -> Iterator[tuple[str, Any]]:
        """What people want to know of it; what it does not say is None."""
        yield "id", self.id
        yield "filename", self.filename
        yield "purpose", self.purpose
        yield "bytes", self.bytes
        yield "created", self.created
        yield "expires", self.expires

    @property
    def object(self) -> str | None:
        """What the service says that it is: `file`."""
        return self.object_ if isinstance(self.object_, str) else None

    @property
    def bytes(self) -> int | None:
        """Its size. (Generated code appends an underscore to names that Python already uses.)"""
        return self.bytes_

    @property
    def created(self) -> datetime | None:
        return moment(self.created_at)

    @property
    def expires(self) -> datetime | None:
        """When the service will delete it; None if it will not."""
        return moment(self.expires_at)


@attrs.frozen
class Page(Generic[T]):
    """One page of a list. `next` is the cursor of the next page, None at the end."""

    data: Sequence[T]
    next: str | None
    unreadable: int = attrs.field(default=0, kw_only=True)
    """How many of the service's entries could not be read, and are left out."""
    cut: bool = attrs.field(default=False, kw_only=True)
    """Whether the service says that more follows, but nothing tells where."""
    moments: Sequence[datetime | None] = attrs.field(default=(), kw_only=True, repr=False, eq=False)
    """When the objects were created that the service sent, with those outside the span of time that was asked
    for.
    """
    since: datetime | None = attrs.field(default=None, kw_only=True, repr=False, eq=False)
    """The beginning of that span."""

    @property
    def has_more(self) -> bool:
        return self.next is not None


def _unspecified(model: Any, name: str) -> Any:
    """A field that the specification does not know yet, under its wire name."""
    if not name.startswith("_") and name != "additional_properties" and name in model.additional_properties:
        return model.additional_properties[name]
    raise AttributeError(f"{type(model).__name__!r} has no field {name!r}", name=name, obj=model)


def says_complete(batch: Batch) -> bool:
    """Whether a batch has ended with everything answered, by its own word or by one that nobody knows.

    What such a batch lacks may have been paid for: it is not sent again.
    """
    return batch.succeeded or (batch.ended and not is_known(batch.status))


def rank(batch: models.Batch) -> int:
    """How far along a batch's status is; -1 if it is unknown."""
    return rank_of(batch.status)


def checked_id(value: object, kind: str) -> str:
    """An id that is safe in a URL's path once it is percent-encoded; `..` would name another resource even then."""
    if is_id(value):
        return value
    raise ConfigurationError(
        f"{value!r:.200} is not a {kind} id: 1 to {_LONGEST_ID:,} printable characters, "
        "without . or .. as a step of a path"
    )


def plain_id(value: Any) -> Any:
    """The id of a Batch, File or Job, each of which may stand where its id belongs; anything else as it is."""
    return value.id if getattr(value, "_stands_for_its_id", False) is True else value


def is_id(value: object) -> TypeGuard[str]:
    """Whether a value can be the id of an object."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= _LONGEST_ID
        and value.isprintable()
        # A proxy on the way may decode what was encoded, and then walk the path.
        and not {".", ".."} & set(value.split("/"))
    )


def _check_received(value: object, kind: str) -> None:
    if not is_id(value):
        raise InvalidResponseError(f"the service answered with a {kind} that has no usable id")


def batch(received: object) -> Batch:
    """The service's answer as a Batch, after checking the fields that our own logic reads."""
    if not isinstance(received, models.Batch):
        raise InvalidResponseError(f"expected a batch, got {type(received).__name__}")
    _check_received(received.id, "batch")
    received.created_at = cast("int | None", unix_seconds(received.created_at))
    for name in _WORDS:
        if not isinstance(getattr(received, name), str):
            setattr(received, name, None)  # an unknown status is not final
    for value in _texts_of(received):
        if value is not None and not isinstance(value, str):
            names = (name for name in _TEXTS if getattr(received, name) is value)
            raise InvalidResponseError(
                f"batch {received.id}: {next(names)} is {type(value).__name__}, not a string"
            )
    # Sound because neither class adds slots: the object is what it was, with more properties.
    received.__class__ = Batch
    assert isinstance(received, Batch)
    return received


def file(received: object) -> File:
    """The service's answer as a File, checked the same way."""
    if not isinstance(received, models.OpenAIFile):
        raise InvalidResponseError(f"expected a file, got {type(received).__name__}")
    _check_received(received.id, "file")
    received.created_at = cast("int | None", unix_seconds(received.created_at))
    if not isinstance(received.filename, str):
        received.filename = None
    received.__class__ = File
    assert isinstance(received, File)
    return received
