"""A text as tokens. A token is a word with the white space before it, which is what the echo counts and cuts by."""

import re
from collections.abc import Sequence
from typing import Any

from overlay.lines import is_array

# White space that ends a text belongs to its last word.
_TOKEN = re.compile(r"\s*\S+(?:\s+\Z)?")
# What the API puts for a token that is very unlikely.
_UNLIKELY = -9999.0
MOST_ALTERNATIVES = 20


def split(text: str) -> list[str]:
    """The tokens, which make up the text again; none for a text of nothing but white space."""
    return _TOKEN.findall(text)


def number_of(text: str) -> int:
    return len(text.split())


def cut(text: str, most: int | None) -> tuple[str, bool]:
    """The first `most` tokens of a text, and whether there were more."""
    if most is None or number_of(text) <= most:
        return text, False
    return "".join(split(text)[:most]), True


def stopped(text: str, stops: Any) -> str:
    """The text before the first of the sequences at which a request wants it to stop."""
    several = stops if is_array(stops) else [stops]
    places = [text.find(each) for each in several if isinstance(each, str) and each]
    return text[: min((each for each in places if each >= 0), default=len(text))]


def log_probabilities(tokens: Sequence[str], alternatives: int) -> list[dict[str, Any]]:
    """Each token, certain as it is, with others that were out of the question."""
    return [{**_log_probability(token, 0.0), "top_logprobs": _top(token, alternatives)} for token in tokens]


def other_tokens(alternatives: int) -> dict[str, float]:
    """Tokens that were not chosen, with their log probabilities."""
    return {f"echo-{number}": _UNLIKELY for number in range(2, alternatives + 1)}


def _top(token: str, alternatives: int) -> list[dict[str, Any]]:
    if not alternatives:
        return []
    others = other_tokens(alternatives).items()
    return [_log_probability(token, 0.0), *(_log_probability(*each) for each in others)]


def _log_probability(token: str, value: float) -> dict[str, Any]:
    return {"token": token, "logprob": value, "bytes": list(token.encode("utf-8", "replace"))}
