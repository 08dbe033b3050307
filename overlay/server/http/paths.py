"""Ids in paths: a slash in an id is %2F there, and does not divide the path."""

from urllib.parse import unquote

from starlette.requests import Request
from starlette.types import Scope

_SLASH = "%2F"


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
