"""Ids, limits and small shapes of single services, for the table."""

import secrets
import uuid
from base64 import urlsafe_b64encode

from overlay.lines import is_object
from overlay.server.dialects.dialect import Json
from overlay.server.dialects.shapes import enveloped, iso
from overlay.server.settings import Kind, Limits

_MB = 1024**2


def windows(shortest: int, longest: int) -> tuple[str, ...]:
    """Every number of hours between the two, and of days."""
    days = range(-(-shortest // 24), longest // 24 + 1)
    return (*(f"{each}d" for each in days), *(f"{each}h" for each in range(shortest, longest + 1)))


def limits(lines: int = 50_000, size: int = 200 * _MB, **more: object) -> Limits:
    return Limits(
        max_requests=lines,
        max_input_bytes=size,
        max_upload_bytes=size,
        **more,  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    )


def together_id(kind: Kind) -> str:
    return str(uuid.uuid4()) if kind == "batch" else f"file-{uuid.uuid4()}"


def dashscope_id(kind: Kind) -> str:
    return f"batch_{uuid.uuid4()}" if kind == "batch" else f"file-batch-{secrets.token_urlsafe(16)}"


def litellm_id(kind: Kind) -> str:
    """From 191 to 323 characters, some with padding, as the proxy packs its own data into an id."""
    inside = f"litellm_proxy:{kind};unified_id,{uuid.uuid4()};".encode() + secrets.token_bytes(
        75 + secrets.randbelow(90)
    )
    return urlsafe_b64encode(inside).decode()


def azure_created(shown: Json) -> Json:
    """As in the samples of https://learn.microsoft.com/azure/ai-foundry/openai/how-to/batch."""
    times = {name: iso(value) for name, value in shown.items() if name.endswith("_at") and value is not None}
    return {
        **shown,
        **times,
        "status": "Validating",
        "request_counts": {"total": None, "completed": None, "failed": None},
    }


def novita(batch: Json) -> Json:
    counts = batch["request_counts"]
    return {**batch, **counts, "errors": batch["errors"] or "", "version": 1, "created_by": "", "remark": ""}


def siliconflow_uploaded(shown: Json) -> Json:
    """The one answer with `createdAt`: https://docs.siliconflow.cn/cn/api-reference/batch/upload-file."""
    kept = {name: shown[name] for name in ("id", "object", "bytes", "filename", "purpose")}
    return enveloped({**kept, "createdAt": shown["created_at"]})


def voyage_asked(body: Json) -> Json:
    """The model stands in parameters for all lines."""
    parameters = body.get("request_params")
    return {**body, "model": parameters.get("model") if is_object(parameters) else None}


def maritaca(batch: Json) -> Json:
    return {**batch, "errors": batch["errors"] or []}
