"""Strings to propose: words that say what they are, or as near to them as pattern, format and length allow."""

from collections.abc import Iterator
from contextlib import suppress
from random import Random
from typing import Any

from overlay.server.answers.echoes.filling.formats import FORMATS
from overlay.server.answers.echoes.filling.patterns import PatternError, matching

MOST_CHARACTERS = 1 << 20
_VARIATIONS = 200


def strings(schemas: list[dict[str, Any]], text: str, draw: Random) -> Iterator[str]:
    """Proposals for a place under all these schemas; `text` is what stands there if nothing speaks against it."""
    least = max((each.get("minLength", 0) for each in schemas), default=0)
    most = min((each.get("maxLength", MOST_CHARACTERS) for each in schemas), default=MOST_CHARACTERS)
    if not 0 <= least <= most or least > MOST_CHARACTERS:
        return
    most = min(most, MOST_CHARACTERS)
    formats = [each["format"] for each in schemas if each.get("format") in FORMATS]
    patterns = [each["pattern"] for each in schemas if "pattern" in each]
    for name in formats:
        start = draw.randrange(10_000)
        yield from (FORMATS[name].sample((start + step) % 10_000) for step in range(_VARIATIONS))
    yield _of_length(text, least, most)
    if patterns:
        yield from (word for word in ("echo", "Echo", "ECHO") if least <= len(word) <= most)
    for pattern in patterns:
        with suppress(PatternError):
            yield from matching(pattern, least, most, draw)
    for number in range(2, _VARIATIONS):
        last = f" {number}"[-most:] if most else ""
        yield _of_length(text, least - len(last), most - len(last)) + last


def _of_length(text: str, least: int, most: int) -> str:
    if len(text) > most:
        text = text[: max(most, 0)].rstrip()
    if len(text) < least:
        text += (" echo" * (least // 5 + 1))[: least - len(text)]
    return text
