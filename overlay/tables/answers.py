"""What `map` gives back: the rows of the table and their answers, as rows or as a table of Arrow's."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from overlay.jobs.views import Job
from overlay.notebooks import rows_html
from overlay.results.result import Result
from overlay.tables.needed import needed
from overlay.tables.outcomes import AnsweredRow

if TYPE_CHECKING:  # pyarrow is an extra, and loaded by those who hand in a table
    from overlay.tables.asking import Asked

A_co = TypeVar("A_co", covariant=True)
_SHOWN = 20
"""Rows that a notebook shows."""


class Answers(Generic[A_co]):
    """The rows of a table with their answers, in the order of the rows.

    Iterate over it for `AnsweredRow`s; or take it as the table that it is: whatever reads Arrow takes it as it
    stands, such as `polars.DataFrame(answers)`, `pyarrow.table(answers)` and duckdb, by its variable's name. It is
    read from this machine's disk, batch by batch, as often as you like, until the job is deleted.

    The columns are those of the input, unchanged; then those of the answers, then `error_code`, `error_message`,
    `input_tokens` and `output_tokens`. Where a row failed, the answer's columns are null.
    """

    def __init__(
        self, job: Job, asked: Asked[A_co], read: Callable[[], Generator[Result]], folder: Path
    ) -> None:
        self.job = job
        """The job, as it was when it had ended."""
        self._asked = asked
        self._read = read
        self._folder = folder

    def __len__(self) -> int:
        """How many rows there are."""
        return self._asked.rows.count

    def __iter__(self) -> Iterator[AnsweredRow[A_co]]:
        with closing(self._read()) as results:
            for (key, row), result in zip(self._asked.keyed(), results, strict=True):
                yield AnsweredRow(key, row, result, self._asked.template)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The table in Arrow's C stream interface (the PyCapsule protocol)."""
        return self._reader().__arrow_c_stream__(requested_schema)

    def __arrow_c_schema__(self) -> object:
        """The types of its columns."""
        return self._asked.columns.schema.__arrow_c_schema__()

    def _reader(self) -> Any:
        import pyarrow as pa  # noqa: PLC0415 - an extra

        return pa.RecordBatchReader.from_batches(self._asked.columns.schema, self._batches())

    def _batches(self) -> Generator[Any]:
        # Read from now on, so that what is wrong with the job is raised here, and not inside another library.
        return self._beside(self._read())

    def _beside(self, read: Generator[Result]) -> Generator[Any]:
        with closing(read) as results:
            yield from self._asked.columns.beside(self._asked.rows, results)

    def to_arrow(self) -> Any:
        """A `pyarrow.Table`."""
        return self._reader().read_all()

    def to_polars(self) -> Any:
        """A `polars.DataFrame`. Raises ConfigurationError if polars is not installed."""
        return needed("polars", "to_polars()").DataFrame(self)

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame`. Raises ConfigurationError if pandas is not installed."""
        needed("pandas", "to_pandas()")
        return self.to_arrow().to_pandas()

    def write(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the table to a file, whole or not at all. How the path ends says whether it is Parquet, CSV, TSV,
        JSON lines or Arrow; texts may also be packed, with .gz or .zst.

        A file that is there is replaced only if it is what this job wrote there before, or with `overwrite`. In
        CSV, lists and structs are JSON texts. Raises ConfigurationError, StorageError.
        """
        from overlay.tables.writing import write_file  # noqa: PLC0415 - needs pyarrow

        write_file(path, self._asked.columns.schema, self._batches(), self._folder, overwrite=overwrite)

    def write_to(self, write: Callable[[bytes], object], name: str) -> Counter[str]:
        """Write the table to a function that takes bytes, in the format of a file of this name.

        Returns how many rows failed, by the code of their failure.
        """
        from overlay.tables.writing import write_counted  # noqa: PLC0415 - needs pyarrow

        columns = self._asked.columns
        return write_counted(write, name, columns.schema, self._batches(), columns.code)

    def _repr_html_(self) -> str:
        names, shown = self._asked.columns.schema.names, list[tuple[Any, ...]]()
        with closing(self._batches()) as batches:
            for batch in batches:
                columns = [column.slice(0, _SHOWN - len(shown)).to_pylist() for column in batch.columns]
                shown += zip(*columns, strict=True)
                if len(shown) >= _SHOWN:
                    break
        left = len(self) - len(shown)
        return rows_html(names, shown, f"{left:,} more rows" if left else "")

    def __repr__(self) -> str:
        first = ", ".join(self._asked.columns.schema.names)
        return f"<Answers of job {self.job.id}: {len(self):,} rows of {first}>"
