"""Tables in and out: `client.jobs.map` asks about each row, and gives a table with the answers beside them.

In: whatever exports Arrow, rows as dicts, and files of rows, here or on a file system that pyarrow or fsspec
knows (`sources`, `places`, `formats`). They are written to a nameless file on disk, once (`spool`): what is sent
and what comes out are made of the same bytes, in the same order, whatever becomes of the original meanwhile. Out:
`Answers`, an object that is itself a table in Arrow's eyes, batch by batch (`columns`), typed by the schema of its
answers (`shapes`).

Most modules here import pyarrow, of the extra `tables`. None of those is loaded before the first `map`.
"""
