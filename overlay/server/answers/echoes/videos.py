"""/v1/videos, by https://platform.openai.com/docs/api-reference/videos/object."""

import time
from typing import Any

from overlay.server.answers.echoes.questions import flat
from overlay.server.models import snapshot
from overlay.server.objects import new_id

_LIFETIME = 24 * 3600


def videos(body: dict[str, Any]) -> dict[str, Any]:
    """The job as it is when it has ended, which is when a batch has its answer. There is no film behind it."""
    now = int(time.time())
    return {
        "id": new_id("video_"),
        "object": "video",
        "created_at": now,
        "completed_at": now,
        "expires_at": now + _LIFETIME,
        "error": None,
        "model": snapshot(body.get("model") or "sora-2"),
        "progress": 100,
        "prompt": f"echo: {flat(body.get('prompt'))}",
        "remixed_from_video_id": None,
        "seconds": str(body.get("seconds") or 4),
        "size": body.get("size") or "720x1280",
        "status": "completed",
    }
