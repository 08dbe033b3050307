"""What the caller takes for an answer: a function of it, a type that it must fit, or both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import attrs

from overlay.errors import AcceptError, ConfigurationError, ResultError
from overlay.results.result import Result

Accept: TypeAlias = Callable[[Any], object]
"""A function that is given an answer, and says whether it is taken."""


@attrs.frozen
class Acceptance:
    """What the caller takes for an answer. Raises ConfigurationError."""

    accept: Accept | None
    answer: Any = None
    """The type that an answer is parsed as, before `accept` is given it; without one it is given the Result."""

    def __attrs_post_init__(self) -> None:
        if self.accept is not None and not callable(self.accept):
            raise ConfigurationError(f"accept must be a function of an answer, not {self.accept!r:.100}")

    def why_not(self, result: Result) -> str | None:
        """Why an answer is not taken; None if it is. Raises AcceptError for whatever `accept` raises."""
        value: Any = result
        if self.answer is not None:
            try:
                value = result.parse(self.answer)
            except ResultError as error:
                return str(error)
        if self.accept is None:
            return None
        try:
            taken = self.accept(value)
        except Exception as error:
            raise AcceptError(
                f"accept raised {type(error).__name__} for request {result.custom_id!r}: {error}; nothing is lost: "
                "mend it, and wait for the job again",
                custom_id=result.custom_id,
            ) from error
        return None if taken else "accept did not take the answer"


def acceptance(accept: Accept | None, answer: Any) -> Acceptance | None:
    """What a caller has said; None if nothing. Raises ConfigurationError."""
    return None if accept is None and answer is None else Acceptance(accept, answer)
