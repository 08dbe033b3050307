"""A request that stands in for other lines where a line is alone: see the package's docstring."""

from typing import NamedTuple

import msgspec

# A larger body would be paid for.
_LARGEST = 16 * 1024
_MOST = 8
_HELLO = [{"role": "user", "content": "Hello"}]
_SMALLEST: dict[str, dict[str, object]] = {
    "/v1/chat/completions": {"messages": _HELLO, "max_tokens": 1},
    "/v1/completions": {"prompt": "Hello", "max_tokens": 1},
    "/v1/responses": {"input": "Hello", "max_output_tokens": 16},
    "/v1/embeddings": {"input": "Hello"},
    "/v1/moderations": {"input": "Hello"},
}


class Witness(NamedTuple):
    method: str
    path: str
    body: bytes | None
    strong: bool
    """Whether its answer shows that lines are answered, and not only that the server is there."""


class Witnesses:
    """The requests that a server has answered, one for each endpoint of a model."""

    def __init__(self) -> None:
        self._answered: dict[str, bytes] = {}

    def answered(self, path: str, body: bytes) -> None:
        if path not in self._answered and len(body) <= _LARGEST and len(self._answered) < _MOST:
            self._answered[path] = bytes(body)

    def of(self, path: str, model: str) -> Witness:
        """Where another endpoint of the same model is known to answer, the path's own still comes first."""
        if (body := self._answered.get(path)) is not None:
            return Witness("POST", path, body, strong=True)
        if (smallest := _SMALLEST.get(path)) is not None:
            named = {"model": model} if model else {}
            return Witness("POST", path, msgspec.json.encode(named | smallest), strong=True)
        return Witness("GET", "/v1/models", None, strong=False)
