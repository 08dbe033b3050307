"""The echo: what answers the lines of a batch where nothing else is given."""

from collections.abc import Callable
from typing import Any

from overlay.server.answers.echoes.chat import chat
from overlay.server.answers.echoes.completions import completions
from overlay.server.answers.echoes.embeddings import embeddings
from overlay.server.answers.echoes.images import images
from overlay.server.answers.echoes.moderations import moderations
from overlay.server.answers.echoes.responses import responses
from overlay.server.answers.echoes.videos import videos
from overlay.server.answers.echoes.wanted import CannotAnswerError
from overlay.server.refusals import error_object

_SHAPES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "/v1/responses": responses,
    "/v1/chat/completions": chat,
    "/v1/embeddings": embeddings,
    "/v1/completions": completions,
    "/v1/moderations": moderations,
    "/v1/images/generations": images,
    "/v1/images/edits": images,
    "/v1/videos": videos,
}


def echo(request: dict[str, Any]) -> dict[str, Any] | tuple[int, dict[str, Any]]:
    """Answer one line of an input file, given as a dict: a body, or a status and a body.

    A schema that allows nothing, or that is no schema, is answered with status 400, as the API does.
    """
    url: str = request["url"]
    # Azure's have no /v1.
    shape = _SHAPES.get(url if url.startswith("/v1/") else f"/v1{url}")
    if shape is None:
        return 400, error_object(f"The echo has no answer for {url}.", param="url")
    model = request["body"].get("model")
    if model is not None and not isinstance(model, str):
        message = "Invalid type for 'model': expected a string."
        return 400, error_object(message, param="model", code="invalid_type")
    try:
        return shape(request["body"])
    except CannotAnswerError as error:
        return error.status, error.body
