"""Refusals, in the form of the API's error bodies: {"error": {"message", "type", "param", "code"}}."""

import msgspec
from starlette.responses import Response


class Refusal(Exception):  # noqa: N818  it is an answer to the client, not an error of ours
    """Raised by whatever handles a request; `status` and `body` go out as the answer."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        kind: str = "invalid_request_error",
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        self.body = error_body(message, param=param, code=code, kind=kind)


def missing_parameter(name: str) -> Refusal:
    return Refusal(
        400, f"Missing required parameter: {name!r}.", param=name, code="missing_required_parameter"
    )


def error_object(
    message: str, *, param: str | None = None, code: str | None = None, kind: str = "invalid_request_error"
) -> dict[str, dict[str, str | None]]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def error_body(
    message: str, *, param: str | None = None, code: str | None = None, kind: str = "invalid_request_error"
) -> bytes:
    return msgspec.json.encode(error_object(message, param=param, code=code, kind=kind))


def refused(refusal: Refusal) -> Response:
    return Response(refusal.body, refusal.status, refusal.headers, media_type="application/json")
