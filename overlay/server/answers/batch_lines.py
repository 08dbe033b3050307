"""The lines of one batch on their way from the input file to the output and error files.

What was answered stands in the two files themselves, so a service that is started again reads there what is left to
do: nothing is asked twice, and no line costs a commit.
"""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import BinaryIO

import msgspec

from overlay.server.answers.input_lines import Lines
from overlay.server.answers.source import (
    Caller,
    Drives,
    Outcome,
    Source,
    never_ran,
    not_run,
    reread,
)
from overlay.server.objects import Counts, Usage


class _CustomId(msgspec.Struct):
    custom_id: str


_custom_id = msgspec.json.Decoder(_CustomId)
# Unanswered lines are written in pieces of about this size, in bytes.
_PIECE = 1 << 20


class BatchLines:
    """The state of the lines: which are answered, and where the next ones come from.

    `counts` and `usage` are the batch's own objects and move as lines are answered. `never_run` is the part of the
    lines that no source is asked for, from 0 to 1; which they are follows from `seed`.
    """

    def __init__(
        self,
        source: Path,
        output: Path,
        errors: Path,
        counts: Counts,
        usage: Usage,
        *,
        never_run: float = 0.0,
        seed: str = "",
    ) -> None:
        self.counts = counts
        self.usage = usage
        self._lines = Lines(source)
        self._answered = bytearray(len(self._lines))
        self._output_path, self._errors_path = output, errors
        # By the batch, so that a line that is sent again in another has its chance.
        picked = Random(seed).sample(range(len(self._lines)), round(never_run * len(self._lines)))  # noqa: S311
        self._never_run = frozenset(picked)
        self._recover()
        self._output: BinaryIO = output.open("ab")
        self._errors: BinaryIO = errors.open("ab")
        self._left = (number for number in self._lines.shuffled() if not self._answered[number])

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def done(self) -> int:
        return self.counts.completed + self.counts.failed

    async def answer(self, most: int, source: Source, caller: Caller) -> None:
        """Answer up to `most` lines. Cancelled, it leaves no line half written."""
        due = list(islice(self._left, most))
        passed_over = [number for number in due if number in self._never_run]
        self.write(passed_over, [never_ran(self._custom_id(number)) for number in passed_over])
        portion = iter([number for number in due if number not in self._never_run])
        if isinstance(source, Drives):
            await source.drive(_Portion(self, portion, caller))
            return
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(source.at_once, most)):
                workers.create_task(self._work(portion, source, caller.token))

    def write_unanswered(self, code: str, message: str) -> None:
        """Put every line that was not answered into the error file. Blocks."""
        piece: list[bytes] = []
        for number, answered in enumerate(self._answered):
            if not answered:
                piece.append(not_run(self._custom_id(number), code, message))
                self.counts.failed += 1
                if len(piece) * 100 > _PIECE:
                    self._errors.write(b"".join(piece))
                    piece.clear()
        self._errors.write(b"".join(piece))
        self._errors.flush()

    def close(self) -> None:
        for each in (self._lines, self._output, self._errors):
            each.close()

    def _custom_id(self, number: int) -> str:
        return _custom_id.decode(self._lines[number]).custom_id

    def _recover(self) -> None:
        """Take over what an earlier run wrote, and cut off a last line that it did not finish."""
        self.counts.completed = self.counts.failed = 0
        written = [
            path for path in (self._output_path, self._errors_path) if path.exists() and path.stat().st_size
        ]
        if not written:
            return
        numbers = {_custom_id.decode(line).custom_id: number for number, line in enumerate(self._lines)}
        for path in written:
            with path.open("r+b") as file:
                whole = 0
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    whole += len(line)
                    custom_id, each = reread(line)
                    self._answered[numbers[custom_id]] = 1
                    self._count(each)
                file.truncate(whole)

    async def _work(self, portion: Iterator[int], source: Source, token: str | None) -> None:
        numbers: list[int] = []
        while True:
            numbers.extend(islice(portion, source.batch_of - len(numbers)))
            if not numbers:
                return
            outcomes = await source.answer([self.line(number) for number in numbers], token)
            self.write(numbers, outcomes)
            del numbers[: len(outcomes)]

    def line(self, number: int) -> bytes:
        return self._lines[number]

    def write(self, numbers: Sequence[int], outcomes: Sequence[Outcome]) -> None:
        """Put outcomes of lines into their files. From one thread at a time."""
        for file, lines in (
            (self._output, [each.line for each in outcomes if each.ok]),
            (self._errors, [each.line for each in outcomes if not each.ok]),
        ):
            if lines:
                file.write(b"".join(lines))
                file.flush()
        for number, each in zip(numbers, outcomes, strict=False):
            self._answered[number] = 1
            self._count(each)

    def _count(self, each: Outcome) -> None:
        if not each.ok:
            self.counts.failed += 1
            return
        self.counts.completed += 1
        usage = self.usage
        usage.input_tokens += each.input_tokens
        usage.output_tokens += each.output_tokens
        usage.total_tokens += each.input_tokens + each.output_tokens
        usage.input_tokens_details.cached_tokens += each.cached_tokens
        usage.output_tokens_details.reasoning_tokens += each.reasoning_tokens


class _Portion:
    """The lines that are due, for a source that drives them itself."""

    def __init__(self, lines: BatchLines, numbers: Iterator[int], caller: Caller) -> None:
        self.caller = caller
        self.line = lines.line
        self.write = lines.write
        self._numbers = numbers

    def take(self) -> int | None:
        return next(self._numbers, None)
