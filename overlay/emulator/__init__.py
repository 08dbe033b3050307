"""The embedded service: the Batch API over real HTTP, on loopback, for demos and for applications' own tests.

    from overlay.emulator import Service

    with Service() as service:
        client = Client(base_url=service.base_url, token="any")

It needs the extra `serve`. Names are loaded when they are first asked for, so that importing the package, as the
pytest plugin does in every run, costs nothing and needs nothing installed.
"""

from typing import TYPE_CHECKING

from overlay.lazily import loader

if TYPE_CHECKING:
    from overlay.emulator.clock import ManualClock, RunningClock
    from overlay.emulator.echoes import echo
    from overlay.emulator.faults import (
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
    from overlay.emulator.forwarding import upstream
    from overlay.emulator.record import RecordedRequest
    from overlay.emulator.server import serve
    from overlay.emulator.service import Service
    from overlay.emulator.settings import Limits, Pace

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
    "Accept": "faults",
    "CloseAfter": "faults",
    "Cut": "faults",
    "Delay": "faults",
    "Drip": "faults",
    "Fault": "faults",
    "Faults": "faults",
    "Gzip": "faults",
    "LagList": "faults",
    "LateAccept": "faults",
    "Limits": "settings",
    "Linger": "faults",
    "Literally": "faults",
    "ManualClock": "clock",
    "Pace": "settings",
    "RecordedRequest": "record",
    "Reject": "faults",
    "Reset": "faults",
    "RunningClock": "clock",
    "Service": "service",
    "Silence": "faults",
    "echo": "echoes",
    "serve": "server",
    "upstream": "forwarding",
}


if not TYPE_CHECKING:  # to type checkers it would say that any name will do, a misspelt one too
    __getattr__ = loader(__name__, _HOMES)
