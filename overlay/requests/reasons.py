"""Why a line of an input file is refused, in words that help to fix it.

Slow and thorough, for the few lines that are not valid.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator
from typing import Any

from overlay.lines import brackets, is_object, too_deep

_QUOTED = 80
"""How many characters of a value a message quotes."""


def reasons(line: bytes, nesting: int, optional: Container[str] = ()) -> Iterator[str]:
    """Everything that is wrong with a line that is not a request, or is nested more than `nesting` deep.

    `optional` names the fields that it need not have.
    """
    if not line.strip():
        yield "a blank line, which is not a request; remove it"
        return
    try:
        value: Any = json.loads(line.decode(), parse_constant=_refuse_constant, parse_int=float)
    except UnicodeDecodeError as error:
        yield f"not UTF-8 (byte {error.start + 1:,} of the line)"
    except json.JSONDecodeError as error:
        utf16 = "; it has NUL bytes, like UTF-16" if b"\0" in line else ""
        yield f"not valid JSON ({error.msg}, at character {error.pos + 1:,}{utf16})"
    except _ConstantError as error:
        yield f"not valid JSON ({error} is not a JSON number)"
    except RecursionError:
        yield nesting_reason(nesting)
    else:
        if not is_object(value):
            yield "not a JSON object"
        elif too_deep(value, nesting):
            yield nesting_reason(nesting)
        else:
            yield from list(_field_problems(value, optional)) or [_strictness_problem(line)]


def _strictness_problem(line: bytes) -> str:
    # Python's decoder accepts the line; the stricter one that checks it does not.
    if b"\\ud" in line.lower():
        return "half of a surrogate pair in a string, which is not a character"
    return "a name that appears twice in one object"


def is_too_deep(line: bytes, nesting: int) -> bool:
    """Whether a line of valid JSON is nested more than `nesting` deep."""
    if brackets(line) <= nesting:
        return False
    try:
        return too_deep(json.loads(line, parse_int=float), nesting)
    except RecursionError:
        return True


def nesting_reason(nesting: int) -> str:
    return f"arrays and objects nested more than {nesting} deep"


def quoted(value: str) -> str:
    """A value as a message quotes it: not too long."""
    short = value if len(value) <= _QUOTED else value[: _QUOTED - 3] + "..."
    # Half of a surrogate pair cannot be printed, so it is escaped.
    return json.dumps(short, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()


def _field_problems(line: dict[str, Any], optional: Container[str]) -> Iterator[str]:
    for name, kind, words in (
        ("custom_id", str, "a string"),
        ("method", str, "a string"),
        ("url", str, "a string"),
        ("body", dict, "an object"),
    ):
        if name not in line:
            if name not in optional:
                yield f'no "{name}"'
        elif not isinstance(line[name], kind):
            yield f'"{name}" is not {words}'
    if isinstance(method := line.get("method"), str) and method != "POST":
        yield f'"method" is {quoted(method)}; it must be "POST"'
    if is_object(body := line.get("body")) and not isinstance(body.get("model"), str | None):
        yield '"model" is not a string'


class _ConstantError(Exception):
    pass


def _refuse_constant(name: str) -> Any:
    raise _ConstantError(name)
