"""A chat or a response for each row of a table."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar, overload

import attrs

from overlay.requests.answers import AnswerSchema, answer_schema
from overlay.requests.asking import (
    Message,
    Words,
    chat_frame,
    chat_words,
    one_of,
    response_frame,
    response_words,
)
from overlay.requests.cells import Row, cell
from overlay.requests.prompts import Prompt, columns_in, fill_prompts, read_prompt, read_prompts
from overlay.requests.rows import RowWords, Template
from overlay.services.profile import CHAT, RESPONSES

A = TypeVar("A")


@attrs.frozen(init=False, repr=False)
class _Asking(Template[A]):
    """What `Chat` and `Response` share: all but the shape of the body."""

    prompt: str | RowWords | None
    system: str | None
    messages: Sequence[Message] | None
    images: tuple[str, ...]
    fields: Mapping[str, Any]
    _words: Any = attrs.field(eq=False, repr=False)
    _system_prompt: Prompt | None = attrs.field(eq=False, repr=False)
    _frame: dict[str, Any] = attrs.field(eq=False, repr=False)

    def _start(
        self,
        *,
        model: str,
        prompt: str | RowWords | None,
        system: str | None,
        messages: Sequence[Message] | None,
        images: str | Sequence[str],
        answer: Any,
        fields: Mapping[str, Any],
    ) -> None:
        shown = (images,) if isinstance(images, str) else tuple(images)
        words = one_of(prompt, messages, shown)
        read = words if callable(words) else read_prompts(words)
        read_system = None if system is None else read_prompt(system)
        needed = None if callable(read) else columns_in([read, read_system]) | {*shown}
        schema = None if answer is None else answer_schema(answer)
        self.__attrs_init__(  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType] - attrs writes it
            model=model,
            endpoint=self._endpoint,
            prompt=prompt,
            system=system,
            messages=messages,
            images=shown,
            answer=dict if isinstance(answer, Mapping) else answer,
            fields=fields,
            columns=needed,
            schema=None if schema is None else schema.with_formats,
            words=read,
            system_prompt=read_system,
            frame=self._framed(model, schema, fields),
        )

    _endpoint: ClassVar[str]

    @staticmethod
    @abstractmethod
    def _framed(model: str, answer: AnswerSchema | None, fields: Mapping[str, Any]) -> dict[str, Any]: ...

    @staticmethod
    @abstractmethod
    def _worded(words: Words, system: str | None, images: Sequence[object]) -> dict[str, Any]: ...

    def body(self, row: Row) -> dict[str, Any]:
        words: Any = self._words(row) if callable(self._words) else fill_prompts(self._words, row)
        system = None if self._system_prompt is None else self._system_prompt.fill(row)
        cells = [cell(row, column) for column in self.images]
        images = [image for image in cells if image is not None and image != ""]
        return self._frame | self._worded(words, system, images)


@attrs.frozen(init=False, repr=False)
class Chat(_Asking[A]):
    """A chat completion for each row."""

    _endpoint = CHAT
    _framed = staticmethod(chat_frame)
    _worded = staticmethod(chat_words)

    @overload
    def __init__(
        self: Chat[str],
        model: str,
        prompt: str | RowWords | None = None,
        *,
        system: str | None = None,
        messages: Sequence[Message] | None = None,
        images: str | Sequence[str] = (),
        answer: None = None,
        **fields: Any,
    ) -> None: ...
    @overload
    def __init__(
        self: Chat[dict[str, Any]],
        model: str,
        prompt: str | RowWords | None = None,
        *,
        system: str | None = None,
        messages: Sequence[Message] | None = None,
        images: str | Sequence[str] = (),
        answer: Mapping[str, Any],
        **fields: Any,
    ) -> None: ...
    @overload
    def __init__(
        self,
        model: str,
        prompt: str | RowWords | None = None,
        *,
        system: str | None = None,
        messages: Sequence[Message] | None = None,
        images: str | Sequence[str] = (),
        answer: type[A],
        **fields: Any,
    ) -> None: ...
    def __init__(
        self,
        model: str,
        prompt: str | RowWords | None = None,
        *,
        system: str | None = None,
        messages: Sequence[Message] | None = None,
        images: str | Sequence[str] = (),
        answer: Any = None,
        **fields: Any,
    ) -> None:
        """`prompt` is text in which `{name}` stands for a column of the row (`{{` and `}}` for braces), or a
        function that is given the row and returns the text, or messages; or there are `messages`, every text of
        which is such a prompt. `system` is a prompt, too.

        `images` names the columns that hold images: paths, URLs or bytes. `answer` is the type of the answers: a
        dataclass, attrs class, TypedDict, msgspec Struct or pydantic model, to whose schema the model is held; or a
        JSON schema, of which the answers are dicts. Any other keyword is a field of the body.

        Raises ConfigurationError for what no row could mend.
        """
        self._start(
            model=model,
            prompt=prompt,
            system=system,
            messages=messages,
            images=images,
            answer=answer,
            fields=fields,
        )


@attrs.frozen(init=False, repr=False)
class Response(_Asking[A]):
    """A response (/v1/responses) for each row."""

    _endpoint = RESPONSES
    _framed = staticmethod(response_frame)
    _worded = staticmethod(response_words)

    @overload
    def __init__(
        self: Response[str],
        model: str,
        prompt: str | RowWords | None = None,
        *,
        system: str | None = None,
        messages: Sequence[Message] | None = None,
        images: str | Sequence[str] = (),
        answer: None = None,
        **fields: Any,
    ) -> None: ...
    @overload
    def __init__(
        self: Response[dict[str, Any]],
        model: str,
        prompt: str | RowWords | None = None,
        *,
        system: str | None = None,
        messages: Sequence[Message] | None = None,
        images: str | Sequence[str] = (),
        answer: Mapping[str, Any],
        **fields: Any,
    ) -> None: ...
    @overload
    def __init__(
        self,
        model: str,
        prompt: str | RowWords | None = None,
        *,
        system: str | None = None,
        messages: Sequence[Message] | None = None,
        images: str | Sequence[str] = (),
        answer: type[A],
        **fields: Any,
    ) -> None: ...
    def __init__(
        self,
        model: str,
        prompt: str | RowWords | None = None,
        *,
        system: str | None = None,
        messages: Sequence[Message] | None = None,
        images: str | Sequence[str] = (),
        answer: Any = None,
        **fields: Any,
    ) -> None:
        """As `Chat`, in the body of /v1/responses: `system` becomes its instructions.

        Raises ConfigurationError for what no row could mend.
        """
        self._start(
            model=model,
            prompt=prompt,
            system=system,
            messages=messages,
            images=images,
            answer=answer,
            fields=fields,
        )
