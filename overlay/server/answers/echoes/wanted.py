"""What a request insists on: data in a form, or the call of a tool.

Chat completions and responses write both down differently, and mean the same by them. The sentences and codes of
what cannot be done are those that users of the API have reported.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from overlay.lines import is_array, is_object
from overlay.server.answers.echoes.filling.documents import UnfillableError
from overlay.server.answers.echoes.filling.filler import fill
from overlay.server.refusals import error_object

_OBJECT = {"type": "object"}


class CannotAnswerError(Exception):
    """There is no answer; `status` and `body` say why, as the API does."""

    def __init__(self, message: str, param: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status = 400
        self.body = error_object(message, param=param, code=code)


@dataclass(frozen=True)
class Tool:
    """A tool that must be called."""

    name: str
    takes_text: bool
    """It is a custom one, which takes a text rather than arguments."""
    parameters: Any
    param: str
    """Where in the request the parameters stand."""
    named: bool = False
    """The request names it, instead of asking for any."""
    deprecated: bool = False
    """It is one of `functions`, which were before tools."""


def data(form: Any, asked: str, seed: int) -> str | None:
    """The JSON that a `response_format` or a `text.format` asks for; None where it asks for text.

    Raises `CannotAnswerError`.
    """
    if not is_object(form):
        return None
    if form.get("type") == "json_object":
        return _json(_OBJECT, asked, seed)
    if form.get("type") != "json_schema":
        return None
    nested = is_object(inner := form.get("json_schema"))
    described = inner if is_object(inner) else form
    try:
        return _json(described.get("schema", _OBJECT), asked, seed)
    except UnfillableError as error:
        raise CannotAnswerError(
            f"Invalid schema for response_format {described.get('name')!r}: {error}.",
            "response_format" if nested else "text.format.schema",
            None if nested else "invalid_json_schema",
        ) from error


def call(tool: Tool, asked: str, seed: int) -> str:
    """The arguments, or the input, of a call. Raises `CannotAnswerError`."""
    if tool.takes_text:
        return f"echo: {asked}"
    if not tool.parameters:
        return "{}"
    try:
        return _json(tool.parameters, asked, seed, _OBJECT)
    except UnfillableError as error:
        raise CannotAnswerError(
            f"Invalid schema for function {tool.name!r}: {error}.", tool.param, "invalid_function_parameters"
        ) from error


def forced(body: dict[str, Any]) -> Tool | None:
    """The tool that `tool_choice` wants called; None where it leaves that open, or where the tool is not there.

    Of several that would do it is the first. Hosted tools, which the service would call itself, are not called.
    """
    tools = list(_tools(body.get("tools")))
    choice = body.get("tool_choice")
    if is_object(choice) and choice.get("type") == "allowed_tools":
        inner = choice.get("allowed_tools")
        allowed = inner if is_object(inner) else choice
        names = {each.name for each in _tools(allowed.get("tools"))}
        tools = [each for each in tools if each.name in names]
        choice = allowed.get("mode")
    if choice == "required":
        return tools[0] if tools else None
    for wanted in _tools([choice]):
        for each in tools:
            if each.name == wanted.name and each.takes_text == wanted.takes_text:
                return replace(each, named=True)
    return None


def forced_function(body: dict[str, Any]) -> Tool | None:
    """As `forced`, by the deprecated `functions` and `function_call` of chat completions."""
    choice, functions = body.get("function_call"), body.get("functions")
    if is_object(choice) and is_array(functions):
        for place, each in enumerate(functions):
            if is_object(each) and isinstance(name := each.get("name"), str) and name == choice.get("name"):
                param = f"functions[{place}].parameters"
                return Tool(name, False, each.get("parameters"), param, named=True, deprecated=True)
    return None


def _tools(listed: Any) -> Iterator[Tool]:
    for place, each in enumerate(listed if is_array(listed) else []):
        if is_object(each) and (kind := each.get("type")) in ["function", "custom"]:
            # Chat completions put name and parameters one level deeper than responses do.
            nested = is_object(inner := each.get(kind))
            described = inner if is_object(inner) else each
            if isinstance(name := described.get("name"), str):
                param = f"tools[{place}].{'function.' * nested}parameters"
                yield Tool(name, kind == "custom", described.get("parameters"), param)


def _json(schema: Any, asked: str, seed: int, *also: Any) -> str:
    return msgspec.json.encode(fill(schema, asked=asked, seed=seed, also=also)).decode()
