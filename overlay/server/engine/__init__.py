"""Batches and files as the service keeps them, and the course that a batch takes.

In: what the HTTP side asks for, in the API's own objects, and time. Out: those objects as they are now. An input
file is validated, a batch goes from status to status, lines are answered at a pace; what was acknowledged is in the
store. Nothing here knows HTTP.
"""
