"""What a service is known not to offer: said before anything is sent, with what to do instead."""

from __future__ import annotations

from collections.abc import Iterator

from overlay.errors import UnsupportedError
from overlay.services import ServiceProfile
from overlay.wire.connection import Settings


def require(settings: Settings, offered: bool, what: str, instead: str = "") -> None:
    """Raise UnsupportedError unless the service offers something, such as to `list batches`."""
    if not offered:
        raise UnsupportedError(f"{settings.service} cannot {what}{f': {instead}' if instead else ''}")


def what_is_lost(service: ServiceProfile) -> Iterator[str]:
    """What a job goes without at a service, a sentence each."""
    again = "`overlay jobs send-again` sends it again, once you know that there is no batch"
    if not service.lists:
        yield f"{service} cannot list batches: a shard whose create goes unanswered stops; {again}"
    elif not service.deletes:
        yield f"{service} cannot delete files: a shard whose create is lost stops, as it may still come; {again}"
    if not service.deletes:
        yield f"{service} cannot delete files: input and result files stay there"
    if not service.cancels:
        yield f"{service} cannot cancel batches: what was created runs to its end"
