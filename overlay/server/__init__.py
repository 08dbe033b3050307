"""The embedded service: the Batch API over real HTTP, on loopback, for demos and for applications' own tests.

    from overlay.server import Service

    with Service() as service:
        client = Client(base_url=service.base_url, token="any")

It needs the extra `serve`. Names are loaded when they are first asked for, so that importing the package, as the
pytest plugin does in every run, costs nothing and needs nothing installed.
"""

from typing import TYPE_CHECKING

from overlay.lazily import loader

if TYPE_CHECKING:
    from overlay.server.answers.echoes import echo
    from overlay.server.answers.forwarding import upstream
    from overlay.server.clock import ManualClock, RunningClock
    from overlay.server.faults.kinds import (
        Accept,
        CloseAfter,
        Cut,
        Delay,
        Drip,
        Fault,
        Faults,
        Gzip,
        LagList,
        LateAccept,
        Linger,
        Literally,
        Reject,
        Reset,
        Silence,
    )
    from overlay.server.http.recorder import RecordedRequest
    from overlay.server.running import serve
    from overlay.server.service import Service
    from overlay.server.settings import Limits, Pace

__all__ = [
    "Accept",
    "CloseAfter",
    "Cut",
    "Delay",
    "Drip",
    "Fault",
    "Faults",
    "Gzip",
    "LagList",
    "LateAccept",
    "Limits",
    "Linger",
    "Literally",
    "ManualClock",
    "Pace",
    "RecordedRequest",
    "Reject",
    "Reset",
    "RunningClock",
    "Service",
    "Silence",
    "echo",
    "serve",
    "upstream",
]

_HOMES = {
    "Accept": "faults.kinds",
    "CloseAfter": "faults.kinds",
    "Cut": "faults.kinds",
    "Delay": "faults.kinds",
    "Drip": "faults.kinds",
    "Fault": "faults.kinds",
    "Faults": "faults.kinds",
    "Gzip": "faults.kinds",
    "LagList": "faults.kinds",
    "LateAccept": "faults.kinds",
    "Limits": "settings",
    "Linger": "faults.kinds",
    "Literally": "faults.kinds",
    "ManualClock": "clock",
    "Pace": "settings",
    "RecordedRequest": "http.recorder",
    "Reject": "faults.kinds",
    "Reset": "faults.kinds",
    "RunningClock": "clock",
    "Service": "service",
    "Silence": "faults.kinds",
    "echo": "answers.echoes",
    "serve": "running",
    "upstream": "answers.forwarding",
}


if not TYPE_CHECKING:  # to type checkers it would say that any name will do, a misspelt one too
    __getattr__ = loader(__name__, _HOMES)
