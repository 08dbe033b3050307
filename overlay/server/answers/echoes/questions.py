"""What a request asks: as text, and as a number of tokens."""

from typing import Any
from zlib import crc32

from overlay.lines import is_array, is_object


def last_question(messages: Any) -> str:
    """The text of the user's last message."""
    if not is_array(messages):
        return flat(messages)
    for message in reversed(messages):
        if is_object(message) and message.get("role") == "user":
            return flat(message.get("content"))
    return ""


def flat(content: Any) -> str:
    """The text of a content, which is a string or a list of parts."""
    if isinstance(content, str):
        return content
    if is_array(content):
        parts = [part.get("text") if is_object(part) else part for part in content]
        return " ".join([str(part) for part in parts if part is not None])
    return "" if content is None else str(content)


def tokens_asked(asked: Any) -> int:
    """Words counted as tokens, which is an estimate like any other, and at least one."""
    if not is_array(asked):
        return max(1, len(flat(asked).split()))
    words = 0
    for part in asked:
        content = part.get("content") if is_object(part) else part
        words += len((content if isinstance(content, str) else flat(content)).split())
    return max(1, words)


def separate(given: Any) -> list[Any]:
    """The inputs or prompts of a request, which gives one or a list; a list of numbers is one, as tokens."""
    return given if is_array(given) and given and not isinstance(given[0], int) else [given]


def tokens_in(given: Any) -> int:
    """As `tokens_asked`, of one input or prompt."""
    return len(given) if is_array(given) else tokens_asked(given)


def seed(body: dict[str, Any]) -> int:
    """A number for a request, the same for the same one."""
    return crc32(repr(body).encode("utf-8", "surrogatepass"))


def count(value: Any, most: int = 1 << 30, *, least: int = 1) -> int | None:
    """A number of things as a request has it, no more than `most`; None for what is no such number."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= least:
        return min(value, most)
    return None
