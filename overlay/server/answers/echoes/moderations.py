"""/v1/moderations, by https://platform.openai.com/docs/api-reference/moderations/object. Nothing is flagged."""

from typing import Any

from overlay.lines import is_array, is_object
from overlay.server.models import snapshot
from overlay.server.objects import new_id

# Each category, and whether pictures are looked at for it:
# https://platform.openai.com/docs/guides/moderation#content-classifications
_CATEGORIES = {
    "harassment": False,
    "harassment/threatening": False,
    "hate": False,
    "hate/threatening": False,
    "illicit": False,
    "illicit/violent": False,
    "self-harm": True,
    "self-harm/instructions": True,
    "self-harm/intent": True,
    "sexual": True,
    "sexual/minors": False,
    "violence": True,
    "violence/graphic": True,
}


def moderations(body: dict[str, Any]) -> dict[str, Any]:
    """A result for each text; one for a list of parts, which are one input."""
    asked = body.get("input")
    inputs = asked if is_array(asked) and not any(map(is_object, asked)) else [asked]
    return {
        "id": new_id("modr-"),
        "model": snapshot(body.get("model") or "omni-moderation-latest"),
        "results": [_result(each) for each in inputs],
    }


def _result(asked: Any) -> dict[str, Any]:
    kinds = [part.get("type") for part in asked if is_object(part)] if is_array(asked) else ["text"]
    text, image = ["text"] * ("text" in kinds), ["image"] * ("image_url" in kinds)
    return {
        "flagged": False,
        "categories": dict.fromkeys(_CATEGORIES, False),
        "category_scores": dict.fromkeys(_CATEGORIES, 0.0),
        "category_applied_input_types": {
            name: text + image if looks else text for name, looks in _CATEGORIES.items()
        },
    }
