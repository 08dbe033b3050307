"""Query parameters of the two lists."""

from starlette.requests import Request

from overlay.server.refusals import Refusal


def limit_of(request: Request, *, default: int, most: int) -> int:
    """Raises `Refusal` for what is not a whole number from 1 to `most`."""
    text = request.query_params.get("limit")
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and 1 <= int(text) <= most):
        raise Refusal(
            400,
            f"Invalid 'limit': expected a whole number from 1 to {most}.",
            param="limit",
            code="invalid_value",
        )
    return int(text)


def one_of(request: Request, name: str, known: tuple[str, ...], default: str) -> str:
    """Raises `Refusal` for a value that is not known."""
    value = request.query_params.get(name, default)
    if value not in known:
        raise Refusal(
            400, f"Invalid {name!r}: expected one of {', '.join(known)}.", param=name, code="invalid_value"
        )
    return value


def no_cursor(after: str) -> Refusal:
    return Refusal(
        400, f"Invalid 'after': there is no object with id {after!r}.", param="after", code="invalid_value"
    )
