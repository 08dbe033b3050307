"""pyarrow, of the extra `tables`, as the other modules here use it.

Untyped: the stubs that there are leave half of it unknown, which strict checking takes for errors.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, TypeAlias

pa: Any = import_module("pyarrow")
compute: Any = import_module("pyarrow.compute")
csv: Any = import_module("pyarrow.csv")
fs: Any = import_module("pyarrow.fs")
parquet: Any = import_module("pyarrow.parquet")

Schema: TypeAlias = Any
"""A pyarrow.Schema."""
Batch: TypeAlias = Any
"""A pyarrow.RecordBatch."""
Type: TypeAlias = Any
"""A pyarrow.DataType."""
ERRORS: tuple[type[Exception], ...] = (pa.ArrowException,)
"""What pyarrow raises of its own."""
