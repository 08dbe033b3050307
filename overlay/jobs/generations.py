"""A shard's generations: what is sent again of it, once all that it had is settled."""

from __future__ import annotations

from collections.abc import Sequence

from overlay.jobs.records import Unit


def following_of(own: Sequence[Unit]) -> Unit:
    """A shard's next generation after all that it has had, without a request so far."""
    whole = own[0]
    generation = 1 + max(unit.generation for unit in own)
    # The parts of a shard that was split count its requests already.
    was_split = any(unit.state == "split" and not unit.part for unit in own)
    return Unit(
        shard=whole.shard,
        generation=generation,
        attempts_from=generation,
        endpoint=whole.endpoint,
        model=whole.model,
        requests=0,
        shard_requests=0 if was_split else whole.shard_requests,
        bytes=0,
        tokens=0,
        sha256="",
    )
