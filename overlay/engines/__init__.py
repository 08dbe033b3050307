"""Rows that are in a cluster already: Ray, Dask and Spark move the bytes, one ledger makes the promises.

A module for each engine, with one function `map`; none of them is loaded before it is imported.

Workers build, upload, download and join (`partition`), which costs nothing to repeat; requests and answers are kept
in a place that all of them reach (`staging`). Batches are created by the driver alone (`running`), from the ledger
of a job of uploaded shards.
"""
