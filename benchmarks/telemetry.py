"""What telemetry costs: nothing where it is off, and little where it is on.

Off, whether opentelemetry is installed or not, is compared with a client that is built without asking; both must do
the same within 1 %.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from benchmarks.measuring import Figure, Side, compare
from benchmarks.memory import BATCH
from benchmarks.setting import Setting
from overlay import Client, Telemetry
from overlay.wire.clients import BlockingClient
from overlay.wire.connection import Connections

_CALLS = 2_000
_ROUNDS = 3
"""A multiple of the usual rounds, since what is looked for is small."""
_ABSENT = "import sys; sys.modules['opentelemetry'] = None; "


class _Unasking(Connections):
    """Connections as they were before there was telemetry."""

    def _kind(self) -> type[BlockingClient]:
        return BlockingClient


def telemetry(setting: Setting, calls: int = _CALLS) -> list[Figure]:
    """`import overlay` and retrieves with telemetry off, against neither asking for it; and with it on."""
    with ExitStack() as stack:
        make = partial(Client, token="benchmark", base_url=setting.base_url)
        off, before = (stack.enter_context(make(telemetry=False)) for _ in range(2))
        before._driver.connections = _Unasking(before._settings)  # noqa: SLF001 - there is no other way back
        alone = stack.enter_context(make(telemetry=Telemetry()))
        exporting = stack.enter_context(make(telemetry=stack.enter_context(_with_sdk())))
        sides = {
            name: Side(name, partial(_retrieve, client, calls))
            for name, client in (
                ("off", off),
                ("without telemetry", before),
                ("on, no SDK", alone),
                ("on, SDK", exporting),
            )
        }
        what, rounds = f"{calls:,} batches retrieved", _ROUNDS * setting.rounds
        return [
            *_imports(rounds),
            compare(
                f"{what}, telemetry off", sides["off"], sides["without telemetry"], rounds=rounds, target=1.01
            ),
            compare(f"{what}, on, no SDK", sides["on, no SDK"], sides["off"], rounds=setting.rounds),
            compare(f"{what}, on, SDK in memory", sides["on, SDK"], sides["off"], rounds=setting.rounds),
        ]


def _imports(rounds: int) -> list[Figure]:
    code = "import overlay; overlay.Client(token='t')"
    installed = Side("installed", partial(_run, f"import sys; sys.modules['unrelated'] = None; {code}"))
    absent = Side("opentelemetry absent", partial(_run, _ABSENT + code))
    return [
        compare("`import overlay` and a client, telemetry off", installed, absent, rounds=rounds, target=1.01)
    ]


def _run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)


def _retrieve(client: Client, calls: int) -> str | None:
    for _ in range(calls - 1):
        client.batches.retrieve(BATCH)
    return client.batches.retrieve(BATCH).status


@contextmanager
def _with_sdk() -> Iterator[Telemetry]:
    """A Telemetry whose spans and metrics are kept in memory in batches, as exporters have it."""
    sdk: Any = importlib.import_module("opentelemetry.sdk.trace")
    export: Any = importlib.import_module("opentelemetry.sdk.trace.export")
    memory: Any = importlib.import_module("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    metrics: Any = importlib.import_module("opentelemetry.sdk.metrics")
    reading: Any = importlib.import_module("opentelemetry.sdk.metrics.export")
    tracers = sdk.TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(export.BatchSpanProcessor(memory.InMemorySpanExporter()))
    meters = metrics.MeterProvider([reading.InMemoryMetricReader()], shutdown_on_exit=False)
    yield Telemetry(tracer_provider=tracers, meter_provider=meters)
    tracers.shutdown()
    meters.shutdown()
