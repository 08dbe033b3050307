"""What each path does: batches, files, and the paths for tests.

In: a request that has been let in. Out: its answer, which the engine gives.
"""
