"""The shards of a job that are stuck while it is worked on, and what that means for the others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from overlay.errors import NotFoundError, OverlayError
from overlay.flows.steps import Flow
from overlay.jobs.context import JobContext
from overlay.jobs.records import Unit, UnitKey
from overlay.jobs.troubles import concerns_its_kind, stuck_error, trouble_of

_NOT_SENT = frozenset({"planned", "uploading", "uploaded"})
_ACCEPTED = frozenset({"created", "ended", "done"})
_Kind = tuple[str | None, str]


class Stuck(Collection[UnitKey]):
    """The keys of the units that are stuck, each with the error that it has met."""

    def __init__(self, context: JobContext, units: Mapping[UnitKey, Unit]) -> None:
        self._context = context
        self._units = units
        self._errors: dict[UnitKey, OverlayError] = {}
        self.doubtful = False
        """Whether the token may be another project's: nothing may be concluded, or started."""

    def __contains__(self, key: object) -> bool:
        return key in self._errors

    def __iter__(self) -> Iterator[UnitKey]:
        return iter(self._errors)

    def __len__(self) -> int:
        return len(self._errors)

    def note(self, unit: Unit, error: OverlayError) -> Flow[None]:
        """Leave a unit alone until the job is next worked on, and say why in the ledger."""
        self._errors[unit.key] = error
        unit.trouble, unit.problem = trouble_of(error, unit), str(error)
        yield from self._context.save(unit)
        self._context.report("stuck", unit, f"shard {unit.shard}: {error}")

    def check_key(self, sees_ours: Callable[[Collection[UnitKey]], Flow[bool]]) -> Flow[None]:
        """With another project's key, what is ours looks gone."""
        unseen = {key for key, error in self._errors.items() if type(error) is NotFoundError}
        self.doubtful = bool(unseen)
        if unseen:
            self.doubtful = not (yield from sees_ours(unseen))

    def first(self) -> OverlayError | None:
        """What the first of them has met."""
        return self._errors[min(self._errors)] if self._errors else None

    def told(self, error: OverlayError) -> OverlayError:
        """The error, with which shard is stuck, and the ways on."""
        unit = self._units[min(self._errors)]
        return stuck_error(self._context.record.id, unit, error, others=len(self._errors) - 1)

    def startable(self, units: Collection[Unit]) -> list[Unit]:
        """Those that may be sent: neither stuck nor of a kind that the service refuses."""
        refused = self._refused_kinds()
        return [unit for unit in units if unit.key not in self._errors and _kind(unit) not in refused]

    def is_all_there_is(self) -> bool:
        """Whether nothing else is left to be done."""
        if not self._errors:
            return False
        refused = self._refused_kinds()
        return all(self._waits_for_these(unit, refused) for unit in self._units.values())

    def _waits_for_these(self, unit: Unit, refused: Collection[_Kind]) -> bool:
        if unit.over or unit.key in self._errors:
            return True
        if unit.state == "ended":  # of a ledger that was rebuilt: generations are merged in order
            return any(
                (shard, part) == unit.lineage and generation < unit.generation
                for shard, generation, part in self._errors
            )
        return unit.state != "created" and (self.doubtful or _kind(unit) in refused)

    def is_whole_job(self) -> bool:
        """Whether the service refused every batch as a whole, or would."""
        refused = self._refused_kinds()
        return self._context.record.state == "open" and all(
            unit.state in {"split", "repeats"}
            or (unit.trouble == "refused" if unit.key in self._errors else _waits(unit, refused))
            for unit in self._units.values()
        )

    def _refused_kinds(self) -> set[_Kind]:
        """The models and endpoints for which the service takes no batch, as far as is known."""
        kinds = {
            _kind(self._units[key])
            for key, error in self._errors.items()
            if self._units[key].trouble == "refused" and concerns_its_kind(error)
        }
        return (
            kinds - {_kind(unit) for unit in self._units.values() if unit.state in _ACCEPTED}
            if kinds
            else kinds
        )


def _kind(unit: Unit) -> _Kind:
    return unit.model, unit.endpoint


def _waits(unit: Unit, refused: Collection[_Kind]) -> bool:
    return unit.state in _NOT_SENT and _kind(unit) in refused
