"""How fast the service goes, what it refuses, and how it differs from OpenAI's."""

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any, Literal, get_args, get_type_hints

from overlay.server.objects import ENDPOINTS
from overlay.server.values import read_pairs, read_value

Seconds = float | timedelta
UnknownFiles = Literal["fails", "refused"]
Kind = Literal["batch", "file"]
Ids = Literal["openai", "uuid", "dashed", "long", "path"] | Callable[[Kind], str]

_WINDOW = re.compile(r"(\d+)([smhd])")
# More would be beyond every calendar.
_MOST_DIGITS = 9
_LONGEST_PATH = 2048
# Printable, with nothing that is decoded or resolved on the way: what it is joined to stays in front of it.
_PATH = re.compile(r"(?:/(?!\.\.?(?:[/?]|$))[\w.~:@!$&'()*+,;=-]*)+(?:\?[!-~]*)?", re.ASCII)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# Windows that are words: Portkey runs a batch at once, and no end is documented.
_WORDS = {"immediate": 86400.0}


@dataclass(frozen=True, init=False)
class Pace:
    """How long a batch stays in each status, in seconds or as a `timedelta`.

    It spends at least `in_progress`, and at least `per_line` for each of its lines, in `in_progress`; its counts
    move through that time in up to a hundred portions. Real work that takes longer takes longer.
    """

    validating: float
    in_progress: float
    per_line: float
    finalizing: float
    cancelling: float

    def __init__(
        self,
        *,
        validating: Seconds = 0.0,
        in_progress: Seconds = 0.0,
        per_line: Seconds = 0.0,
        finalizing: Seconds = 0.0,
        cancelling: Seconds = 0.0,
    ) -> None:
        given = {
            "validating": validating,
            "in_progress": in_progress,
            "per_line": per_line,
            "finalizing": finalizing,
            "cancelling": cancelling,
        }
        for name, value in given.items():
            seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
            if not seconds >= 0:
                raise ValueError(f"a pace is a time of zero or more, and {name} is {seconds}")
            object.__setattr__(self, name, seconds)

    @classmethod
    def parse(cls, text: str) -> "Pace":
        """Read `validating=2,in_progress=30,…` (seconds); one bare number is the time of every status.

        Raises `ValueError` for anything else.
        """
        names = {field.name for field in fields(cls)}
        try:
            each = float(text)
        except ValueError:
            pass
        else:
            return cls(**dict.fromkeys(names - {"per_line"}, each))
        pairs: dict[str, str] = {}
        for part in filter(None, text.replace(" ", "").split(",")):
            name, _, value = part.partition("=")
            pairs[name] = value
        if unknown := pairs.keys() - names:
            raise ValueError(
                f"not a status with a pace: {', '.join(sorted(unknown))}; one of {', '.join(sorted(names))}"
            )
        try:
            return cls(**{name: read_value(value, float) for name, value in pairs.items()})
        except ValueError as error:
            raise ValueError(f"{text}: {error}") from None


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is refused, or never run.

    The defaults are those of https://platform.openai.com/docs/guides/batch and /rate-limits.
    """

    max_requests: int = 50_000
    """Lines in a batch."""
    max_input_bytes: int = 200 * 1024 * 1024
    """Size of a batch's input file."""
    max_embedding_inputs: int = 50_000
    """Inputs over all lines of a batch of embeddings."""
    max_upload_bytes: int = 512 * 1024 * 1024
    """Size of a file that is uploaded in one request."""
    max_part_bytes: int = 64 * 1024 * 1024
    """Size of one part of a file that is uploaded in parts."""
    max_assembled_bytes: int = 8 * 1024**3
    """Size of a file that is uploaded in parts, and of the parts that one upload may hold."""
    enqueued_tokens: int | None = None
    """Prompt tokens, estimated, that unfinished batches of one model may hold together; None is no limit."""
    enqueued_inputs: int | None = None
    """Texts to embed that unfinished batches may hold together; a million at OpenAI; None is no limit."""
    live_batches: int | None = None
    """Batches that may be unfinished at once; None is no limit."""
    caps_refuse: Literal["later", 400, 429] = "later"
    """How a batch over one of these caps is refused: it fails when it is validated, or its creation is answered
    with this status."""
    caps_code: str | None = None
    """The code of that refusal; None is `token_limit_exceeded`, or `too_many_batches`."""
    creates_per_hour: int | None = None
    """Batches that may be created in an hour; the API's own is 2,000; None is no limit."""
    windows: Collection[str] = ("24h",)
    """Accepted values of `completion_window`: a number and one of s, m, h, d."""
    models: Collection[str] | None = None
    """Models that exist; None is every name."""
    endpoints: Collection[str] | None = ENDPOINTS
    """Endpoints that a batch may name; None is every path."""
    one_endpoint: bool = True
    """Each line's `url` must be the endpoint of the batch; else it may be any of `endpoints`."""
    one_model: bool = True
    """All lines of a batch must name the same model; else they may name several, or none."""
    check_uploads: bool = True
    """Whether a file of purpose `batch` is refused at upload where its name has another extension than .jsonl, it
    is empty, or a line is not JSON. With False, only the batch that is made of it fails."""
    unknown_files: UnknownFiles = "fails"
    """What becomes of a batch whose input file does not exist: it is created and `fails` its validation, which is
    what OpenAI is said to do (second-hand); or its creation is `refused` with status 400, as others do."""
    max_line_bytes: int | None = None
    """Size of one line of a batch's input file; None is no limit."""
    max_custom_id: int | None = None
    """Characters of a `custom_id`; None is no limit."""
    never_run: float = 0.0
    """The part of each batch's lines, from 0 to 1, that end up in the error file without having run: status_code 0,
    an empty body, no error. OpenAI's error files hold such lines at times; a callable answers `0, {}` for one."""

    def __post_init__(self) -> None:
        if self.unknown_files not in get_args(UnknownFiles):
            raise ValueError(f"unknown_files is 'fails' or 'refused', and this is {self.unknown_files!r}")
        if not 0 <= self.never_run <= 1:
            raise ValueError(f"never_run is a part from 0 to 1, and this is {self.never_run}")
        for window in self.windows:
            window_seconds(window)
        if self.caps_refuse not in {"later", 400, 429}:
            raise ValueError(f'caps_refuse is "later", 400 or 429, not {self.caps_refuse!r}')

    @classmethod
    def lenient(cls) -> "Limits":
        """For a server of one's own behind `upstream`: what it takes is for it to say. Sizes are as ever."""
        return cls(endpoints=None, one_endpoint=False, one_model=False)

    def parse(self, texts: Iterable[str]) -> "Limits":
        """These limits, with those changed that are given as `requests=5000`, `windows=24h,48h` or `models=none`.

        Names are those of the fields, with or without `max_`. Raises `ValueError` for anything else.
        """
        kinds = get_type_hints(type(self))
        names = {name.removeprefix("max_"): name for name in kinds}
        changes: dict[str, Any] = {}
        for given, text in read_pairs(texts).items():
            short = given.removeprefix("max_")
            if short not in names:
                raise ValueError(f"there is no limit {given!r}; there are {', '.join(names)}")
            if names[short] in changes:
                raise ValueError(f"{short} is given twice")
            try:
                changes[names[short]] = read_value(text, kinds[names[short]])
            except ValueError as error:
                raise ValueError(f"{given}: {error}") from None
        return replace(self, **changes)

    def takes_endpoint(self, endpoint: str) -> bool:
        """Whether a batch may name it."""
        if self.endpoints is not None:
            return endpoint in self.endpoints
        return is_plain_path(endpoint)


@dataclass(frozen=True, kw_only=True)
class Traits:
    """How this service differs from OpenAI's, as other services do."""

    ids: Ids = "openai"
    """What ids of batches and files look like: a bare `uuid`; `dashed`, `batch-` or `file-` and a UUID; `long`, 300
    characters of base64; a `path`, `batches/x` or `files/x`, whose slash is `%2F` in a URL. A function is given
    "batch" or "file" and returns a new id each time."""
    partial_results: bool = False
    """Whether a batch in progress names its output and error files, which grow as lines are answered."""

    fills: Collection[str] = ()
    """Which of `method` and `url` a line may lack, because the service knows them."""
    empty_files: bool = False
    """Whether a batch names an error file when there were no errors, which is then empty."""

    def __post_init__(self) -> None:
        if not callable(self.ids) and self.ids not in {"openai", "uuid", "dashed", "long", "path"}:
            raise ValueError(f"ids is openai, uuid, dashed, long, path or a function, not {self.ids!r}")


def is_plain_path(path: str) -> bool:
    """Whether it is a path, with or without a query, that stays below whatever it is joined to."""
    return len(path) <= _LONGEST_PATH and bool(_PATH.fullmatch(path))


def window_seconds(window: str) -> float:
    """`24h` as 86400. Raises `ValueError` for what is not a number and a unit."""
    if window in _WORDS:
        return _WORDS[window]
    match = _WINDOW.fullmatch(window)
    if match is None:
        raise ValueError(f"a completion window is a number and one of s, m, h, d, and this is {window!r}")
    if len(match[1]) > _MOST_DIGITS:
        raise ValueError(f"a completion window has at most {_MOST_DIGITS} digits, and this is {window!r}")
    return float(int(match[1]) * _UNITS[match[2]])
