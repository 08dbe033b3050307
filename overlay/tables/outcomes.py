"""What became of a row: the answer in the caller's type, or why there is none."""

from __future__ import annotations

from array import array
from base64 import b64decode
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import attrs

from overlay.errors import ResultError
from overlay.lines import is_array, is_object
from overlay.requests.rows import Template
from overlay.results.result import Result
from overlay.results.shapes import LineError

A = TypeVar("A")
A_co = TypeVar("A_co", covariant=True)


def answer_of(template: Template[A], result: Result) -> A:
    """The answer as the template's type. Raises ResultError if the request failed, or there is none."""
    if template.answer is not None:
        parsed: A = result.parse(template.answer)
        return parsed
    what = "embedding" if template.endpoint.endswith("/embeddings") else "text"
    answer: Any = _vector(result) if what == "embedding" else result.raise_for_error().text
    if answer is None:
        raise ResultError(
            f"the answer has no {what}",
            custom_id=result.custom_id,
            code=f"no_{what}",
            status_code=result.status_code,
        )
    found: A = answer
    return found


def _vector(result: Result) -> Any:
    body = result.raise_for_error().body
    data = body.get("data") if is_object(body) else None
    vector = data[0].get("embedding") if is_array(data) and data and is_object(data[0]) else None
    if isinstance(vector, str):
        return array("f", b64decode(vector))
    return array("f", vector) if is_array(vector) else None


@attrs.frozen
class AnsweredRow(Generic[A_co]):
    """A row of the table, and what became of it."""

    key: str
    """What tells it from all others: its custom_id."""
    row: Mapping[str, Any]
    """What the table has in it."""
    result: Result
    """What the service answered."""
    _template: Template[A_co] = attrs.field(repr=False, eq=False)

    @property
    def answer(self) -> A_co:
        """The answer, in the type that the template says. Raises ResultError if the row failed."""
        return answer_of(self._template, self.result)

    @property
    def ok(self) -> bool:
        """Whether there is an answer."""
        return self.error is None

    @property
    def error(self) -> LineError | None:
        """Why there is no answer; None if there is one."""
        if self.result.error is not None:
            return self.result.error
        try:
            answer_of(self._template, self.result)
        except ResultError as error:
            return LineError(error.code, str(error))
        return None
