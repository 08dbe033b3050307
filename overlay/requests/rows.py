"""What a row becomes, as a value: `Chat`, `Response` and `Embed` turn each row of a table into a request.

    Chat(model="gpt-4o-mini", prompt="Is this review friendly? {text}", answer=Review)

A template says which columns it needs, makes the request of a row, and knows the type of its answers. It is made
once, and what is wrong with it is raised then: a stray brace, or an answer type that no model can be held to.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Collection, Mapping
from typing import Any, Generic, TypeAlias, TypeVar, overload

import attrs

from overlay.errors import ConfigurationError, InvalidInputError
from overlay.requests.asking import Words, embedding_body
from overlay.requests.cells import Row, cell_text, check_columns, row_error
from overlay.requests.prompts import Prompt, columns_in, read_prompt
from overlay.requests.reasons import quoted
from overlay.requests.request import Request
from overlay.services.profile import CHAT, EMBEDDINGS

A = TypeVar("A")
A_co = TypeVar("A_co", covariant=True)

RowWords: TypeAlias = Callable[[Row], Words]
"""A prompt that is written by a function of the row; it may also give messages."""
Embedding: TypeAlias = "array[float]"
"""A vector, as an array of C floats."""


@attrs.frozen(kw_only=True, repr=False)
class Template(ABC, Generic[A_co]):
    """What makes requests of rows, and whose answers are of the type `A`."""

    model: str | None
    """The model of all its requests; None if a function decides."""
    endpoint: str = attrs.field(repr=False)
    """Where its requests go, such as `/v1/chat/completions`."""
    columns: frozenset[str] | None = attrs.field(eq=False, repr=False)
    """The columns that it needs; None if a function decides."""
    answer: Any = None
    """The type of its answers, as `Result.parse` takes it; None if they are text, or vectors."""
    schema: Mapping[str, Any] | None = attrs.field(default=None, repr=False)
    """The JSON schema that its answers are held to, if there is one."""
    dimensions: int | None = None
    """How long its vectors are, if it says so."""

    @abstractmethod
    def body(self, row: Row) -> Mapping[str, Any]:
        """What is asked about a row. Raises InvalidInputError if the row does not hold it."""

    def check(self, columns: Collection[str]) -> None:
        """Raises ConfigurationError if a table of these columns lacks one that is needed; it names the nearest."""
        check_columns(sorted(self.columns or ()), columns)

    def request(self, custom_id: str, row: Row) -> Request:
        """The request for a row.

        Raises InvalidInputError, with the row's id, if the row lacks a column or holds what is no text, and what a
        function of the caller's raises.
        """
        try:
            body = self.body(row)
        except InvalidInputError as error:
            raise row_error(f"row {quoted(custom_id)}: {error.reason}") from None
        except ConfigurationError as error:
            raise row_error(f"row {quoted(custom_id)}: {error}") from None
        except Exception as error:
            error.add_note(f"This happened in the template, for row {quoted(custom_id)}.")
            raise
        return Request(custom_id, body, url=self.endpoint)

    def __repr__(self) -> str:
        fields = [field.name for field in attrs.fields(type(self)) if field.repr]
        given = [(name, getattr(self, name)) for name in fields]
        shown = ", ".join(f"{name}={value!r}" for name, value in given if value not in (None, (), {}))
        return f"{type(self).__name__}({shown})"


@attrs.frozen(init=False, repr=False)
class Embed(Template[Embedding]):
    """A vector for each row: of the text in a column, or of a prompt, or of what a function makes of the row."""

    column: str | None
    input: str | Callable[[Row], str] | None
    fields: Mapping[str, Any]
    _text: Any = attrs.field(eq=False, repr=False)
    _frame: dict[str, Any] = attrs.field(eq=False, repr=False)

    def __init__(
        self,
        model: str,
        column: str | None = None,
        *,
        input: str | Callable[[Row], str] | None = None,  # noqa: A002 - the API's word
        dimensions: int | None = None,
        **fields: Any,
    ) -> None:
        """`column` holds the texts; or `input` is a prompt, or a function that is given the row. `dimensions` is
        how long the vectors are to be. Any other keyword is a field of the body.

        Raises ConfigurationError for what no row could mend.
        """
        if (column is None) == (input is None):
            raise ConfigurationError("give column= or input=, one of the two")
        read = read_prompt(input) if isinstance(input, str) else input
        self.__attrs_init__(  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType] - attrs writes it
            model=model,
            endpoint=EMBEDDINGS,
            column=column,
            input=input,
            dimensions=dimensions,
            fields=fields,
            columns=frozenset({column}) if column is not None else _needed(read),
            text=read,
            frame=embedding_body(model, "", dimensions, fields),
        )

    def body(self, row: Row) -> dict[str, Any]:
        if self.column is not None:
            text: Any = cell_text(row, self.column)
        else:
            text = self._text.fill(row) if isinstance(self._text, Prompt) else self._text(row)
        if not isinstance(text, str) or not text:
            name = "the text to embed" if self.column is None else f"column {quoted(self.column)}"
            raise row_error(f"{name} is empty" if text in {"", None} else f"{name} is no text")
        return self._frame | {"input": text}


@attrs.frozen(kw_only=True, repr=False)
class RowFunction(Template[str]):
    """A function of the caller's, which makes the body of each row's request itself."""

    model: str | None = attrs.field(default=None, init=False)
    columns: frozenset[str] | None = attrs.field(default=None, init=False)
    function: Callable[[Row], Mapping[str, Any]]

    def body(self, row: Row) -> Mapping[str, Any]:
        body: object = self.function(row)
        if not isinstance(body, Mapping):
            raise row_error(f"the function returned a {type(body).__name__}, not the body of a request")
        return body


@overload
def template_of(value: Template[A], *, endpoint: str | None = None) -> Template[A]: ...
@overload
def template_of(
    value: Callable[[Row], Mapping[str, Any]], *, endpoint: str | None = None
) -> Template[str]: ...
def template_of(
    value: Template[Any] | Callable[[Row], Mapping[str, Any]] | None, *, endpoint: str | None = None
) -> Template[Any]:
    """The template that a caller means: a template, or a function from a row to a body for `endpoint`, chat
    completions by default. Raises ConfigurationError for anything else, and for an endpoint that a template
    contradicts.
    """
    if isinstance(value, Template):
        return _for(value, endpoint)  # pyright: ignore[reportUnknownArgumentType] - of answers of any type
    if callable(value):
        return RowFunction(function=value, endpoint=endpoint or CHAT)
    raise ConfigurationError(
        f"a template is Chat(...), Response(...), Embed(...) or a function from a row to a body, not {value!r:.100}"
    )


def _needed(read: Any) -> frozenset[str] | None:
    return None if callable(read) else columns_in(read)


def _for(template: Template[Any], endpoint: str | None) -> Template[Any]:
    if endpoint is not None and endpoint != template.endpoint:
        raise ConfigurationError(f"{type(template).__name__} is for {template.endpoint}, not for {endpoint}")
    return template
