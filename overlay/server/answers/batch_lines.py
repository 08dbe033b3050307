"""The lines of one batch on their way from the input file to the output and error files.

What was answered stands in the two files themselves, so a service that is started again reads there what is left to
do: nothing is asked twice, and no line costs a commit.

A disk without room stops the writing, not the batch: answers wait in memory, and nothing new is asked. A line that
a disk has damaged costs itself: of the input, it ends up in the error file; of the output, it is asked again.
"""

import asyncio
import os
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from random import Random

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
from overlay.server.disk import Disk, Growing, NoRoomError, room
from overlay.server.objects import Counts, Usage


class _CustomId(msgspec.Struct):
    custom_id: str


_custom_id = msgspec.json.Decoder(_CustomId)
# What a damaged line may still tell.
_NAMED = re.compile(rb'"custom_id"\s*:\s*("(?:[^"\\]|\\.)*")')
# Unanswered lines are written in pieces of so many.
_PIECE = 10_000
# How often a disk without room is tried again, in seconds.
_ROOM_EVERY = 1.0


class BatchLines:
    """The state of the lines: which are answered, and where the next ones come from.

    `counts`, `usage` and `failures`, by code, are the batch's own and move as lines are answered; `tally` is told
    of those that this run answers. `never_run` is the part of the lines that no source is asked for, from 0 to 1;
    which they are follows from `seed`.
    """

    def __init__(
        self,
        source: Path,
        output: Path,
        errors: Path,
        counts: Counts,
        usage: Usage,
        *,
        disk: Disk,
        failures: dict[str, int],
        tally: Callable[[Outcome], None] = lambda _: None,
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
        self._disk = disk
        self._failures = failures
        self._tally = tally
        self._unwritten: list[tuple[int, Outcome]] = []
        self._recover()
        self._output, self._errors = Growing(output, disk), Growing(errors, disk)
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
        await self._write(passed_over, [never_ran(self._custom_id(number)) for number in passed_over])
        portion = iter([number for number in due if number not in self._never_run])
        if isinstance(source, Drives):
            await source.drive(_Portion(self, portion, caller))
            return
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(source.at_once, most)):
                workers.create_task(self._work(portion, source, caller.token))

    def write_unanswered(self, code: str, message: str) -> None:
        """Put every line that was not answered into the error file. Raises `NoRoomError`; then it can be called
        again. Blocks.
        """
        self.write([], [])
        left = (number for number, answered in enumerate(self._answered) if not answered)
        while piece := list(islice(left, _PIECE)):
            self.write(piece, [not_run(self._custom_id(number), code, message) for number in piece])

    def sync(self) -> None:
        """Return when all answers outlive a power cut. Raises `NoRoomError`. Blocks."""
        self.write([], [])
        self._output.sync()
        self._errors.sync()

    def close(self) -> None:
        for each in (self._lines, self._output, self._errors):
            each.close()

    def line(self, number: int) -> bytes:
        """As it stands in the input; nothing where the disk cannot read it."""
        try:
            return self._lines[number]
        except OSError:
            return b""

    def damaged(self, number: int) -> Outcome:
        """The answer to a line that cannot be read any more."""
        message = f"Line {number + 1} of the input file can no longer be read: the service's disk damaged it."
        return not_run(self._custom_id(number), "server_error", message)

    def write(self, numbers: Sequence[int], outcomes: Sequence[Outcome]) -> None:
        """Put outcomes of lines into their files. From one thread at a time.

        Raises `NoRoomError`; then they are kept, and go with the next ones, which may be none.
        """
        self._unwritten += zip(numbers, outcomes, strict=False)
        for ok, file in (True, self._output), (False, self._errors):
            if written := [each for each in self._unwritten if each[1].ok is ok]:
                file.append(b"".join(outcome.line for _, outcome in written))
                self._unwritten = [each for each in self._unwritten if each[1].ok is not ok]
                for number, outcome in written:
                    self._answered[number] = 1
                    self._count(outcome)
                    self._tally(outcome)

    async def _write(self, numbers: Sequence[int], outcomes: Sequence[Outcome]) -> None:
        """The same, waiting for room."""
        while True:
            try:
                self.write(numbers, outcomes)
            except NoRoomError:
                numbers, outcomes = [], []
                await asyncio.sleep(_ROOM_EVERY)
            else:
                return

    def _custom_id(self, number: int) -> str:
        """Of a line that is damaged, what can be found of it."""
        line = self.line(number)
        for text in (line, *(b'{"custom_id":%s}' % each for each in _NAMED.findall(line))):
            try:
                return _custom_id.decode(text).custom_id
            except (msgspec.MsgspecError, UnicodeDecodeError):
                continue
        return ""

    def _recover(self) -> None:
        """Take over what an earlier run wrote, and cut out what it did not finish, or a disk damaged."""
        self.counts.completed = self.counts.failed = 0
        self._failures.clear()
        written = [
            path for path in (self._output_path, self._errors_path) if path.exists() and path.stat().st_size
        ]
        if not written:
            return
        numbers = {self._custom_id(number): number for number in range(len(self._lines))}
        for path in written:
            bad: list[tuple[int, int]] = []
            with path.open("rb") as file:
                place = 0
                for line in file:
                    if not self._takes_over(line, numbers):
                        bad.append((place, len(line)))
                    place += len(line)
            if bad:
                self._cut_out(path, bad)

    def _takes_over(self, line: bytes, numbers: dict[str, int]) -> bool:
        if not line.endswith(b"\n"):
            return False
        try:
            custom_id, each = reread(line)
            number = numbers[custom_id]
        except (msgspec.MsgspecError, UnicodeDecodeError, KeyError):
            return False
        if self._answered[number]:
            return False
        self._answered[number] = 1
        self._count(each)
        return True

    def _cut_out(self, path: Path, bad: Sequence[tuple[int, int]]) -> None:
        """Take lines, each a place and a length, out of a file."""
        start, length = bad[-1]
        if len(bad) == 1 and start + length == path.stat().st_size:
            os.truncate(path, start)
            return
        places = dict(bad)
        clean = path.with_name(path.name + ".clean")
        with room(), path.open("rb") as file, clean.open("wb") as kept:
            place = 0
            for line in file:
                if place not in places:
                    kept.write(line)
                place += len(line)
        self._disk.keep(clean)
        clean.replace(path)

    async def _work(self, portion: Iterator[int], source: Source, token: str | None) -> None:
        numbers: list[int] = []
        while True:
            numbers.extend(islice(portion, source.batch_of - len(numbers)))
            if bad := [number for number in numbers if not _is_whole(self.line(number))]:
                await self._write(bad, [self.damaged(number) for number in bad])
                numbers = [number for number in numbers if number not in bad]
                continue
            if not numbers:
                return
            outcomes = await source.answer([self.line(number) for number in numbers], token)
            await self._write(numbers, outcomes)
            del numbers[: len(outcomes)]

    def _count(self, each: Outcome) -> None:
        if not each.ok:
            self.counts.failed += 1
            self._failures[each.code] = self._failures.get(each.code, 0) + 1
            return
        self.counts.completed += 1
        usage = self.usage
        usage.input_tokens += each.input_tokens
        usage.output_tokens += each.output_tokens
        usage.total_tokens += each.input_tokens + each.output_tokens
        usage.input_tokens_details.cached_tokens += each.cached_tokens
        usage.output_tokens_details.reasoning_tokens += each.reasoning_tokens


def _is_whole(line: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(line)["custom_id"], str)
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, KeyError):
        return False


class _Portion:
    """The lines that are due, for a source that drives them itself."""

    def __init__(self, lines: BatchLines, numbers: Iterator[int], caller: Caller) -> None:
        self.caller = caller
        self.line = lines.line
        self.write = lines.write
        self.damaged = lines.damaged
        self._numbers = numbers

    def take(self) -> int | None:
        return next(self._numbers, None)
