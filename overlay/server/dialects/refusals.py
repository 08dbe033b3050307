"""Errors as services shape them: functions of a status and of OpenAI's error object, to a status and a body."""

from typing import Any

_BAD_REQUEST, _UNAUTHORIZED, _NOT_FOUND, _UNPROCESSABLE = 400, 401, 404, 422


def as_openai(status: int, error: dict[str, Any]) -> tuple[int, Any]:
    return status, {"error": error}


def as_azure(status: int, error: dict[str, Any]) -> tuple[int, Any]:
    """Azure's codes, and its own sentence about a file that is not ready."""
    if error.get("code") == "file_pending":
        message = (
            "The input file is in 'pending' state. Only files with status 'Processed' are accepted for batch"
            " inferencing. Please check the file status and try again."
        )
        error = {**error, "code": "invalidPayload", "message": message}
    return status, {"error": error}


def as_detail(status: int, error: dict[str, Any]) -> tuple[int, Any]:
    """FastAPI's: a text, or a list of what is wrong with the fields of a request."""
    message, param = error["message"], error.get("param")
    if error.get("code") == "file_pending":
        return _NOT_FOUND, {"detail": "Input file not found"}
    if error.get("code") == "missing_required_parameter":
        return _UNPROCESSABLE, {
            "detail": [{"type": "missing", "loc": ["body", param], "msg": "Field required"}]
        }
    if status == _NOT_FOUND and message.startswith("Invalid URL"):
        return status, {"detail": "Not Found"}
    return status, {"detail": message}


def as_text(status: int, error: dict[str, Any]) -> tuple[int, Any]:
    """One text under `error`; an unknown input file is a 404."""
    unknown = error.get("param") == "input_file_id" and "Cannot find file" in error["message"]
    return (_NOT_FOUND if unknown else status), {"error": error["message"]}


def as_mistral(status: int, error: dict[str, Any]) -> tuple[int, Any]:
    return status, {"object": "error", "raw_status_code": status, **error}


def as_siliconflow(status: int, error: dict[str, Any]) -> tuple[int, Any]:
    """A code of its own and a message; a wrong token and a wrong path are bare strings."""
    if status == _UNAUTHORIZED:
        return status, "Invalid token"
    if status == _NOT_FOUND and error["message"].startswith("Invalid URL"):
        return status, "404 page not found"
    return status, {"code": 20012, "message": error["message"], "data": None}


def as_litellm(status: int, error: dict[str, Any]) -> tuple[int, Any]:
    """The status stands in for the code, as a text."""
    return status, {"error": {**error, "param": error.get("param") or "None", "code": str(status)}}
