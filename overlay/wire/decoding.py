"""JSON answers, decoded several times faster than by the standard library, no more strictly, and within bounds.

Eight megabytes of `{},` become half a gigabyte of objects: what no page or batch can need is refused before it is
decoded. An object that is only an error, under whatever status of success, is one.
"""

from __future__ import annotations

from typing import Any

import httpx
import msgspec

from overlay.errors import InvalidResponseError
from overlay.lines import brackets, is_object
from overlay.services import ServiceProfile
from overlay.services.profile import Sent
from overlay.services.routes import answered
from overlay.wire.clients import SENT
from overlay.wire.reading import listed, readable, unwrapped, without_surrogates
from overlay.wire.refusals import words_of

_MOST_OBJECTS = 10_000
"""On a page: a hundred times what can be asked for. Some services ignore `limit`."""
_MOST_BRACKETS = 200_000
"""In an answer: a failed batch may give a reason for each of 50,000 lines."""


class JSONResponse(httpx.Response):
    """An answer whose JSON generated code asks for."""

    def json(self, **kwargs: Any) -> Any:
        """The answer, made readable. Raises InvalidResponseError, ValueError."""
        count = brackets(self.content)
        if count > _MOST_BRACKETS:
            raise InvalidResponseError(
                f"{self._call}: the answer has {count:,} objects and arrays, more than any can need"
            )
        try:
            answer = msgspec.json.decode(self.content)
        except msgspec.DecodeError:
            # Some services send what JSON lacks but Python reads, such as NaN.
            answer = without_surrogates(super().json(**kwargs))
        self._check(answer)
        asked = self._request
        own: tuple[ServiceProfile, Sent] | None = asked.extensions.get(SENT) if asked is not None else None
        if own is not None:
            answer = answered(*own, answer)
        return readable(answer)

    def _check(self, answer: Any) -> None:
        page = listed(answer)
        if page is not None and len(page) > _MOST_OBJECTS:
            raise InvalidResponseError(f"{self._call}: the page has {len(page):,} objects")
        if page is None and is_object(answer) and answer.get("error") and not _has_object(answer):
            raise InvalidResponseError(f"{self._call}: the answer is an error: {words_of(answer)}")

    @property
    def _call(self) -> str:
        return f"{self.request.method} {self.request.url.path}"


def _has_object(answer: dict[str, Any]) -> bool:
    """Whether there is something in an answer besides its error."""
    return "id" in answer or "data" in answer or unwrapped(answer) is not answer
