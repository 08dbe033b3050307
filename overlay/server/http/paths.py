"""One path for each resource, whichever of a service's paths the client used.

    /v1/batches                          OpenAI
    /openai/v1/batches                   Azure's present paths, and those of services that follow them
    /openai/batches?api-version=…        Azure's older paths, which do not exist without a version

https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle tells the two of Azure apart. Everything
behind (the log, faults, routes) sees the first form. A slash in an id is %2F, and does not divide the path.
"""

from urllib.parse import unquote

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.types import Scope

_AZURE = "/openai/"
_PRESENT = "/openai/v1/"
_SLASH = "%2F"


def normal(path: str, query: bytes) -> str:
    """The path as OpenAI has it; one that is nobody's comes back as it is."""
    if path.startswith(_PRESENT):
        return path.removeprefix("/openai")
    if path.startswith(_AZURE) and QueryParams(query).get("api-version"):
        return "/v1/" + path.removeprefix(_AZURE)
    return path


def normalize(scope: Scope) -> None:
    """Give a request its normal path, and keep the one it was sent to."""
    scope["overlay.sent_path"] = scope["path"]
    scope["path"] = normal(scope["path"], scope["query_string"])


def sent_path(scope: Scope) -> str:
    """The path that the client used, prefix and all."""
    path: str = scope.get("overlay.sent_path", scope["path"])
    return path


def is_azure(scope: Scope) -> bool:
    """Whether the request came by one of Azure's paths."""
    return sent_path(scope).startswith(_AZURE)


def keep_slashes(scope: Scope) -> None:
    """Keep encoded slashes encoded in a request's path, which the server has decoded."""
    raw = scope.get("raw_path") or b""
    if b"%2f" in raw.lower():
        parts = raw.decode("latin-1").replace("%2f", _SLASH).split(_SLASH)
        scope["path"] = _SLASH.join(map(unquote, parts))


def id_in(request: Request, name: str) -> str:
    """The id in the path of a request."""
    found: str = request.path_params[name]
    return found.replace(_SLASH, "/")
