"""The services, as they document themselves in November 2026. Nothing was run against them."""

from functools import cache

from overlay.server.dialects import mistral, particulars, production_stack, together
from overlay.server.dialects.dialect import Dialect
from overlay.server.dialects.refusals import (
    as_azure,
    as_detail,
    as_litellm,
    as_mistral,
    as_siliconflow,
    as_text,
)
from overlay.server.settings import Traits

_MB, _GB = 1024**2, 1024**3
_CHAT = "/v1/chat/completions"
_CHAT_ONLY, _EMBEDDINGS = (_CHAT,), ("/v1/embeddings",)
_CANCEL, _LIST = "POST /batches/{id}/cancel", "GET /batches"
_PARTS = frozenset(f"POST /uploads{each}" for each in ("", "/{id}/parts", "/{id}/complete", "/{id}/cancel"))
_SHORT_LINES = ("method", "url")


_AS_OPENAI = (
    Dialect(name="openai", strict=True),
    Dialect(
        name="azure",
        bases=("/openai/v1", "/openai"),
        keys=("authorization", "api-key"),
        strict=True,
        pending=0.3,
        limits=particulars.limits(100_000),
        traits=Traits(empty_files=True),
        created=particulars.azure_created,
        error_file="",
        refuses=as_azure,
    ),
    Dialect(
        name="groq",
        bases=("/openai/v1",),
        missing=_PARTS,
        limits=particulars.limits(windows=particulars.windows(24, 168)),
        lists="unsaid",
    ),
    Dialect(
        name="nebius",
        missing=_PARTS,
        limits=particulars.limits(5_000_000, 10 * _GB, live_batches=500, caps_refuse=429),
    ),
    Dialect(
        name="doubleword",
        missing=_PARTS,
        limits=particulars.limits(windows=("1h", "24h"), max_custom_id=64),
        traits=Traits(ids="uuid", partial_results=True),
    ),
    Dialect(
        name="dashscope",
        bases=("/compatible-mode/v1",),
        missing=_PARTS,
        limits=particulars.limits(
            size=500 * _MB, max_line_bytes=6 * _MB, windows=particulars.windows(24, 336)
        ),
        traits=Traits(ids=particulars.dashscope_id),
    ),
    Dialect(
        name="siliconflow",
        missing=_PARTS,
        limits=particulars.limits(5_000, _GB, endpoints=_CHAT_ONLY, windows=particulars.windows(24, 336)),
        uploaded=particulars.siliconflow_uploaded,
        refuses=as_siliconflow,
    ),
    Dialect(
        name="novita",
        bases=("/openai/v1",),
        missing=_PARTS,
        limits=particulars.limits(endpoints=(_CHAT, "/v1/completions"), windows=("48h", "24h")),
        window="48h",
        words={"in_progress": "PROGRESS", "finalizing": "PROGRESS"},
        upper=True,
        times="iso",
        errors="text",
        batch=particulars.novita,
    ),
    Dialect(
        name="parasail",
        missing=_PARTS,
        limits=particulars.limits(size=100 * _MB, endpoints=(_CHAT, "/v1/embeddings")),
    ),
    Dialect(name="deepinfra", bases=("/v1/openai",), missing=_PARTS),
    Dialect(
        name="ovh", missing=_PARTS, limits=particulars.limits(windows=("24h", "48h", "72h")), window="48h"
    ),
    Dialect(
        name="aibrix",
        missing=_PARTS | {_CANCEL},
        limits=particulars.limits(endpoints=_CHAT_ONLY, unknown_files="refused"),
        traits=Traits(ids="uuid"),
        window="24h",
        words={"completed": "finalized"},
        counts="null",
        refuses=as_detail,
    ),
    Dialect(
        name="ogx",
        missing=_PARTS,
        limits=particulars.limits(unknown_files="refused"),
        idempotency_key="idempotency_key",
        refuses=as_detail,
    ),
    Dialect(
        name="litellm",
        bases=("/v1", ""),
        traits=Traits(ids=particulars.litellm_id),
        rewrites=True,
        provider_ids=True,
        refuses=as_litellm,
    ),
    Dialect(
        name="portkey",
        keys=("authorization", "x-portkey-api-key"),
        missing=_PARTS,
        limits=particulars.limits(windows=("immediate", "24h")),
        output_route=True,
    ),
    Dialect(
        name="gemini",
        bases=("/v1beta/openai",),
        keys=("authorization", "x-goog-api-key"),
        missing=_PARTS | {"GET /files", "DELETE /files/{id}"},
        traits=Traits(ids="path"),
        limits=particulars.limits(endpoints=(_CHAT, "/v1/embeddings")),
    ),
    Dialect(
        name="voyage",
        missing=_PARTS,
        limits=particulars.limits(
            100_000, _GB, endpoints=("/v1/embeddings",), windows=("12h",), unknown_files="refused"
        ),
        traits=Traits(fills=_SHORT_LINES),
        asks=particulars.voyage_asked,
        pending=0.3,
        pending_said=False,
        refuses=as_detail,
    ),
    Dialect(
        name="maritaca",
        bases=("/api", "/v1"),
        missing=_PARTS,
        words={
            "validating": "queued",
            "in_progress": "running",
            "finalizing": "running",
            "completed": "succeeded",
        },
        errors="texts",
        batch=particulars.maritaca,
        refuses=as_detail,
    ),
)
_JOBS = "/batch/jobs"
_OTHERS = (
    Dialect(
        name="together",
        moved={"POST /files/upload": "POST /files", "POST /files/{id}/preprocess": "GET /files/{id}"},
        missing=_PARTS,
        purposes=frozenset({"batch-api"}),
        redirected=True,
        limits=particulars.limits(size=100 * _MB, max_custom_id=64, endpoints=(_CHAT, "/v1/completions")),
        traits=Traits(ids=particulars.together_id, fills=_SHORT_LINES),
        window="24h",
        metadata=False,
        asks=together.asked,
        words={"finalizing": "in_progress", "cancelling": "canceling"},
        upper=True,
        times="iso",
        errors="text",
        batch=together.job,
        created=together.created,
        file=together.file,
        lists="bare",
    ),
    Dialect(
        name="mistral",
        moved={
            f"POST {_JOBS}": "POST /batches",
            f"GET {_JOBS}": "GET /batches",
            f"GET {_JOBS}/{{id}}": "GET /batches/{id}",
            f"POST {_JOBS}/{{id}}/cancel": "POST /batches/{id}/cancel",
        },
        missing=_PARTS | {"POST /batches", _LIST, "GET /batches/{id}", _CANCEL},
        limits=particulars.limits(
            1_000_000, 512 * _MB, windows=tuple(f"{each}h" for each in range(1, 169)), unknown_files="refused"
        ),
        traits=Traits(ids="uuid", fills=_SHORT_LINES),
        asks=mistral.asked,
        words={
            "validating": "queued",
            "in_progress": "running",
            "finalizing": "running",
            "completed": "success",
            "expired": "timeout_exceeded",
            "cancelling": "cancellation_requested",
        },
        upper=True,
        batch=mistral.job,
        file=mistral.file,
        lists="pages",
        refuses=as_mistral,
    ),
    Dialect(
        name="production-stack",
        moved={"DELETE /batches/{id}": "POST /batches/{id}/cancel"},
        missing=_PARTS | {_CANCEL, "GET /files", "DELETE /files/{id}"},
        purposes=None,
        limits=particulars.limits(
            endpoints=(_CHAT, "/v1/embeddings", "/v1/completions"),
            windows=("5s", *particulars.windows(1, 336)),
            unknown_files="refused",
        ),
        window="5s",
        words={
            "validating": "pending",
            "in_progress": "running",
            "finalizing": "running",
            "cancelling": "running",
            "expired": "failed",
        },
        errors="text",
        batch=production_stack.batch,
        file=production_stack.file,
        refuses=as_text,
    ),
)


@cache
def known_dialects() -> dict[str, Dialect]:
    """Every dialect by its name."""
    return {each.name: each for each in (*_AS_OPENAI, *_OTHERS)}


def dialect_of(given: str | Dialect | None) -> Dialect | None:
    """A dialect by its name, or as it is given. Raises `ValueError` for a name that there is not."""
    if not isinstance(given, str):
        return given
    known = known_dialects()
    if given not in known:
        raise ValueError(f"there is no dialect {given!r}; there are {', '.join(sorted(known))}")
    return known[given]
