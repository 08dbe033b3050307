"""Trouble on demand, for tests.

In: which requests are to meet which trouble (`kinds`). Out: requests held up, refused, cut or reset on their way
(`middleware`), and answers spoiled on theirs (`distortions`).
"""
