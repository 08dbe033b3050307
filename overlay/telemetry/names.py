"""What spans, metrics and their attributes are called.

OpenTelemetry's own names where it has one: https://opentelemetry.io/docs/specs/semconv/http/ and
https://github.com/open-telemetry/semantic-conventions-genai, as read in November 2026. The others begin with
`overlay.`.
"""

from __future__ import annotations

from typing import Final

PROVIDER: Final = "gen_ai.provider.name"
OPERATION: Final = "gen_ai.operation.name"
MODEL: Final = "gen_ai.request.model"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
MODALITY: Final = "gen_ai.token.modality"

METHOD: Final = "http.request.method"
STATUS: Final = "http.response.status_code"
ADDRESS: Final = "server.address"
PORT: Final = "server.port"
TEMPLATE: Final = "url.template"
URL: Final = "url.full"
ERROR: Final = "error.type"

JOB: Final = "overlay.job.id"
SHARD: Final = "overlay.job.shard"
GENERATION: Final = "overlay.job.generation"
BATCH: Final = "overlay.batch.id"
REQUESTS: Final = "overlay.batch.requests"
OK: Final = "overlay.batch.requests.ok"
LIVE: Final = "overlay.job.batches"

CALLS: Final = "http.client.request.duration"
USED_INPUT: Final = "gen_ai.client.inference.usage.input_tokens"
USED_OUTPUT: Final = "gen_ai.client.inference.usage.output_tokens"
ANSWERED: Final = "overlay.job.requests.answered"
FAILED: Final = "overlay.job.requests.failed"
SENT_AGAIN: Final = "overlay.job.requests.sent_again"
COST: Final = "overlay.job.cost"
LIVE_BATCHES: Final = "overlay.job.batches.live"
SINCE_LOOK: Final = "overlay.job.since_last_look"

METRICS: Final = {
    CALLS: ("s", "How long calls took until their answer began"),
    USED_INPUT: ("{token}", "Input tokens of answers, as the service counted them"),
    USED_OUTPUT: ("{token}", "Output tokens of answers, as the service counted them"),
    ANSWERED: ("{request}", "Requests that were answered"),
    FAILED: ("{request}", "Requests that failed, or got no answer; those that are sent again among them"),
    SENT_AGAIN: ("{request}", "Requests that are sent again"),
    COST: ("{USD}", "What the answers cost at batch rates, for models whose rate is known"),
    LIVE_BATCHES: ("{batch}", "Batches of a job that this process works on and that have not ended"),
    SINCE_LOOK: ("s", "Since the service last told how a job's batches are doing"),
}
"""Each metric's unit, by https://ucum.org, and what it means."""

_OPERATIONS = {
    "/v1/chat/completions": "chat",
    "/v1/responses": "chat",
    "/v1/completions": "text_completion",
    "/v1/embeddings": "embeddings",
}
_WORDS = frozenset({"batch", "batches", "cancel", "content", "files", "jobs"})


def operation_of(endpoint: str) -> str:
    """What the GenAI conventions call that which an endpoint does; its own path, if they have no word for it."""
    return _OPERATIONS.get(endpoint, endpoint.removeprefix("/v1").strip("/") or "_OTHER")


def template_of(path: str) -> str:
    """A path below the base URL with `{id}` for what names one thing: few values, however many batches."""
    parts = [part if part in _WORDS else "{id}" for part in path.strip("/").split("/")]
    return "/" + "/".join(parts)
