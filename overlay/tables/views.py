"""Columns of views, Arrow's newer form of text and bytes, as columns of the older form.

Each slice of a view would be written with all the text of its batch, and some writers do not know them.
"""

from __future__ import annotations

from typing import Any

from overlay.tables.arrow import Batch, Type, pa


def stored(batch: Batch) -> Batch:
    """A batch without views."""
    if not any(_has_views(each.type) for each in batch.schema):
        return batch
    columns = [cast(column, without_views(column.type)) for column in batch.columns]
    fields = [field.with_type(column.type) for field, column in zip(batch.schema, columns, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def cast(column: Any, wanted: Type) -> Any:
    return column if column.type == wanted else column.cast(wanted)


def _has_views(kind: Any) -> bool:
    return bool(kind != without_views(kind))


def without_views(kind: Any) -> Any:
    if pa.types.is_string_view(kind):
        return pa.large_string()
    if pa.types.is_binary_view(kind):
        return pa.large_binary()
    if pa.types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, without_views(kind.value_type), kind.ordered)
    if pa.types.is_struct(kind):
        return pa.struct([each.with_type(without_views(each.type)) for each in kind])
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(without_views(kind.value_type)))
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(without_views(kind.value_type)))
    return kind
