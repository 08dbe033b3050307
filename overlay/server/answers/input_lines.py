"""An input file as numbered lines that can be read in any order, split on line feeds and nothing else."""

import os
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random


class Lines:
    """The lines of a file, by number from 0. What follows the last line feed is a line unless it is empty."""

    def __init__(self, path: Path) -> None:
        self._starts = array("Q", [0])
        with path.open("rb") as file:
            end = 0
            for line in file:
                end += len(line)
                self._starts.append(end)
        self._descriptor = os.open(path, os.O_RDONLY)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, number: int) -> bytes:
        start, end = self._starts[number], self._starts[number + 1]
        return os.pread(self._descriptor, end - start, start)

    def __iter__(self) -> Iterator[bytes]:
        return (self[number] for number in range(len(self)))

    def shuffled(self) -> Sequence[int]:
        """Every number once, in an order that is not the file's and depends on their count alone.

        The API promises no order, so a client that relies on the input's must be found out.
        """
        order = array("Q", range(len(self)))
        Random(len(self)).shuffle(order)  # noqa: S311  repeatable on purpose
        if len(order) > 1 and all(place == number for place, number in enumerate(order)):
            order.reverse()
        return order

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
