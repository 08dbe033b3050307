"""The embedded service: the Batch API over real HTTP, on loopback, for demos and for applications' own tests.

    from overlay.server import Service

    with Service() as service:
        client = Client(base_url=service.base_url, token="any")

It needs the extra `serve`. Names are loaded when they are first asked for, so that importing the package, as the
pytest plugin does in every run, costs nothing and needs nothing installed.
"""

from typing import TYPE_CHECKING

from overlay.lazily import loader
from overlay.server.public_names import HOMES

if TYPE_CHECKING:  # the one list of public names; `make format` writes public_names.py from it
    from overlay.server.answers.echoes.echo import echo as echo
    from overlay.server.clock import (
        ManualClock as ManualClock,
        RunningClock as RunningClock,
    )
    from overlay.server.dialects.dialect import Dialect as Dialect
    from overlay.server.dialects.table import known_dialects as known_dialects
    from overlay.server.engine.events import Webhook as Webhook
    from overlay.server.faults.kinds import (
        Accept as Accept,
        CloseAfter as CloseAfter,
        Cut as Cut,
        Delay as Delay,
        Drip as Drip,
        Gzip as Gzip,
        LagList as LagList,
        LateAccept as LateAccept,
        Linger as Linger,
        Literally as Literally,
        Pending as Pending,
        Reject as Reject,
        Reset as Reset,
        Silence as Silence,
    )
    from overlay.server.faults.listing import (
        EmptyPages as EmptyPages,
        Endless as Endless,
        Odd as Odd,
        Oldest as Oldest,
        Overlap as Overlap,
        Repeat as Repeat,
        Stale as Stale,
    )
    from overlay.server.faults.matching import (
        Fault as Fault,
        Faults as Faults,
    )
    from overlay.server.faults.results import (
        ByteOrderMark as ByteOrderMark,
        OtherIds as OtherIds,
    )
    from overlay.server.faults.rewriting import (
        Miscount as Miscount,
        Overwrite as Overwrite,
    )
    from overlay.server.http.recorder import RecordedRequest as RecordedRequest
    from overlay.server.running import serve as serve
    from overlay.server.service import Service as Service
    from overlay.server.settings import (
        Limits as Limits,
        Pace as Pace,
        Traits as Traits,
    )
    from overlay.server.upstreams.forwarding import upstream as upstream
else:  # to type checkers it would say that any name will do, a misspelt one too
    __getattr__ = loader(__name__, HOMES)
    __all__ = sorted(HOMES)  # noqa: PLE0605 - it follows from the list above


def __dir__() -> list[str]:
    return sorted(HOMES)
