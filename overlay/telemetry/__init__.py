"""OpenTelemetry (extra `otel`): short spans of calls and of a job's steps, and metrics.

Nobody imports this package, nor opentelemetry, unless a client is told to: `Client(telemetry=True)`, or
OVERLAY_TELEMETRY=1. It uses the API only. Where spans and metrics go is up to the application, which configures the
SDK; without one, OpenTelemetry itself drops them.

In: what the wire and the jobs say happened, in numbers and names. Out: spans and metrics, by the names in `names`.
No token, prompt or answer is ever handed in, and of an error only its type is kept.
"""

from overlay.telemetry.telemetry import Telemetry as Telemetry
