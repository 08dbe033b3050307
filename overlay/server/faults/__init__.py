"""Trouble on demand, for tests.

In: which trouble (`kinds`) which requests are to meet (`matching`). Out: requests held up, refused, cut or reset on
their way (`middleware`), and answers spoiled on theirs (`distortions`). What becomes of JSON and of lines
is told by pure functions: of lists in `listing`, of objects in `rewriting`, of result files in `results`.
"""
